"""Cursors made of whole numbers: where in its order a list goes on."""

from flask import request

from trackside.errors import InputError
from trackside.text import whole_number

_MOST = 2**63


def asked_place(length: int) -> tuple[int, ...] | None:
    """Return the place in the URL, None where it names none; raise InputError for one that is not of this list."""
    cursor = request.args.get("cursor", "")
    if not cursor:
        return None
    parts = [whole_number(part, digits=19) for part in cursor.split(".")]
    place = tuple(part for part in parts if part is not None and part < _MOST)
    if not len(place) == len(parts) == length:
        raise InputError("This page's cursor is not valid: start from the first page.", {"cursor": "is not valid"})
    return place


def cursor(place: tuple[int, ...] | None) -> str | None:
    """Return a place as it stands in the URL."""
    return ".".join(map(str, place)) if place else None
