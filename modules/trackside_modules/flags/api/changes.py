"""Changing the state here in the words people use, and going back."""

from datetime import timedelta
from typing import Annotated, Any, Literal

from msgspec import Meta, field

from trackside.api import Call, Input, Page, Paged
from trackside.auth.audit import key_actor
from trackside.errors import Conflict, InputError
from trackside_client.flags.moments import parse_moment
from trackside_modules.flags import service, shape
from trackside_modules.flags.api import READ, WRITE, api
from trackside_modules.flags.api.flags import matched, must_reach_everywhere, shown, state_of
from trackside_modules.flags.api.shapes import CHANGE, FLAG, ChangeOut, FlagOut, Key, Line, Reason, StepIn
from trackside_modules.flags.queries import history
from trackside_modules.flags.service import edits


class Ramp(Input):
    """A rollout that grows by itself: `steps` as they are given, or `count` even ones up to `to`, the first now."""

    steps: list[StepIn] = field(default_factory=list)
    to: Annotated[int, Meta(ge=0, le=shape.WHOLE, description="Of 100,000, at the end")] = shape.WHOLE
    count: Annotated[int, Meta(ge=1, le=edits.MOST_STEPS)] = 1
    every: Annotated[int, Meta(ge=0, le=366 * 86400, description="Seconds between steps")] = 0
    rule: Annotated[str, Meta(max_length=200, description="Id of a rule; empty: everyone else")] = ""
    reason: Reason = ""


class Override(Input):
    """One user's or account's variant; null takes it back."""

    value: Annotated[str, Meta(min_length=1, max_length=1000, description="External id of the user or account")]
    variant: Line | None
    attribute: Literal["targetingKey", "account"] = "targetingKey"
    reason: Reason = ""


class Revert(Input):
    """Which version to go back to."""

    version: Annotated[int, Meta(ge=1, le=2**53)]
    of: Annotated[Literal["state", "flag"], Meta(description="Its state here, or the flag itself, everywhere")] = (
        "state"
    )
    reason: Reason = ""


@api.post("/flags/{key}:ramp", scope=WRITE, edits=True, errors=(Conflict,), example=FLAG)
def ramp_flag(call: Call, key: Key, body: Ramp) -> FlagOut:
    """Let the rollout grow by steps; users are only added, and each step is marked in the history."""
    flag, now = matched(call, key), call.runtime.clock.now()

    given = [(_moment(step), step.rollout) for step in body.steps]
    even = edits.even_ramp(body.to, body.count, timedelta(seconds=body.every), body.rule, now=now)
    edit = edits.ramp(given, body.rule, now=now) if given else even
    service.change(call.session, call.env_id, key, edit, who=key_actor(call.key), now=now, reason=body.reason)
    return shown(call, flag)


@api.put("/flags/{key}:override", scope=WRITE, edits=True, errors=(Conflict,), example=FLAG)
def override_flag(call: Call, key: Key, body: Override) -> FlagOut:
    """Give one user or account a variant here, whatever the rules say, or take that back."""
    flag, now = matched(call, key), call.runtime.clock.now()
    edit = edits.override(body.attribute, body.value, body.variant)
    service.change(call.session, call.env_id, key, edit, who=key_actor(call.key), now=now, reason=body.reason)
    return shown(call, flag)


@api.get("/flags/{key}:history", scope=READ, example=Page([CHANGE]))
def list_changes(call: Call, key: Key, query: Paged) -> Page[ChangeOut]:
    """List what was changed of a flag and of its state here, the newest first."""
    flag, after = service.get(call.session, key), call.after(query)
    before = int(after[0]) if after else None
    rows = history.changes(call.session, flag, [call.env_id], before=before, limit=query.limit + 1)
    return call.page(query, rows, ChangeOut.of_row, key=lambda row: [row.id])


@api.post("/flags/{key}:revert", scope=WRITE, edits=True, errors=(Conflict,), example=FLAG)
def revert_flag(call: Call, key: Key, body: Revert) -> FlagOut:
    """Make the state here, or the flag itself, what it was at a version; that is a new version."""
    here = body.of == "state"
    if not here:
        must_reach_everywhere(call)
    flag, now = matched(call, key, everywhere=not here), call.runtime.clock.now()
    env_id = call.env_id if here else None
    service.revert(call.session, env_id, key, body.version, who=key_actor(call.key), now=now, reason=body.reason)
    state_of(call, flag)
    return shown(call, flag)


def _moment(step: StepIn) -> Any:
    found = parse_moment(step.at)
    if found is None:
        raise InputError(f"steps: {step.at!r} is no time as in 2026-11-23T09:00:00Z.", {"steps": "no time"})
    return found
