"""Making flags what a document says: all of it in one piece, the same again changes nothing, and a trial says what."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from secrets import token_hex
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from trackside.auth.audit import Actor
from trackside.auth.models import Member
from trackside.errors import Conflict, InputError, TracksideError
from trackside.workspace import environments
from trackside_modules.flags import document, shape
from trackside_modules.flags.document import Entry
from trackside_modules.flags.models import Change, Flag, State
from trackside_modules.flags.service import definitions
from trackside_modules.flags.service.create import MOST_FLAGS
from trackside_modules.flags.service.fields import checked
from trackside_modules.flags.service.states import edited
from trackside_modules.flags.service.work import Work, diff_of


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that a document changes."""

    key: str
    environment: str | None
    """Its slug; None for the flag itself."""
    what: str
    """As in `Change`."""
    diff: list[dict[str, Any]]
    """See `shape.diff`."""


def apply(
    session: Session,
    given: Any,
    *,
    who: Actor,
    now: datetime,
    reason: str = "",
    dry: bool = False,
    prune: bool = False,
    env_ids: Collection[int] | None = None,
    what: str = "applied",
    approved: bool = False,
) -> list[Step]:
    """Make flags what the document `given` says, and return what that changes; `dry`: change nothing.

    `prune` archives the flags that the document does not name. `env_ids` are the environments it may name (None: all).
    Raises InputError naming every wrong place, ApprovalNeeded where an environment demands a second member; nothing is
    changed then.
    """
    entries = document.read(given)
    with Work.on(session, who, reason, now=now, approved=approved, dry=dry) as work:
        applier = _Applier(session, work, _slugs(session, entries, env_ids), now, what)
        applier.run(entries)
        if prune:
            applier.prune({entry.key for entry in entries})
        slugs = {env_id: slug for slug, env_id in applier.slugs.items()}
        return [_step(change, flag, slugs) for change, flag in work.changes()]


def _step(change: Change, flag: Flag, slugs: Mapping[int, str]) -> Step:
    return Step(flag.key, slugs[change.env_id] if change.env_id is not None else None, change.what, diff_of(change))


def _slugs(session: Session, entries: list[Entry], env_ids: Collection[int] | None) -> dict[str, int]:
    """Return every environment by slug; raises InputError where the document names another than ours."""
    slugs = {each.slug: each.id for each in environments(session)}
    allowed = [slug for slug, env_id in slugs.items() if env_ids is None or env_id in env_ids]
    problems = {
        f"flags.{entry.key}.environments.{slug}": f"There is no such environment here; there are: {', '.join(allowed)}."
        for entry in entries
        for slug in entry.environments
        if slug not in allowed
    }
    if problems:
        raise document.refusal(problems)
    return slugs


@dataclass(slots=True)
class _Applier:
    session: Session
    work: Work
    slugs: dict[str, int]
    now: datetime
    what: str

    def run(self, entries: list[Entry]) -> None:
        known = {flag.key: flag for flag in self.session.scalars(select(Flag))}
        if len(set(known) | {entry.key for entry in entries}) > MOST_FLAGS:
            raise Conflict(f"There would be more than {MOST_FLAGS:,} flags, which is the most.")
        problems: dict[str, str] = {}
        for entry in entries:
            try:
                self._one(entry, known.get(entry.key))
            except InputError as error:
                told = error.fields or {"": error.message}
                problems |= {f"flags.{entry.key}.{name}".rstrip("."): why for name, why in told.items()}
        if problems:
            raise document.refusal(problems)

    def prune(self, keys: Collection[str]) -> None:
        """Archive the flags that are not among `keys`; who needs each other goes together."""
        living = select(Flag).where(Flag.archived_at.is_(None)).order_by(Flag.key)
        for flag in [each for each in self.session.scalars(living).all() if each.key not in keys]:
            self._archive(flag)

    def _one(self, entry: Entry, flag: Flag | None) -> None:
        fields = self._fields(entry)
        if flag is None:
            flag = self._begin(entry, fields)
        else:
            self._must_be_the_same(flag, fields)
            if flag.archived_at is not None and entry.archived is False:
                self.work.define(flag, {"archived_at": None}, "restored")
            self.work.define(flag, {n: v for n, v in fields.items() if n not in definitions.FIXED}, self.what)
        for slug, parts in entry.environments.items():
            row = self.session.get_one(State, (self.slugs[slug], flag.id))
            self.work.state(flag, row.env_id, edited(row.config, parts), self.what)
        if entry.archived and flag.archived_at is None:
            self._archive(flag)

    def _archive(self, flag: Flag) -> None:
        try:
            definitions.must_not_be_on(self.session, self.work, flag)
        except TracksideError as error:
            raise InputError(error.message, {"archived": error.message}) from error
        self.work.define(flag, {"archived_at": self.now}, "archived", approved=True)

    def _begin(self, entry: Entry, fields: dict[str, Any]) -> Flag:
        values = {"name": entry.key, "type": "boolean", "kind": "release", **fields}
        if "variants" not in values and values["type"] == "boolean":
            values["variants"] = {"on": True, "off": False}
        salt = values.pop("salt", None) or token_hex(8)
        made = checked(self.session, {"variants": {}, **values})
        now, name = self.now, self.work.who.name
        flag = Flag(key=entry.key, salt=salt, version=1, created_at=now, created_by=name, updated_at=now, **made)
        configs = {env_id: shape.base_config(flag.variants) for env_id in self.work.environments}
        for slug, parts in entry.environments.items():
            if not self.work.environments[self.slugs[slug]].demands_approval:
                configs[self.slugs[slug]] |= parts
        self.work.begin(flag, configs)
        return flag

    def _must_be_the_same(self, flag: Flag, fields: Mapping[str, Any]) -> None:
        differ = [name for name in definitions.FIXED if name in fields and fields[name] != getattr(flag, name)]
        if differ:
            told = {name: f"It is {getattr(flag, name)!r}. {definitions.FIXED[name]}" for name in differ}
            raise InputError("; ".join(told.values()), told)

    def _fields(self, entry: Entry) -> dict[str, Any]:
        salt = entry.fields.get("salt", "")
        if not isinstance(salt, str) or not salt.isascii() or not salt.isprintable() or len(salt) > 200:
            raise InputError("", {"salt": "Use 200 letters and digits or fewer."})
        own = {name: value for name, value in entry.fields.items() if name != "salt"}
        found = checked(self.session, own) | ({"salt": salt} if salt else {})
        if entry.has_owner:
            found["owner_id"] = self._owner(entry.owner)
        return found

    def _owner(self, email: str | None) -> int | None:
        if email is None:
            return None
        found = self.session.scalar(select(Member.id).where(Member.email == email.strip().lower()))
        if found is None:
            raise InputError("", {"owner": f"There is no member {email!r}."})
        return found
