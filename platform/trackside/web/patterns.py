"""`/-/patterns`, in development only: every component of `ui`, empty and full, with long names and errors.

The data is made up and the same on every call, so that pictures of it can be compared.
"""

import math
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from flask import Blueprint, abort, current_app, render_template
from flask.typing import ResponseReturnValue
from wtforms import (
    BooleanField,
    Form,
    PasswordField,
    RadioField,
    SelectField,
    SelectMultipleField,
    StringField,
    TextAreaField,
)
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # newer than its stubs
from wtforms.validators import InputRequired, Length, Optional

from trackside import errors
from trackside.module import Mark
from trackside.web.charts import Chart, Series
from trackside.web.look import now, zone
from trackside.web.policy import public

blueprint = Blueprint("patterns", __name__, url_prefix="/-/patterns")
REASON = "development only; shows components over made-up data"
LONG = "Société Générale des Investissements Transatlantiques et de Participations (Luxembourg) S.à r.l."


def _choices(**labels: str) -> list[SelectChoice]:
    return [SelectChoice(value, label) for value, label in labels.items()]


class SampleForm(Form):
    """One field of each kind."""

    name = StringField("Name", [InputRequired("A key needs a name, so that one knows later what it is for.")])
    email = StringField("Email", description="Where the invitation goes.")
    password = PasswordField("Password", [Length(min=12, message="Use 12 characters or more.")])
    note = TextAreaField("Note", [Optional()])
    kind = SelectField("Kind", choices=_choices(server="Server", ingest="Ingest", client="Client, public"))
    expires = RadioField("Expires", choices=_choices(never="Never", later="After 90 days"), default="never")
    scopes = SelectMultipleField(
        "Scopes", choices=_choices(customers="Read accounts", usage="Read usage"), default=["usage"]
    )
    notify = BooleanField("Tell me when it is used for the first time")


@dataclass(frozen=True, slots=True)
class SampleStep:
    """A line of the sample checklist."""

    title: str
    url: str
    command: str | None
    done: bool


@dataclass(frozen=True, slots=True)
class SampleAccount:
    """A row of the sample table."""

    name: str
    status: str
    words: str
    requests: int
    errors: float
    p95: float
    history: tuple[float | None, ...]
    seen: datetime | None


@blueprint.get("")
@public(REASON)
def index() -> ResponseReturnValue:
    """Show every component."""
    wrong = SampleForm(prefix="wrong-", data={"name": "", "password": "short", "kind": "ingest"})
    wrong.validate()
    return render_template(
        "patterns.html",
        accounts=_accounts(now()),
        charts=_charts(now()),
        pulse=_pulse(now()),
        empty_chart=Chart("Requests", "per minute", x=(), series=[Series("requests", ())]),
        form=SampleForm(),
        wrong=wrong,
        steps=_steps(),
        icons=_icons(),
        long=LONG,
        statuses=(400, 403, 404, 405, 409, 413, 429, 500, 503),
    )


@blueprint.get("/live")
@public(REASON)
def live() -> ResponseReturnValue:
    """Show the part that keeps itself fresh, alone."""
    return render_template("_patterns_live.html", pulse=_pulse(now()))


@blueprint.get("/error/<int:status>")
@public(REASON)
def error(status: int) -> ResponseReturnValue:
    """Show an error page, by failing in that way."""
    kinds: dict[int, errors.TracksideError] = {
        400: errors.BadRequest("The address says from=yesterdayish, which is no time. Use 2026-11-22T14:00:00Z."),
        403: errors.NotAllowed("Your role (viewer) does not include: Create and revoke API keys."),
        409: errors.Conflict("There is an account acme already; it was created on 3 March 2026."),
        413: errors.TooLarge("The file has 31 MB; up to 16 MB are taken at once."),
        422: errors.InputError("Two values cannot be used.", {"limit": "given twice", "sort": "no such column: cost"}),
        429: errors.TooMany("Too many sign-ins were tried from your address.", retry_after=90),
        500: errors.TracksideError("This page could not be built, by a mistake of ours. Nothing was changed."),
        503: errors.Unavailable("The database is not reachable at the moment. Nothing was changed.", retry_after=5),
    }
    if status in kinds:
        raise kinds[status]
    abort(status if status in (404, 405) else 404)


def _icons() -> list[str]:
    static = Path(str(current_app.static_folder))
    return re.findall(r'<symbol id="([^"]+)"', (static / "icons.svg").read_text(encoding="utf-8"))


def _steps() -> list[SampleStep]:
    curl = "curl -H 'Authorization: Bearer ts_production_ingest_...' http://127.0.0.1:8000/v1/events -d @batch.json"
    return [
        SampleStep("Send your first request", "#", None, True),
        SampleStep("Log an interaction", "#", 'trackside support log "Ada: cannot export, sent the fix"', False),
        SampleStep("Create a flag", "#", "trackside flags create new-export --env production", False),
        SampleStep("Invite a colleague", "#", curl, False),
    ]


def _accounts(at: datetime) -> list[SampleAccount]:
    wave = tuple(60 + 40 * math.sin(place / 3) + place for place in range(30))
    gap = (*wave[:9], None, None, *wave[12:])
    ago = [at - timedelta(minutes=minutes) for minutes in (1, 42, 3_000, 90_000)]
    return [
        SampleAccount("Acme Robotics", "ok", "Healthy", 1_204_113, 0.0012, 84.2, wave, ago[0]),
        SampleAccount("Blue Heron Analytics", "warn", "Slowing", 88_214, 0.0231, 412.0, gap, ago[1]),
        SampleAccount(LONG, "bad", "Leaving", 312, 0.41, 12_400.0, wave[::-1], ago[2]),
        SampleAccount("شركة النور", "idle", "Quiet", 0, 0.0, 0.0, (0.0,) * 30, ago[3]),
        SampleAccount("<script>alert(1)</script>", "idle", "Quiet", 7, 0.0, 3.1, (None,) * 30, None),
    ]


def _pulse(at: datetime) -> Chart:
    end = at.replace(microsecond=0)
    x = [end - timedelta(seconds=59 - place) for place in range(60)]
    counts = [round(40 + 20 * math.sin(when.timestamp() / 5)) for when in x]
    return Chart(
        "Requests now", "per second", x=x, series=[Series("requests", counts)], zone=zone(), key="sample-pulse"
    )


def _charts(at: datetime) -> dict[str, Chart]:
    end = at.replace(second=0, microsecond=0)
    x = [end - timedelta(minutes=119 - place) for place in range(120)]
    wave = [420 + 130 * math.sin(place / 17) + 34 * math.sin(place * 1.7) for place in range(120)]
    counts: list[float | None] = [None if 52 <= place < 60 else round(value) for place, value in enumerate(wave)]
    marks = [
        Mark(x[24], "version", "checkout-api 4.12.0 first seen", "#version"),
        Mark(x[66], "flag", "new-export raised from 5 % to 25 %", "#flag"),
        Mark(x[70], "incident", "Incident: error rate above 2 %", "#incident"),
        Mark(x[108], "member", "Ada revoked the key CI", None),
    ]
    shape = {
        "p50": [24 + value / 40 for value in wave],
        "p95": [88 + value / 6 for value in wave],
        "p99": [190 + value / 2.4 + (260 if 68 <= place < 80 else 0) for place, value in enumerate(wave)],
    }
    days = [end.replace(hour=0, minute=0) - timedelta(days=27 - place) for place in range(28)]
    routes = ("/v1/orders", "/v1/orders/{id}", "/v1/export", "/v1/me", "(other)")
    return {
        "requests": Chart(
            "Requests",
            "per minute",
            x=x,
            series=[Series("requests", counts)],
            previous=Series("day before", [round(value * 0.82) for value in wave]),
            marks=marks,
            zone=zone(),
            url=lambda when: f"#at-{when:%H%M}",
            key="sample-requests",
        ),
        "latency": Chart(
            "Response time",
            "ms",
            x=x,
            series=[Series(name, values) for name, values in shape.items()],
            marks=marks,
            zone=zone(),
        ),
        "routes": Chart(
            "Requests by route",
            "per minute",
            x=x,
            series=[Series(name, [value / (place + 1.3) for value in wave]) for place, name in enumerate(routes)],
            zone=zone(),
        ),
        "days": Chart(
            "Active users",
            "per day",
            x=days,
            series=[Series("users", [round(abs(300 + 90 * math.sin(place)), 0) for place in range(28)], "bar")],
            zone=zone(),
        ),
        "share": Chart(
            "Share of requests on the new version",
            "%",
            x=x,
            series=[Series("4.12.0", [min(100.0, max(0.0, place - 24.0) * 1.6) for place in range(120)], "area")],
            marks=marks[:1],
            top=100,
            zone=zone(),
        ),
    }
