"""Reads a JSON document with its places at hand: every finding is noted where it is, and reading goes on."""

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from trackside_client.flags.moments import parse_moment
from trackside_client.flags.problems import Problem

DEEPEST = 32
"""Levels of a JSON value."""
LARGEST_INTEGER = 2**53
"""Every client's language can hold an integer up to here."""
FIRST_YEAR, LAST_YEAR = 1970, 2200
"""Of what is planned."""


class Cursor:
    """A value and its place in the flag it belongs to; what is not as it must be is noted in `problems`."""

    __slots__ = ("flag", "path", "problems", "value")

    def __init__(self, value: Any, flag: str = "", path: str = "", problems: list[Problem] | None = None) -> None:
        self.value, self.flag, self.path = value, flag, path
        self.problems: list[Problem] = [] if problems is None else problems

    def refuse(self, message: str) -> None:
        """Note that this value cannot be accepted, and why."""
        self.problems.append(Problem(self.flag, self.path, message))

    def _at(self, value: Any, path: str) -> "Cursor":
        return Cursor(value, self.flag, path, self.problems)

    def field(self, name: str, default: Any = None) -> "Cursor":
        """Return the named field of an object, or the default in its place."""
        value = self.value.get(name, default) if isinstance(self.value, Mapping) else default
        return self._at(value, f"{self.path}.{name}" if self.path else name)

    @property
    def given(self) -> bool:
        """Whether there is a value at all: null is as good as absent."""
        return self.value is not None

    def object(self, known: frozenset[str] | None = None) -> bool:
        """Tell whether this is an object; fields outside `known` are refused where that is given."""
        if not isinstance(self.value, Mapping):
            self.refuse("must be an object")
            return False
        for name in self.value:
            if not isinstance(name, str) or not clean(name):
                self.refuse("names of fields must be plain text")
                return False
            if known is not None and name not in known:
                self.field(name).refuse(f"unknown field; known are {', '.join(sorted(known))}")
        return True

    def entries(self) -> Iterator[tuple[str, "Cursor"]]:
        """Yield name and value of each field of an object."""
        if self.object():
            for name in self.value:
                yield name, self.field(name)

    def items(self, most: int, what: str) -> Iterator["Cursor"]:
        """Yield the items of a list of at most `most` entries."""
        if not isinstance(self.value, Sequence) or isinstance(self.value, (str, bytes)):
            self.refuse(f"must be a list of {what}")
        elif len(self.value) > most:
            self.refuse(f"has {len(self.value)} {what}; at most {most} are allowed")
        else:
            for index, item in enumerate(self.value):
                yield self._at(item, f"{self.path}[{index}]")

    def text(self, longest: int = 1000, *, empty: bool = False) -> str:
        """Return a text of 1 to `longest` characters without control characters, or an empty one after refusing."""
        value = self.value
        if not isinstance(value, str):
            self.refuse("must be a text")
        elif not value and not empty:
            self.refuse("must not be empty")
        elif len(value) > longest:
            self.refuse(f"has {len(value)} characters; at most {longest} are allowed")
        elif not clean(value):
            self.refuse("holds a control character or half a character (a lone surrogate)")
        else:
            return value
        return ""

    def boolean(self) -> bool:
        """Return true or false."""
        if not isinstance(self.value, bool):
            self.refuse("must be true or false")
            return False
        return self.value

    def integer(self, lowest: int, highest: int) -> int:
        """Return an integer in the bounds, both included; `lowest` after refusing."""
        value = self.value
        if not isinstance(value, int) or isinstance(value, bool):
            self.refuse("must be an integer")
        elif not lowest <= value <= highest:
            self.refuse(f"must be from {lowest} to {highest}")
        else:
            return value
        return lowest

    def number(self) -> int | float:
        """Return a finite number; integers up to 2^53, which every client can hold."""
        value = self.value
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            self.refuse("must be a number")
        elif not (math.isfinite(value) if isinstance(value, float) else abs(value) <= LARGEST_INTEGER):
            self.refuse("must be a finite number, an integer of at most 2^53")
        else:
            return value
        return 0

    def moment(self) -> datetime | None:
        """Return a date and time that every time zone can show; None after refusing."""
        found = parse_moment(self.value) if isinstance(self.value, str) else None
        if found is None or not FIRST_YEAR <= found.year <= LAST_YEAR:
            self.refuse(f"must be a date and time as in 2026-11-23T09:00:00Z, from {FIRST_YEAR} to {LAST_YEAR}")
            return None
        return found

    def choice(self, known: Mapping[str, Any] | frozenset[str], what: str) -> str:
        """Return one of the known names; an empty text after refusing."""
        value = self.value
        if isinstance(value, str) and value in known:
            return value
        shown = f"“{value[:80]}” is no" if isinstance(value, str) and value and clean(value) else "is no"
        names = ", ".join(sorted(known)[:20])
        self.refuse(f"{shown} {what}; there is {names or 'none'}{', …' if len(known) > 20 else ''}")
        return ""

    def json(self) -> Any:
        """Return a copy of a JSON value of at most `DEEPEST` levels, which nobody else can change."""
        return self._json(self.value, DEEPEST)

    def _json(self, value: Any, levels: int) -> Any:
        if isinstance(value, (Mapping, list, tuple)):
            if levels == 0:
                self.refuse(f"is nested deeper than {DEEPEST} levels")
            elif not isinstance(value, Mapping):
                return [self._json(each, levels - 1) for each in value]
            elif all(isinstance(name, str) and clean(name) for name in value):
                return {name: self._json(each, levels - 1) for name, each in value.items()}
            else:
                self.refuse("names of fields must be plain text")
            return None
        if value is None or isinstance(value, bool):
            return value
        each = self._at(value, self.path)
        return each.prose() if isinstance(value, str) else each.number()

    def prose(self) -> str:
        """Return a text of any length, in which lines may break."""
        if clean(self.value.translate(_BREAKS)):
            return str(self.value)
        self.refuse("holds a control character or half a character (a lone surrogate)")
        return ""


def clean(text: str) -> bool:
    """Tell whether a text holds neither control characters nor half a character."""
    return text.isprintable() or all(character >= " " and not _odd(character) for character in text)


def _odd(character: str) -> bool:
    return "\x7f" <= character <= "\x9f" or "\ud800" <= character <= "\udfff"


_BREAKS = {ord(each): None for each in "\n\r\t"}
