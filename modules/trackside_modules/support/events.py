"""What the support log announces, after the commit that made it true: for webhooks, the outbox and other modules."""

from dataclasses import dataclass

from trackside.events import Event


@dataclass(frozen=True, slots=True)
class InteractionEvent(Event):
    """The root: something happened to an interaction."""

    interaction_id: int
    seq: int
    """Of the event in its history."""


@dataclass(frozen=True, slots=True)
class InteractionLogged(InteractionEvent):
    """A new interaction was logged; its first messages are announced on their own."""

    user_id: int | None
    account_id: int | None
    kind: str
    source: str


@dataclass(frozen=True, slots=True)
class MessageSent(InteractionEvent):
    """A public message was added; those of `side` staff are to be delivered to the customer."""

    side: str
    """`customer` or `staff`."""
    via: str
    """`web`, `mail`, `api` ...: how it came; what was brought in from elsewhere has been delivered there."""
    automatic: bool


@dataclass(frozen=True, slots=True)
class NoteAdded(InteractionEvent):
    """An internal note was added."""


@dataclass(frozen=True, slots=True)
class StatusChanged(InteractionEvent):
    """The status is another, whatever made it so: a message, a member, a merge."""

    before: str
    status: str
    reopened: bool


@dataclass(frozen=True, slots=True)
class InteractionChanged(InteractionEvent):
    """Anything else happened: assigned, tagged, snoozed, linked ...; `what` is the kind of `history.events`."""

    what: str


@dataclass(frozen=True, slots=True)
class InteractionsErased(Event):
    """The words of these interactions are gone, for their customer was erased: whoever keeps copies removes them."""

    interaction_ids: tuple[int, ...]
    files: tuple[str, ...]
    """SHA-256 of files that no interaction has any more."""
