"""An interaction's history, gone through once: what it amounts to, and its steps as clocks see them."""

from collections.abc import Sequence
from dataclasses import dataclass

from trackside_modules.support.clocks.spans import Step, Word
from trackside_modules.support.history import Event, State, fold, state_of


@dataclass(frozen=True, slots=True)
class Walk:
    """All that happened to an interaction, and what every cache of it is made from."""

    events: Sequence[Event]
    state: State
    """After all of them."""
    steps: Sequence[Step]
    """Those that clocks mind."""


def walk(events: Sequence[Event]) -> Walk:
    """Go through `events`, all of an interaction."""
    state = state_of(events[:1])
    last = Step(events[0].at, state.status)
    steps = [last]
    for event in events[1:]:
        fold(state, event)
        word, gone = _word(event), state.merged_into is not None
        if word is not None or state.status != last.status or gone != last.gone:
            last = Step(event.at, state.status, word, gone)
            steps.append(last)
    return Walk(events, state, steps)


def _word(event: Event) -> Word | None:
    if event.kind != "message" or event.data.get("automatic"):
        return None
    return "customer" if event.data["side"] == "customer" else "reply"
