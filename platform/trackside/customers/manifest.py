"""What the customers room adds to the product."""

from trackside.module import Module, NavItem, Permission

_EVERYONE = frozenset({"admin", "developer", "support", "viewer"})

MODULE = Module(
    name="customers",
    title="Customers",
    models="trackside.customers.models",
    blueprints=("trackside.customers.web:users", "trackside.customers.web:accounts"),
    api=("trackside.customers.api:api",),
    scopes={
        "customers:read": "Read accounts and users",
        "customers:write": "Create, edit, merge and erase accounts and users",
    },
    commands={"customers": "trackside.customers.cli:customers"},
    nav=(
        NavItem("Users", "users.index", "users", "customers.view", order=30),
        NavItem("Accounts", "accounts.index", "accounts", "customers.view", order=31),
    ),
    permissions=(
        Permission("customers.view", "See accounts and users", _EVERYONE),
        Permission("customers.edit", "Create, edit, merge and import accounts and users", _EVERYONE - {"viewer"}),
        Permission("customers.erase", "Erase accounts and users", frozenset({"admin"})),
        Permission("customers.export", "Export accounts and users", _EVERYONE - {"viewer"}),
    ),
    palette="trackside.customers.contrib:palette",
)
