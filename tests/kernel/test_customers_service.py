"""Merging, erasing, importing and exporting keep their promises."""

from datetime import timedelta
from typing import Any

import msgspec
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session

from trackside import csv_lines
from trackside.auth.audit import SYSTEM
from trackside.auth.models import AuditEntry
from trackside.clock import FrozenClock
from trackside.customers import erase, importing, merge, queries, service, sheets
from trackside.customers.exporting import as_csv, as_json
from trackside.customers.kinds import ACCOUNT, USER
from trackside.customers.models import Account, User
from trackside.customers.queries import Filter
from trackside.customers.resolve import resolve_accounts, resolve_users
from trackside.errors import Conflict, InputError
from trackside.events import Event, UserErased, UsersMerged
from trackside.runtime import Runtime

EXAMPLES = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25)
TEXT = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=12)


def user(session: Session, clock: FrozenClock, external_id: str, **values: Any) -> User:
    """Make a user."""
    return service.create(session, USER, SYSTEM, external_id, values, now=clock.now())


def account(session: Session, clock: FrozenClock, external_id: str, **values: Any) -> Account:
    """Make an account."""
    return service.create(session, ACCOUNT, SYSTEM, external_id, values, now=clock.now())


def resolved(session: Session, *ids: str) -> dict[str, int]:
    """Resolve ids on the session's own connection, as a fold does."""
    session.flush()
    raw = session.connection().connection.driver_connection
    assert isinstance(raw, psycopg.Connection)
    return resolve_users(raw, dict.fromkeys(ids))


def run(session: Session, clock: FrozenClock, text: str, *, dry: bool = False) -> importing.Outcome:
    """Import users from `text`, columns by their names."""
    sheet = sheets.parsed(text)
    mapping = importing.guess(USER, sheet.columns)
    return importing.run(session, USER, sheet, mapping, SYSTEM, now=clock.now(), dry=dry)


@EXAMPLES
@given(order=st.permutations(range(5)), targets=st.lists(st.integers(0, 4), min_size=5, max_size=5))
def test_every_id_ever_merged_resolves_to_the_one_that_is_left(
    session: Session, clock: FrozenClock, order: list[int], targets: list[int]
) -> None:
    rows = [user(session, clock, f"u{n}") for n in range(5)]
    parent = list(range(5))

    def root(n: int) -> int:
        return n if parent[n] == n else root(parent[n])

    for source, target in zip(order, targets, strict=True):
        if parent[source] == source and root(target) != source:
            merge.merge(session, rows[source], rows[root(target)], SYSTEM, now=clock.now())
            parent[source] = root(target)
    found = resolved(session, *(f"u{n}" for n in range(5)))
    assert found == {f"u{n}": rows[root(n)].id for n in range(5)}
    assert len(queries.listed(session, USER, Filter()).rows) == sum(parent[n] == n for n in range(5))
    session.rollback()


def test_a_merge_fills_what_the_target_lacks_and_keeps_what_it_has(session: Session, clock: FrozenClock) -> None:
    acme = account(session, clock, "acme")
    old = user(session, clock, "old", email="o@x.y", name="Old", account="acme", attributes={"a": "1", "b": "1"})
    new = user(session, clock, "new", name="New", attributes={"b": "2"})
    old.first_seen, new.first_seen = clock.now() - timedelta(days=9), clock.now()
    shown = merge.preview(session, old, new)
    assert dict(shown.fills) == {"email": "o@x.y", "account": "acme", "a": "1"}
    assert shown.keeps == [("name", "New", "Old"), ("b", "2", "1")]
    merge.merge(session, old, new, SYSTEM, now=clock.now())
    assert (new.name, new.email, new.account_id, new.attributes) == ("New", "o@x.y", acme.id, {"a": "1", "b": "2"})
    assert new.first_seen == clock.now() - timedelta(days=9)
    assert queries.aliases(session, new) == ["old"]


def test_a_merged_account_brings_its_users(session: Session, clock: FrozenClock) -> None:
    old, new = account(session, clock, "old"), account(session, clock, "new", plan="gold")
    ada = user(session, clock, "ada", account="old")
    assert ("Users", 1) in merge.preview(session, old, new).moves
    merge.merge(session, old, new, SYSTEM, now=clock.now())
    session.refresh(ada)
    assert ada.account_id == new.id
    assert user(session, clock, "bob", account="old").account_id == new.id, "the old id leads to the new account"


def test_erasing_leaves_nothing_that_names_them(session: Session, clock: FrozenClock) -> None:
    ada = user(session, clock, "ada", email="a@b.c", name="Ada", attributes={"phone": "1"})
    alias = user(session, clock, "countess", name="Countess")
    merge.merge(session, alias, ada, SYSTEM, now=clock.now())
    assert erase.erase(session, ada, SYSTEM, now=clock.now()) == 2
    for row in session.scalars(select(User).where(User.id.in_([ada.id, alias.id]))):
        session.refresh(row)
        assert (row.external_id, row.name, row.email, row.attributes) == (None, "", "", {})
    entries = session.scalars(select(AuditEntry)).all()
    told = msgspec.json.encode([[e.changes, e.object_name, e.object_id, e.action] for e in entries]).decode()
    assert {e.action for e in entries} >= {"user.created", "user.merged", "user.erased"}
    assert not [word for word in ("ada", "Ada", "a@b.c", "ountess", "phone") if word in told]


def test_the_erased_stay_unknown_until_someone_makes_them_again(session: Session, clock: FrozenClock) -> None:
    erase.erase(session, user(session, clock, "ada"), SYSTEM, now=clock.now())
    assert resolved(session, "ada", "bob")["ada"] == 0
    with pytest.raises(Conflict, match="erased"):
        user(session, clock, "ada")
    outcome = run(session, clock, "id,name\nada,Ada\n")
    assert [error.line for error in outcome.errors] == [2]
    clock.advance(timedelta(days=31))
    assert resolved(session, "ada") == {"ada": 0}
    again = user(session, clock, "ada")
    assert resolved(session, "ada") == {"ada": again.id}


def test_erasing_an_account_erases_its_users(session: Session, clock: FrozenClock) -> None:
    acme = account(session, clock, "acme", name="Acme")
    ids = [user(session, clock, f"u{n}", account="acme").id for n in range(3)]
    assert erase.erase(session, acme, SYSTEM, now=clock.now()) == 3
    assert not queries.listed(session, USER, Filter()).rows
    assert set(resolved(session, "u0", "u1", "u2").values()) == {0}
    raw = session.connection().connection.driver_connection
    assert isinstance(raw, psycopg.Connection)
    assert resolve_accounts(raw, ["acme"]) == {"acme": None}
    assert len(ids) == 3


@pytest.fixture
def announced(runtime: Runtime) -> list[Event]:
    """Collect what is announced."""
    found: list[Event] = []
    for kind in (UserErased, UsersMerged):
        runtime.events.subscribe(kind, found.append)
    return found


def test_merges_and_erasures_are_announced_after_the_commit(
    database_url: str, runtime: Runtime, announced: list[Event], clock: FrozenClock
) -> None:
    with runtime.database.session() as session:
        old, new = user(session, clock, "old"), user(session, clock, "new")
        merge.merge(session, old, new, SYSTEM, now=clock.now())
        assert not announced
    with runtime.database.session() as session:
        erase.erase(session, service.get(session, USER, new.id), SYSTEM, now=clock.now())
    assert announced[0] == UsersMerged(clock.now(), user_id=new.id, merged_id=old.id)
    assert {each.user_id for each in announced[1:] if isinstance(each, UserErased)} == {old.id, new.id}


@EXAMPLES
@given(
    people=st.dictionaries(
        TEXT, st.tuples(st.one_of(st.just(""), TEXT), st.dictionaries(TEXT, TEXT, max_size=2)), min_size=1, max_size=5
    )
)
def test_an_export_imports_back_unchanged(
    session: Session, clock: FrozenClock, people: dict[str, tuple[str, dict[str, str]]]
) -> None:
    for external_id, (name, attributes) in people.items():
        user(session, clock, external_id, name=name, attributes=attributes)
    text = "".join(as_csv(session, USER, Filter()))
    same = run(session, clock, text)
    assert (same.created, same.updated, same.unchanged, same.errors) == (0, 0, len(people), [])
    session.rollback()
    assert run(session, clock, text).created == len(people)
    found = {row.external_id: (row.name, row.attributes) for row in session.scalars(select(User).where(User.id != 0))}
    assert found == people
    session.rollback()


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "'"])
def test_no_cell_starts_like_a_formula(start: str) -> None:
    cell = f"{start}cmd()"
    assert csv_lines.quoted(cell)[0] == "'"
    assert csv_lines.unquoted(csv_lines.quoted(cell)) == cell


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_any_usual_encoding_is_read(encoding: str, delimiter: str) -> None:
    text = f"id{delimiter}name\r\nzoë{delimiter}Müller & Söhne\r\n"
    decoded, found = sheets.decoded(text.encode(encoding))
    assert sheets.parsed(decoded).rows == [(2, ["zoë", "Müller & Söhne"])], found


def test_lines_are_counted_as_an_editor_counts_them() -> None:
    assert [number for number, _ in sheets.parsed('id,name\n\na,"x\ny"\nb,z\n').rows] == [3, 5]


def test_an_import_tells_each_mistake_with_its_line(session: Session, clock: FrozenClock) -> None:
    outcome = run(session, clock, "id,email\na,a@b.c\n,x@y.z\nb,nope\na,a@b.d\nc,c@d.e,more\n" + "x" * 201 + ",\n")
    assert outcome.created == 1
    assert [error.line for error in outcome.errors] == [3, 4, 5, 6, 7]
    assert "on line 2 already" in outcome.errors[2].problem


def test_an_empty_cell_leaves_the_value_as_it_is(session: Session, clock: FrozenClock) -> None:
    row = user(session, clock, "ada", email="a@b.c", name="Ada")
    outcome = run(session, clock, "id,email,name\nada,,Countess\n")
    session.refresh(row)
    assert (outcome.updated, row.email, row.name, row.version) == (1, "a@b.c", "Countess", 2)


def test_a_dry_run_tells_the_same_and_changes_nothing(session: Session, clock: FrozenClock) -> None:
    user(session, clock, "ada")
    text = "id,name,account\nada,Ada,acme\nbob,Bob,acme\n,\nx,y,\n,z,\n"
    dry = run(session, clock, text, dry=True)
    assert [row.external_id for row in queries.listed(session, USER, Filter()).rows] == ["ada"]
    assert not queries.listed(session, ACCOUNT, Filter()).rows
    wet = run(session, clock, text)
    assert (dry.created, dry.updated, dry.errors) == (wet.created, wet.updated, wet.errors)
    assert (run(session, clock, text).unchanged, wet.created) == (3, 2)


def test_ten_thousand_rows_are_taken_whole(session: Session, clock: FrozenClock) -> None:
    text = "id,name,account\n" + "".join(f"u{n},Name {n},a{n % 100}\n" for n in range(10_000))
    assert run(session, clock, text).created == 10_000
    assert run(session, clock, text.replace("Name", "Other")).updated == 10_000


def test_an_export_of_nothing_is_still_a_file(session: Session) -> None:
    assert "".join(as_csv(session, USER, Filter())).startswith("external_id,email,name,account,")
    assert msgspec.json.decode("".join(as_json(session, USER, Filter()))) == []


def test_two_columns_cannot_be_one_field(session: Session, clock: FrozenClock) -> None:
    sheet = sheets.parsed("id,a,b\nx,1,2\n")
    with pytest.raises(InputError, match="Two columns"):
        importing.run(session, USER, sheet, ["external_id", "name", "name"], SYSTEM, now=clock.now())


def test_an_import_does_not_bring_back_whose_address_is_known_alone(session: Session, clock: FrozenClock) -> None:
    erase.erase(session, user(session, clock, "ada", email="ADA\u0130@b.example"), SYSTEM, now=clock.now())
    outcome = run(session, clock, "id,email\nnew,ada\u0130@b.example\nbob,bob@b.example\n")
    assert (outcome.created, [error.line for error in outcome.errors]) == (1, [2])
    assert "erased" in outcome.errors[0].problem
    assert "@" not in outcome.errors[0].problem
