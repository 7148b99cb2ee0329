"""Importing a sheet: columns to fields, rows to changes, a set at a time.

Rows are known by their external id, so importing the same file twice changes nothing the second time. An empty cell
leaves the value as it is. A row with a mistake is left out and told with its line; the others go in.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from trackside.auth.audit import Actor
from trackside.customers.erase import ADDRESS, erased
from trackside.customers.fields import checked, checked_id
from trackside.customers.kinds import C, Kind
from trackside.customers.models import Account
from trackside.customers.sheets import Sheet
from trackside.customers.trail import note
from trackside.errors import InputError

ID = "external_id"
ATTRIBUTE = "attribute"
IGNORE = ""
CHUNK = 1000
SHOWN_ERRORS = 100

_SYNONYMS = {
    ID: {"externalid", "id", "userid", "user", "accountid", "key", "customerid"},
    "email": {"email", "emailaddress", "mail"},
    "name": {"name", "fullname", "displayname"},
    "account": {"account", "accountid", "accountexternalid", "company", "companyid", "organization", "organisation"},
    "plan": {"plan", "tier", "subscription", "product"},
}
# A company is what an account is called, and what a user belongs to.
_OWN: dict[str, dict[str, set[str]]] = {"account": {"name": {"company", "companyname", "account"}}, "user": {}}
_LABELS = {"email": "Email", "name": "Name", "account": "Account (its id)", "plan": "Plan"}
# Columns of our own exports that say when and how, and are nobody's to set.
_OURS = frozenset({"source", "firstseen", "lastseen", "createdat", "users"})


@dataclass(frozen=True, slots=True)
class RowError:
    """What is wrong with one row."""

    line: int
    problem: str


@dataclass(slots=True)
class Outcome:
    """What an import did, or would do."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    errors: list[RowError] = field(default_factory=list)

    @property
    def total(self) -> int:
        """Rows that were read."""
        return self.created + self.updated + self.unchanged + len(self.errors)


@dataclass(frozen=True, slots=True)
class Row:
    """One row, checked: its line, id, and the values it sets."""

    line: int
    external_id: str
    values: dict[str, Any]


def targets(kind: Kind[C]) -> list[tuple[str, str]]:
    """Return the choices for a column: (value, what people read)."""
    own: list[tuple[str, str]] = [(name, _LABELS[name]) for name in kind.fields]
    return [(IGNORE, "Leave out"), (ID, "Id"), *own, (ATTRIBUTE, "Attribute")]


def guess(kind: Kind[C], columns: Sequence[str]) -> list[str]:
    """Return what each column probably is, by its name."""
    chosen: list[str] = []
    for column in columns:
        plain = "".join(letter for letter in column.casefold() if letter.isalnum())
        fits = (
            t for t in (ID, *kind.fields) if t not in chosen and plain in _SYNONYMS[t] | _OWN[kind.name].get(t, set())
        )
        fallback = IGNORE if plain in _OURS or not plain else ATTRIBUTE
        chosen.append(next(fits, fallback))
    return chosen


def rows_of(kind: Kind[C], sheet: Sheet, mapping: Sequence[str], outcome: Outcome) -> Iterator[Row]:
    """Yield the rows of `sheet` that are right; the others go into `outcome.errors`.

    Raises InputError for a mapping that does not fit the sheet.
    """
    _check_mapping(kind, sheet, mapping)
    lines: dict[str, int] = {}
    for number, cells in sheet.rows:
        try:
            row = _row(sheet, mapping, number, cells)
            if row.external_id in lines:
                raise InputError(f"the id {row.external_id!r} is on line {lines[row.external_id]} already")
        except InputError as error:
            outcome.errors.append(RowError(number, error.message))
        else:
            lines[row.external_id] = number
            yield row


def run(
    session: Session,
    kind: Kind[C],
    sheet: Sheet,
    mapping: Sequence[str],
    actor: Actor,
    *,
    now: datetime,
    dry: bool = False,
) -> Outcome:
    """Import `sheet`; with `dry` do all of it and undo it again, so that what it tells is what will happen.

    Raises InputError for a mapping that does not fit the sheet.
    """
    outcome = Outcome()
    rows = list(rows_of(kind, sheet, mapping, outcome))
    savepoint = session.begin_nested()
    for start in range(0, len(rows), CHUNK):
        _import(session, kind, rows[start : start + CHUNK], now, outcome)
    if dry:
        savepoint.rollback()
    else:
        savepoint.commit()
        counts = {"created": outcome.created, "updated": outcome.updated}
        note(session, actor, "imported", kind.name, None, at=now, **counts)
    outcome.errors.sort(key=lambda error: error.line)
    return outcome


def _check_mapping(kind: Kind[C], sheet: Sheet, mapping: Sequence[str]) -> None:
    allowed = {value for value, _ in targets(kind)}
    if len(mapping) != len(sheet.columns) or not allowed.issuperset(mapping):
        raise InputError("The choice of columns does not fit this file: upload it again.")
    if mapping.count(ID) != 1:
        raise InputError("Choose the one column that holds the id your API uses.")
    for name in kind.fields:
        if mapping.count(name) > 1:
            raise InputError(f"Two columns are chosen as {name}: choose one.")


def _row(sheet: Sheet, mapping: Sequence[str], number: int, cells: Sequence[str]) -> Row:
    if len(cells) > len(sheet.columns):
        raise InputError(f"it has {len(cells)} cells, the first line has {len(sheet.columns)}")
    values: dict[str, Any] = {}
    attributes: dict[str, str] = {}
    external_id = ""
    for column, target, cell in zip(sheet.columns, mapping, cells, strict=False):
        if target == ID:
            external_id = cell
        elif target == ATTRIBUTE and cell:
            attributes[column.removeprefix("attributes.")] = cell
        elif target and cell:
            values[target] = cell
    return Row(number, checked_id(external_id), checked({**values, "attributes": attributes}))


def _import(session: Session, kind: Kind[C], rows: Sequence[Row], now: datetime, outcome: Outcome) -> None:
    """Write one chunk: new rows by one insert, changed ones by one statement sent many times."""
    model = kind.model
    ids = [row.external_id for row in rows]
    there = {str(row.external_id): row for row in session.scalars(select(model).where(model.external_id.in_(ids)))}
    heads = {row.merged_into for row in there.values() if row.merged_into is not None}
    merged = {row.id: row for row in session.scalars(select(model).where(model.id.in_(heads)))} if heads else {}
    fresh = [row for row in rows if row.external_id not in there]
    buried = erased(session, kind.name, [row.external_id for row in fresh])
    gone = erased(session, ADDRESS, {row.values["email"] for row in fresh if row.values.get("email")})
    accounts = _accounts(session, {row.values["account"] for row in rows if "account" in row.values}, now)
    new: list[dict[str, Any]] = []
    changes: dict[int, dict[str, Any]] = {}
    for row in rows:
        values = _columns(row.values, accounts)
        found = there.get(row.external_id)
        target = merged.get(found.merged_into or 0, found) if found is not None else None
        if row.external_id in buried:
            outcome.errors.append(RowError(row.line, "this id was erased; it can only be made again by hand"))
        elif found is None and row.values.get("email") in gone:
            outcome.errors.append(RowError(row.line, "email: was of a user who is erased; make them by hand"))
        elif "account" in row.values and values["account_id"] is None:
            outcome.errors.append(RowError(row.line, f"account: {row.values['account']!r} cannot be used"))
        elif target is None:
            new.append({"external_id": row.external_id, "source": "import", "created_at": now, **values})
        else:
            _note_change(changes, target, values, outcome)
    _write(session, kind, new, changes)
    outcome.created += len(new)


def _note_change(changes: dict[int, dict[str, Any]], row: Any, values: dict[str, Any], outcome: Outcome) -> None:
    """Collect what `values` change of `row`; two old ids of one user may both change it."""
    known = changes.get(row.id, {})
    attributes = known.get("attributes", row.attributes) | values.pop("attributes")
    wanted = {**values, "attributes": attributes}
    different = {name: value for name, value in wanted.items() if known.get(name, getattr(row, name)) != value}
    if different:
        changes[row.id] = {"id": row.id, "version": row.version + 1, **known, **different}
        outcome.updated += 1
    else:
        outcome.unchanged += 1


def _write(session: Session, kind: Kind[C], new: list[dict[str, Any]], changes: Mapping[int, dict[str, Any]]) -> None:
    defaults = {name: "" for name in kind.fields if name != "account"}
    if "account" in kind.fields:
        defaults["account_id"] = None  # type: ignore[assignment]
    if new:
        # telemetry may have made one of them a moment ago: the file's values come with the next import then
        statement = upsert(kind.model).on_conflict_do_nothing(index_elements=["external_id"])
        session.execute(statement, [defaults | row for row in new])
    if changes:
        session.execute(update(kind.model), [changes[each] for each in sorted(changes)])


def _columns(values: Mapping[str, Any], accounts: Mapping[str, int | None]) -> dict[str, Any]:
    columns = {name: value for name, value in values.items() if name != "account"}
    if "account" in values:
        columns["account_id"] = accounts[values["account"]]
    return columns


def _accounts(session: Session, ids: set[str], now: datetime) -> dict[str, int | None]:
    """Return the accounts of `ids`, making those not there yet; None for one that was erased."""
    if not ids:
        return {}
    wanted: Callable[[], dict[str, int]] = lambda: {  # noqa: E731 - asked twice, before and after
        str(external_id): merged_into or account_id
        for external_id, account_id, merged_into in session.execute(
            select(Account.external_id, Account.id, Account.merged_into).where(Account.external_id.in_(ids))
        )
    }
    found = wanted()
    unknown = ids - set(found)
    missing = sorted(unknown - erased(session, "account", unknown))
    if missing:
        rows = [{"external_id": each, "source": "import", "created_at": now} for each in missing]
        session.execute(upsert(Account).on_conflict_do_nothing(index_elements=["external_id"]), rows)
        found = wanted()
    return {each: found.get(each) for each in ids}
