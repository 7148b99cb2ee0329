"""The words of an interaction, as it is searched by."""

from collections.abc import Iterable
from dataclasses import dataclass

from trackside_modules.support.history.events import Event

MOST = 200_000
"""Characters of each that are searched: PostgreSQL refuses a document beyond 1 MB."""


@dataclass(frozen=True, slots=True)
class Texts:
    """What is searched, the most telling first."""

    subject: str
    messages: str
    notes: str


def texts_of(events: Iterable[Event]) -> Texts:
    """Return the words in `events`: the last subject, all messages, and notes with what customers said of us."""
    subject = ""
    messages: list[str] = []
    notes: list[str] = []
    for event in events:
        if event.kind == "message":
            messages.append(event.data["body"])
        elif event.kind == "note":
            notes.append(event.data["body"])
        elif event.kind == "created":
            subject = event.data["subject"]
        elif event.kind == "subject":
            subject = event.data["to"]
        elif event.kind == "csat" and event.data.get("comment"):
            notes.append(event.data["comment"])
    return Texts(subject, "\n".join(messages)[:MOST], "\n".join(notes)[:MOST])
