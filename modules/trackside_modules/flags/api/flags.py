"""Flags: list, create, see, edit, archive, restore, explain."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

from trackside.api import Call, Input, Page, Paged
from trackside.auth.audit import key_actor
from trackside.errors import Conflict, NotAllowed
from trackside.workspace import environments
from trackside_modules.flags import ruleset, service
from trackside_modules.flags.api import DEFINE, READ, WRITE, api
from trackside_modules.flags.api.shapes import FLAG, Fields, FlagOut, Key, Line, Reason, StateIn, version
from trackside_modules.flags.models import Flag, State
from trackside_modules.flags.queries import listing, seeing
from trackside_modules.flags.service.work import REACH


class FlagQuery(Paged):
    """Which flags."""

    q: Annotated[str, Meta(max_length=200, description="Part of a key, name, description or tag")] = ""
    kind: Annotated[str, Meta(max_length=40)] = ""
    tag: Annotated[str, Meta(max_length=200)] = ""
    archived: bool = False


class FlagNew(Fields):
    """A flag to make: off in every environment, unless its template says otherwise."""

    key: Line = ""
    type: Annotated[str, Meta(max_length=40, description="boolean, string, number or json")] | UnsetType = UNSET
    template: Annotated[str, Meta(max_length=40, description="release, experiment, ops or permission")] = ""
    state: Annotated[StateIn, Meta(description="Here, in this environment")] | UnsetType = UNSET
    reason: Reason = ""


class FlagEdit(Fields):
    """What changes, all of it in one piece; what is not sent stays as it is."""

    state: StateIn | UnsetType = UNSET
    reason: Reason = ""


class Because(Input):
    """Why."""

    reason: Reason = ""


class Question(Input):
    """Whom to explain the flag for."""

    context: Annotated[dict[str, Any], Meta(description="`targetingKey`, `account` and other attributes")] = field(
        default_factory=dict
    )


class Explanation(msgspec.Struct):
    """What somebody gets, and each step on the way there."""

    key: str
    text: str
    result: dict[str, Any]
    steps: list[dict[str, Any]]


_EXPLAINED = Explanation("team/checkout", "On by everyone else's rollout.", {"variant": "on", "value": True}, [])


@api.get("/flags", scope=READ, example=Page([FLAG]))
def list_flags(call: Call, query: FlagQuery) -> Page[FlagOut]:
    """List flags by key."""
    wanted = listing.Filter(query.q, query.kind, query.tag, archived=query.archived)
    after = call.after(query)
    ruleset.lock(call.session, [])
    rows = listing.listed(call.session, wanted, after=str(after[0]) if after else "", limit=query.limit + 1)
    return call.page(
        query, rows, lambda row: FlagOut.of(row.flag, row.states[call.env_id]), key=lambda row: [row.flag.key]
    )


@api.post("/flags", scope=WRITE, status=201, errors=(Conflict,), example=FLAG, sends={"key": "team/checkout"})
def create_flag(call: Call, body: FlagNew) -> FlagOut:
    """Make a flag. Its key and type are for ever; it takes a key of production, or one with `flags:define`."""
    must_reach_everywhere(call)
    who, now, session = key_actor(call.key), call.runtime.clock.now(), call.session
    given = body.fields() | ({"type": body.type} if body.type is not UNSET else {})
    with session.begin_nested():
        flag = service.create(session, body.key, who=who, now=now, template=body.template, reason=body.reason, **given)
        if body.state is not UNSET:
            service.change(session, call.env_id, flag.key, body.state.parts(), who=who, now=now, reason=body.reason)
    return shown(call, flag)


@api.get("/flags/{key}", scope=READ, edits=True, example=FLAG)
def get_flag(call: Call, key: Key) -> FlagOut:
    """Get a flag, and its state here."""
    return shown(call, service.get(call.session, key))


@api.patch(
    "/flags/{key}", scope=WRITE, edits=True, errors=(Conflict,), example=FLAG, sends={"state": {"enabled": True}}
)
def edit_flag(call: Call, key: Key, body: FlagEdit) -> FlagOut:
    """Change a flag and its state here, in one piece; a key of another environment than production, its state alone."""
    if body.fields():
        must_reach_everywhere(call)
    flag = matched(call, key, everywhere=bool(body.fields()))
    how: dict[str, Any] = {"who": key_actor(call.key), "now": call.runtime.clock.now(), "reason": body.reason}
    state = body.state.parts() if body.state is not UNSET else None
    return shown(call, service.edit(call.session, flag.key, body.fields(), env_id=call.env_id, state=state, **how))


@api.post("/flags/{key}:archive", scope=WRITE, edits=True, errors=(Conflict,), example=FLAG)
def archive_flag(call: Call, key: Key, body: Because) -> FlagOut:
    """Take a flag out of every environment: programs get the default in their code."""
    must_reach_everywhere(call)
    flag, now = matched(call, key, everywhere=True), call.runtime.clock.now()
    return shown(call, service.archive(call.session, flag.key, who=key_actor(call.key), now=now, reason=body.reason))


@api.post("/flags/{key}:restore", scope=WRITE, edits=True, errors=(Conflict,), example=FLAG)
def restore_flag(call: Call, key: Key, body: Because) -> FlagOut:
    """Put an archived flag back, off in every environment."""
    must_reach_everywhere(call)
    flag, now = matched(call, key, everywhere=True), call.runtime.clock.now()
    return shown(call, service.restore(call.session, flag.key, who=key_actor(call.key), now=now, reason=body.reason))


@api.post("/flags/{key}:explain", scope=READ, example=_EXPLAINED, sends={"context": {"targetingKey": "u_42"}})
def explain_flag(call: Call, key: Key, body: Question) -> Explanation:
    """Say what somebody gets here, and why: each rule, matched or not, and the bucket."""
    trace = seeing.explain(call.session, call.env_id, key, body.context, call.runtime.clock.now()).as_dict()
    return Explanation(trace["key"], trace["text"], trace["result"], trace["steps"])


def state_of(call: Call, flag: Flag) -> State:
    """Return a flag's state in the environment of the key."""
    ruleset.lock(call.session, [])
    return call.session.get_one(State, (call.env_id, flag.id))


def shown(call: Call, flag: Flag) -> FlagOut:
    """Return a flag as the API shows it, with its ETag."""
    state = state_of(call, flag)
    return call.tagged(FlagOut.of(flag, state), version(flag, state))


def reaches_everywhere(call: Call) -> bool:
    """Whether a key may change what flags are: one of the first environment, production, or with the scope for it."""
    return DEFINE in call.key.scopes or environments(call.session)[0].id == call.env_id


def must_reach_everywhere(call: Call) -> None:
    """Raise NotAllowed, saying which key it takes, where a key may change states in its own environment alone."""
    if not reaches_everywhere(call):
        raise NotAllowed(REACH[0].upper() + REACH[1:])


def matched(call: Call, key: str, *, everywhere: bool = False) -> Flag:
    """Return the flag, no one else changing it now, if it is the version that the caller names (`If-Match`).

    `everywhere`: what follows changes it in all environments.
    """
    flag = service.get(call.session, key)
    ruleset.lock(call.session, None if everywhere else [call.env_id])
    call.session.refresh(flag)
    state = call.session.get_one(State, (call.env_id, flag.id), populate_existing=True)
    call.if_match(version(flag, state))
    return flag
