"""What flags do by themselves."""

import structlog
from redis import RedisError

from trackside.runtime import Runtime
from trackside_modules.flags.events import RulesetChanged, channel

log = structlog.get_logger(__name__)


def publish(runtime: Runtime, event: RulesetChanged) -> None:
    """Tell every process which version an environment's ruleset has now; who misses it finds out by polling."""
    try:
        runtime.redis.pubsub.publish(channel(event.env_id), event.version)
    except RedisError as error:
        log.warning("flags.not_published", env_id=event.env_id, error=type(error).__name__)
