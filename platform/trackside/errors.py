"""Everything that can go wrong and is our business to say.

    TracksideError                 500, the root; never shown raw
      SettingsError                wrong settings: every wrong value named at once; exit code 2
      StartError                   a process cannot start; one line that says what to do; exit code 1
      InputError              422  what was sent is understood, and wrong; fields say where
        BadRequest            400  what was sent cannot be read at all
      NotAuthenticated        401
      NotAllowed              403
      NotFound                404
      Conflict                409
        StaleVersion          412  edited by someone else meanwhile
      TooLarge                413
      TooMany                 429  with retry_after
      Unavailable             503  with retry_after; trying again later may work

A message is written for the person who reads it: what happened, why, and what to do.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar


class TracksideError(Exception):
    """The root: `message` is for people, `code` for programs, `status` for HTTP.

    `permanent` tells a caller whether sending the same again can ever work.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Something went wrong on our side"
    permanent: ClassVar[bool] = True

    def __init__(self, message: str = "") -> None:
        super().__init__(message or self.title)
        self.message = message or self.title


def cause_of(error: BaseException) -> str:
    """Return the first line of what a driver said, for people: SQLAlchemy wraps it in the statement and more."""
    lines = str(getattr(error, "orig", None) or error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


class SettingsError(TracksideError):
    """Settings are wrong; `problems` has one sentence for each wrong value."""

    code = "settings"
    title = "Some settings are wrong"

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class StartError(TracksideError):
    """A process cannot start; the message is one line that says what to do."""

    code = "start"
    title = "Trackside cannot start"


class InputError(TracksideError):
    """Well-formed input that breaks a rule; `fields` maps a field's path to what is wrong with it."""

    status = 422
    code = "invalid"
    title = "Some of this is not valid"

    def __init__(self, message: str = "", fields: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.fields = dict(fields or {})


class BadRequest(InputError):
    """Input that cannot be read at all."""

    status = 400
    code = "unreadable"
    title = "This request could not be read"


class NotAuthenticated(TracksideError):
    """Nobody is signed in, or the key is missing, wrong, expired or revoked."""

    status = 401
    code = "not-authenticated"
    title = "Sign in or send a valid API key"


class NotAllowed(TracksideError):
    """Known, but without the permission, scope or kind of key it takes."""

    status = 403
    code = "not-allowed"
    title = "You may not do this"


class NotFound(TracksideError):
    """Not there, or in an environment the asker cannot see: the two look the same."""

    status = 404
    code = "not-found"
    title = "There is nothing here"


class Conflict(TracksideError):
    """The change collides with what is there."""

    status = 409
    code = "conflict"
    title = "This collides with what is already there"


class StaleVersion(Conflict):
    """Edited by someone else since it was read."""

    status = 412
    code = "stale"
    title = "Someone changed this meanwhile: load it again and repeat your change"


class TooLarge(TracksideError):
    """More bytes than the route takes, before or after decompression."""

    status = 413
    code = "too-large"
    title = "This is larger than what is taken here"


class TooMany(TracksideError):
    """Too many requests; `retry_after` is in seconds."""

    status = 429
    code = "too-many"
    title = "Too many requests: wait a moment and try again"
    permanent = False

    def __init__(self, message: str = "", retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unavailable(TracksideError):
    """Something we need is away; `retry_after` is in seconds."""

    status = 503
    code = "unavailable"
    title = "Trackside cannot do this at the moment: try again shortly"
    permanent = False

    def __init__(self, message: str = "", retry_after: int = 2) -> None:
        super().__init__(message)
        self.retry_after = retry_after
