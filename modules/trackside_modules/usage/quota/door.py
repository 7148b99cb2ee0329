"""`POST /v1/quota/check` in the lane: read, choose the limit, count in Redis, answer.

No SQL: limits and callers come from the book. Redis away, slow, or never reached: what the setting
`TRACKSIDE_QUOTA_FAIL_OPEN` says, told in the body (`degraded`) and in a header.
"""

import hashlib
from collections.abc import Callable
from typing import Annotated

import msgspec
import structlog
from msgspec import Meta
from redis import RedisError

from trackside.api import Input
from trackside.api.reading import read_json
from trackside.customers.identity import refusal
from trackside.errors import InputError, NotFound, Unavailable
from trackside.lane import LaneRequest, LaneResponse
from trackside.metrics import Gauge
from trackside.redis import connect
from trackside.runtime import Runtime
from trackside_modules.usage.ingest.lane import UnsupportedType
from trackside_modules.usage.quota import answers
from trackside_modules.usage.quota.answers import Answer
from trackside_modules.usage.quota.book import Book, Kind
from trackside_modules.usage.quota.breaker import Breaker
from trackside_modules.usage.quota.counters import Counters
from trackside_modules.usage.quota.crossings import Teller
from trackside_modules.usage.quota.rules import MOST, Limit, Who, member_of

log = structlog.get_logger(__name__)
BODY_LIMIT = 16 << 10
_Id = Annotated[str, Meta(max_length=1000)]


class Check(Input):
    """What is asked: whether this user, or this account, may use `cost` units of what `policy` limits."""

    policy: Annotated[str, Meta(max_length=200)]
    user: _Id | None = None
    account: _Id | None = None
    cost: Annotated[int, Meta(ge=0, le=MOST)] = 1


class UnknownPolicy(NotFound):
    """No limit of this environment has the name."""

    code = "unknown-policy"
    title = "There is no such policy"


class Checker:
    """Answers checks, for one process."""

    def __init__(self, runtime: Runtime, counters: Counters | None = None) -> None:
        settings = runtime.settings
        client = connect(settings.redis_live_url, timeout=settings.quota_timeout_ms / 1000)
        self._counters = counters or Counters(client)
        self._fail_open = settings.quota_fail_open
        self._salt = settings.secret_key.encode()[:64]
        self._breaker = Breaker(runtime.clock.monotonic)
        self.book = Book(runtime)
        self._teller = Teller(runtime)
        self.book.chores.append(self._teller.tell_soon)
        self.degraded = 0
        """Answers given without a count, since this process began."""

    def answer(self, env_id: int, asked: Check) -> Answer:
        """Return what came of the check.

        Raises InputError for a wrong id or cost, UnknownPolicy for a name without limits.
        """
        kind, external_id = _subject(asked)
        try:
            policy = self.book.policy(env_id, asked.policy)
        except Unavailable:
            return self._uncounted(asked.policy, None, "database")
        if policy is None:
            raise UnknownPolicy(f"No rate limit is called {asked.policy[:60]!r}: make it under Usage, Rate limits.")
        who = self.book.who(kind, external_id)
        limit = policy.choose(who)
        if limit is None:
            return answers.unlimited(asked.policy)
        _check(limit, asked.cost)
        return self._count(limit, who, f"x{self._hash(kind, external_id)}", asked.cost)

    def _count(self, limit: Limit, who: Who, alias: str, cost: int) -> Answer:
        if not self._breaker.closed():
            return self._uncounted(limit.policy, limit, "redis")
        member = member_of(limit, who)
        try:
            found = self._counters.take(
                limit, member or alias, cost, alias=alias if member else "", stranger=member is None
            )
        except (RedisError, OSError) as error:
            self._breaker.failed()
            log.warning("usage.quota_uncounted", error=type(error).__name__)
            return self._uncounted(limit.policy, limit, "redis")
        self._breaker.worked()
        if found.told:
            self._teller.hear(limit.env_id)
            self.book.wake()
        if found.full:
            return self._uncounted(limit.policy, limit, "full", allowed=True)
        return answers.counted(limit, found)

    def _uncounted(self, policy: str, limit: Limit | None, why: str, *, allowed: bool | None = None) -> Answer:
        self.degraded += 1
        return answers.uncounted(policy, limit, why, allowed=self._fail_open if allowed is None else allowed)

    def _hash(self, kind: str, external_id: str) -> str:
        """Return what stands for an id that nobody has: Redis holds no names, and nobody can try them out."""
        return hashlib.blake2b(f"{kind}:{external_id}".encode(), digest_size=10, key=self._salt).hexdigest()


def build(runtime: Runtime) -> Checker:
    """Return the checker of this process, made when first asked for."""
    found = runtime.ports.get(Checker)
    if found is None:
        found = made = Checker(runtime)
        runtime.ports.provide(Checker, lambda: made)
    return found


def gauges(runtime: Runtime) -> list[Gauge]:
    """Return how many checks this process answered without a count; nothing where it answers none."""
    found = runtime.ports.get(Checker)
    if found is None:
        return []
    return [
        Gauge("usage_quota_uncounted", "Rate limit checks answered without a count since the start", found.degraded)
    ]


def check(runtime: Runtime) -> Callable[[LaneRequest], LaneResponse]:
    """Return the handler of `POST /v1/quota/check` of this process."""
    checker = build(runtime)

    def handle(request: LaneRequest) -> LaneResponse:
        key = request.key
        assert key is not None
        if str(request.environ.get("CONTENT_TYPE", "")).partition(";")[0].strip().lower() != "application/json":
            raise UnsupportedType("Send the body as application/json.")
        asked = read_json(request.body(BODY_LIMIT), Check)
        assert isinstance(asked, Check)
        found = checker.answer(key.env_id, asked)
        return LaneResponse("200 OK", msgspec.json.encode(found), answers.headers(found))

    return handle


def _subject(asked: Check) -> tuple[Kind, str]:
    """Return the kind and id asked about; raises InputError unless exactly one is there, and could be one."""
    if (asked.user is None) == (asked.account is None):
        what = "Send either user or account, as your API knows them."
        raise InputError(what, {"user": what, "account": what})
    kind: Kind = "user" if asked.user is not None else "account"
    external_id = asked.user if asked.user is not None else asked.account
    problem = refusal(external_id or "")
    if problem:
        raise InputError(f"{kind}: {problem}.", {kind: problem})
    return kind, str(external_id).strip()


def _check(limit: Limit, cost: int) -> None:
    if limit.counts == "requests":
        what = "This limit is compared with the requests that usage counts; ask about one that counts checks."
        raise InputError(f"policy: {what}", {"policy": what})
    if cost > limit.capacity:
        what = f"This is more than {limit.capacity:,}, all that may ever be used at once: it could never be granted."
        raise InputError(f"cost: {what}", {"cost": what})
