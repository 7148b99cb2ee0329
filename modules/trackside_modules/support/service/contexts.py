"""The frozen context: what the context cards said of the customer at the moment an interaction was logged.

    {"frozen_at": "...", "environment": "Production", "subject": "user",
     "user": {"id", "external_id", "name", "email"}, "account": {"id", "external_id", "name", "plan"},
     "cards": [{"name", "title", "template", "permission", "values": {...} or null where it failed}]}

Cards come by the kernel's contract, so the support log knows no other module. All are frozen whoever logs; a page
shows those whose `permission` its reader has.
"""

from collections.abc import Callable
from typing import Any

import msgspec
import structlog
from sqlalchemy.orm import Session

from trackside.customers.cards import load_cards
from trackside.customers.models import Account, User
from trackside.module import Subject
from trackside.runtime import Runtime
from trackside.workspace import Environment

ContextOf = Callable[[Session, Subject], dict[str, Any]]
"""What is known of a user or account now, as plain JSON values."""
log = structlog.get_logger(__name__)


def freezer(runtime: Runtime) -> ContextOf:
    """Return what freezes contexts; a card that fails is marked as failed and never stops anybody."""

    def freeze(session: Session, subject: Subject) -> dict[str, Any]:
        cards = load_cards(runtime, session, subject, lambda _permission: True)
        return {
            "frozen_at": runtime.clock.now().isoformat(),
            "subject": subject.kind,
            **_who(session, subject),
            "cards": [
                {
                    "name": each.card.name,
                    "title": each.card.title,
                    "template": each.card.template,
                    "permission": each.card.permission,
                    "values": _plain(each.card.name, each.values),
                }
                for each in cards
                # what the support log itself knows is its own history: it stands in the thread, live
                if not each.card.template.startswith("support/")
            ],
        }

    return freeze


def _who(session: Session, subject: Subject) -> dict[str, Any]:
    user = session.get(User, subject.id) if subject.kind == "user" else None
    account_id = user.account_id if user else subject.id if subject.kind == "account" else None
    account = session.get(Account, account_id) if account_id else None
    environment = session.get(Environment, subject.env_id)
    return {
        "environment": environment.name if environment else "",
        "user": user and {name: getattr(user, name) for name in ("id", "external_id", "name", "email")},
        "account": account and {name: getattr(account, name) for name in ("id", "external_id", "name", "plan")},
    }


def _plain(name: str, values: Any) -> Any:
    """Return a card's values as JSON has them: times as text."""
    if values is None:
        return None
    try:
        return msgspec.to_builtins(values, str_keys=True)
    except TypeError:
        log.exception("support.card_not_plain", card=name)
        return None
