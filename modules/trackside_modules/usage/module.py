"""The usage module's manifest."""

from datetime import timedelta

from trackside.module import Demo, Job, LaneRoute, Module, Tick

_USAGE = "trackside_modules.usage"

MODULE = Module(
    name="usage",
    title="Usage",
    models=f"{_USAGE}.models",
    lane=(
        LaneRoute(
            "POST",
            "/v1/metrics",
            f"{_USAGE}.lane:metrics",
            kinds=frozenset({"server", "ingest"}),
            errors=f"{_USAGE}.lane:failure",
        ),
    ),
    jobs=(
        Job("usage.fold", f"{_USAGE}.jobs:fold", queue="fold", timeout=timedelta(minutes=2), max_attempts=1),
        Job("usage.tidy", f"{_USAGE}.jobs:tidy"),
    ),
    ticks=(
        Tick("usage.fold", "usage.fold", timedelta(seconds=5), durable=False),
        Tick("usage.tidy", "usage.tidy", timedelta(hours=1)),
    ),
    demo=Demo(clear=f"{_USAGE}.demo:clear"),
)
