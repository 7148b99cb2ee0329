"""What the room of webhooks adds to the product."""

from datetime import timedelta

from trackside.module import Job, Module, NavItem, Permission, Tick
from trackside.webhooks.publishing import PUSH

MODULE = Module(
    name="webhooks",
    title="Webhooks",
    models="trackside.webhooks.models",
    blueprints=("trackside.webhooks.web:blueprint",),
    api=("trackside.webhooks.api:api",),
    commands={"webhooks": "trackside.webhooks.cli:webhooks"},
    nav=(
        NavItem(
            "Webhooks",
            "webhooks.index",
            "send",
            "webhooks.view",
            group="settings",
            order=915,
            count="trackside.webhooks.queries:COUNT_BROKEN",
        ),
    ),
    jobs=(
        Job(PUSH, "trackside.webhooks.sending:push", queue="webhooks", timeout=timedelta(minutes=2)),
        Job("webhooks.forget", "trackside.webhooks.sending:forget"),
    ),
    ticks=(Tick("webhooks.forget", "webhooks.forget", timedelta(hours=6)),),
    permissions=(
        Permission("webhooks.view", "See webhooks and what they were told", frozenset({"admin", "developer"})),
        Permission("webhooks.manage", "Add, change, pause and remove webhooks", frozenset({"admin"})),
    ),
    scopes={
        "webhooks:read": "Read webhooks and what they were told",
        "webhooks:write": "Add, change, pause and remove webhooks",
    },
)
