"""Tables of usage."""

from trackside_modules.usage.models.inbox import UsageBatch, UsageFold, UsageInbox, UsageStream, UsageWarning
from trackside_modules.usage.models.memory import (
    UsageCrowd,
    UsageErrorSum,
    UsageFailure,
    UsagePiece,
    UsageRemembered,
    UsageSum,
    UsageTurn,
)
from trackside_modules.usage.models.names import UsageEndpoint, UsageVersion
from trackside_modules.usage.models.pulse import UsagePulse
from trackside_modules.usage.models.quota import UsageQuota, UsageQuotaCrossing, UsageQuotaVersion
from trackside_modules.usage.models.seen import UsageError, UsageErrorHour, UsageSample
from trackside_modules.usage.models.sources import UsageCoverage, UsageHeld, UsageInstance, UsageRoute, UsageSource
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
from trackside_modules.usage.models.trails import UsageFollow, UsageTrailLast

__all__ = [
    "UsageBatch",
    "UsageCoverage",
    "UsageCrowd",
    "UsageDay",
    "UsageDirty",
    "UsageEndpoint",
    "UsageEndpointDay",
    "UsageEndpointHour",
    "UsageEndpointMinute",
    "UsageError",
    "UsageErrorHour",
    "UsageErrorSum",
    "UsageFailure",
    "UsageFold",
    "UsageFollow",
    "UsageHeld",
    "UsageHorizon",
    "UsageHour",
    "UsageInbox",
    "UsageInstance",
    "UsageMinute",
    "UsagePiece",
    "UsagePulse",
    "UsageQuota",
    "UsageQuotaCrossing",
    "UsageQuotaVersion",
    "UsageRemembered",
    "UsageRoute",
    "UsageSample",
    "UsageSource",
    "UsageStream",
    "UsageSum",
    "UsageTrailLast",
    "UsageTurn",
    "UsageUserDay",
    "UsageUserHour",
    "UsageVersion",
    "UsageWarning",
]
