"""Changing calendars and policies: each change is a new version of all, and metrics follow in the background."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from trackside.auth.audit import Actor, audit
from trackside.errors import Conflict, InputError, NotFound, StaleVersion
from trackside.jobs.tasks import enqueue
from trackside.text import clean_line
from trackside_modules.support import words
from trackside_modules.support.clocks.rules import DAY_MINUTES, DEFAULT, Calendar, Filter, Policy, Rules, from_document
from trackside_modules.support.lookup.topics import below, standing
from trackside_modules.support.models import RulesRow

REMEASURE = "support.measure"
LONGEST_NAME = 60
LONGEST_TARGET = 366 * 24 * 3600
"""Seconds of business time; beyond a year no promise makes sense."""
MOST = 100
MOST_DAYS = 400
"""Of days that are different, in a calendar."""
_LOCK = text("select pg_advisory_xact_lock(hashtext('support_rules'))")
T = TypeVar("T", bound=Calendar | Policy)


def current(session: Session) -> Rules:
    """Return the rules that hold: the latest version, or the defaults while nobody has changed them."""
    query = select(RulesRow.version, RulesRow.document).order_by(RulesRow.version.desc()).limit(1)
    found = session.execute(query).one_or_none()
    return from_document(found.version, found.document) if found else DEFAULT


def versions(session: Session, limit: int = 20) -> list[RulesRow]:
    """Return the latest versions, the newest first."""
    return list(session.scalars(select(RulesRow).order_by(RulesRow.version.desc()).limit(limit)))


def put_calendar(
    session: Session, calendar: Calendar, *, who: Actor, now: datetime, if_version: int | None = None
) -> Rules:
    """Add a calendar (id 0) or change one. Raises InputError by field, NotFound, StaleVersion, Conflict."""
    rules = _locked(session, if_version)
    calendar = replace(calendar, name=_name(calendar.name, calendar.id, rules.calendars))
    _check_calendar(calendar)
    verb = "changed" if calendar.id else "added"
    calendars = _put(rules.calendars, calendar)
    return _save(session, replace(rules, calendars=calendars), f"Calendar {calendar.name!r} {verb}", who, now)


def drop_calendar(
    session: Session, calendar_id: int, *, who: Actor, now: datetime, if_version: int | None = None
) -> Rules:
    """Take a calendar away that no policy uses. Raises NotFound, Conflict, StaleVersion."""
    rules = _locked(session, if_version)
    gone = _one(rules.calendars, calendar_id)
    used = [policy.name for policy in rules.policies if policy.calendar_id == calendar_id]
    if used:
        raise Conflict(f"{gone.name!r} is used by {', '.join(used)}: give them another calendar first.")
    if len(rules.calendars) == 1:
        raise Conflict("One calendar must stay: it measures what no policy matches.")
    left = tuple(each for each in rules.calendars if each.id != calendar_id)
    return _save(session, replace(rules, calendars=left), f"Calendar {gone.name!r} removed", who, now)


def put_policy(session: Session, policy: Policy, *, who: Actor, now: datetime, if_version: int | None = None) -> Rules:
    """Add a policy (id 0), above those that take everything, or change one. Raises as `put_calendar` does."""
    rules = _locked(session, if_version)
    policy = replace(policy, name=_name(policy.name, policy.id, rules.policies))
    _check_policy(policy, rules)
    policy = _with_topics(session, policy)
    verb = "changed" if policy.id else "added"
    policies = _put(rules.policies, policy)
    if not policy.id and not policy.when.everything:
        policies = (*_narrow(policies), *(each for each in policies if each.when.everything))
    return _save(session, replace(rules, policies=policies), f"Policy {policy.name!r} {verb}", who, now)


def drop_policy(session: Session, policy_id: int, *, who: Actor, now: datetime, if_version: int | None = None) -> Rules:
    """Take a policy away. Raises NotFound, StaleVersion."""
    rules = _locked(session, if_version)
    gone = _one(rules.policies, policy_id)
    left = tuple(each for each in rules.policies if each.id != policy_id)
    return _save(session, replace(rules, policies=left), f"Policy {gone.name!r} removed", who, now)


def follow_topics(session: Session, *, who: Actor, now: datetime) -> None:
    """Let policies mean the topics as the tree is now, where one minds topics: the next version, if that differs."""
    if not any(policy.when.topics for policy in current(session).policies):
        return
    rules = _locked(session, None)
    policies = tuple(_with_topics(session, policy) for policy in rules.policies)
    if policies != rules.policies:
        _save(session, replace(rules, policies=policies), "Policies follow the tree of topics", who, now)


def _with_topics(session: Session, policy: Policy) -> Policy:
    """Return the policy with what its topics mean; raises InputError where one of them is none."""
    chosen = standing(session, policy.when.topics)
    if not chosen.keys() >= set(policy.when.topics):
        raise _wrong("topics", "Choose from the list.")
    topics = tuple(dict.fromkeys(chosen.values()))
    meant = tuple(below(session, *topics)) if topics else ()
    return replace(policy, when=replace(policy.when, topics=topics, below=meant))


def raise_policy(
    session: Session, policy_id: int, *, who: Actor, now: datetime, if_version: int | None = None
) -> Rules:
    """Let a policy be asked before the one above it. Raises NotFound, StaleVersion."""
    rules = _locked(session, if_version)
    moved = _one(rules.policies, policy_id)
    order = list(rules.policies)
    place = order.index(moved)
    if place == 0:
        return rules
    order[place - 1 : place + 1] = [moved, order[place - 1]]
    return _save(session, replace(rules, policies=tuple(order)), f"Policy {moved.name!r} moved up", who, now)


def _locked(session: Session, if_version: int | None) -> Rules:
    session.execute(_LOCK)
    rules = current(session)
    if if_version is not None and rules.version != if_version:
        raise StaleVersion("Someone changed calendars or policies since you opened this page: load it again.")
    return rules


def _save(session: Session, rules: Rules, what: str, who: Actor, now: datetime) -> Rules:
    rules = replace(rules, version=rules.version + 1)
    row = RulesRow(version=rules.version, document=rules.document(), made_at=now, who=who.name, what=what)
    row.member_id = who.member_id
    session.add(row)
    session.flush()
    audit(session, who, "support_rules.changed", "support_rules", rules.version, what, at=now)
    enqueue(session, REMEASURE, dedupe_key=REMEASURE)
    return rules


def _put(every: tuple[T, ...], one: T) -> tuple[T, ...]:
    if one.id:
        _one(every, one.id)
        return tuple(one if each.id == one.id else each for each in every)
    if len(every) >= MOST:
        raise Conflict(f"There are {MOST} already: change or remove one.")
    return (*every, replace(one, id=max((each.id for each in every), default=0) + 1))


def _one(every: Iterable[T], wanted: int) -> T:
    found = next((each for each in every if each.id == wanted), None)
    if found is None:
        raise NotFound("It is gone: someone removed it.")
    return found


def _narrow(policies: Iterable[Policy]) -> list[Policy]:
    return [each for each in policies if not each.when.everything]


def _name(name: str, own_id: int, every: Iterable[Calendar | Policy]) -> str:
    clean = clean_line(name, "name", longest=LONGEST_NAME)
    if any(each.name.casefold() == clean.casefold() and each.id != own_id for each in every):
        raise _wrong("name", "There is one of this name already.")
    return clean


def _check_calendar(calendar: Calendar) -> None:
    try:
        ZoneInfo(calendar.zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise _wrong("zone", "Choose a time zone from the list.") from None
    for openings in calendar.week:
        ends = [end for opening in openings for end in opening]
        if ends != sorted(set(ends)) or not all(0 <= end <= DAY_MINUTES for end in ends):
            raise _wrong("week", "Openings of a day must follow each other, each ending after it begins.")
    if len(calendar.week) != 7 or not any(calendar.week):
        raise _wrong("week", "Open on one day of the week at least.")
    if len(calendar.closed) > MOST_DAYS or len(calendar.worked) > MOST_DAYS:
        raise _wrong("closed", f"{MOST_DAYS} days at most.")
    if calendar.region and not calendar.country:
        raise _wrong("region", "Choose the country as well.")
    if calendar.country:
        _check_place(calendar.country, calendar.region)


def _check_place(country: str, region: str) -> None:
    """Raise InputError unless the public holidays of a country, or of its region, are known."""
    from holidays import country_holidays  # slow to import

    try:
        known = country_holidays(country).subdivisions
    except NotImplementedError:
        raise _wrong("country", "Choose one from the list.") from None
    if region and region not in known:
        some = f"one of {', '.join(known)[:300]}" if known else "none: it has the same holidays everywhere"
        raise _wrong("region", f"There is no such region of it; choose {some}.")


def _check_policy(policy: Policy, rules: Rules) -> None:
    if all(each.id != policy.calendar_id for each in rules.calendars):
        raise _wrong("calendar_id", "Choose a calendar.")
    for name in ("first_reply", "next_reply", "resolution"):
        target = getattr(policy, name)
        if target is not None and not 60 <= target <= LONGEST_TARGET:
            raise _wrong(name, "Between a minute and a year.")
    _check_filter(policy.when)
    if not set(policy.pauses) <= {"waiting_customer", "waiting_dev"}:
        raise _wrong("pauses", "Clocks can stand still while waiting for the customer or for development.")


def _check_filter(when: Filter) -> None:
    known = (("kinds", words.KINDS), ("priorities", words.PRIORITIES), ("channels", words.CHANNELS))
    for name, values in known:
        if not set(getattr(when, name)) <= set(values):
            raise _wrong(name, "Choose from the list.")
    if len(when.topics) > MOST or not all(0 < each < 1 << 63 for each in when.topics):
        raise _wrong("topics", f"Choose from the list, {MOST} at most.")
    for name in ("plans", "tags"):
        for each in getattr(when, name):
            clean_line(each, name)
        if len(getattr(when, name)) > MOST:
            raise _wrong(name, f"{MOST} at most.")


def _wrong(field: str, problem: str) -> InputError:
    return InputError(f"{field}: {problem}", {field: problem})
