"""What a limit is, how it is chosen, and which values make sense: pure, known to the lane, the pages and the API.

A policy is a name that a gateway asks about (`api-calls`). It has limits: one for everyone, for a plan, an account, a
user. The most specific one counts, alone.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trackside.errors import InputError

SCOPES = ("default", "plan", "account", "user")
"""For whom a limit is, the most specific last."""
SHARED = ("account", "user")
COUNTS = ("checks", "requests")
KINDS = ("window", "gcra")
LEVELS = (80, 90, 100)
"""Per cent of a limit that are announced."""

MOST = 10**12
LONGEST = 31 * 86400
FASTEST = 10_000
"""Units a second of GCRA: over it, rounding its interval to a microsecond would cost more than 1 %."""
LONGEST_BURST = 366 * 86400 * 10**6
"""Microseconds in which a full burst may come back: beyond it Redis' numbers would round."""
LIMITS_OF_ENVIRONMENT = 1000
_NAME = re.compile(r"[a-z0-9._-]{1,60}")
_GCRA_ANNOUNCED = 3600
_WINDOW_ANNOUNCED = 60
WEEKDAY = 4 * 86400
"""Seconds from the epoch, a Thursday, to its first Monday: with it, windows of a week begin on Mondays."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit as it is counted."""

    id: int
    env_id: int
    policy: str
    scope: str
    shared_by: str
    counts: str
    kind: str
    amount: int
    seconds: int
    burst: int = 0
    plan: str = ""
    account_id: int | None = None
    user_id: int | None = None

    @property
    def interval(self) -> int:
        """Microseconds after which GCRA gives one unit back, rounded up: never more than the rate."""
        return -(-self.seconds * 10**6 // self.amount)

    @property
    def capacity(self) -> int:
        """Units that may be used at once."""
        return self.burst if self.kind == "gcra" else self.amount

    @property
    def announced(self) -> int:
        """Seconds in which each level is announced once: the window, a minute at least; an hour for GCRA."""
        return _GCRA_ANNOUNCED if self.kind == "gcra" else max(self.seconds, _WINDOW_ANNOUNCED)

    def window_at(self, now: float, seconds: int = 0) -> int:
        """Return the start (seconds since 1970) of the window that `now` is in; windows are aligned to UTC."""
        seconds = seconds or self.seconds
        return int((now - WEEKDAY) // seconds * seconds + WEEKDAY)


@dataclass(frozen=True, slots=True)
class Who:
    """Whom an id stands for; `known` is false for one that Trackside has never seen."""

    user_id: int | None = None
    account_id: int | None = None
    plan: str = ""

    @property
    def known(self) -> bool:
        """Whether the id belongs to somebody."""
        return self.user_id is not None or self.account_id is not None


UNKNOWN = Who()


@dataclass(slots=True)
class Policy:
    """The limits of one name, by whom they are for."""

    default: Limit | None = None
    plans: dict[str, Limit] = field(default_factory=dict)
    accounts: dict[int, Limit] = field(default_factory=dict)
    users: dict[int, Limit] = field(default_factory=dict)

    def add(self, limit: Limit) -> None:
        """Take a limit in; of two for the same (one came by a merge) the first stays."""
        if limit.scope == "plan":
            self.plans.setdefault(limit.plan, limit)
        elif limit.scope == "account" and limit.account_id is not None:
            self.accounts.setdefault(limit.account_id, limit)
        elif limit.scope == "user" and limit.user_id is not None:
            self.users.setdefault(limit.user_id, limit)
        elif limit.scope == "default":
            self.default = self.default or limit

    def choose(self, who: Who) -> Limit | None:
        """Return the most specific limit for `who`, None where nothing limits them."""
        found = self.users.get(who.user_id) if who.user_id is not None else None
        if found is None and who.account_id is not None:
            found = self.accounts.get(who.account_id)
        if found is None and who.plan:
            found = self.plans.get(who.plan)
        return found or self.default


def member_of(limit: Limit, who: Who) -> str | None:
    """Return whose count a use is added to: `a7` or `u42`; None for somebody unknown."""
    together = who.user_id is None or (limit.shared_by == "account" and limit.scope != "user")
    if together and who.account_id is not None:
        return f"a{who.account_id}"
    return f"u{who.user_id}" if who.user_id is not None else None


def checked(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the numbers and choices of a limit as they are stored; raises InputError naming every wrong field."""
    problems: dict[str, str] = {}
    made = {name: values.get(name) for name in ("policy", "scope", "shared_by", "counts", "kind")}
    if not _NAME.fullmatch(str(made["policy"] or "")):
        problems["policy"] = "Use 1 to 60 of a to z, 0 to 9, dot, underscore and hyphen."
    for name, choices in (("scope", SCOPES), ("shared_by", SHARED), ("counts", COUNTS), ("kind", KINDS)):
        if made[name] not in choices:
            problems[name] = f"Choose one of {', '.join(choices)}."
    for name, most in (("amount", MOST), ("seconds", LONGEST)):
        made[name] = _whole(values.get(name), name, most, problems)
    made["burst"] = _whole(values.get("burst"), "burst", MOST, problems) if made["kind"] == "gcra" else 0
    if not problems:
        problems |= _misfits(made)
    if problems:
        raise InputError("; ".join(f"{name}: {what}" for name, what in problems.items()), problems)
    return made


def _whole(value: Any, name: str, most: int, problems: dict[str, str]) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most:
        return value
    problems[name] = f"Use a whole number from 1 to {most:,}."
    return 0


def _misfits(made: Mapping[str, Any]) -> dict[str, str]:
    """Return what is wrong with values that are right each by itself."""
    if made["counts"] == "requests":
        if made["kind"] != "window":
            return {"kind": "Counted requests are compared with windows only."}
        if made["seconds"] % 60:
            return {"seconds": "Requests are counted by the minute: use whole minutes."}
    if made["kind"] != "gcra":
        return {}
    if made["amount"] > FASTEST * made["seconds"]:
        return {"amount": f"A steady rate is at most {FASTEST:,} a second: use a fixed window."}
    interval = -(-made["seconds"] * 10**6 // made["amount"])
    if made["burst"] * interval > LONGEST_BURST:
        return {"burst": "A full burst would take more than a year to come back: use a smaller one."}
    return {}


_UNITS = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


def span_words(seconds: int) -> str:
    """Return a length of time as one says it after `per`: `hour`, `15 minutes`."""
    size, unit = next(each for each in _UNITS if seconds % each[0] == 0)
    count = seconds // size
    if (count, unit) == (7, "day"):
        return "week"
    return unit if count == 1 else f"{count:,} {unit}s"


def limit_words(limit: Any) -> str:
    """Return what a limit allows: `1,000 per hour`, `10 per second, 50 at once`."""
    words = f"{limit.amount:,} per {span_words(limit.seconds)}"
    return f"{words}, {limit.burst:,} at once" if limit.kind == "gcra" else words
