"""Context cards: what each module knows of a user or account, loaded so that one failure spoils only its own card."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy.orm import Session

from trackside.module import ContextCard, Subject, resolve
from trackside.runtime import Runtime

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LoadedCard:
    """A card and its values; `values` is None where loading failed."""

    card: ContextCard
    values: Mapping[str, Any] | None


def load_cards(
    runtime: Runtime, session: Session, subject: Subject, allowed: Callable[[str], bool]
) -> list[LoadedCard]:
    """Return the cards about `subject` whose permission is `allowed`, in order; those that are None are left out."""
    cards = [card for card in runtime.registry.each(lambda m: m.cards) if subject.kind in card.subjects]
    loaded = []
    for card in sorted(cards, key=lambda each: (each.order, each.name)):
        if not allowed(card.permission):
            continue
        try:
            # a savepoint: a failed query must not take the whole page's transaction with it
            with session.begin_nested():
                values = resolve(card.load)(runtime, session, subject)
        except Exception:
            log.exception("card.load_failed", card=card.name)
            loaded.append(LoadedCard(card, None))
        else:
            if values is not None:
                loaded.append(LoadedCard(card, values))
    return loaded
