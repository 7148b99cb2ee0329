"""The support module's manifest."""

from trackside.module import Module, Permission

_SUPPORT = "trackside_modules.support"
_STAFF = frozenset({"admin", "developer", "support"})

MODULE = Module(
    name="support",
    title="Support",
    models=f"{_SUPPORT}.models",
    scopes={
        "support:read": "Read the support log",
        "support:write": "Log interactions, reply to them and change them",
    },
    permissions=(
        Permission("support.view", "See interactions", _STAFF | {"viewer"}),
        Permission("support.work", "Log interactions, reply to them and change them", _STAFF),
        Permission(
            "support.manage",
            "Set up topics, service levels and calendars, import",
            frozenset({"admin"}),
        ),
    ),
)
