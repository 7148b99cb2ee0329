"""`trackside demo run`: runs the demo while the workspace wants it, and idles while it does not.

Nobody has to start or stop it: `trackside demo pause`, `resume` and `clear` write a word into the workspace, which this
process reads every second.
"""

import threading
from pathlib import Path

import structlog
from psycopg_pool import PoolTimeout
from sqlalchemy.exc import SQLAlchemyError

from trackside.demo import COUNT_FILE
from trackside.demo.keys import KEY_FILE, demo_key
from trackside.demo.run import Demo
from trackside.demo.workspace import CLEARED, ON, state
from trackside.runtime import Runtime

log = structlog.get_logger(__name__)
LOOK_EVERY = 1.0


def serve(runtime: Runtime, folder: Path, port: int, stopping: threading.Event) -> None:
    """Run the demo, its count and key in `folder`, its API at `port` (0: a free one), until `stopping` is set."""
    wanted = ON
    while not stopping.is_set():
        wanted = _state(runtime, wanted)
        if wanted == ON:
            wanted = _run(runtime, folder, port, stopping)
        if wanted == CLEARED:
            for name in (COUNT_FILE, KEY_FILE):
                (folder / name).unlink(missing_ok=True)
        stopping.wait(LOOK_EVERY)


def _run(runtime: Runtime, folder: Path, port: int, stopping: threading.Event) -> str:
    """Run the demo until `stopping` or until it is no longer wanted; return the word that ended it."""
    try:
        key = demo_key(runtime, folder)
    except (SQLAlchemyError, PoolTimeout) as error:
        log.warning("demo.waits", reason=type(error).__name__)
        return ON
    demo = Demo(runtime.settings.base_url, key, folder, port=port)
    demo.start()
    log.info("demo.running", at=demo.url)
    wanted = ON
    while wanted == ON and not stopping.wait(LOOK_EVERY):
        demo.count.keep()
        wanted = _state(runtime, wanted)
    demo.stop()
    log.info("demo.stopped", requests=demo.count.now().total)
    return wanted


def _state(runtime: Runtime, known: str) -> str:
    """Return what the workspace says, or what it said last where it cannot be asked."""
    try:
        with runtime.database.session() as session:
            return state(session)
    except (SQLAlchemyError, PoolTimeout):
        return known
