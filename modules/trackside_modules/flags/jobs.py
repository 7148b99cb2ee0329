"""What flags do by themselves."""

import structlog
from redis import RedisError

from trackside.events import AccountErased, UserErased
from trackside.runtime import Runtime
from trackside_modules.flags.events import RulesetChanged, channel
from trackside_modules.flags.exposures.jobs import follow
from trackside_modules.flags.service import erasing, steps

log = structlog.get_logger(__name__)


def publish(runtime: Runtime, event: RulesetChanged) -> None:
    """Tell every process which version an environment's ruleset has now; who misses it finds out by polling."""
    try:
        runtime.redis.pubsub.publish(channel(event.env_id), event.version)
    except RedisError as error:
        log.warning("flags.not_published", env_id=event.env_id, error=type(error).__name__)


def mark_steps(runtime: Runtime) -> None:
    """Write into the history which steps of ramps and schedules have become true (see `steps.mark`)."""
    with runtime.database.session() as session:
        count = steps.mark(session, now=runtime.clock.now())
    if count:
        log.info("flags.steps_marked", count=count)


def erased(runtime: Runtime, event: UserErased | AccountErased) -> None:
    """Forget whoever was erased: in exposures, and wherever flags name them. What fails here the ticks repeat."""
    follow(runtime, event)
    forget(runtime)


def forget(runtime: Runtime) -> None:
    """Take the ids of whoever was erased out of rules, overrides, proposals and the history."""
    with runtime.database.session() as session:
        erasing.forget(session, now=runtime.clock.now())
