"""What a role may do: the permissions that the modules declare, and who stands above whom."""

from trackside.module import ROLES
from trackside.registry import Registry

OWNER = "owner"
TITLES = {
    "owner": "Everything, and choosing other owners",
    "admin": "Everything but choosing owners",
    "developer": "Usage, flags and API keys",
    "support": "Customers and interactions",
    "viewer": "Looking, changing nothing",
}


def permissions_of(registry: Registry, role: str) -> frozenset[str]:
    """Return every permission that `role` has; an owner has all."""
    declared = registry.each(lambda module: module.permissions)
    return frozenset(each.name for each in declared if role == OWNER or role in each.roles)


def may_give(giver: str, role: str) -> bool:
    """Whether a member of role `giver` may make somebody a `role`, or change somebody who is one."""
    return role in ROLES and (giver == OWNER or role != OWNER)
