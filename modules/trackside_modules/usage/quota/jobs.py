"""What is looked at every minute: crossings that a process left untold, limits that are compared with usage."""

from trackside.runtime import Runtime
from trackside_modules.usage.quota import crossings, requests


def watch(runtime: Runtime) -> None:
    """Store and announce what waits in Redis and what counted requests have reached; drop what is too old."""
    crossings.tell_all(runtime)
    requests.watch(runtime)
    with runtime.database.session() as session:
        crossings.forget(session, runtime.clock.now())
