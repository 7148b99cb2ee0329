"""The filters in the URL that the pages of usage share: environment, service, range, comparison.

asked = ask_filters(default="24h")
render_template("usage/x.html", asked=asked, ...)   # the page extends usage/_page.html, which draws them
url_for("usage.rows", user=7, **asked.kept)         # what one follows keeps them
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import request
from sqlalchemy.orm import Session

from trackside.db import db
from trackside.errors import InputError
from trackside.text import whole_number
from trackside.web.current import current_runtime
from trackside.web.environments import current_environment
from trackside.web.look import zone
from trackside.workspace import Environment
from trackside_modules.usage.queries.horizon import finest_step
from trackside_modules.usage.queries.names import services
from trackside_modules.usage.queries.window import CUSTOM, DAY, DEFAULT, RANGES, Window, between, floor, window
from trackside_modules.usage.storage import once

LONGEST = timedelta(days=3700)
_TEXT = 200
_FORM = "%Y-%m-%dT%H:%M"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a page was asked to show."""

    env: Environment
    service: str
    span: Window
    compare: bool
    services: Sequence[str]
    """All there are, to choose from."""
    kept: dict[str, Any]
    """The parameters that links to other pages keep; None where one is not on."""

    @property
    def ranges(self) -> list[tuple[str, str]]:
        """Name and label of each range."""
        return [(name, label) for name, (label, _, _) in RANGES.items()]

    @property
    def narrows(self) -> bool:
        """Whether less is shown than everything of the range: an empty page then means no match."""
        return bool(self.service)

    @property
    def label(self) -> str:
        """The span in words, for one that is no named range."""
        ends = [at.astimezone(zone()) for at in (self.span.start, self.span.until)]
        return f"{ends[0].day} {ends[0]:%b %H:%M} to {ends[1].day} {ends[1]:%b %H:%M}"

    @property
    def zone_name(self) -> str:
        """The member's zone as people know it."""
        return getattr(zone(), "key", None) or "UTC"

    @property
    def start_local(self) -> str:
        """The start as a form writes it, in the member's zone."""
        return self.span.start.astimezone(zone()).strftime(_FORM)

    @property
    def end_local(self) -> str:
        """The end, likewise."""
        return self.span.until.astimezone(zone()).strftime(_FORM)


def ask_filters(default: str = DEFAULT) -> Asked:
    """Return the filters in the URL; `default` is the range where it names none.

    Raises InputError for a range, time or comparison that does not exist, saying which there are.
    """
    session, env, now = db.session(), current_environment(), current_runtime().clock.now()
    service = text("service")
    compare = request.args.get("compare", "")
    if compare not in ("", "on", "off"):
        raise InputError("The comparison is on or off.", {"compare": "choose on or off"})
    span, kept = _span(session, now, default)
    kept |= {"env": env.slug, "service": service or None, "compare": "off" if compare == "off" else None}
    # from midnight on: which tiers a span is read from is told by the marks of its whole days
    before = floor(span.previous().start, DAY)
    once.hold(session, env.id, before, max(span.end, now))
    return Asked(env, service, span, compare != "off", services(session, env.id), kept)


def _span(session: Session, now: datetime, default: str) -> tuple[Window, dict[str, Any]]:
    since, until = request.args.get("from", ""), request.args.get("to", "")
    name = request.args.get("range") or (CUSTOM if since or until else default)
    if name == CUSTOM:
        start, end = _moment("from", since), _moment("to", until) if until else now
        if not start < end <= now + timedelta(days=1) or end - start > LONGEST:
            message = "must lie before `to`, which must not lie in the future"
            raise InputError(f"The range is none: `from` {message}.", {"from": message})
        return between(start, end, now, finest_step(session, start - (end - start))), {
            "range": CUSTOM,
            "from": since,
            "to": until or None,
        }
    if name not in RANGES:
        raise InputError(f"There is no range {name[:20]!r}: choose one of {', '.join(RANGES)}.")
    return window(name, now), {"range": name if name != default or "range" in request.args else None}


def _moment(name: str, given: str) -> datetime:
    """Return a moment as a form or a program writes it; without an offset it is the member's own time."""
    try:
        at = datetime.fromisoformat(given)
    except ValueError:
        at = None
    if at is None or not 2000 <= at.year <= 2200:
        message = "must be a time such as 2026-11-22T14:00"
        raise InputError(f"`{name}` {message}.", {name: message})
    return (at if at.tzinfo else at.replace(tzinfo=zone())).astimezone(UTC)


def text(name: str) -> str:
    """Return a text of the URL, empty where it is not there; raises InputError where it cannot be searched for."""
    found = request.args.get(name, "").strip()
    if "\0" in found or len(found) > _TEXT:
        message = f"must be a text of at most {_TEXT} characters"
        raise InputError(f"The filter `{name}` {message}.", {name: message})
    return found


def number(name: str) -> int | None:
    """Return a number of the URL; raises InputError where it is none."""
    raw = request.args.get(name, "")
    if not raw:
        return None
    if (found := whole_number(raw)) is None:
        raise InputError(f"The filter {name!r} must be a number.")
    return found


def choice(name: str, choices: Sequence[str], default: str) -> str:
    """Return one of `choices`; raises InputError, naming them, for anything else."""
    found = request.args.get(name) or default
    if found not in choices:
        message = f"choose one of {', '.join(each for each in choices if each)}"
        raise InputError(f"There is no {name} {found[:20]!r}: {message}.", {name: message})
    return found


def skip() -> int:
    """Return how many rows the page's cursor leaves out; raises InputError for one that is none."""
    found = whole_number(request.args.get("cursor", "") or "0", digits=7)
    if found is None:
        raise InputError("This page's cursor is not valid: start from the first page.", {"cursor": "is not valid"})
    return found
