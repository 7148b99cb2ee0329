"""`trackside web`: pages, the management API and the lane, in one worker process of granian."""

from typing import Any

import click
import structlog

from trackside.commands.server import serve
from trackside.errors import StartError, cause_of
from trackside.logs import configure_logging
from trackside.places import server_threads
from trackside.process import check_port
from trackside.settings import Settings, load_settings

log = structlog.get_logger(__name__)
BACKLOG = 1024
STOP_AFTER = 8
"""Seconds that requests at work get to end when the process is asked to stop."""


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535), help="Port to listen at.")
def web(host: str, port: int) -> None:
    """Serve pages, the management API and ingest."""
    from granian.constants import Interfaces
    from granian.log import LogLevels

    settings = load_settings()
    configure_logging(settings, "web")
    check_port(host, port)
    check_servers(settings)
    serve(
        "web",
        settings,
        host,
        port,
        _build,
        interface=Interfaces.WSGI,
        blocking_threads=server_threads(settings.web_threads),
        backlog=BACKLOG,
        backpressure=BACKLOG,
        workers_kill_timeout=STOP_AFTER,
        log_level=LogLevels.error,
    )


def _build(settings: Settings) -> Any:
    from trackside.runtime import build_runtime
    from trackside.serve import build

    return build(build_runtime(settings))


def check_servers(settings: Settings) -> None:
    """Raise StartError where PostgreSQL is away or a migration is missing; only warn where Redis is away.

    With a snapshot to serve from, PostgreSQL may be away too.
    """
    from redis import RedisError
    from sqlalchemy import create_engine
    from sqlalchemy.exc import SQLAlchemyError

    from trackside import migrate
    from trackside.redis import connect

    engine = create_engine(settings.database_url, connect_args={"connect_timeout": 5})
    try:
        migrate.require_head(engine)
    except SQLAlchemyError as error:
        if not stands_alone(settings):
            reason = f"PostgreSQL is not reachable ({cause_of(error)}), and there is no snapshot to serve flags from"
            raise StartError(f"{reason}: start it, or set DATABASE_URL") from error
        log.warning("web.degraded", reason=cause_of(error), effect="flags are answered from the snapshot, no more")
    finally:
        engine.dispose()
    try:
        connect(settings.redis_live_url).ping()
    except RedisError as error:
        log.warning("web.redis_away", reason=type(error).__name__, effect="live figures wait until it is back")


def stands_alone(settings: Settings) -> bool:
    """Whether snapshots of keys, and of what a module can serve from them, are on the disk."""
    from trackside.auth.live_keys import is_kept
    from trackside.module import resolve
    from trackside.registry import load_registry

    able = load_registry(settings.disabled_modules).each(lambda m: filter(None, (m.stands_alone,)))
    return is_kept(settings) and any(resolve(ref)(settings) for ref in able)
