"""Setting webhooks up: endpoints, their secrets, pauses, tests. Each function is a use case, and in the audit log."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import uuid4

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from trackside.auth.audit import Actor, audit
from trackside.errors import Conflict, InputError, NotFound, StaleVersion
from trackside.net import Network
from trackside.text import clean_line
from trackside.webhooks import signing
from trackside.webhooks.models import EVERYTHING, MEMBER, WAITING, Delivery, Endpoint
from trackside.webhooks.publishing import TEST, Happened, delivery, ring

MOST = 50
LONGEST_URL = 2000
OVERLAP = timedelta(hours=24)
"""How long the secret before a rotation is signed with too."""
_LARGEST_ID = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Wanted:
    """An endpoint as it is asked for."""

    name: str
    url: str
    types: Collection[str]

    def checked(self, network: Network, known: Collection[str]) -> "Wanted":
        """Return it as it is kept. Raises InputError, Refused and Unreachable for an address that is not called.

        It waits for the address to be resolved: hold no lock meanwhile.
        """
        found = self.cleaned(known)
        network.check(found.url)
        return found

    def cleaned(self, known: Collection[str]) -> "Wanted":
        """Return it as it is kept, its address not looked at. Raises InputError."""
        name, url = clean_line(self.name, "name"), clean_line(self.url, "url", longest=LONGEST_URL)
        types = [EVERYTHING] if EVERYTHING in self.types else sorted(set(self.types))
        strange = [each for each in types if each not in {*known, EVERYTHING}]
        if strange or not types:
            problem = f"There is no event {strange[0][:80]!r}." if strange else "Choose one event at least."
            raise InputError(f"types: {problem}", {"types": problem})
        return Wanted(name, url, types)


def get(session: Session, endpoint_id: int, *, lock: bool = False) -> Endpoint:
    """Return an endpoint; raises NotFound."""
    query = select(Endpoint).where(Endpoint.id == endpoint_id).execution_options(populate_existing=True)
    if lock:  # its key stays free: what happens meanwhile is written for it without waiting
        query = query.with_for_update(key_share=True)
    found = session.scalar(query) if endpoint_id <= _LARGEST_ID else None
    if found is None:
        raise NotFound("There is no such webhook.")
    return found


def add(session: Session, wanted: Wanted, key: str, *, who: Actor, now: datetime) -> tuple[Endpoint, str]:
    """Make an endpoint of what was checked; return it and its secret, to be shown this once. Raises Conflict."""
    if (session.scalar(select(func.count()).select_from(Endpoint)) or 0) >= MOST:
        raise Conflict(f"There are {MOST} webhooks already: change or remove one.")
    salt = signing.new_salt()
    made = Endpoint(name=wanted.name, url=wanted.url, types=list(wanted.types), salt=salt, created_at=now)
    made.member_id = who.member_id
    session.add(made)
    session.flush()
    _audit(session, made, "created", who, now)
    return made, signing.secret_of(key, salt)


def edit(
    session: Session, endpoint_id: int, wanted: Wanted, *, who: Actor, now: datetime, if_version: int | None = None
) -> Endpoint:
    """Change an endpoint to what was checked. Raises NotFound, StaleVersion."""
    found = get(session, endpoint_id, lock=True)
    if if_version is not None and found.version != if_version:
        raise StaleVersion
    found.name, found.url, found.types = wanted.name, wanted.url, list(wanted.types)
    found.version += 1
    _audit(session, found, "changed", who, now)
    session.flush()
    return found


def rotate(session: Session, endpoint_id: int, key: str, *, who: Actor, now: datetime) -> tuple[Endpoint, str]:
    """Give an endpoint another secret, shown this once; for a day messages are signed with the one before too."""
    found = get(session, endpoint_id, lock=True)
    found.old_salt, found.old_until, found.salt = found.salt, now + OVERLAP, signing.new_salt()
    found.version += 1
    _audit(session, found, "rotated", who, now)
    session.flush()
    return found, signing.secret_of(key, found.salt)


def pause(session: Session, endpoint_id: int, *, who: Actor, now: datetime) -> Endpoint:
    """Send nothing more until it is resumed; what happens meanwhile waits, for a week at most."""
    found = get(session, endpoint_id, lock=True)
    if found.paused_at is None:
        found.paused_at, found.paused_why = now, MEMBER
        found.version += 1
        _audit(session, found, "paused", who, now)
    session.flush()
    return found


def resume(session: Session, endpoint_id: int, *, who: Actor, now: datetime) -> Endpoint:
    """Go on, with what waits first."""
    found = get(session, endpoint_id, lock=True)
    if found.paused_at is not None:
        found.paused_at = found.paused_why = found.failing_since = found.hold_until = None
        found.failures = 0
        found.version += 1
        mine = (Delivery.endpoint_id == endpoint_id, Delivery.state == WAITING)
        session.execute(update(Delivery).where(*mine, Delivery.next_at > now).values(next_at=now))
        ring(session, endpoint_id)
        _audit(session, found, "resumed", who, now)
    session.flush()
    return found


def remove(session: Session, endpoint_id: int, *, who: Actor, now: datetime) -> None:
    """Take an endpoint away, with what it was told."""
    found = get(session, endpoint_id, lock=True)
    _audit(session, found, "removed", who, now)
    session.delete(found)
    session.flush()


def try_out(session: Session, endpoint_id: int, *, now: datetime) -> Delivery:
    """Send a test: once, whatever the endpoint wants to be told, and also while it is paused."""
    get(session, endpoint_id)
    return _sent(session, delivery(endpoint_id, Happened(TEST, {}, now), f"msg_{uuid4().hex}"))


def again(session: Session, endpoint_id: int, delivery_id: int, *, now: datetime) -> Delivery:
    """Send something again now, under the id it has. Raises NotFound, and Conflict where the endpoint is paused."""
    endpoint = get(session, endpoint_id, lock=True)
    found = session.get(Delivery, delivery_id, with_for_update=True) if delivery_id <= _LARGEST_ID else None
    if found is None or found.endpoint_id != endpoint_id:
        raise NotFound("There is no such delivery: they are deleted after a month.")
    if endpoint.paused_at is not None and found.type != TEST:
        raise Conflict(f"{endpoint.name} is paused: resume it first.")
    endpoint.hold_until = None
    found.state, found.attempts, found.next_at = WAITING, 0, now
    return _sent(session, found)


def _sent(session: Session, it: Delivery) -> Delivery:
    session.add(it)
    session.flush()
    ring(session, it.endpoint_id)
    return it


def _audit(session: Session, it: Endpoint, what: str, who: Actor, now: datetime) -> None:
    # an address may hold a token of the receiver's: only its host is told
    audit(session, who, f"webhook.{what}", "webhook", it.id, it.name, at=now, changes={"host": host_of(it.url)})


def host_of(url: str) -> str:
    """Return whom an address calls, without its path."""
    return url.split("//", 1)[-1].split("/", 1)[0].split("?", 1)[0]
