"""Context cards: what each module knows of a user or account, loaded so that one failure spoils only its own card."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from trackside.ask import ask
from trackside.module import ContextCard, Subject
from trackside.runtime import Runtime

_FAILED = object()


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
        values = ask(card.load, runtime, session, subject, otherwise=_FAILED) if allowed(card.permission) else None
        if values is not None:
            loaded.append(LoadedCard(card, None if values is _FAILED else values))
    return loaded
