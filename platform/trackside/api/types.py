"""Types that API modules share: what comes in is strict, and texts that break a page or a log stay out."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Generic, TypeVar

import msgspec
from msgspec import Meta

T = TypeVar("T")
MOST = 200
"""Rows of the longest page."""

Id = Annotated[int, Meta(ge=1, le=2**63 - 1, description="The id of a row")]
Name = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=200,
        pattern=r"^[^\x00-\x1f\x7f\u2028-\u202e\u2066-\u2069]+$",
        description="A line of text, without control characters",
    ),
]
Text = Annotated[str, Meta(max_length=20_000, description="Text of any number of lines")]
Moment = Annotated[datetime, Meta(tz=True, description="RFC 3339, with an offset")]


class Input(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=False):
    """The base of what is sent to us: a field that is not declared is refused (no mass assignment)."""


class Paged(Input):
    """The base of a list's query parameters: a page of `limit` rows, after `cursor`."""

    cursor: Annotated[str, Meta(max_length=2000, description="`next` of the page before; empty for the first")] = ""
    limit: Annotated[int, Meta(ge=1, le=MOST, description="Rows of a page")] = 50


@dataclass(frozen=True, slots=True)
class Streamed:
    """An answer of any length, sent as it is made: what goes wrong after the first piece ends it early."""

    pieces: Iterator[str]
    media_type: str
    """`text/csv` or `application/json`."""


class Page(msgspec.Struct, Generic[T]):
    """A part of a list; `next` is the cursor of the following page, null on the last."""

    items: list[T]
    next: str | None = None
