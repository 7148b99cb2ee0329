"""The support module's manifest."""

from datetime import timedelta

from trackside.events import AccountErased, AccountsMerged, UserErased, UsersMerged
from trackside.module import (
    ContextCard,
    Demo,
    Job,
    Module,
    NavItem,
    Panel,
    Permission,
    Shortcut,
    Step,
    Tick,
    WebhookType,
)
from trackside_modules.support.events import InteractionsErased

_SUPPORT = "trackside_modules.support"
_HAPPENED = {
    "created": "Interaction logged",
    "message": "Message written, by the customer or us",
    "note": "Note added",
    "status": "Status changed",
    "solved": "Solved",
    "reopened": "Opened again",
    "assigned": "Assigned",
    "merged": "Merged into another",
    "linked": "Linked to work, a flag or another",
    "shipped": "Linked work delivered",
    "rated": "Rated by the customer",
    "changed": "Anything else changed: topic, tags, priority, snooze",
}
_STAFF = frozenset({"admin", "developer", "support"})

MODULE = Module(
    name="support",
    title="Support",
    models=f"{_SUPPORT}.models",
    api=(f"{_SUPPORT}.api:api",),
    commands={"support": f"{_SUPPORT}.cli:support"},
    jobs=(
        Job("support.follow", f"{_SUPPORT}.jobs:follow"),
        Job("support.import", f"{_SUPPORT}.jobs:bring_in", timeout=timedelta(hours=1)),
        Job("support.forget_imports", f"{_SUPPORT}.jobs:forget_imports"),
        Job("support.forget_files", f"{_SUPPORT}.jobs:forget_files"),
        Job("support.forget_mails", f"{_SUPPORT}.jobs:forget_mails"),
        Job("support.measure", f"{_SUPPORT}.jobs:measure", timeout=timedelta(minutes=30)),
        Job("support.ask", f"{_SUPPORT}.jobs:ask", timeout=timedelta(minutes=1)),
        Job("support.deliver", f"{_SUPPORT}.jobs:deliver", timeout=timedelta(minutes=1)),
        Job("support.mail", f"{_SUPPORT}.jobs:take_mail", timeout=timedelta(minutes=2)),
        # not behind the writing of usage's past, which takes the default worker a while
        Job(
            "support.demo_contexts",
            f"{_SUPPORT}.demo.jobs:freeze_contexts",
            queue="webhooks",
            timeout=timedelta(minutes=2),
        ),
    ),
    ticks=(
        Tick("support.follow", "support.follow", timedelta(hours=1)),
        Tick("support.forget_imports", "support.forget_imports", timedelta(hours=1)),
        Tick("support.forget_files", "support.forget_files", timedelta(hours=1)),
        Tick("support.forget_mails", "support.forget_mails", timedelta(days=1)),
        Tick("support.measure", "support.measure", timedelta(minutes=15), durable=False),
    ),
    subscribes={
        **dict.fromkeys((UserErased, AccountErased, UsersMerged, AccountsMerged), f"{_SUPPORT}.jobs:customers_changed"),
        InteractionsErased: f"{_SUPPORT}.jobs:remove_files",
    },
    uploads={"/support/settings/import": 256 << 20},
    blueprints=(f"{_SUPPORT}.web:blueprint", f"{_SUPPORT}.web.hooks:blueprint"),
    nav=(
        NavItem("Support", "support.index", "support", "support.view", order=12, count=f"{_SUPPORT}.contrib:WAITING"),
    ),
    shortcuts=(Shortcut("c", "Log an interaction", "support.new", "plus", "support.work"),),
    cards=(
        ContextCard(
            "support",
            "Interactions",
            frozenset({"user", "account"}),
            "support.view",
            f"{_SUPPORT}.contrib:interactions",
            "support/_card.html",
            order=5,
        ),
    ),
    panels=(Panel("support", "Support", "support.view", f"{_SUPPORT}.contrib:panel", "support/_panel.html", order=10),),
    palette=f"{_SUPPORT}.contrib:palette",
    steps=(
        Step(
            "support.first_interaction",
            "Log an interaction",
            f"{_SUPPORT}.contrib:LOGGED_ONE",
            "support.new",
            'trackside support log "dev@customer.example 401 after key rotation #auth !high bug"',
            order=15,
        ),
    ),
    webhooks=tuple(
        WebhookType(f"support.interaction.{name}", title, f"{_SUPPORT}.api.hooks:happened", scope="support:read")
        for name, title in _HAPPENED.items()
    ),
    demo=Demo(clear=f"{_SUPPORT}.demo:clear", seed=f"{_SUPPORT}.demo:seed"),
    scopes={
        "support:read": "Read the support log",
        "support:write": "Log interactions, reply to them and change them",
        "support:manage": "Add and remove trackers, which tell what happens to work, and make them new secrets",
    },
    permissions=(
        Permission("support.view", "See interactions", _STAFF | {"viewer"}),
        Permission("support.work", "Log interactions, reply to them and change them", _STAFF),
        Permission(
            "support.manage",
            "Set up topics, service levels, calendars and trackers (their secrets, too), import",
            frozenset({"admin"}),
        ),
    ),
)
