"""The words of the support log: what an interaction's fields may be, and how people read them."""

from collections.abc import Mapping
from types import MappingProxyType

from trackside.text import whole_number

KINDS: Mapping[str, str] = MappingProxyType(
    {
        "question": "Question",
        "bug": "Bug",
        "feature": "Feature",
        "billing": "Billing",
        "incident": "Incident",
        "praise": "Praise",
        "other": "Other",
    }
)
STATUSES: Mapping[str, str] = MappingProxyType(
    {
        "new": "New",
        "open": "Open",
        "waiting_customer": "Waiting for the customer",
        "waiting_dev": "Waiting for development",
        "solved": "Solved",
        "closed": "Closed",
        "spam": "Spam",
    }
)
PRIORITIES: Mapping[str, str] = MappingProxyType({"low": "Low", "normal": "Normal", "high": "High", "urgent": "Urgent"})
CHANNELS: Mapping[str, str] = MappingProxyType(
    {
        "email": "E-mail",
        "chat": "Chat",
        "phone": "Phone",
        "web": "Web",
        "api": "API",
        "meeting": "Meeting",
        "other": "Other",
    }
)
DIRECTIONS: Mapping[str, str] = MappingProxyType({"in": "From the customer", "out": "To the customer"})
LINKS: Mapping[str, str] = MappingProxyType({"url": "Tracker", "flag": "Flag", "interaction": "Interaction"})

ACTIVE = ("new", "open", "waiting_customer", "waiting_dev")
"""Statuses in which something is still to be done, by us or by the customer."""
WAITING_FOR_US = ("new", "open")
"""Statuses in which it is our turn."""
ENDED = ("solved", "closed")
"""Statuses in which nothing is to be done any more."""
PREFIX = "SUP-"
"""Before the number of an interaction, wherever people read it."""


def ref(number: int) -> str:
    """Return how the interaction `number` is called: `SUP-123`."""
    return f"{PREFIX}{number}"


def number_of(text: str) -> int | None:
    """Return the number in `SUP-123`, `sup-123` or `123`, or None where `text` is no such thing."""
    return whole_number(text.strip().upper().removeprefix(PREFIX)) or None
