"""What the auth room adds to the product."""

from trackside.auth.keys import KeysChanged
from trackside.module import Module, Permission

ADMINS = frozenset({"admin"})
MAKERS = frozenset({"admin", "developer"})

MODULE = Module(
    name="auth",
    title="Members and keys",
    models="trackside.auth.models",
    commands={"member": "trackside.auth.cli:member", "key": "trackside.auth.cli:key"},
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
