"""The flags module's manifest."""

from trackside.module import LaneRoute, Module, Permission
from trackside_modules.flags.events import RulesetChanged

_FLAGS = "trackside_modules.flags"
_OFREP = f"{_FLAGS}.serving.ofrep"
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
    ),
    readiness=f"{_FLAGS}.serving.memory:readiness",
    stands_alone=f"{_FLAGS}.serving.memory:stands_alone",
    scopes={
        "flags:read": "Read flags, their states and their history",
        "flags:write": "Create, change and archive flags",
    },
    permissions=(
        Permission("flags.view", "See flags", frozenset({"admin", "developer", "support", "viewer"})),
        Permission("flags.edit", "Create, change and archive flags", _MAKERS),
        Permission("flags.approve", "Approve and refuse changes that others propose", _MAKERS),
        Permission("flags.manage", "Choose the environments where changes take an approval", frozenset({"admin"})),
    ),
    subscribes={RulesetChanged: f"{_FLAGS}.jobs:publish"},
)
