"""An interaction of elsewhere, as every kind of file is read to: whose it was, what was said, how it ended."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec


@dataclass(frozen=True, slots=True)
class Downloaded:
    """A file that came with a message, as it lies beside the export."""

    name: str
    path: Path


class Said(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A message or a note."""

    at: datetime
    body: str
    side: str = "customer"
    """`customer` or `staff`."""
    public: bool = True
    author: str = ""
    """A member's e-mail address, where it is known."""
    files: tuple[Downloaded, ...] = ()


class Record(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An interaction of elsewhere; texts are as they were found, and checked when they are written."""

    line: int
    external_ref: str
    """Without blanks around it, and in NFC: what is the same to us is the same here."""
    subject: str
    occurred_at: datetime
    user: str = ""
    email: str = ""
    account: str = ""
    kind: str = "question"
    topic: str = ""
    channel: str = "other"
    direction: str = "in"
    priority: str = "normal"
    assignee: str = ""
    tags: tuple[str, ...] = ()
    status: str = ""
    ended_at: datetime | None = None
    """When it got its status; None: with the last thing that was said."""
    said: tuple[Said, ...] = ()
    csat: int | None = None
    comment: str = ""

    def holds_nul(self) -> str:
        """Return which of what is looked up in the database holds a NUL character, which it does not take; or ""."""
        names = ("external_ref", "user", "email", "account", "topic", "assignee")
        if any("\0" in each.author for each in self.said):
            return "author"
        return next((name for name in names if "\0" in getattr(self, name)), "")


@dataclass(frozen=True, slots=True)
class Broken:
    """A row that cannot be brought in."""

    line: int
    problem: str


Records = Iterator[Record | Broken]
