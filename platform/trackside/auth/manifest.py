"""What the auth room adds to the product."""

from datetime import timedelta

from trackside.auth.keys import KeysChanged
from trackside.module import Job, Module, NavItem, Permission, Step, Tick

ADMINS = frozenset({"admin"})
MAKERS = frozenset({"admin", "developer"})

MODULE = Module(
    name="auth",
    title="Members and keys",
    models="trackside.auth.models",
    commands={"member": "trackside.auth.cli:member", "key": "trackside.auth.cli:key"},
    blueprints=(
        "trackside.auth.member_pages:blueprint",
        "trackside.auth.key_pages:blueprint",
        "trackside.auth.audit_pages:blueprint",
    ),
    nav=(
        NavItem("API keys", "keys.index", "keys", "keys.view", group="settings", order=910),
        NavItem("Members", "members.index", "members", "members.view", group="settings", order=920),
        NavItem("Audit log", "audit.index", "audit", "audit.view", group="settings", order=930),
    ),
    steps=(
        Step(
            "invite",
            "Invite a colleague",
            "trackside.auth.people:SOMEBODY_INVITED",
            "members.index",
            "trackside member create grace@example.com --role developer",
            order=40,
        ),
    ),
    jobs=(Job("auth.sweep", "trackside.auth.jobs:sweep"),),
    ticks=(Tick("auth.sweep", "auth.sweep", every=timedelta(hours=6)),),
    subscribes={KeysChanged: "trackside.auth.keys:publish_change"},
    permissions=(
        Permission("members.view", "See the members", frozenset({"admin", "developer", "support", "viewer"})),
        Permission("members.manage", "Invite, change and disable members", ADMINS),
        Permission("keys.view", "See the API keys", MAKERS),
        Permission("keys.manage", "Create, rotate and revoke API keys", MAKERS),
        Permission("keys.admin", "Create, rotate and revoke admin keys", ADMINS),
        Permission("audit.view", "Read and export the audit log", ADMINS),
    ),
)
