"""What is known of a customer: as it was frozen when the interaction was logged, and as it is now."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from flask import render_template
from jinja2 import TemplateNotFound
from markupsafe import Markup
from sqlalchemy.orm import Session

from trackside.module import Subject
from trackside.web.current import current_runtime
from trackside.web.environments import current_environment
from trackside.web.policy import allowed
from trackside_modules.support.models import FrozenContext, Interaction
from trackside_modules.support.service import freezer

log = structlog.get_logger(__name__)
Card = tuple[str, Markup | None]
"""A title and what is drawn; None where it could not be loaded."""


@dataclass(frozen=True, slots=True)
class Context:
    """What the cards of other modules say of a customer, at one moment."""

    at: datetime | None
    environment: str
    cards: list[Card]


def context_of(session: Session, it: Interaction, *, live: bool) -> Context:
    """Return what is known of an interaction's customer now, or what was when it was logged."""
    data = _live(session, it) if live else _frozen(session, it)
    if not data:
        return Context(None, "", [])
    cards = [_drawn(each) for each in data["cards"] if allowed(each["permission"])]
    return Context(datetime.fromisoformat(data["frozen_at"]), data.get("environment", ""), cards)


def _frozen(session: Session, it: Interaction) -> dict[str, Any]:
    row = session.get(FrozenContext, it.id)
    return row.data if row else {}


def _live(session: Session, it: Interaction) -> dict[str, Any]:
    env_id = it.env_id or current_environment().id
    if it.user_id is None and it.account_id is None:
        return {}
    kind, row_id = ("user", it.user_id) if it.user_id is not None else ("account", it.account_id)
    return freezer(current_runtime())(session, Subject(kind, row_id or 0, env_id))  # type: ignore[arg-type]


def _drawn(card: dict[str, Any]) -> Card:
    title, values = card["title"], card["values"]
    if values is None:
        return title, None
    try:
        return title, Markup(render_template(card["template"], card=values))  # noqa: S704 - escaped by its template
    except TemplateNotFound:
        # its module is switched off: what was known still is
        return title, _plain(values)
    except Exception:
        # what a card held years ago may not be what its template expects today
        log.exception("support.card_draw_failed", card=card["name"])
        return title, _plain(values)


def _plain(values: dict[str, Any]) -> Markup:
    plain = [(name.replace("_", " "), each) for name, each in values.items() if not isinstance(each, list | dict)]
    return Markup(render_template("support/_plain_card.html", rows=plain))  # noqa: S704 - escaped by its template
