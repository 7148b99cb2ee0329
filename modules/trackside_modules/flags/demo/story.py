"""What happened to the demo's flags: who did what, how many days ago, and why."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from trackside.auth.audit import Actor
from trackside_modules.flags import shape
from trackside_modules.flags.service import Edit, edits

LENA = Actor("Lena Fischer (demo)")
OMAR = Actor("Omar Reyes (demo)")
TEAM = (LENA.name, OMAR.name)
"""Whoever is called so is the demo's."""


@dataclass(frozen=True, slots=True)
class Event:
    """A change of a flag's state."""

    days: float
    """How long ago."""
    edit: Edit
    reason: str
    who: Actor = LENA
    env: str = "production"


@dataclass(frozen=True, slots=True)
class Story:
    """A flag of the demo and all that happened to it, the oldest first."""

    key: str
    template: str
    days: float
    """How long ago it was made."""
    name: str
    description: str
    tags: Sequence[str]
    events: Sequence[Event] = ()
    given: Mapping[str, Any] = field(default_factory=dict)
    end: float | None = None
    """Its expected end in so many days from now; None: as the template says."""
    archived: float | None = None
    popularity: float = 0
    """How many evaluations a day, for one call of the demo's."""


def _split(*pieces: tuple[str, int]) -> list[list[Any]]:
    return [list(each) for each in pieces]


def _plans(*plans: str) -> list[dict[str, Any]]:
    return [{"attribute": "plan", "op": "in", "values": list(plans), "negate": False}]


_ENTERPRISE = {
    "id": "enterprise",
    "name": "Enterprise first",
    "when": _plans("enterprise"),
    "serve": {"rollout": shape.WHOLE, "split": _split(("on", shape.WHOLE))},
}
_PAYING = {
    "id": "paying",
    "name": "Paying plans",
    "when": _plans("business", "enterprise"),
    "serve": {"rollout": shape.WHOLE, "split": _split(("on", shape.WHOLE))},
}
RAMP_DAYS, RAMP_STEPS = 2.2, 5

STORIES = (
    Story(
        "rates/engine-v2",
        "release",
        96,
        "New rate engine",
        "Prices from the new engine. It has served everybody for months.",
        ("rates",),
        (
            Event(94, edits.both(edits.switch(on=True), edits.rollout(5_000)), "First five percent"),
            Event(88, edits.rollout(30_000), "No difference in prices over a week"),
            Event(83, edits.rollout(100_000), "Same answers, half the time"),
        ),
        end=-24,
        popularity=0.5,
    ),
    Story(
        "ops/live-tracking",
        "ops",
        70,
        "Live tracking",
        "Asks carriers for live positions. Switch it off when a carrier's API is in trouble.",
        ("ops", "tracking"),
        (
            Event(9.35, edits.switch(on=False), "Carrier API times out, requests pile up", OMAR),
            Event(9.31, edits.switch(on=True), "Carrier is back", OMAR),
        ),
        popularity=1,
    ),
    Story(
        "import/bulk",
        "permission",
        55,
        "Bulk import",
        "Importing more than 100 orders at once is part of the business and enterprise plans.",
        ("import", "plans"),
        (
            Event(54, edits.both({"rules": [_PAYING]}, edits.switch(on=True)), "As the contracts say"),
            Event(20, edits.override("account", "juniper", "on"), "Trial for Juniper until spring", OMAR),
        ),
        popularity=0.2,
    ),
    Story(
        "checkout/one-page",
        "release",
        24,
        "One-page checkout",
        "Address, carrier and payment on one page instead of three.",
        ("checkout", "web"),
        (
            Event(24, edits.both(edits.switch(on=True), edits.rollout(100_000)), "To try it", env="staging"),
            Event(19, edits.both(edits.switch(on=True), edits.rollout(5_000)), "A few first"),
            Event(12, edits.rollout(10_000), "No more errors than before"),
            Event(10, {"rules": [_ENTERPRISE]}, "Brightwater and Kestrel asked for it", OMAR),
            Event(7, edits.override(shape.USER, "kestrel-bulk-importer", "off"), "The importer is no browser", OMAR),
        ),
        popularity=0.6,
    ),
    Story(
        "labels/carrier-choice",
        "experiment",
        13,
        "Carrier choice",
        "Does naming the greenest carrier first change what people choose?",
        ("labels", "experiment"),
        (Event(12, edits.switch(on=True), "Two weeks, half and half"),),
        end=4,
        popularity=0.4,
    ),
    Story(
        "webhooks/batch-size",
        "ops",
        31,
        "Webhook batch size",
        "How many events go into one webhook.",
        ("webhooks", "ops"),
        (
            Event(
                30,
                {"serve": {"rollout": shape.WHOLE, "split": _split(("medium", shape.WHOLE))}},
                "Small ones cost too much",
                OMAR,
            ),
        ),
        given={"type": "number", "variants": {"small": 10, "medium": 50, "large": 200}},
    ),
    Story(
        "returns/qr-labels",
        "release",
        1.4,
        "QR codes for returns",
        "A code to show at the counter instead of a label to print.",
        ("returns",),
        (Event(1.2, edits.both(edits.switch(on=True), edits.rollout(100_000)), "To try it", OMAR, "staging"),),
    ),
    Story(
        "rates/holiday-surcharge",
        "release",
        340,
        "Holiday surcharge",
        "Was shown last winter.",
        ("rates",),
        (
            Event(335, edits.both(edits.switch(on=True), edits.rollout(100_000)), "Season begins"),
            Event(300, edits.switch(on=False), "Season is over"),
        ),
        archived=280,
    ),
)


def ramp(now: Any) -> Edit:
    """Return the ramp that is under way: from 10 % to all in five steps, one a day, the first of them days ago."""
    start = now - timedelta(days=RAMP_DAYS)
    plan = edits.even_steps(10_000, 100_000, RAMP_STEPS, timedelta(days=1), now=start)
    return edits.ramp(plan, now=start)
