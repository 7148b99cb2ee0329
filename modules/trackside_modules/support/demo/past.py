# ruff: noqa: E501 - texts, each a line
"""The demo's support log of 90 days, as events: who wrote when, what they were answered, how it ended.

Drawn from a fixed seed and placed by days before the seeding, as all of the demo's past is (see `trackside.demo.story`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any

from trackside.demo import story
from trackside.demo.people import COMPANIES, LAPSED, POWER_USER, Person, people
from trackside_modules.support.demo.cases import CASES, OUTAGE, Case, called

ROUTINE = 205
"""Interactions besides those that belong to the story."""
LENA, OMAR = "Lena Fischer", "Omar Reyes"
_PLANS = {each.external_id: each.plan for each in COMPANIES}
_NAMES = {each.external_id: each.name for each in COMPANIES}
_OPENS, _CLOSES = 8, 17


@dataclass(frozen=True, slots=True)
class Happening:
    """One event of a told interaction: what it is, when, and who did it."""

    kind: str
    at: datetime
    who: str
    """A member of the demo's team, `customer`, or nothing for Trackside itself."""
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Told:
    """An interaction of the past; its first happening is `created`."""

    case: Case
    person: Person
    events: Sequence[Happening]


def told(now: datetime) -> list[Told]:
    """Return the whole past as seen from `now`, the oldest first."""
    draw = Random("support")  # noqa: S311 - chooses nothing secret
    wanted = [*_story(now, draw), *_routine(now, draw), *_today(now)]
    wanted.sort(key=lambda each: each[2])
    return [_tell(case, person, at, now, Random(f"{place}")) for place, (case, person, at) in enumerate(wanted)]  # noqa: S311


Start = tuple[Case, Person, datetime]


def _routine(now: datetime, draw: Random) -> Iterator[Start]:
    cases = [each for each in CASES if each.weight]
    made = 0
    while made < ROUTINE:
        at = now - timedelta(days=draw.random() * story.DAYS)
        if draw.random() * 4 > story.busyness(at) * (0.35 + story.at_work(at)) * 1.6 ** (-(now - at).days / story.DAYS):
            continue
        case = draw.choices(cases, [each.weight for each in cases])[0]
        person = _someone(draw, now, at, case)
        if person is not None:
            made += 1
            yield case, person, at


def _story(now: datetime, draw: Random) -> Iterator[Start]:
    """Yield what the demo's story makes people write."""

    def days(ago: float) -> datetime:
        return now - timedelta(days=ago)

    begins, ends = story.INCIDENT.within(now)
    for place, company in enumerate(each for each in COMPANIES if each.external_id not in {"alder", "isla"}):
        at = begins + (ends - begins) * min(0.97, 0.04 + 0.08 * place + draw.random() * 0.05)
        yield OUTAGE[place % len(OUTAGE)], _of(company.external_id, draw), at
    slow = called("Labels take very long since this week")
    for ago, account in (
        (11.6, "brightwater"),
        (11.2, "fjord"),
        (9.4, "granite"),
        (7.3, "kestrel"),
        (4.4, "dovetail"),
        (1.2, "cobalt"),
    ):
        yield slow, _of(account, draw), days(ago)
    limit, importer = called("429 in the middle of our nightly run"), _named(POWER_USER)
    for ago in (71.3, 40.2, 8.3, 0.35):
        yield limit, importer, days(ago)
    for ago, account in ((5.2, "brightwater"), (2.3, "kestrel"), (0.8, "fjord")):
        yield called("Checkout shows no rates for some customers"), _of(account, draw), days(ago)
    for ago, account in ((9.3, "harrow"), (3.4, "elmstreet")):
        yield called("Why is another carrier shown first now?"), _of(account, draw), days(ago)
    yield called("Umlauts are missing on printed labels"), _of(LAPSED, draw), days(44.3)
    yield called("Webhooks arrive twice"), _of(LAPSED, draw), days(36.2)
    yield called("We want to cancel"), _of(LAPSED, draw), days(20.4)


def _today(now: datetime) -> Iterator[Start]:
    """Yield what came in lately, whatever the day of the week."""
    for minutes, subject, user in (
        (9, "401 after key rotation", "harrow-priya"),
        (34, "Return labels for Switzerland", "juniper-chloe"),
        (71, "Rates differ from the carrier's own page", "cobalt-noor"),
        (140, "Signature of webhooks in Python", "lumen-elif"),
        (250, "Invoice without our VAT number", "dovetail-hana"),
        (420, "Parcel shows as delivered, and is not", "granite-lucia"),
        (700, "Returns without a printer", "fjord-ingrid"),
        (1130, "How do we rotate keys without downtime?", "alder-grace"),
    ):
        yield called(subject), _named(user), now - timedelta(minutes=minutes)


def _someone(draw: Random, now: datetime, at: datetime, case: Case) -> Person | None:
    """Return who writes: big customers more often, and only those that were there."""
    ago = (now - at).total_seconds() / 86_400
    fitting = [each for each in COMPANIES if not case.plans or each.plan in case.plans]
    weights = [each.weight**0.5 * story.level(each.external_id, ago) for each in fitting]
    if not any(weights):
        return None
    return _of(draw.choices(fitting, weights)[0].external_id, draw)


def _of(account: str, draw: Random) -> Person:
    return draw.choice([each for each in people() if each.account_id == account and each.email])


def _named(external_id: str) -> Person:
    return next(each for each in people() if each.external_id == external_id)


def _tell(case: Case, person: Person, at: datetime, now: datetime, draw: Random) -> Told:
    """Return one conversation up to `now`: what would come after it has not happened yet."""
    words = _words(person, draw)
    ago = now - at
    staff, other = (LENA, OMAR) if draw.random() < 0.6 else (OMAR, LENA)
    events = [_created(case, person, at, words, draw)]
    events.append(Happening("message", at, "customer", _message("customer", case.says, words)))
    answered = _after(at, draw.lognormvariate(0.2, 1.0) if case.priority != "urgent" else draw.uniform(0.1, 0.5))
    events.append(Happening("assign", answered - timedelta(minutes=4), staff, {"to": staff}))
    events += [
        Happening("link", answered - timedelta(minutes=2), staff, {"kind": kind, "ref": ref, "title": ""})
        for kind, ref in case.links
    ]
    if case.note:
        events.append(Happening("note", answered - timedelta(minutes=1), staff, {"body": case.note.format(**words)}))
    lingers = case.to_dev or (draw.random() < 0.25 and ago < timedelta(days=6))
    events.append(Happening("message", answered, staff, _message("staff", case.answer, words)))
    last = answered
    for turn in case.turns:
        last = last + timedelta(hours=draw.uniform(0.4, 9))
        events.append(Happening("message", last, "customer", _message("customer", turn, words)))
    if lingers and (case.to_dev or draw.random() < 0.4):
        events.append(Happening("status", last + timedelta(minutes=9), other, {"to": "waiting_dev"}))
    elif not lingers:
        events += _ended(case, last, staff, draw)
    return Told(case, person, [each for each in events if each.at <= now])


def _created(case: Case, person: Person, at: datetime, words: dict[str, str], draw: Random) -> Happening:
    by_hand = case.channel in {"phone", "meeting"} or draw.random() < 0.35
    data: dict[str, Any] = {
        "subject": case.subject.format(**words),
        "kind": case.kind,
        "channel": case.channel,
        "direction": "in",
        "priority": case.priority,
        "status": "new",
        "tags": sorted(case.tags),
        "source": "demo",
        "topic": case.topic,
        "account": person.account_id,
    }
    if by_hand:
        data["logged_ms"] = int(1000 * min(90, draw.lognormvariate(2.0, 0.4)))
    return Happening("created", at, (LENA if draw.random() < 0.5 else OMAR) if by_hand else "customer", data)


def _ended(case: Case, last: datetime, staff: str, draw: Random) -> Iterator[Happening]:
    """Yield how it ended: solved, now and then opened again, and what the customer said of it."""
    solved = _after(last, draw.uniform(0.2, 3))
    yield Happening("status", solved, staff, {"to": "solved"})
    if draw.random() < 0.07 and case.kind != "praise":
        back = solved + timedelta(hours=draw.uniform(5, 60))
        yield Happening(
            "message",
            back,
            "customer",
            {"side": "customer", "body": "It is back, sorry. Could you have another look?", "via": "mail"},
        )
        again = _after(back, draw.uniform(0.5, 4))
        yield Happening(
            "message",
            again,
            staff,
            {"side": "staff", "body": "I had, and found the rest of it. This time it is gone for good.", "via": "web"},
        )
        solved = again + timedelta(minutes=3)
        yield Happening("status", solved, staff, {"to": "solved"})
    asked = solved + timedelta(minutes=1)
    yield Happening("csat_asked", asked, "")
    if draw.random() < 0.38:
        unhappy = "churn" in case.tags or ("outage" in case.tags and draw.random() < 0.4)
        score = 2 if unhappy else draw.choices((5, 4, 3, 2), (60, 27, 9, 4))[0]
        comment = (
            draw.choice(("Quick and kind.", "Took two tries, but solved.", "Great as always.", "", "", ""))
            if score > 3
            else draw.choice(("Took too long.", ""))
        )
        yield Happening(
            "csat", asked + timedelta(hours=draw.uniform(0.2, 30)), "customer", {"score": score, "comment": comment}
        )


def _message(side: str, text: str, words: dict[str, str]) -> dict[str, Any]:
    return {"side": side, "body": _filled(text, words), "via": "mail" if side == "customer" else "web"}


def _words(person: Person, draw: Random) -> dict[str, str]:
    return {
        "first": person.name.split()[0] if person.email else "there",
        "company": _NAMES[person.account_id],
        "ship": f"shp_{draw.randrange(10**5, 10**6)}",
        "code": f"TS{draw.randrange(10**8, 10**9)}",
    }


def _filled(text: str, words: dict[str, str]) -> str:
    # not `format`: texts hold braces of their own
    for name, value in words.items():
        text = text.replace("{" + name + "}", value)
    return text


def _after(at: datetime, hours: float) -> datetime:
    """Return when the team gets to it, so many working hours after `at` (Monday to Friday, UTC)."""
    left = timedelta(hours=hours)
    while True:
        opens = at.replace(hour=_OPENS, minute=0, second=0, microsecond=0)
        closes = at.replace(hour=_CLOSES, minute=0, second=0, microsecond=0)
        if at.weekday() >= 5 or at >= closes:
            at = opens + timedelta(days=1)
            continue
        at = max(at, opens)
        if at + left <= closes:
            return at + left
        left -= closes - at
        at = opens + timedelta(days=1)
