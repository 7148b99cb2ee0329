"""Flask behind the lane: its share of the threads, and bodies that are received before a page's place is taken."""

import io
from collections.abc import Callable, Iterable, Mapping
from threading import Semaphore
from types import MappingProxyType
from typing import Any

from flask import Flask
from flask.sessions import SecureCookieSessionInterface
from itsdangerous import BadData
from werkzeug.http import parse_cookie
from werkzeug.wsgi import ClosingIterator

from trackside.app import MANAGEMENT_LIMIT
from trackside.body import read_body, receive_on_disk
from trackside.customers.sheets import MAX_BYTES
from trackside.errors import TooLarge, TracksideError, Unavailable
from trackside.lane import LaneRequest, complete, problem, status_line
from trackside.places import Places
from trackside.runtime import Runtime
from trackside.web.errors import HOOKS, MACHINE_PATHS

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Wsgi = Callable[[Environ, StartResponse], Iterable[bytes]]
FILES = ("/static/", "/-/assets/")
UPLOAD_LIMIT = MAX_BYTES + (1 << 16)
"""Bytes of a page's body that are read for it; a longer one is refused unread."""
HOOK_LIMIT = 25 << 20
"""Bytes of what is posted to `/hooks/`: a mail with its files."""
MOST_ON_DISK = 2
"""Large files that are received at once."""


class Pages:
    """Flask behind the lane: within its share of the threads, and chunked bodies counted."""

    def __init__(
        self,
        app: Wsgi,
        places: Places,
        uploads: Mapping[str, int] = MappingProxyType({}),
        is_member: Callable[[Environ], bool] = lambda _: False,
    ) -> None:
        """Take large files at the paths of `uploads` of whom `is_member` knows by the signature of their cookie."""
        self._app = app
        self._places = places
        self._uploads = uploads
        self._is_member = is_member
        self._on_disk = Semaphore(MOST_ON_DISK)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request, or 503 when every place stays taken."""
        if environ["PATH_INFO"].startswith(FILES):
            # a page asks for a dozen files at once; each is read in no time, and a page without its style is no page
            return self._app(environ, start_response)
        try:
            if environ.get("CONTENT_LENGTH", "0") != "0" or "HTTP_TRANSFER_ENCODING" in environ:
                with self._places.receiving():
                    self._take_body(environ)
            self._places.take("pages")
        except TracksideError as error:
            return _refused(error, environ, start_response)
        try:
            return ClosingIterator(self._app(environ, start_response), [self._free])
        except BaseException:
            self._free()
            raise

    def _take_body(self, environ: Environ) -> None:
        """Read the body; a member's large file to the disk, few at a time: who is nobody need not fill it first."""
        if environ["PATH_INFO"] not in self._uploads or not self._is_member(environ):
            _receive(environ, None)
        elif not self._on_disk.acquire(blocking=False):
            raise Unavailable("Other files are being uploaded: try again in a minute.", 60)
        else:
            try:
                _receive(environ, self._uploads[environ["PATH_INFO"]])
            finally:
                self._on_disk.release()

    def _free(self) -> None:
        self._places.free("pages")


def _receive(environ: Environ, on_disk: int | None) -> None:
    """Read the body before a page's place is taken, so that slow senders keep nobody else from a page.

    A chunked one is counted too: Werkzeug silently cuts it at MAX_CONTENT_LENGTH and goes on with the rest. `on_disk`:
    the most bytes of one that is a large file.
    """
    chunked = not environ.get("CONTENT_LENGTH")
    most = on_disk or (HOOK_LIMIT if environ["PATH_INFO"].startswith(HOOKS) else UPLOAD_LIMIT)
    try:
        if on_disk and not chunked:
            environ["wsgi.input"] = receive_on_disk(environ, most)
            return
        limit = MANAGEMENT_LIMIT if chunked else most
        body = read_body({**environ, "HTTP_CONTENT_ENCODING": ""}, limit)
    except TooLarge:
        # a length over the limit makes Flask refuse it in the asker's own form
        environ["CONTENT_LENGTH"] = str(most + 1)
        environ["wsgi.input"] = io.BytesIO()
    else:
        environ["CONTENT_LENGTH"] = str(len(body))
        environ["wsgi.input"] = io.BytesIO(body)
    # with it Werkzeug would not look at the length
    environ.pop("HTTP_TRANSFER_ENCODING", None)


def _refused(error: TracksideError, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    if environ["PATH_INFO"].startswith(MACHINE_PATHS):
        response = problem(LaneRequest(environ, environ["PATH_INFO"], None), error)
        start_response(response.status, list(complete(response.headers)))
        return [response.body]
    # a page would need a template, and so a place
    wait = getattr(error, "retry_after", None)
    headers = [("Content-Type", "text/plain; charset=utf-8"), *([("Retry-After", str(wait))] if wait else [])]
    start_response(status_line(error), list(complete(headers)))
    return [error.message.encode()]


def uploads_of(runtime: Runtime) -> dict[str, int]:
    """Return the paths that take large files, with the bytes of a request at most: the form around it is small."""
    found = {path: most for module in runtime.registry.modules for path, most in module.uploads.items()}
    return {path: most + (1 << 16) for path, most in found.items()}


def member_of(app: Flask) -> Callable[[Environ], bool]:
    """Return what tells whether a request carries a cookie that `app` has signed for somebody who signed in."""
    signer = SecureCookieSessionInterface().get_signing_serializer(app)
    name = app.config["SESSION_COOKIE_NAME"]

    def is_member(environ: Environ) -> bool:
        try:
            return signer is not None and "_user_id" in signer.loads(parse_cookie(environ).get(name, ""))
        except BadData:
            return False

    return is_member
