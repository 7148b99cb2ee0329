"""An interaction's history, gone through once: what it amounts to, and its steps as clocks see them."""

from collections.abc import Sequence

import msgspec

from trackside_modules.support.clocks.spans import Step, Word
from trackside_modules.support.history import Event, State, fold, state_of


class Walk(msgspec.Struct, gc=False):
    """All that happened to an interaction so far, and what every cache of it is made from."""

    events: list[Event]
    state: State
    """After all of them."""
    steps: list[Step]
    """Those that clocks mind."""

    def add(self, event: Event) -> None:
        """Let `event` happen next."""
        self.events.append(event)
        fold(self.state, event)
        last, status = self.steps[-1], self.state.status
        word, gone = _word(event), self.state.merged_into is not None
        if word is not None or status != last.status or gone != last.gone:
            self.steps.append(Step(event.at, status, word, gone))


def begun(event: Event) -> Walk:
    """Return the walk of an interaction that `event` created."""
    state = state_of([event])
    return Walk([event], state, [Step(event.at, state.status)])


def walk(events: Sequence[Event]) -> Walk:
    """Go through `events`, all of an interaction."""
    made = begun(events[0])
    for event in events[1:]:
        made.add(event)
    return made


def _word(event: Event) -> Word | None:
    if event.kind != "message" or event.data.get("automatic"):
        return None
    return "customer" if event.data["side"] == "customer" else "reply"
