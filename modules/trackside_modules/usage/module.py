"""The usage module's manifest."""

from datetime import timedelta

from trackside.events import AccountErased, UserErased
from trackside.module import (
    Check,
    ContextCard,
    Demo,
    Job,
    LaneRoute,
    Module,
    NavItem,
    Permission,
    Step,
    StreamRoute,
    Tick,
)

_USAGE = "trackside_modules.usage"
_SENDERS = frozenset({"server", "ingest"})

MODULE = Module(
    name="usage",
    title="Usage",
    models=f"{_USAGE}.models",
    lane=(
        *(
            LaneRoute(
                "POST",
                f"/v1/{signal}",
                f"{_USAGE}.ingest.lane:{signal}",
                kinds=_SENDERS,
                errors=f"{_USAGE}.ingest.lane:failure",
                slow=True,
            )
            for signal in ("metrics", "traces", "logs")
        ),
        LaneRoute("POST", "/v1/events", f"{_USAGE}.ingest.events.door:events", kinds=_SENDERS, slow=True),
        LaneRoute("POST", "/v1/quota/check", f"{_USAGE}.quota.door:check", kinds=frozenset({"server"})),
    ),
    api=(f"{_USAGE}.quota.api:api",),
    scopes={
        "limits:read": "Read rate limits and who is near them",
        "limits:write": "Create, edit and delete rate limits",
    },
    blueprints=(f"{_USAGE}.web:blueprint",),
    marks=f"{_USAGE}.contrib:marks",
    streams=(StreamRoute("usage", f"{_USAGE}.folding.live:channel", "usage.view"),),
    permissions=(
        Permission("usage.view", "See usage", frozenset({"admin", "developer", "support", "viewer"})),
        Permission("usage.limits.edit", "Create, edit and delete rate limits", frozenset({"admin", "developer"})),
    ),
    nav=(
        NavItem("Overview", "usage.overview", "overview", "usage.view", order=0),
        NavItem("Usage", "usage.endpoints", "usage", "usage.view", order=10, rest=True),
    ),
    cards=(
        ContextCard(
            "usage",
            "Last 24 hours",
            frozenset({"user", "account"}),
            "usage.view",
            f"{_USAGE}.contrib:last_day",
            "usage/_card.html",
            order=10,
        ),
    ),
    steps=(
        Step(
            "usage.first_request",
            "Send your first request",
            f"{_USAGE}.contrib:FIRST_REQUEST_SENT",
            "usage.overview",
            "export OTEL_EXPORTER_OTLP_ENDPOINT={base_url}",
            order=10,
        ),
    ),
    commands={"usage": f"{_USAGE}.cli:usage"},
    gauges=f"{_USAGE}.standing:gauges",
    checks=(Check("usage tiers", f"{_USAGE}.standing:check"),),
    jobs=(
        Job("usage.fold", f"{_USAGE}.jobs:fold", queue="fold", timeout=timedelta(minutes=2), max_attempts=1),
        Job("usage.rollup", f"{_USAGE}.jobs:roll_up", queue="rollups", timeout=timedelta(minutes=5), max_attempts=1),
        Job("usage.demo_history", f"{_USAGE}.jobs:demo_history"),
        Job("usage.tidy", f"{_USAGE}.jobs:tidy"),
        Job("usage.remember", f"{_USAGE}.jobs:remember"),
        Job("usage.quota", f"{_USAGE}.quota.jobs:watch", max_attempts=1),
    ),
    ticks=(
        Tick("usage.fold", "usage.fold", timedelta(seconds=5), durable=False),
        Tick("usage.rollup", "usage.rollup", timedelta(seconds=30), durable=False),
        Tick("usage.tidy", "usage.tidy", timedelta(hours=1)),
        Tick("usage.remember", "usage.remember", timedelta(minutes=10)),
        Tick("usage.quota", "usage.quota", timedelta(minutes=1), durable=False),
    ),
    subscribes={UserErased: f"{_USAGE}.jobs:forget", AccountErased: f"{_USAGE}.jobs:forget"},
    demo=Demo(clear=f"{_USAGE}.demo.clear:clear", seed=f"{_USAGE}.demo.seed:seed"),
)
