"""What a person should know about what services send: kept by kind and subject, with how often and since when."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from psycopg import Connection

TEXTS = {
    "user-unusable": "User or account ids that are too long or hold control characters: counted as nobody",
    "clock-ahead": "The clock of {about} is ahead of this server's: its requests count at their arrival",
    "refused": "Points refused because {about}",
    "stream-baseline": "{about} had counted for more than a day when first seen: what it counted before is left out",
    "stream-restart": "{about} counts anew under an old start time: check that no two processes share one",
    "endpoints-over": "Too many distinct routes ({about}): the newest share the endpoint (other)",
    "follow-over": "Too many pairs of endpoints in a day: of the rest only what they followed is told",
    "users-over": "Too many new users at once: those over the limit count as nobody for now",
    "spans-lost": "Too many spans waited for metrics that did not come: those over the limit are not counted",
    "client-folded": "{about} met too many users or routes at once: over the limit requests count without their name",
    "client-lost": "{about} could not deliver reports of requests for too long, or had them refused: these are lost",
    "batch-repeated": "Batches sent again that had been accepted: answered as the first time, and counted once",
    "dead-batch": "A batch could not be counted after 3 tries and was set aside: {about}",
}
"""A sentence for each kind; `{about}` is what it is about."""

MOST_SUBJECTS = 200
"""Subjects kept for a kind, so that a client cannot fill the table."""

_NOTE = """
insert into usage_warning (env_id, kind, about, points, first_seen_at, last_seen_at)
select %(env)s, it.kind, it.about, it.points, %(now)s, %(now)s
from unnest(%(kinds)s::text[], %(abouts)s::text[], %(points)s::bigint[]) as it (kind, about, points)
on conflict (env_id, kind, about) do update
set points = usage_warning.points + excluded.points, last_seen_at = excluded.last_seen_at
"""
_COUNT = "select kind, count(*) from usage_warning where env_id = %s group by kind"


def note(connection: Connection[Any], env_id: int, noticed: Mapping[tuple[str, str], int], now: datetime) -> None:
    """Add to the warnings of an environment: points by kind and subject."""
    if not noticed:
        return
    full = {kind for kind, count in connection.execute(_COUNT, (env_id,)) if count >= MOST_SUBJECTS}
    merged: dict[tuple[str, str], int] = {}
    for (kind, about), points in sorted(noticed.items()):
        key = (kind, "(other)" if kind in full else about[:200])
        merged[key] = merged.get(key, 0) + points
    values = {
        "env": env_id,
        "now": now,
        "kinds": [kind for kind, _ in merged],
        "abouts": [about for _, about in merged],
        "points": list(merged.values()),
    }
    connection.execute(_NOTE, values)


def sentence(kind: str, about: str) -> str:
    """Return a warning in words."""
    return TEXTS.get(kind, kind + ": {about}").replace("{about}", about)
