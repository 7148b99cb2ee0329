"""Making flags what a document says: all of it in one piece, the same again changes nothing, and a trial says what."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from secrets import token_hex
from typing import Any, TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from trackside.auth.audit import Actor
from trackside.auth.models import Member
from trackside.errors import Conflict, InputError, TracksideError
from trackside.workspace import environments
from trackside_modules.flags import document, shape
from trackside_modules.flags.document import Entry
from trackside_modules.flags.models import Change, Flag
from trackside_modules.flags.service import definitions
from trackside_modules.flags.service.create import MOST_FLAGS
from trackside_modules.flags.service.fields import checked
from trackside_modules.flags.service.states import edited
from trackside_modules.flags.service.work import Work, diff_of

T = TypeVar("T")


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
    everywhere: bool = True,
) -> list[Step]:
    """Make flags what the document `given` says, and return what that changes; `dry`: change nothing.

    `prune` archives the flags that the document does not name. `env_ids` are the environments it may name (None: all),
    `everywhere` whether flags themselves may change. Raises InputError naming every wrong place, ApprovalNeeded where
    an environment demands a second member, NotAllowed where `who` may not; nothing is changed then.
    """
    entries = document.read(given)
    with Work.on(session, who, reason, now=now, approved=approved, dry=dry, everywhere=everywhere) as work:
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
    owners: dict[str, int | None] = field(default_factory=dict)
    """Members' numbers by their address, those that were looked up."""

    def run(self, entries: list[Entry]) -> None:
        """Make every flag what its entry says; a thousand of them take a few statements, not thousands."""
        known = {flag.key: flag for flag in self.session.scalars(select(Flag))}
        if len(set(known) | {entry.key for entry in entries}) > MOST_FLAGS:
            raise Conflict(f"There would be more than {MOST_FLAGS:,} flags, which is the most.")
        there = [known[entry.key] for entry in entries if entry.key in known]
        self.work.load(there)
        problems: dict[str, str] = {}
        with self.session.no_autoflush:
            fields = dict(self._each(entries, lambda entry: self._fields(entry, known.get(entry.key)), problems))
            made = {key: self._made(key, values) for key, values in fields.items() if key not in known}
            self.session.add_all(made.values())
            self.session.flush()
            good = [entry for entry in entries if entry.key in fields]
            for _ in self._each(good, lambda it: self._one(it, known.get(it.key), made, fields[it.key]), problems):
                pass
        if problems:
            raise document.refusal(problems)

    def _each(
        self, entries: list[Entry], do: Callable[[Entry], T], problems: dict[str, str]
    ) -> Iterator[tuple[str, T]]:
        """Do something with each entry; what is wrong with one is noted by its place, and the others go on."""
        for entry in entries:
            try:
                yield entry.key, do(entry)
            except InputError as error:
                told = error.fields or {"": error.message}
                problems |= {f"flags.{entry.key}.{name}".rstrip("."): why for name, why in told.items()}

    def prune(self, keys: Collection[str]) -> None:
        """Archive the flags that are not among `keys`; who needs each other goes together."""
        living = select(Flag).where(Flag.archived_at.is_(None)).order_by(Flag.key)
        for flag in [each for each in self.session.scalars(living).all() if each.key not in keys]:
            self._archive(flag)

    def _one(self, entry: Entry, flag: Flag | None, made: Mapping[str, Flag], fields: dict[str, Any]) -> None:
        if flag is None:
            flag = self._begin(entry, made[entry.key])
        else:
            self._must_be_the_same(flag, fields)
            if flag.archived_at is not None and entry.archived is False:
                self.work.define(flag, {"archived_at": None}, "restored")
            self.work.define(flag, {n: v for n, v in fields.items() if n not in definitions.FIXED}, self.what)
        for slug, parts in entry.environments.items():
            env_id = self.slugs[slug]
            self.work.state(flag, env_id, edited(self.work.row(flag, env_id).config, parts), self.what)
        if entry.archived and flag.archived_at is None:
            self._archive(flag)

    def _archive(self, flag: Flag) -> None:
        try:
            definitions.must_not_be_on(self.session, self.work, flag)
        except TracksideError as error:
            raise InputError(error.message, {"archived": error.message}) from error
        self.work.define(flag, {"archived_at": self.now}, "archived", approved=True)

    def _made(self, key: str, fields: Mapping[str, Any]) -> Flag:
        now, name = self.now, self.work.who.name
        return Flag(key=key, version=1, created_at=now, created_by=name, updated_at=now, **fields)

    def _begin(self, entry: Entry, flag: Flag) -> Flag:
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

    def _fields(self, entry: Entry, flag: Flag | None) -> dict[str, Any]:
        """Return the columns that an entry names; all of them where there is no such flag yet."""
        salt = entry.fields.get("salt", "")
        if not isinstance(salt, str) or not salt.isascii() or not salt.isprintable() or len(salt) > 200:
            raise InputError("", {"salt": "Use 200 letters and digits or fewer."})
        own = {name: value for name, value in entry.fields.items() if name != "salt"}
        found = checked(self.session, own) | ({"salt": salt} if salt else {})
        if entry.has_owner:
            found["owner_id"] = self._owner(entry.owner)
        if flag is not None:
            return found
        values = {
            "name": entry.key,
            "type": "boolean",
            "kind": "release",
            "variants": {},
            "salt": token_hex(8),
            **found,
        }
        if "variants" not in found and values["type"] == "boolean":
            values["variants"] = {"on": True, "off": False}
        plain = checked(self.session, {n: v for n, v in values.items() if n not in {"salt", "owner_id"}})
        return {**values, **plain}

    def _owner(self, email: str | None) -> int | None:
        if email is None:
            return None
        email = email.strip().lower()
        if email not in self.owners:
            self.owners[email] = self.session.scalar(select(Member.id).where(Member.email == email))
        found = self.owners[email]
        if found is None:
            raise InputError("", {"owner": f"There is no member {email!r}."})
        return found
