"""Work that is done by itself: what is over is removed."""

from trackside.auth import links, sessions, throttle
from trackside.runtime import Runtime


def sweep(runtime: Runtime) -> None:
    """Remove ended sessions, links long dead and forgotten failures; doing it twice changes nothing."""
    now = runtime.clock.now()
    with runtime.database.session() as session:
        sessions.sweep(session, now, sessions.lifetime(runtime.settings))
        links.sweep(session, now)
        throttle.sweep(session, now)
