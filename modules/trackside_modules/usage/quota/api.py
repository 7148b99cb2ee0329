"""Rate limits in the management API."""

from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from trackside.api import Api, Call, Id, Input, Page, Paged
from trackside.auth.audit import key_actor
from trackside.errors import Conflict
from trackside_modules.usage.models.quota import UsageQuota
from trackside_modules.usage.quota import queries, service
from trackside_modules.usage.quota.queries import CrossingRow, Row
from trackside_modules.usage.quota.rules import LEVELS

api = Api("limits", title="Rate limits")
READ, WRITE = "limits:read", "limits:write"

Choice = Annotated[str, Meta(max_length=20)]
Amount = Annotated[int, Meta(description="Units that may be used in a window, or that come back in a period of GCRA")]
Seconds = Annotated[int, Meta(description="Length of the window, or period of GCRA, in seconds; at most 31 days")]
Burst = Annotated[int, Meta(description="GCRA: units that may be used at once; windows have none")]
Scope = Annotated[Choice, Meta(description="For whom: `default`, `plan`, `account` or `user`; the later wins")]
Shared = Annotated[Choice, Meta(description="`account`: its users share one count; `user`: each has their own")]
Counts = Annotated[Choice, Meta(description="`checks`: uses that were asked for; `requests`: what usage counted")]
KindOf = Annotated[Choice, Meta(description="`window`: fixed windows, aligned to UTC; `gcra`: a steady rate")]
PolicyName = Annotated[str, Meta(max_length=200, description="Of a to z, 0 to 9, dot, underscore and hyphen")]


class LimitOut(msgspec.Struct):
    """What a policy allows to somebody."""

    id: int
    policy: str
    scope: str
    plan: str
    account: str | None
    """The account's external id."""
    user: str | None
    """The user's external id."""
    shared_by: str
    counts: str
    kind: str
    amount: int
    seconds: int
    burst: int
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, row: Row) -> "LimitOut":
        """Return `row` as the API shows it."""
        own = {name: getattr(row.quota, name) for name in cls.__struct_fields__ if name not in ("account", "user")}
        account = row.account.external_id if row.account else None
        return cls(account=account, user=row.user.external_id if row.user else None, **own)


class LimitQuery(Paged):
    """Which limits."""

    policy: Annotated[str, Meta(max_length=200, description="Only those of this policy")] = ""


class LimitNew(Input):
    """A limit to make."""

    policy: PolicyName
    amount: Amount
    seconds: Seconds
    scope: Scope = "default"
    plan: Annotated[str, Meta(max_length=200)] = ""
    account: Annotated[str, Meta(max_length=200, description="External id, for the scope `account`")] = ""
    user: Annotated[str, Meta(max_length=200, description="External id, for the scope `user`")] = ""
    shared_by: Shared = "account"
    counts: Counts = "checks"
    kind: KindOf = "window"
    burst: Burst = 0


class LimitEdit(Input):
    """What changes; fields that are not sent stay as they are."""

    amount: Amount | UnsetType = UNSET
    seconds: Seconds | UnsetType = UNSET
    shared_by: Shared | UnsetType = UNSET
    counts: Counts | UnsetType = UNSET
    kind: KindOf | UnsetType = UNSET
    burst: Burst | UnsetType = UNSET


class CrossingOut(msgspec.Struct):
    """That a count reached 80, 90 or 100 % of its limit."""

    id: int
    at: datetime
    policy: str
    limit_id: int
    level: int
    used: int
    limit: int
    window_start: datetime
    account: str | None
    """External id of the account whose count it is; null for a user's, and for ids that nobody has."""
    user: str | None

    @classmethod
    def of(cls, row: CrossingRow) -> "CrossingOut":
        """Return `row` as the API shows it."""
        it, name = row.crossing, row.whose.external_id if row.whose else None
        return cls(
            id=it.id,
            at=it.at,
            policy=it.policy,
            limit_id=it.quota_id,
            level=it.level,
            used=it.used,
            limit=it.amount,
            window_start=it.window_start,
            account=name if it.account_id is not None else None,
            user=name if it.user_id is not None else None,
        )


class CrossingQuery(Paged):
    """Which crossings."""

    policy: Annotated[str, Meta(max_length=200, description="Only those of this policy")] = ""
    level: Annotated[int, Meta(ge=0, le=100, description=f"One of {', '.join(map(str, LEVELS))}; 0: all")] = 0


_AT = datetime(2026, 11, 22, 14, 3, tzinfo=UTC)
_LIMIT = LimitOut(
    3, "api-calls", "plan", "business", None, None, "account", "checks", "window", 10_000, 3600, 0, _AT, _AT
)
_CROSSING = CrossingOut(9, _AT, "api-calls", 3, 90, 9000, 10_000, _AT.replace(minute=0), "acme", None)


@api.get("/rate-limits", scope=READ, example=Page([_LIMIT]))
def list_limits(call: Call, query: LimitQuery) -> Page[LimitOut]:
    """List rate limits by policy."""
    rows = queries.listed(
        call.session, call.env_id, policy=query.policy, after=call.after(query), limit=query.limit + 1
    )
    return call.page(query, rows, LimitOut.of, key=lambda row: [row.quota.policy, row.quota.id])


@api.post("/rate-limits", scope=WRITE, status=201, errors=(Conflict,), example=_LIMIT)
def create_limit(call: Call, body: LimitNew) -> LimitOut:
    """Make a rate limit; it is in force everywhere within a second or two."""
    values, now = msgspec.structs.asdict(body), call.runtime.clock.now()
    row = service.create(call.session, key_actor(call.key), call.env_id, values, now=now)
    return _shown(call, row)


@api.get("/rate-limits/crossings", scope=READ, example=Page([_CROSSING]))
def list_crossings(call: Call, query: CrossingQuery) -> Page[CrossingOut]:
    """List who reached 80, 90 or 100 % of a limit in the last 30 days, the newest first."""
    after = call.after(query)
    rows = queries.crossings(
        call.session,
        call.env_id,
        level=query.level,
        policy=query.policy,
        after=(datetime.fromisoformat(str(after[0])), int(after[1])) if after else None,
        limit=query.limit + 1,
    )
    return call.page(query, rows, CrossingOut.of, key=lambda row: [row.crossing.at.isoformat(), row.crossing.id])


@api.get("/rate-limits/{limit_id}", scope=READ, example=_LIMIT)
def get_limit(call: Call, limit_id: Id) -> LimitOut:
    """Get a rate limit."""
    return _shown(call, service.get(call.session, call.env_id, limit_id))


@api.patch("/rate-limits/{limit_id}", scope=WRITE, edits=True, example=_LIMIT)
def edit_limit(call: Call, limit_id: Id, body: LimitEdit) -> LimitOut:
    """Change a rate limit; what was used stays used, unless the kind or the seconds change."""
    row = _matched(call, limit_id)
    values: dict[str, Any] = {n: v for n, v in msgspec.structs.asdict(body).items() if v is not UNSET}
    service.edit(call.session, row, key_actor(call.key), values, now=call.runtime.clock.now())
    return _shown(call, row)


@api.delete("/rate-limits/{limit_id}", scope=WRITE, edits=True)
def delete_limit(call: Call, limit_id: Id) -> None:
    """Delete a rate limit; who it was for falls under the next, less specific one."""
    service.delete(call.session, _matched(call, limit_id), key_actor(call.key), now=call.runtime.clock.now())


def _matched(call: Call, limit_id: int) -> UsageQuota:
    """Return the limit, locked, if it is the version that the caller names (`If-Match`)."""
    row = service.get(call.session, call.env_id, limit_id, lock=True)
    call.if_match(row.version)
    return row


def _shown(call: Call, row: UsageQuota) -> LimitOut:
    return call.tagged(LimitOut.of(queries.row(call.session, row)), row.version)
