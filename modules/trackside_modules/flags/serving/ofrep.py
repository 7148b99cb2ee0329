"""OFREP, OpenFeature's remote evaluation protocol: one flag or all, in the lane, from memory."""

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from mmh3 import mmh3_x64_128_digest as murmur3

from trackside.auth.principal import KeyPrincipal
from trackside.errors import BadRequest, TooLarge, TracksideError
from trackside.lane import Complete, LaneRequest, LaneResponse, read_body, status_line
from trackside.runtime import Runtime
from trackside.stream.ticket import Ticket, signed
from trackside_client.flags import Result, unit_text
from trackside_modules.flags.exposures import counter
from trackside_modules.flags.exposures.counter import Shown
from trackside_modules.flags.serving import feed
from trackside_modules.flags.serving.context import LIMIT, Refused, read_context
from trackside_modules.flags.serving.encoded import failure
from trackside_modules.flags.serving.memory import shared
from trackside_modules.flags.serving.served import Answer, Served

ALL = "/ofrep/v1/evaluate/flags"
ONE = f"{ALL}/"
_JSON = [("Content-Type", "application/json")]
FRESH_TICKET = 10.0
"""Seconds for which a ticket is handed out; it opens the stream for `trackside.stream.ticket.LIFETIME`."""
INACTIVE = 120
"""Seconds in the background after which a page should close its stream."""
_STATUS = {"FLAG_NOT_FOUND": "404 Not Found"}


def one(runtime: Runtime) -> Callable[[LaneRequest], LaneResponse]:
    """Return the handler of a single flag."""
    memory, count = shared(runtime), counter.shared(runtime).count

    def handle(request: LaneRequest) -> LaneResponse:
        path, body = request.path, read_body(request.environ, LIMIT)
        served = memory.served(request.key.env_id)  # type: ignore[union-attr]
        answer = served.answers.get((path, body)) or _answer(served, path, body)
        if answer.shown is not None:
            count(answer.shown)
        return answer.response

    return handle


def _answer(served: Served, path: str, body: bytes) -> Answer:
    """Evaluate one flag for the context of a request."""
    context = read_context(body)
    result = served.one(path[len(ONE) :], context)
    if result.error_code is not None:
        return Answer(_failed(result), None)
    response = LaneResponse("200 OK", served.encoded.of(result), served.headers)
    shown = Shown(served.source.env_id, result.key, result.variant, context.get("targetingKey"), _account(context))
    answer = Answer(response, shown)
    served.keep(path, body, result.key, answer)
    return answer


def _failed(result: Result) -> LaneResponse:
    code = result.error_code or "GENERAL"
    body = failure(result.key[:200], code, result.error_details or "")
    return LaneResponse(_STATUS.get(code, "400 Bad Request"), body, _JSON)


def every(runtime: Runtime) -> Callable[[LaneRequest], LaneResponse]:
    """Return the handler of all flags at once."""
    memory, clock = shared(runtime), runtime.clock
    count = counter.shared(runtime).count_all
    counts, tails = runtime.settings.flags_bulk_exposures, _Tails(runtime)

    def handle(request: LaneRequest) -> LaneResponse:
        key, environ = request.key, request.environ
        assert key is not None
        told = _told(environ.get("QUERY_STRING", ""))
        served = memory.caught_up(key.env_id, told) if told else memory.served(key.env_id)
        body = read_body(environ, LIMIT)
        etag = _etag(served, served.phase(clock), body)
        if etag in environ.get("HTTP_IF_NONE_MATCH", ""):
            return LaneResponse("304 Not Modified", b"", [("ETag", etag), *served.mark])
        context = read_context(body)
        answers = served.all(context)
        if counts and key.kind == "client":
            count(key.env_id, tuple(answers), served.encoded.variants, context.get("targetingKey"), _account(context))
        answer = b'{"flags":[%s],%s}' % (b",".join(answers), tails.of(served, key))
        return LaneResponse("200 OK", answer, Complete((*served.headers, ("ETag", etag))))

    return handle


def _account(context: dict[str, Any]) -> str | None:
    account = context.get("account")
    return account if type(account) is str else unit_text(account)


def _told(query: str) -> str:
    """Return the ETag that an event told this client; empty where it comes by itself."""
    if "flagConfigEtag=" not in query:
        return ""
    return dict(parse_qsl(query)).get("flagConfigEtag", "").strip('"')


def _etag(served: Served, phase: int, body: bytes) -> str:
    """Return the ETag of an answer: over the configuration, its schedules' progress, and the context.

    Providers send it back also after the context has changed, so that the configuration alone would be a wrong 304. The
    hash of the context is none of those that resist attacks: who makes two contexts collide fools only themselves.
    """
    return f'"{served.source.etag[:32]}.{phase}.{murmur3(body).hex()}"'


class _Tails:
    """How answers with all flags end: the version, and the stream's URL with a ticket, signed anew now and then."""

    def __init__(self, runtime: Runtime) -> None:
        self._settings, self._clock = runtime.settings, runtime.clock
        self._made: dict[tuple[int, int], tuple[Served, float, bytes]] = {}

    def of(self, served: Served, key: KeyPrincipal) -> bytes:
        """Return the end of an answer to the holder of `key`."""
        who, now = (key.env_id, key.key_id), self._clock.monotonic()
        made = self._made.get(who)
        if made is None or made[0] is not served or now - made[1] > FRESH_TICKET:
            made = self._made[who] = (served, now, self._make(served, key))
        return made[2]

    def _make(self, served: Served, key: KeyPrincipal) -> bytes:
        ticket = Ticket(feed.NAME, key.env_id, key.key_id, served.source.version)
        url = f"{self._settings.stream_url}{feed.PATH}?ticket={signed(self._settings, ticket)}"
        stream = {"type": "sse", "url": url, "inactivityDelaySec": INACTIVE}
        return msgspec.json.encode({"metadata": served.metadata, "eventStreams": [stream]})[1:-1]


def failed(request: LaneRequest, error: TracksideError) -> LaneResponse:
    """Return an error as OFREP has it; Retry-After in seconds, as providers read it."""
    headers = list(_JSON)
    if (wait := getattr(error, "retry_after", None)) is not None:
        headers.append(("Retry-After", str(wait)))
    message = error.message or error.title
    key = request.path[len(ONE) :][:200] if request.path.startswith(ONE) else None
    answer = {"errorCode": _code(error), "errorDetails": message} | ({"key": key} if key else {})
    return LaneResponse(status_line(error), msgspec.json.encode(answer), headers)


def _code(error: TracksideError) -> str:
    if isinstance(error, Refused):
        return error.error_code
    if isinstance(error, TooLarge):
        return "INVALID_CONTEXT"
    return "PARSE_ERROR" if isinstance(error, BadRequest) else "GENERAL"
