"""A file of elsewhere is brought in by a page: looked at, tried, done once, and what was left out can be mended."""

import io
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from trackside.runtime import Runtime
from trackside_modules.support import jobs
from trackside_modules.support.models import Import, Interaction

HEAD = "Ticket ID;Subject;Requester email;Status;Created at;Description;Topic\n"
ROW = "{0};Überweisung {0};dev@customer.example;solved;2026-06-01T09:00:00Z;It fails.;Auth\n"
BAD = "B1;No time;dev@customer.example;solved;yesterday;=1+1;Auth\n"


@pytest.fixture
def admin(signed_in_client: Callable[..., FlaskClient]) -> FlaskClient:
    return signed_in_client("admin")


@pytest.fixture
def upload(admin: FlaskClient) -> Callable[..., str]:
    """Upload a file; return its page."""

    def send(content: str | bytes, name: str = "tickets.csv") -> str:
        raw = content if isinstance(content, bytes) else content.encode()
        answer = admin.post("/support/settings/import", data={"file": (io.BytesIO(raw), name)})
        assert answer.status_code == 302, answer.text
        return str(answer.headers["Location"])

    return send


@pytest.fixture
def do(admin: FlaskClient, runtime: Runtime) -> Callable[..., str]:
    """Press a button of an import's page, let a worker do it, and return the page."""

    def press(page: str, what: str = "import", **fields: str) -> str:
        answer = admin.post(page, data={"do": what, **fields})
        assert answer.status_code == 302, answer.text
        jobs.bring_in(runtime, int(page.rsplit("/", 1)[1]))
        return admin.get(page).text

    return press


def refs(runtime: Runtime) -> list[Any]:
    with runtime.database.session() as session:
        return list(session.scalars(select(Interaction.external_ref).order_by(Interaction.id)))


def test_a_file_is_shown_as_the_interactions_it_would_become(admin: FlaskClient, upload: Any, runtime: Runtime) -> None:
    page = admin.get(upload((HEAD + ROW.format("T1") + BAD).encode("cp1252"))).text
    assert "CP1252, parted by semicolons" in page
    assert "Überweisung T1" in page
    assert "Created at: &#39;yesterday&#39;" in page, "by the file's own name of the column"
    assert '<option value="subject" selected>' in page
    assert refs(runtime) == []


def test_trying_tells_what_importing_does(upload: Any, do: Any, runtime: Runtime) -> None:
    page = upload(HEAD + ROW.format("T1") + BAD + ROW.format("T2"))
    assert "Would be new" in do(page, "try")
    with runtime.database.session() as session:
        tried = session.scalars(select(Import)).one()
        assert (tried.state, tried.made, tried.known, tried.broken) == ("tried", 2, 0, 1)
    assert refs(runtime) == []
    do(page)
    assert refs(runtime) == ["T1", "T2"]


def test_what_was_left_out_is_mended_and_imported_again(
    admin: FlaskClient, upload: Any, do: Any, runtime: Runtime
) -> None:
    page = upload(HEAD + ROW.format("T1") + BAD)
    assert "yesterday" in do(page)
    answer = admin.get(f"{page}/left-out.csv").text
    assert "trackside_problem" in answer.splitlines()[0]
    assert "'=1+1" in answer
    mended = answer.replace(",yesterday", ",2026-06-02")
    again = upload(mended)
    assert "as in the import of" not in admin.get(again).text  # other columns than before
    do(again, source="csv")
    assert refs(runtime) == ["T1", "B1"]


def test_the_same_file_again_changes_nothing(admin: FlaskClient, upload: Any, do: Any, runtime: Runtime) -> None:
    content = "Ref,Was,Wer,Wann\nT1,x,a@b.example,2026-06-01\n"
    do(upload(content), c0="external_ref", c1="subject", c2="email", c3="occurred_at", source="old desk")
    again = upload(content)
    assert "Columns, source and time zone are as in the import of tickets.csv" in admin.get(again).text
    do(again)
    with runtime.database.session() as session:
        last = session.scalars(select(Import).order_by(Import.id.desc())).first()
        assert last is not None
        assert (last.made, last.known, last.source) == (0, 1, "old desk")
    assert refs(runtime) == ["T1"]


def test_an_import_that_was_stopped_goes_on(upload: Any, do: Any, runtime: Runtime) -> None:
    page = upload(HEAD + ROW.format("T1") + ROW.format("T2") + BAD)
    do(page)
    with runtime.database.session() as session:
        row = session.scalars(select(Import)).one()
        row.state, row.made = "running", 0
    jobs.bring_in(runtime, row.id)
    with runtime.database.session() as session:
        assert session.get_one(Import, row.id).made == 2
    assert refs(runtime) == ["T1", "T2"]


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "empty"), (b"\x00\x01\x02\x03" * 400, "not a text file"), (None, "Choose a file first")],
)
def test_what_is_no_such_file_is_refused_in_words(admin: FlaskClient, content: bytes | None, words: str) -> None:
    data = {} if content is None else {"file": (io.BytesIO(content), "x.csv")}
    answer = admin.post("/support/settings/import", data=data)
    assert answer.status_code == 422
    assert words in answer.text


@pytest.mark.parametrize(
    ("fields", "words"),
    [({"c0": "nonsense"}, "no such field"), ({"c0": ""}, "external_ref"), ({"c1": "external_ref"}, "Two columns")],
)
def test_columns_that_do_not_do_are_refused_in_words(
    admin: FlaskClient, upload: Any, fields: dict[str, str], words: str
) -> None:
    answer = admin.post(upload(HEAD + ROW.format("T1")), data={"do": "import", **fields})
    assert answer.status_code == 422
    assert words in answer.text


def test_only_who_manages_imports(desk: FlaskClient) -> None:
    assert desk.get("/support/settings/import").status_code == 403
    assert desk.post("/support/settings/import").status_code == 403
