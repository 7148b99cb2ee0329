"""The flags module's manifest."""

from datetime import timedelta

from trackside.events import AccountErased, AccountsMerged, UserErased, UsersMerged
from trackside.module import (
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
from trackside_modules.flags.events import RulesetChanged

_FLAGS = "trackside_modules.flags"
_OFREP = f"{_FLAGS}.serving.ofrep"
_EXPOSURES = f"{_FLAGS}.exposures"
_CLIENTS = frozenset({"server", "client"})
_MAKERS = frozenset({"admin", "developer"})

MODULE = Module(
    name="flags",
    title="Flags",
    models=f"{_FLAGS}.models",
    lane=(
        LaneRoute("POST", "/ofrep/v1/evaluate/flags", f"{_OFREP}:every", _CLIENTS, f"{_OFREP}:failed", cors=True),
        LaneRoute("POST", "/ofrep/v1/evaluate/flags/", f"{_OFREP}:one", _CLIENTS, f"{_OFREP}:failed", cors=True),
        LaneRoute("GET", "/v1/flags/ruleset", f"{_FLAGS}.serving.document:ruleset", frozenset({"server"})),
        LaneRoute("POST", "/v1/flags/exposures", f"{_EXPOSURES}.door:exposures", _CLIENTS, slow=True, cors=True),
    ),
    streams=(
        StreamRoute(
            "flags",
            f"{_FLAGS}.events:channel",
            "flags.view",
            "/v1/flags/stream",
            _CLIENTS,
            f"{_FLAGS}.serving.feed:FlagFeed",
            insiders=frozenset({"server"}),
        ),
    ),
    jobs=(
        Job("flags.exposures", f"{_EXPOSURES}.jobs:fold", timeout=timedelta(minutes=2), max_attempts=1),
        Job("flags.tidy", f"{_EXPOSURES}.jobs:tidy"),
        Job("flags.steps", f"{_FLAGS}.jobs:mark_steps", max_attempts=1),
        Job("flags.forget", f"{_FLAGS}.jobs:forget"),
    ),
    ticks=(
        Tick("flags.exposures", "flags.exposures", timedelta(seconds=5), durable=False),
        Tick("flags.tidy", "flags.tidy", timedelta(hours=1)),
        Tick("flags.steps", "flags.steps", timedelta(seconds=15), durable=False),
        Tick("flags.forget", "flags.forget", timedelta(hours=1)),
    ),
    gauges=f"{_EXPOSURES}.counter:gauges",
    api=(f"{_FLAGS}.api:api",),
    commands={"flags": f"{_FLAGS}.cli:flags"},
    readiness=f"{_FLAGS}.serving.memory:readiness",
    stands_alone=f"{_FLAGS}.serving.memory:stands_alone",
    scopes={
        "flags:read": "Read flags, their states and their history",
        "flags:write": "Change flags in the key's environment; a key of production, flags themselves too",
        "flags:define": "Create, change and archive flags in every environment, by any environment's key",
        "flags:approve": "Approve and refuse changes for the member who made the key",
    },
    permissions=(
        Permission("flags.view", "See flags", frozenset({"admin", "developer", "support", "viewer"})),
        Permission("flags.edit", "Create, change and archive flags", _MAKERS),
        Permission("flags.approve", "Approve and refuse changes that others propose", _MAKERS),
        Permission("flags.manage", "Choose the environments where changes take an approval", frozenset({"admin"})),
    ),
    blueprints=(f"{_FLAGS}.web:blueprint",),
    nav=(NavItem("Flags", "flags.index", "flags", "flags.view", order=15, count=f"{_FLAGS}.queries.requests:WAITING"),),
    cards=(
        ContextCard(
            "flags",
            "Flags",
            frozenset({"user", "account"}),
            "flags.view",
            f"{_FLAGS}.contrib:variants",
            "flags/_card.html",
            order=20,
        ),
    ),
    marks=f"{_FLAGS}.contrib:marks",
    palette=f"{_FLAGS}.contrib:palette",
    steps=(
        Step(
            "flags.first_flag",
            "Create a flag",
            f"{_FLAGS}.contrib:FLAG_MADE",
            "flags.new",
            "trackside flags create new-checkout --template release",
            order=20,
        ),
    ),
    demo=Demo(clear=f"{_FLAGS}.demo:clear", seed=f"{_FLAGS}.demo:seed"),
    subscribes={
        RulesetChanged: f"{_FLAGS}.jobs:publish",
        **dict.fromkeys((UserErased, AccountErased), f"{_FLAGS}.jobs:erased"),
        **dict.fromkeys((UsersMerged, AccountsMerged), f"{_EXPOSURES}.jobs:follow"),
    },
)
