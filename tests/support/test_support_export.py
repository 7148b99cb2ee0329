"""The support log as a file."""

import csv
import io
import json
from collections.abc import Callable

import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from trackside import cli
from trackside.auth.audit import COMMAND_LINE
from trackside.clock import FrozenClock
from trackside.runtime import Runtime
from trackside_modules.support import service
from trackside_modules.support.drafts import Draft
from trackside_modules.support.models import Interaction
from trackside_modules.support.queries import exporting
from trackside_modules.support.queries.filters import Filter

Log = Callable[..., Interaction]


def test_an_export_has_a_row_for_each_interaction_whatever_the_batch(
    session: Session, clock: FrozenClock, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "AT_ONCE", 2)
    numbers = [log(f"Question {place}", tags=("b", "a")).id for place in range(5)]
    pieces = exporting.export(session, Filter(merged=True), now=clock.now(), form="csv")
    rows = list(csv.DictReader(io.StringIO("".join(pieces))))
    assert [int(row["number"]) for row in rows] == numbers
    assert tuple(rows[0]) == exporting.INTERACTION
    assert (rows[0]["tags"], rows[0]["email"], rows[0]["occurred_at"]) == (
        "a b",
        "dev@customer.example",
        "2026-06-15T12:00:00Z",
    )


def test_an_export_by_event_has_a_row_for_each_event(session: Session, clock: FrozenClock, log: Log) -> None:
    number = log(body="It fails.").id
    pieces = exporting.export(session, Filter(merged=True), now=clock.now(), form="json", by_event=True)
    events = json.loads("".join(pieces))
    assert [(each["number"], each["seq"], each["kind"]) for each in events] == [
        (number, 1, "created"),
        (number, 2, "message"),
    ]
    assert events[1]["data"]["body"] == "It fails."


def test_no_cell_is_a_formula(session: Session, clock: FrozenClock, log: Log) -> None:
    log('=HYPERLINK("http://evil.example")')
    pieces = exporting.export(session, Filter(merged=True), now=clock.now(), form="csv")
    (row,) = csv.DictReader(io.StringIO("".join(pieces)))
    assert row["subject"].startswith("'=")


def test_nothing_is_still_a_file(session: Session, clock: FrozenClock) -> None:
    for form, empty in (("csv", ",".join(exporting.INTERACTION) + "\r\n"), ("json", "[]\n")):
        assert "".join(exporting.export(session, Filter(), now=clock.now(), form=form)) == empty


@pytest.fixture
def logged(runtime: Runtime) -> None:
    """Log two interactions."""
    with runtime.database.session() as session:
        for subject, kind in (("It fails", "bug"), ("How to?", "question")):
            draft = Draft(subject=subject, kind=kind, user="dev@customer.example")
            service.log(session, draft, who=COMMAND_LINE, now=runtime.clock.now())


@pytest.mark.usefixtures("logged")
def test_the_list_is_taken_away(signed_in_client: Callable[..., FlaskClient]) -> None:
    browser = signed_in_client("viewer")
    answer = browser.get("/support/export.csv?q=kind:bug")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="trackside-support.csv"'
    assert [row["subject"] for row in csv.DictReader(io.StringIO(answer.text))] == ["It fails"]
    assert len(json.loads(browser.get("/support/export.json?events=1").text)) == 2
    assert browser.get("/support/export.xml").status_code == 404
    assert browser.get("/support/export.csv?q=status:nonsense").status_code == 422
    assert browser.get("/support/export.csv?q=a&q=b").status_code == 422


@pytest.mark.usefixtures("logged")
def test_it_is_taken_away_from_the_shell(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trackside_modules.support.moving.runtime", lambda: runtime)
    result = CliRunner().invoke(cli.trackside, ["support", "export", "--format", "json", "kind:question"])
    assert [each["subject"] for each in json.loads(result.stdout)] == ["How to?"]


@pytest.mark.parametrize("form", ["csv", "json"])
@pytest.mark.parametrize("what", ["interactions", "events"])
def test_the_api_sends_the_files_of_the_shell(
    client: FlaskClient, runtime: Runtime, clock: FrozenClock, api_key: Callable[..., str], what: str, form: str
) -> None:
    with runtime.database.session() as session:
        for subject, kind in (("=HYPERLINK(1)", "question"), ("=Two", "bug")):
            draft = Draft(subject=subject, user="dev@customer.example", kind=kind)
            service.log(session, draft, who=COMMAND_LINE, now=clock.now())
    headers = {"Authorization": f"Bearer {api_key('admin', scopes=['support:read'])}"}
    answer = client.get(f"/api/v1/support/export/{what}.{form}?q=kind:bug", headers=headers)
    with runtime.database.session() as session:
        asked = Filter(merged=True, kind=("bug",))
        pieces = list(exporting.export(session, asked, now=clock.now(), form=form, by_event=what == "events"))
    assert (answer.status_code, answer.text) == (200, "".join(pieces))
    assert answer.headers["Content-Type"].startswith({"csv": "text/csv", "json": "application/json"}[form])
    assert "HYPERLINK" not in answer.text
    assert (form == "csv" and what == "interactions") == ("'=Two" in answer.text)


def test_the_api_refuses_other_files_and_other_scopes(client: FlaskClient, api_key: Callable[..., str]) -> None:
    def status(path: str, scope: str = "support:read") -> int:
        headers = {"Authorization": f"Bearer {api_key('admin', scopes=[scope])}"}
        return client.get(f"/api/v1/support/export/{path}", headers=headers).status_code

    assert status("interactions.csv", "support:write") == 403
    assert status("members.csv") in (404, 422)
    assert status("events.csv?q=status:nonsense") == 422
