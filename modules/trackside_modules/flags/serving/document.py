"""`GET /v1/flags/ruleset`: the whole ruleset for those who evaluate by themselves; a 304 costs no query."""

from collections.abc import Callable

from trackside.lane import Complete, LaneRequest, LaneResponse
from trackside.runtime import Runtime
from trackside_modules.flags.serving import feed
from trackside_modules.flags.serving.memory import shared


def ruleset(runtime: Runtime) -> Callable[[LaneRequest], LaneResponse]:
    """Return the handler of an environment's ruleset."""
    memory = shared(runtime)
    stream = ("X-Trackside-Stream", f"{runtime.settings.stream_url}{feed.PATH}")

    def handle(request: LaneRequest) -> LaneResponse:
        assert request.key is not None
        served = memory.served(request.key.env_id)
        etag = f'"{served.source.etag}"'
        if etag in request.environ.get("HTTP_IF_NONE_MATCH", ""):
            return LaneResponse("304 Not Modified", b"", [("ETag", etag), stream, *served.mark])
        return LaneResponse("200 OK", served.source.body, Complete([*served.headers, ("ETag", etag), stream]))

    return handle
