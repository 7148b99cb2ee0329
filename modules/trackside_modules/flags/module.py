"""The flags module's manifest."""

from trackside.module import Module, Permission
from trackside_modules.flags.events import RulesetChanged

_FLAGS = "trackside_modules.flags"
_MAKERS = frozenset({"admin", "developer"})

MODULE = Module(
    name="flags",
    title="Flags",
    models=f"{_FLAGS}.models",
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
