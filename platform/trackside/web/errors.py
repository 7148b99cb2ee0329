"""Errors as people and programs read them: a page, or RFC 9457 problem+json; never a stack trace."""

import structlog
from flask import Flask, Response, make_response, render_template, request
from flask_wtf.csrf import CSRFError
from psycopg.errors import DeadlockDetected, DiskFull, QueryCanceled, ReadOnlySqlTransaction, UniqueViolation
from sqlalchemy.exc import DataError, IntegrityError, OperationalError, PendingRollbackError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException

from trackside.db import db
from trackside.errors import BadRequest, Conflict, InputError, TracksideError, Unavailable
from trackside.problem import CONTENT_TYPE, problem_body

log = structlog.get_logger(__name__)
HOOKS = "/hooks/"
"""Where other programs post what they sign."""
MACHINE_PATHS = ("/api/", "/v1/", "/ofrep/", HOOKS)


class _Http(TracksideError):
    """An error of Werkzeug's (404, 405 ...) in our form."""

    def __init__(self, error: HTTPException) -> None:
        super().__init__(_WORDS.get(error.code or 500, error.description or error.name))
        self.status = error.code or 500  # type: ignore[misc]
        self.code = error.name.lower().replace(" ", "-")  # type: ignore[misc]
        self.title = error.name  # type: ignore[misc]
        self.allow = ", ".join(sorted(getattr(error, "valid_methods", None) or ()))


_WORDS = {
    404: "There is nothing at this address. It may have moved, or the link is incomplete.",
    405: "This address does not take that method.",
    413: "This is larger than what is taken here.",
    415: "This content type is not taken here.",
}


def as_trackside(error: Exception) -> TracksideError:  # noqa: PLR0911 - one for each kind
    """Return `error` as one of ours; what is unknown becomes the plain root error, status 500."""
    if isinstance(error, TracksideError):
        return error
    if isinstance(error, CSRFError):
        return BadRequest("This form has expired: load the page again and repeat.")
    if isinstance(error, HTTPException):
        return _Http(error)
    if isinstance(error, DataError):
        return InputError("A value here is out of range or holds characters that cannot be stored.")
    if isinstance(error, (OperationalError, PoolTimeout)) or _is_cut(error):
        return _database_error(error)
    if isinstance(error, IntegrityError) and isinstance(error.orig, UniqueViolation):
        return Conflict("Somebody else saved the same at this moment: look at what is there, then try again.")
    return TracksideError()


def _is_cut(error: Exception) -> bool:
    """Whether the connection broke inside a savepoint: leaving that says so only by this error's number."""
    return isinstance(error, PendingRollbackError) and error.code == "8s2b"


def _database_error(error: Exception) -> TracksideError:
    cause = getattr(error, "orig", None)
    if isinstance(cause, QueryCanceled):
        return Unavailable("The database took too long to answer this: narrow the range or try again.")
    if isinstance(cause, DeadlockDetected):
        return Unavailable("Two changes waited for each other, and this one gave way: try again.")
    if isinstance(cause, (DiskFull, ReadOnlySqlTransaction)):
        return Unavailable("The database cannot write at the moment (disk full or read-only).", retry_after=30)
    return Unavailable("The database is not reachable at the moment. Nothing was changed; try again shortly.")


def wants_problem() -> bool:
    """Whether this request is a program's: it gets problem+json."""
    return request.path.startswith(MACHINE_PATHS)


def install(app: Flask) -> None:
    """Answer every error of `app` in the asker's form."""

    @app.errorhandler(Exception)
    def answer(error: Exception) -> Response:
        if isinstance(error, HTTPException) and error.code and error.code < 400:
            return error.get_response()  # type: ignore[return-value]
        ours = as_trackside(error)
        if ours.status >= 500:
            log.error("request.failed", status=ours.status, exc_info=error)
        _forget_failed_transaction()
        return _render(ours)


def _forget_failed_transaction() -> None:
    """Roll back, so that the error's page can still ask who is signed in and what waits for action."""
    try:
        db.session.rollback()
    except SQLAlchemyError:
        log.warning("request.rollback_failed")


def _render(error: TracksideError) -> Response:
    if wants_problem():
        response = make_response(problem_body(error), error.status)
        response.content_type = CONTENT_TYPE
    else:
        response = make_response(render_template("error.html", error=error), error.status)
    retry_after = getattr(error, "retry_after", None)
    if retry_after is not None:
        response.headers["Retry-After"] = str(retry_after)
    if allow := getattr(error, "allow", ""):
        response.headers["Allow"] = allow
    return response
