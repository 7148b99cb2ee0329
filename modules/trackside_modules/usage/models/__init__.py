"""Tables of usage."""

from trackside_modules.usage.models.inbox import UsageBatch, UsageFold, UsageInbox, UsageStream, UsageWarning
from trackside_modules.usage.models.names import UsageEndpoint, UsageVersion
from trackside_modules.usage.models.tiers import (
    UsageDay,
    UsageDirty,
    UsageEndpointDay,
    UsageEndpointHour,
    UsageEndpointMinute,
    UsageHorizon,
    UsageHour,
    UsageMinute,
    UsageUserDay,
    UsageUserHour,
)

__all__ = [
    "UsageBatch",
    "UsageDay",
    "UsageDirty",
    "UsageEndpoint",
    "UsageEndpointDay",
    "UsageEndpointHour",
    "UsageEndpointMinute",
    "UsageFold",
    "UsageHorizon",
    "UsageHour",
    "UsageInbox",
    "UsageMinute",
    "UsageStream",
    "UsageUserDay",
    "UsageUserHour",
    "UsageVersion",
    "UsageWarning",
]
