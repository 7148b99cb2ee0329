"""What flags announce inside the module; `FlagChanged` is in `trackside.events`."""

from dataclasses import dataclass

from trackside.events import Event


@dataclass(frozen=True, slots=True)
class RulesetChanged(Event):
    """An environment has a new version of its ruleset: whoever holds one in memory loads it again."""

    env_id: int
    version: int
    etag: str


def channel(env_id: int) -> str:
    """Return the Redis channel that says an environment's new version, as a decimal number."""
    return f"{{e{env_id}}}:flags"
