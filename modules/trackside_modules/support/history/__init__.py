"""What an interaction's events amount to: pure functions, without SQL, Flask or a clock.

    state = state_of(events)

`state_of` is all there is to know of an interaction; its row in `support_interaction` is a copy of it.
"""

from trackside_modules.support.history.events import Event
from trackside_modules.support.history.state import Linked, State, fold, state_of
from trackside_modules.support.history.texts import Texts, texts_of

__all__ = ["Event", "Linked", "State", "Texts", "fold", "state_of", "texts_of"]
