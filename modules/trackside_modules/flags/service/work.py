"""One piece of work on flags: whatever it changes is written, checked and announced together, or not at all.

    with Work.on(session, who, reason, now=now) as work:
        work.state(flag, env_id, config, "edited")

It locks the environments first, so pieces of work follow each other. At its end the engine checks what the rulesets
have become; what does not make sense undoes all of it.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from trackside.auth.audit import Actor, audit
from trackside.errors import Conflict, NotAllowed
from trackside.events import FlagChanged, announce
from trackside.text import clean_line
from trackside.workspace import Environment
from trackside_modules.flags import checking, ruleset, shape
from trackside_modules.flags.models import Change, Flag, FlagsEnvironment, State
from trackside_modules.flags.storable import must_be_storable

LONGEST_REASON = 1000
# Change requests that a flag has moved away from can never be applied any more.
_STALE = text("""
update flags_request it set status = 'stale'
from flags_flag flag
where flag.id = it.flag_id and flag.id = any(:flags) and it.status in ('open', 'approved')
    and it.id is distinct from :this
    and (flag.archived_at is not null or it.version <> case when it.env_id is null then flag.version
        else (select s.version from flags_state s where s.env_id = it.env_id and s.flag_id = it.flag_id) end)
""")
REACH = (
    "what a flag itself is holds in every environment, production too. This takes a key of production, or one with the "
    "scope flags:define; yours changes how flags are rolled out in its own environment."
)
"""Why a key may not do something."""
SERVED = ("type", "salt", "variants", "hash", "facts", "archived_at")
"""What of a flag itself is in the rulesets."""


class ApprovalNeeded(Conflict):
    """The environment demands that a second member approves."""

    code = "approval-needed"


@dataclass(slots=True)
class Work:
    """A piece of work: see the module."""

    session: Session
    who: Actor
    reason: str
    now: datetime
    environments: dict[int, FlagsEnvironment]
    """Locked, by id."""
    approved: bool = False
    request_id: int | None = None
    everywhere: bool = True
    """Whether flags themselves may be changed, and not their states alone."""
    _done: list[tuple[Change, Flag, frozenset[int]]] = field(default_factory=list)
    _rows: dict[tuple[int, int], State] = field(default_factory=dict)
    """States as they are under the lock, by environment and flag."""

    @classmethod
    @contextmanager
    def on(
        cls,
        session: Session,
        who: Actor,
        reason: str,
        *,
        now: datetime,
        env_ids: Collection[int] | None = None,
        approved: bool = False,
        request_id: int | None = None,
        dry: bool = False,
        everywhere: bool = True,
    ) -> Iterator["Work"]:
        """Lock `env_ids` (None: all environments), give the work, then check and announce what it did.

        Raises InputError where a flag would not make sense; nothing is changed then, nor when it is `dry`.
        """
        reason = clean_line(" ".join(reason.split()), "reason", longest=LONGEST_REASON, empty=True)
        with session.begin_nested() as savepoint:
            locked = {row.env_id: row for row in ruleset.lock(session, env_ids)}
            work = cls(session, who, reason, now, locked, approved, request_id, everywhere)
            yield work
            touched = work._checked()
            if dry:
                savepoint.rollback()
            elif work._done:
                work._settle(touched)

    def load(self, flags: Collection[Flag]) -> None:
        """Read the states of many flags at once, rather than one by one when they are asked for."""
        mine = State.env_id.in_(self.environments), State.flag_id.in_([flag.id for flag in flags])
        for row in self.session.scalars(select(State).where(*mine).execution_options(populate_existing=True)):
            self._rows[row.env_id, row.flag_id] = row

    def row(self, flag: Flag, env_id: int) -> State:
        """Return the state of a flag in an environment as it is under the lock."""
        found = self._rows.get((env_id, flag.id))
        if found is None:
            found = self.session.get_one(State, (env_id, flag.id), populate_existing=True)
            self._rows[env_id, flag.id] = found
        return found

    def state(self, flag: Flag, env_id: int, config: Mapping[str, Any], what: str) -> State:
        """Make `config` the state of a flag in an environment; nothing happens where it is that already."""
        row = self.row(flag, env_id)
        after = {name: config[name] for name in shape.CONFIG}
        if not differs(row.config, after):
            return row
        must_be_storable("state", after)
        self.must_be_approved([env_id])
        before, row.config = row.config, after
        row.version += 1
        row.updated_at, row.updated_by = self.now, self.who.name
        row.since = self.now
        self.note(flag, what, before, after, row.version, env_id=env_id)
        return row

    def changes(self) -> list[tuple[Change, Flag]]:
        """Return what was changed so far, and of which flag."""
        return [(change, flag) for change, flag, _ in self._done]

    def define(self, flag: Flag, values: Mapping[str, Any], what: str, *, approved: bool = False) -> None:
        """Set columns of the flag itself; nothing happens where they are that already."""
        before = {name: plain(getattr(flag, name)) for name in values}
        after = {name: plain(value) for name, value in values.items()}
        changed = [name for name in values if differs(before[name], after[name])]
        if not changed:
            return
        self._must_reach_everywhere(flag)
        served = any(name in SERVED for name in changed)
        if served and not approved:
            self.must_be_approved(self.environments)
        for name in changed:
            setattr(flag, name, values[name])
        flag.version += 1
        flag.updated_at = self.now
        was, now = ({name: side[name] for name in changed} for side in (before, after))
        self.note(flag, what, was, now, flag.version, served=served)

    def begin(self, flag: Flag, configs: Mapping[int, Mapping[str, Any]], what: str = "created") -> None:
        """Add a new flag, with its state in each environment."""
        self._must_reach_everywhere(flag)
        if flag.id is None:
            self.session.add(flag)
            self.session.flush()
        self.note(flag, what, None, described(flag), 1)
        for env_id in self.environments:
            config = {name: configs[env_id][name] for name in shape.CONFIG}
            must_be_storable("state", config)
            row = State(env_id=env_id, flag_id=flag.id, config=config, version=1, updated_at=self.now)
            row.updated_by, row.since = self.who.name, self.now
            self.session.add(row)
            self._rows[env_id, flag.id] = row
            self.note(flag, what, None, config, 1, env_id=env_id)

    def step(self, flag: Flag, state: State, before: Mapping[str, Any], after: Mapping[str, Any], at: datetime) -> None:
        """Mark that a state changed by itself at `at`: the version of it stays, that of the ruleset goes up."""
        state.since = at
        self.note(flag, "step", before, after, state.version, env_id=state.env_id, at=at)

    def must_be_approved(self, env_ids: Collection[int]) -> None:
        """Raise ApprovalNeeded where one of `env_ids` demands a second member, and there was none."""
        demanding = [env_id for env_id in env_ids if self.environments[env_id].demands_approval]
        if demanding and not self.approved:
            names = ", ".join(self.session.get_one(Environment, env_id).slug for env_id in demanding)
            raise ApprovalNeeded(
                f"Changes in {names} take a second member's approval: propose this as a change request."
            )

    def _must_reach_everywhere(self, flag: Flag) -> None:
        if not self.everywhere:
            raise NotAllowed(f"{flag.key}: {REACH}")

    def note(
        self,
        flag: Flag,
        what: str,
        before: Mapping[str, Any] | None,
        after: Mapping[str, Any] | None,
        version: int,
        *,
        env_id: int | None = None,
        served: bool = True,
        at: datetime | None = None,
    ) -> None:
        """Write a change into the history and the audit log; `served`: it is of what the rulesets hold."""
        change = Change(
            env_id=env_id,
            flag_id=flag.id,
            at=at or self.now,
            what=what,
            who=self.who.name,
            member_id=self.who.member_id,
            key_id=self.who.key_id,
            reason=self.reason,
            before=before,
            after=after,
            version=version,
            request_id=self.request_id,
        )
        self.session.add(change)
        self._audit(flag, what, change, env_id)
        here = [env_id] if env_id is not None else list(self.environments) if served else []
        self._done.append((change, flag, frozenset(here)))

    def _audit(self, flag: Flag, what: str, change: Change, env_id: int | None) -> None:
        # which fields, not their values: those are in the history, and rules may name customers
        fields = sorted({each["path"].partition(".")[0].partition("[")[0] for each in diff_of(change)})
        changes = {"fields": ", ".join(fields), "reason": self.reason, "version": change.version}
        audit(
            self.session, self.who, f"flag.{what}", "flag", flag.id, flag.key, at=self.now, env_id=env_id,
            changes=changes,
        )  # fmt: skip

    def _checked(self) -> list[int]:
        """Return the environments whose rulesets have changed, if all that changed in them makes sense."""
        self.session.flush()
        touched = sorted({env_id for _, _, here in self._done for env_id in here})
        for env_id in touched:
            keys = {flag.key for _, flag, here in self._done if env_id in here}
            checking.check_environment(self.session, env_id, keys)
        return touched

    def _settle(self, touched: Collection[int]) -> None:
        """Bring up to date what follows from the changes, and let everybody know."""
        changed = {flag.id for _, flag, _ in self._done}
        for row in self.session.scalars(select(State).where(State.flag_id.in_(changed), State.env_id.in_(touched))):
            row.next_step_at = next((at for at in shape.times(row.config) if at > self.now), None)
        self.session.flush()
        self.session.execute(_STALE, {"flags": list(changed), "this": self.request_id})
        ruleset.bump(self.session, [self.environments[env_id] for env_id in touched], now=self.now)
        for change, flag, here in self._done:
            for env_id in sorted(here):
                self._announce(change, flag, env_id)

    def _announce(self, change: Change, flag: Flag, env_id: int) -> None:
        version = self.environments[env_id].version
        announce(
            self.session,
            FlagChanged(
                self.now,
                env_id=env_id,
                flag_id=flag.id,
                key=flag.key,
                what=change.what,
                change_id=change.id,
                version=version,
            ),
        )


def described(flag: Flag) -> dict[str, Any]:
    """Return all of a flag itself that the history keeps."""
    names = ("key", "name", "description", "type", "kind", "salt", "variants", "tags", "owner_id", "expected_end")
    return {name: plain(getattr(flag, name)) for name in (*names, "hash", "facts")}


def diff_of(change: Change) -> list[dict[str, Any]]:
    """Return what a change changed: see `shape.diff`."""
    return list(shape.diff(change.before or {}, change.after or {}))


def differs(before: Any, after: Any) -> bool:
    """Whether two values differ, by type too: 1 and true are not the same, nor is the order of variants nothing."""
    return bool(before != after) or next(shape.diff(before, after), None) is not None


def plain(value: Any) -> Any:
    """Return a column's value as JSON has it."""
    return value.isoformat() if isinstance(value, datetime) else value
