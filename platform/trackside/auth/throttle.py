"""Guessing made slow: each failed sign-in makes the next wait longer, by account and by address.

The count is taken before the password is looked at, in a transaction of its own, so that a thousand guesses sent at
once are a thousand counts. It lives in PostgreSQL and so holds for every process, with or without Redis. Accounts that
do not exist are counted like those that do.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, text
from sqlalchemy.orm import Session

from trackside.auth.models import SignInThrottle
from trackside.errors import TooMany

FORGET_AFTER = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Rule:
    """`free` tries without a wait, then one second, doubled each time, up to `longest` seconds."""

    free: int
    longest: int


ACCOUNT = Rule(free=5, longest=300)
ADDRESS = Rule(free=30, longest=300)

# The row is taken only when its wait is over; nothing returned means: wait.
_TAKE = text("""
    insert into sign_in_throttle as t (key, failures, last_at) values (:key, 1, :now)
    on conflict (key) do update
        set failures = case when t.last_at < :forgotten then 1 else t.failures + 1 end, last_at = :now
        where t.last_at < :forgotten or t.failures < :free
           or t.last_at + make_interval(secs => least(:longest, power(2, least(t.failures - :free, 20)))) <= :now
    returning failures
""")
_WAIT = text("""
    select ceil(extract(epoch from last_at - :now) + least(:longest, power(2, least(failures - :free, 20))))
    from sign_in_throttle where key = :key
""")


def admit(session: Session, email: str, address: str, now: datetime) -> None:
    """Count a try at signing in; raises TooMany, with the seconds to wait, where it comes too soon."""
    for key, rule in ((_key("address", address), ADDRESS), (_account(email), ACCOUNT)):
        values = {"key": key, "now": now, "free": rule.free, "longest": rule.longest}
        if session.execute(_TAKE, values | {"forgotten": now - FORGET_AFTER}).first() is None:
            wait = max(1, int(session.scalar(_WAIT, values) or 1))
            raise TooMany(f"Too many tries to sign in. Wait {wait} s, then try again.", retry_after=wait)


def forgive(session: Session, email: str, address: str) -> None:
    """Forget the account's failures, and take back the address's last: it was no failure."""
    session.execute(delete(SignInThrottle).where(SignInThrottle.key == _account(email)))
    session.execute(
        text("update sign_in_throttle set failures = greatest(0, failures - 1) where key = :key"),
        {"key": _key("address", address)},
    )


def sweep(session: Session, now: datetime) -> None:
    """Remove counts that are forgotten anyway."""
    session.execute(delete(SignInThrottle).where(SignInThrottle.last_at < now - FORGET_AFTER))


def _account(email: str) -> str:
    return _key("account", email.strip().casefold())


def _key(kind: str, value: str) -> str:
    return f"{kind}:{hashlib.sha256(value.encode('utf-8', 'surrogatepass')).hexdigest()}"
