"""The calls that failed, or were slow, for a customer who writes of it: what their frozen context shows of them.

The demo's past was not measured call by call, so what a case speaks of is put into the usage card as it would have been
counted. Where that card has another shape, or is not there, the context stays as it is.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from trackside_modules.support.demo.cases import CASES, OUTAGE
from trackside_modules.support.demo.cases.case import Calls

CARD = "usage"
LAST = 5
"""So many of the last errors a card shows."""
LISTED = 5
"""And so many of the endpoints."""
_APART = timedelta(seconds=97)
_SLOW_MS = 3180.0

SPOKEN_OF: Mapping[str, Calls] = {each.subject: each.calls for each in (*CASES, *OUTAGE) if each.calls is not None}
"""Cases that speak of calls, by their subject."""


def with_calls(context: dict[str, Any], calls: Calls, at: datetime) -> dict[str, Any]:
    """Return a frozen context whose usage card shows `calls` just before `at`."""
    cards = [
        each | {"values": _counted(each["values"], calls, at)} if each["name"] == CARD and each["values"] else each
        for each in context["cards"]
    ]
    return context | {"cards": cards}


def _counted(card: Mapping[str, Any], calls: Calls, at: datetime) -> dict[str, Any]:
    number = calls.number
    counted = ["calls", *calls.counted]
    more = {name: card.get(name, 0) + number for name in counted}
    return {
        **card,
        **more,
        "hours": [*card["hours"][:-1], card["hours"][-1] + number],
        "days": [*card["days"][:-1], card["days"][-1] + number],
        "p95_ms": max(card["p95_ms"] or 0, _SLOW_MS) if calls.slow else card["p95_ms"],
        "errors": [*_errors(calls, at), *card["errors"]][:LAST],
        "endpoints": _endpoints(card["endpoints"], calls),
    }


def _errors(calls: Calls, at: datetime) -> list[dict[str, Any]]:
    if calls.slow:
        return []
    said = {"error": calls.error, "message": calls.message, "status": calls.status, "error_id": None, "user": ""}
    moments = (at - timedelta(minutes=2) - place * _APART for place in range(min(calls.number, LAST)))
    return [{**said, "method": calls.method, "route": calls.route, "at": each.isoformat()} for each in moments]


def _endpoints(listed: list[dict[str, Any]], calls: Calls) -> list[dict[str, Any]]:
    """Return the endpoints with the one that was called, though it be none of the most called ones."""
    it: dict[str, Any] = {"id": None, "method": calls.method, "route": calls.route, "p95_ms": 40.0}
    there = next((each for each in listed if (each["method"], each["route"]) == (calls.method, calls.route)), None)
    it |= {"calls": 0, "server_errors": 0, "client_errors": 0} | (there or {})
    for name in ("calls", *calls.counted):
        if name in it:
            it[name] += calls.number
    it["p95_ms"] = _SLOW_MS if calls.slow else it["p95_ms"]
    others = [each for each in listed if each is not there][: LISTED - 1]
    return sorted([it, *others], key=lambda each: -each["calls"])
