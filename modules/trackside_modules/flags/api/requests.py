"""Change requests: proposed by a key, decided by members, also by keys that they made for it."""

from typing import Annotated, Any

from msgspec import Meta

from trackside.api import Call, Id, Input, Page, Paged
from trackside.auth.audit import key_actor
from trackside.errors import Conflict
from trackside_modules.flags.api import APPROVE, READ, WRITE, api
from trackside_modules.flags.api.flags import matched
from trackside_modules.flags.api.shapes import REQUEST, Key, RequestOut, StateIn
from trackside_modules.flags.models import Flag, Request
from trackside_modules.flags.queries import requests as queries
from trackside_modules.flags.service import requests
from trackside_modules.flags.service.deciding import decider


class RequestQuery(Paged):
    """Which change requests."""

    status: Annotated[str, Meta(max_length=20, description="open, approved, refused, withdrawn, applied, stale")] = ""


class Approval(Input):
    """What the second member says, if anything."""

    note: Annotated[str, Meta(max_length=1000)] = ""


class Refusal(Input):
    """Why not: who proposed it will want to know."""

    note: Annotated[str, Meta(min_length=1, max_length=1000)]


class Proposal(Input):
    """A change of a flag's state here, for a second member to approve."""

    state: StateIn
    reason: Annotated[str, Meta(min_length=1, max_length=1000)]


@api.get("/flag-requests", scope=READ, example=Page([REQUEST]))
def list_requests(call: Call, query: RequestQuery) -> Page[RequestOut]:
    """List change requests of this environment, the newest first."""
    after, status = call.after(query), [query.status] if query.status else []
    before = int(after[0]) if after else None
    rows = queries.listed(call.session, [call.env_id], status=status, before=before, limit=query.limit + 1)
    return call.page(
        query, rows, lambda row: RequestOut.of(row.request, row.flag.key), key=lambda row: [row.request.id]
    )


@api.post("/flags/{key}:propose", scope=WRITE, status=201, edits=True, errors=(Conflict,), example=REQUEST)
def propose_change(call: Call, key: Key, body: Proposal) -> RequestOut:
    """Propose a change of a flag's state here; a member approves it, and then it can be applied."""
    matched(call, key)
    how = {"who": key_actor(call.key), "now": call.runtime.clock.now(), "reason": body.reason}
    return _shown(call, requests.propose(call.session, call.env_id, key, body.state.parts(), **how))  # type: ignore[arg-type]


@api.get("/flag-requests/{request_id}", scope=READ, example=REQUEST)
def get_request(call: Call, request_id: Id) -> RequestOut:
    """Get a change request."""
    return _shown(call, requests.get(call.session, call.env_id, request_id))


@api.post(
    "/flag-requests/{request_id}:approve", scope=APPROVE, edits=True, errors=(Conflict,), example=REQUEST, sends={}
)
def approve_request(call: Call, request_id: Id, body: Approval) -> RequestOut:
    """Agree to a change, for the member who made this key; never to one of theirs, whichever key proposed it."""
    return _shown(call, requests.approve(call.session, request_id, note=body.note, **_deciding(call, request_id)))


@api.post(
    "/flag-requests/{request_id}:refuse",
    scope=APPROVE,
    edits=True,
    errors=(Conflict,),
    example=REQUEST,
    sends={"note": "Not before the price list is out"},
)
def refuse_request(call: Call, request_id: Id, body: Refusal) -> RequestOut:
    """Turn a change down, with the reason, for the member who made this key."""
    return _shown(call, requests.refuse(call.session, request_id, note=body.note, **_deciding(call, request_id)))


@api.post("/flag-requests/{request_id}:apply", scope=WRITE, edits=True, errors=(Conflict,), example=REQUEST)
def apply_request(call: Call, request_id: Id) -> RequestOut:
    """Make the change that was approved; 412 where the flag has changed since."""
    requests.get(call.session, call.env_id, request_id)
    now = call.runtime.clock.now()
    return _shown(call, requests.apply(call.session, request_id, who=key_actor(call.key), now=now))


@api.post("/flag-requests/{request_id}:withdraw", scope=WRITE, edits=True, errors=(Conflict,), example=REQUEST)
def withdraw_request(call: Call, request_id: Id) -> RequestOut:
    """Take back a change request that this key has made."""
    requests.get(call.session, call.env_id, request_id)
    now = call.runtime.clock.now()
    return _shown(call, requests.withdraw(call.session, request_id, who=key_actor(call.key), now=now))


def _deciding(call: Call, request_id: int) -> dict[str, Any]:
    """Return who decides, and when; raises as `decider` does, NotFound for a request of another environment."""
    requests.get(call.session, call.env_id, request_id)
    who = decider(call.session, call.runtime.registry, key_actor(call.key))
    return {"who": who, "now": call.runtime.clock.now()}


def _shown(call: Call, row: Request) -> RequestOut:
    made = RequestOut.of(row, call.session.get_one(Flag, row.flag_id).key)
    return call.tagged(made, f"{row.id} {row.status}")
