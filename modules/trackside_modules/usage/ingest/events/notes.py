"""What a batch of events says beside its counts: single requests worth seeing, who sent it, and what is amiss."""

import re
from collections import Counter

from trackside_modules.usage.ingest.batch import Notice, Origin, Subject
from trackside_modules.usage.ingest.events.columns import Columns
from trackside_modules.usage.ingest.events.form import Event
from trackside_modules.usage.ingest.notable import SLOW, Notable
from trackside_modules.usage.ingest.paths import clean
from trackside_modules.usage.models.names import UNMATCHED

_WORTH = frozenset({401, 403, 404, 405, 429, *range(500, 600)})
_UNKNOWN = re.compile(r"(unknown field) .*")
_TYPE = re.compile(r"([A-Za-z_][\w.:]{0,120}?)(?::\s+|$)")


def notable(events: list[Event], columns: Columns) -> Notable:
    """Return the requests worth a look of their own (see `notable.worth`), found by column rather than one by one."""
    found = Notable()
    slow = SLOW / 1000
    unmatched = {number for number, (_, _, route) in enumerate(columns.names) if route == UNMATCHED}
    for place, (event, number) in enumerate(zip(events, columns.name, strict=True)):
        if event.status in _WORTH or event.duration_ms >= slow or event.error or number in unmatched:
            subject = Subject(*columns.names[number], event.status, *columns.people[columns.person[place]])
            kind, message = _error(event)
            at = columns.times[place] * 1_000_000
            found.add(subject, at, round(event.duration_ms * 1000), error=kind, message=message)
    return found


def _error(event: Event) -> tuple[str, str]:
    """Return the type and the text of an error such as `ValueError: no such order`."""
    if not isinstance(event.error, str) or not event.error.strip():
        return "", ""
    first, _, _ = event.error.strip().partition("\n")
    if named := _TYPE.match(first):
        return named[1], first[named.end() :]
    return "error", first


def origins(columns: Columns, agent: str) -> list[Origin]:
    """Return who sent these events; `agent` is the User-Agent header."""
    sdk, _, version = clean(agent, 200).partition(" ")[0].partition("/")
    services = [service for service, _, _ in columns.names]
    nameless = {number for number, (_, _, route) in enumerate(columns.names) if route == UNMATCHED}
    nobody = {number for number, (user, _) in enumerate(columns.people) if not user}
    made = {service: Origin(service, "events", sdk=sdk[:60], version=version[:60]) for service in services}
    for number, points in Counter(columns.name).items():
        it = made[services[number]]
        it.points += points
        it.without_route += points if number in nameless else 0
    if nobody:
        for number, person in zip(columns.name, columns.person, strict=True):
            made[services[number]].without_user += person in nobody
    newest = max(columns.times) * 1_000_000
    for it in made.values():
        it.newest = newest
    return list(made.values())


def notices(columns: Columns | None, refused: dict[int, str]) -> list[Notice]:
    """Return what a person should know: clocks ahead, and why events were refused."""
    ahead = Counter(columns.names[columns.name[place]][0] for place in columns.ahead) if columns else {}
    told = [Notice("clock-ahead", service, points) for service, points in ahead.items()]
    # a field's name is whatever a client made up: it stays in the answer
    why = Counter(_UNKNOWN.sub(r"\1", reason) for reason in refused.values()).most_common(5)
    return told + [Notice("refused", reason, points) for reason, points in why]
