"""The demo API as a server on this machine alone, with the generator's count beside it at `/count`."""

import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec
from werkzeug.serving import WSGIRequestHandler, make_server

from trackside.demo.count import Count

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class _Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"  # keeps connections open: half the cost of a call otherwise

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing: twelve lines a second help nobody."""


class Server:
    """Serves `api` on 127.0.0.1; `port` 0 takes a free one, told by `url`."""

    def __init__(self, api: "WSGIApplication", port: int = 0) -> None:
        self._api = api
        self._count: Count | None = None
        self._server = make_server("127.0.0.1", port, self._answer, threaded=True, request_handler=_Handler)
        self._server.daemon_threads = True  # type: ignore[attr-defined]
        self._thread = threading.Thread(target=self._server.serve_forever, name="demo-api", daemon=True)
        self.url = f"http://127.0.0.1:{self._server.port}"

    def start(self, count: Count) -> None:
        """Answer, and show `count`."""
        self._count = count
        self._thread.start()

    def stop(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _answer(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        # Beside the API, not in it: looking at the count must not change it.
        if environ["PATH_INFO"] == "/count" and self._count is not None:
            body = msgspec.json.encode(self._count.now())
            headers: list[Any] = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
            start_response("200 OK", headers)
            return [body]
        return self._api(environ, start_response)
