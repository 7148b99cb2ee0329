"""OFREP, OpenFeature's remote evaluation protocol: one flag or all, in the lane, from memory."""

from collections.abc import Callable
from hashlib import blake2b
from urllib.parse import parse_qsl

import msgspec

from trackside.auth.principal import KeyPrincipal
from trackside.errors import BadRequest, TooLarge, TracksideError
from trackside.lane import LaneRequest, LaneResponse, status_line
from trackside.runtime import Runtime
from trackside_client.flags import Result
from trackside_modules.flags.serving.context import LIMIT, Refused, read_context
from trackside_modules.flags.serving.memory import shared
from trackside_modules.flags.serving.served import Served, failure

ALL = "/ofrep/v1/evaluate/flags"
ONE = f"{ALL}/"
_JSON = [("Content-Type", "application/json")]
_STATUS = {"FLAG_NOT_FOUND": "404 Not Found"}


def one(runtime: Runtime) -> Callable[[LaneRequest], LaneResponse]:
    """Return the handler of a single flag."""
    memory, start = shared(runtime), len(ONE)

    def handle(request: LaneRequest) -> LaneResponse:
        assert request.key is not None
        served = memory.served(request.key.env_id)
        context = read_context(request.body(LIMIT))
        result = served.ruleset.evaluate(request.path[start:], context)
        if result.error_code is not None:
            return _failed(result)
        return LaneResponse("200 OK", served.fragment(result), served.headers)

    return handle


def _failed(result: Result) -> LaneResponse:
    code = result.error_code or "GENERAL"
    body = failure(result.key[:200], code, result.error_details or "")
    return LaneResponse(_STATUS.get(code, "400 Bad Request"), body, _JSON)


def every(runtime: Runtime) -> Callable[[LaneRequest], LaneResponse]:
    """Return the handler of all flags at once."""
    memory, clock = shared(runtime), runtime.clock

    def handle(request: LaneRequest) -> LaneResponse:
        key, environ = request.key, request.environ
        assert key is not None
        told = _told(environ.get("QUERY_STRING", ""))
        served = memory.caught_up(key.env_id, told) if told else memory.served(key.env_id)
        body = request.body(LIMIT)
        context = read_context(body)
        etag = _etag(served, served.phase(clock), body)
        if etag in environ.get("HTTP_IF_NONE_MATCH", ""):
            return LaneResponse("304 Not Modified", b"", [("ETag", etag), *served.headers[1:]])
        answer = b'{"flags":[%s],%s}' % (b",".join(map(served.fragment, served.all(context))), _tail(served, key))
        return LaneResponse("200 OK", answer, [*served.headers, ("ETag", etag)])

    return handle


def _told(query: str) -> str:
    """Return the ETag that an event told this client; empty where it comes by itself."""
    if "flagConfigEtag=" not in query:
        return ""
    return dict(parse_qsl(query)).get("flagConfigEtag", "").strip('"')


def _etag(served: Served, phase: int, body: bytes) -> str:
    """Return the ETag of an answer: over the configuration, its schedules' progress, and the context.

    Providers send it back also after the context has changed, so that the configuration alone would be a wrong 304.
    """
    state = f"{phase}:{served.source.etag}".encode()[:64]
    return f'"{blake2b(body, digest_size=16, key=state).hexdigest()}"'


def _tail(served: Served, _key: KeyPrincipal) -> bytes:
    return b'"metadata":' + msgspec.json.encode(served.metadata)


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
