"""Passwords: argon2id, a few at a time, and as slow for a stranger as for a member."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import BoundedSemaphore

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from trackside.errors import InputError, Unavailable

SHORTEST = 12
LONGEST = 256
AT_ONCE = 4
PATIENCE = 10.0
"""Seconds that one waits for a place before being asked to come back."""

# OWASP's floor: 19 MiB and two passes. Four at once are 76 MiB and leave threads for everybody else.
_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
_places = BoundedSemaphore(AT_ONCE)


def hash_password(password: str) -> str:
    """Return the argon2id hash of `password`."""
    with _place():
        return _hasher.hash(password)


def password_matches(stored: str | None, password: str) -> bool:
    """Whether `password` is the one of `stored`; takes the same time when there is nothing stored."""
    with _place():
        try:
            _hasher.verify(stored or _nobodys(), password)
        except (VerificationError, InvalidHashError):
            return False
    return stored is not None


def needs_rehash(stored: str) -> bool:
    """Whether `stored` was made with older costs than today's."""
    return _hasher.check_needs_rehash(stored)


def check_password(password: str, *known: str) -> None:
    """Raise InputError unless `password` is fit: long enough, and not one of the `known` words about its owner."""
    plain = password.casefold()
    if len(password) < SHORTEST:
        problem = f"Use {SHORTEST} characters or more; a few random words are easy to remember."
    elif len(password) > LONGEST:
        problem = f"Use {LONGEST} characters or fewer."
    elif len(set(plain)) < 5 or any(plain == (word * LONGEST)[: len(plain)] for word in (*_COMMON, *_words(known))):
        problem = "This is easy to guess: use a few random words."
    else:
        return
    raise InputError(problem, {"password": problem})


_COMMON = ("password", "passwort", "trackside", "qwerty", "qwertyuiop", "letmein", "welcome", "admin", "1234567890")


def _words(known: tuple[str, ...]) -> list[str]:
    return [part.casefold() for each in known for part in (each, each.partition("@")[0]) if part]


@cache
def _nobodys() -> str:
    return _hasher.hash("nobody has this password")


@contextmanager
def _place() -> Iterator[None]:
    if not _places.acquire(timeout=PATIENCE):
        raise Unavailable("Many people are signing in at this moment: try again shortly.", retry_after=5)
    try:
        yield
    finally:
        _places.release()
