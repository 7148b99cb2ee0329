"""The support module's manifest."""

from datetime import timedelta

from trackside.events import AccountErased, AccountsMerged, UserErased, UsersMerged
from trackside.module import Job, Module, Permission, Tick

_SUPPORT = "trackside_modules.support"
_STAFF = frozenset({"admin", "developer", "support"})

MODULE = Module(
    name="support",
    title="Support",
    models=f"{_SUPPORT}.models",
    jobs=(Job("support.follow", f"{_SUPPORT}.jobs:follow"),),
    ticks=(Tick("support.follow", "support.follow", timedelta(hours=1)),),
    subscribes=dict.fromkeys(
        (UserErased, AccountErased, UsersMerged, AccountsMerged), f"{_SUPPORT}.jobs:customers_changed"
    ),
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
