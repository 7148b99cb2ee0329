"""What was logged elsewhere comes in: once, row by row, with metrics that are true of it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from trackside import cli
from trackside.customers.models import User
from trackside.jobs.models import Task
from trackside.runtime import Runtime
from trackside_modules.support import attachments, service
from trackside_modules.support.markdown import render
from trackside_modules.support.models import File, Interaction, Metric

Run = Callable[..., Any]
HEAD = "Ticket ID,Subject,Requester email,Company,Status,Created at,First reply at,Solved at,Description,Topic,CSAT\n"
ROW = (
    "{0},401 again,dev@customer.example,acme,solved,2026-06-01T09:00:00Z,2026-06-01T10:00:00Z,2026-06-01T12:00:00Z,"
    "It fails.,Auth,4\n"
)


@pytest.fixture
def run(runtime: Runtime, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Import a file; return what was told."""
    monkeypatch.setattr("trackside_modules.support.moving.runtime", lambda: runtime)

    def command(content: str | bytes, *options: str, code: int = 0) -> Any:
        path = tmp_path / "file"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        result = CliRunner().invoke(cli.trackside, ["support", "import", str(path), "--json", *options])
        assert result.exit_code == code, result.output
        return json.loads(result.stdout) if result.stdout.startswith("{") else result.output

    return command


def test_a_row_becomes_what_happened(run: Run, runtime: Runtime) -> None:
    assert run(HEAD + ROW.format("T1"))["made"] == 1
    with runtime.database.session() as session:
        row = session.scalars(select(Interaction)).one()
        assert (row.subject, row.status, row.source, row.external_ref, row.csat) == (
            "401 again",
            "solved",
            "csv",
            "T1",
            4,
        )
        kinds = [event.kind for event in service.history_of(session, row.id)]
        assert kinds == ["created", "message", "message", "status", "csat"]
        metric = session.get_one(Metric, row.id)
        assert metric.first_reply_at is not None
        assert (metric.first_reply_at - metric.started_at).total_seconds() == 3600
        assert metric.resolved_at is not None
        assert session.scalars(select(User.email).where(User.email != "")).one() == "dev@customer.example"
        assert session.scalars(select(Task).where(Task.kind == "support.deliver")).all() == []


def test_done_again_it_changes_nothing(run: Run) -> None:
    content = HEAD + ROW.format("T1") + ROW.format("T2")
    assert run(content)["made"] == 2
    again = run(content)
    assert (again["made"], again["known"]) == (0, 2)
    assert run(content, "--source", "elsewhere")["made"] == 2


def test_a_broken_row_is_told_with_its_line_and_the_rest_goes_in(run: Run) -> None:
    rows = [ROW.format("T1"), ROW.format("T2").replace("2026-06-01T09:00:00Z", "yesterday")]
    rows += [ROW.format("T3").replace("solved", "nonsense"), ROW.format("T1"), ROW.format("T4")]
    rows += [ROW.format("T5").replace("2026-06-01T09", "2036-06-01T09"), ROW.format("")]
    told = run(HEAD + "".join(rows), code=1)
    assert (told["made"], told["broken"]) == (2, 5)
    assert sorted(each["line"] for each in told["problems"]) == [3, 4, 5, 7, 8]


def test_a_dry_run_changes_nothing(run: Run, runtime: Runtime) -> None:
    assert run(HEAD + ROW.format("T1"), "--dry-run")["made"] == 1
    with runtime.database.session() as session:
        assert session.scalars(select(Interaction)).all() == []
        assert session.scalars(select(User).where(User.email != "")).all() == []


def test_columns_can_be_named(run: Run, runtime: Runtime) -> None:
    content = "Ref;Betreff;Wer;Wann\n1;Rückfrage zum Schlüssel;a@b.example;2026-06-01 10:00\n"
    options = ("--map", "Betreff=subject", "--map", "Wer=email", "--map", "Wann=occurred_at")
    assert run(content.encode("cp1252"), *options)["encoding"] == "cp1252"
    with runtime.database.session() as session:
        assert session.scalars(select(Interaction.subject)).one() == "Rückfrage zum Schlüssel"


@pytest.mark.parametrize(
    ("content", "options", "words"),
    [
        ("Ref,Subject\n1,x\n", (), "No column is occurred_at, email"),
        ("Ref,Subject\n1,x\n", ("--map", "Nope=subject"), "no column 'Nope'"),
        ("Ref,Subject\n1,x\n", ("--map", "Ref=password"), "no field 'password'"),
        ("\0\0\x01", (), "not a text file"),
        ("", (), "empty"),
        ('"tickets"', ("--from", "zendesk"), "tickets are expected"),
    ],
)
def test_what_is_no_such_file_is_refused_in_words(run: Run, content: str, options: tuple[str, ...], words: str) -> None:
    assert words in run(content, *options, code=1)


def test_a_ticket_of_zendesk_becomes_its_conversation(run: Run, runtime: Runtime) -> None:
    ticket = {
        "id": 42,
        "subject": "Webhook is late",
        "created_at": "2026-06-01T09:00:00Z",
        "updated_at": "2026-06-02T09:00:00Z",
        "status": "closed",
        "type": "problem",
        "priority": "high",
        "tags": ["vip"],
        "via": {"channel": "email"},
        "requester": {"id": 1, "email": "dev@customer.example"},
        "satisfaction_rating": {"score": "good", "comment": "Quick"},
        "comments": [
            {"author_id": 1, "plain_body": "Late.", "created_at": "2026-06-01T09:00:00Z"},
            {"author_id": 2, "body": "Look.", "public": False, "created_at": "2026-06-01T09:10:00Z"},
            {"author_id": 2, "body": "Fixed.", "created_at": "2026-06-01T09:30:00Z"},
        ],
    }
    lines = f"{json.dumps(ticket)}\nnonsense\n{json.dumps(ticket | {'id': 43, 'status': 'pending'})}\n" + '{"id": 44}\n'
    told = run(lines, "--from", "zendesk", code=1)
    assert (told["made"], [each["line"] for each in told["problems"]]) == (2, [2, 4])
    with runtime.database.session() as session:
        row = session.scalars(select(Interaction).where(Interaction.external_ref == "42")).one()
        assert (row.kind, row.priority, row.status, row.channel, row.csat) == ("bug", "high", "closed", "email", 5)
        metric = session.get_one(Metric, row.id)
        assert metric.first_reply_at is not None
        assert (metric.first_reply_at - metric.started_at).total_seconds() == 1800
        kinds = [event.kind for event in service.history_of(session, row.id)]
        assert kinds == ["created", "message", "note", "message", "status", "csat"]
    whole = {"tickets": [ticket], "users": [{"id": 1, "email": "dev@customer.example"}]}
    assert run(json.dumps(whole), "--from", "zendesk")["known"] == 1


@pytest.mark.parametrize(
    "bad",
    [
        "5",
        "[" * 100_000,
        '{"id": "7\\u0000", "created_at": "2026-06-01T09:00:00Z", "requester": {"id": 1, "email": "a@b.example"}}',
        '{"id": 8, "created_at": "2026-06-01T09:00:00Z", "requester": {"id": 1, "email": "a\\u0000@b.example"}}',
    ],
    ids=["a number", "too deep", "NUL in its id", "NUL in an address"],
)
def test_what_is_no_ticket_is_told_with_its_line_and_the_others_are_brought_in(run: Run, bad: str) -> None:
    good = {"created_at": "2026-06-01T09:00:00Z", "requester": {"id": 1, "email": "dev@customer.example"}}
    lines = f"{json.dumps(good | {'id': 1})}\n{bad}\n{json.dumps(good | {'id': 2})}\n"
    told = run(lines, "--from", "zendesk", code=1)
    assert (told["made"], [each["line"] for each in told["problems"]]) == (2, [2])


def test_files_of_zendesk_are_linked_below_what_was_said(run: Run, runtime: Runtime) -> None:
    files = [
        {"file_name": "log [1].txt", "content_url": "https://z.example/attachments/1?name=log", "size": 2048},
        {"file_name": "evil", "content_url": "javascript:alert(1)", "size": 1},
    ]
    comment = {"author_id": 1, "body": "See.", "created_at": "2026-06-01T09:00:00Z", "attachments": files}
    ticket = {
        "id": 1,
        "created_at": "2026-06-01T09:00:00Z",
        "requester": {"id": 1, "email": "dev@customer.example"},
        "comments": [comment],
    }
    assert run(json.dumps(ticket), "--from", "zendesk")["made"] == 1
    with runtime.database.session() as session:
        number = session.scalars(select(Interaction.id)).one()
        body = service.history_of(session, number)[1].data["body"]
    assert body.splitlines()[2:] == [
        "Files at Zendesk, which were not copied:",
        r"- [log \[1\].txt](<https://z.example/attachments/1?name=log>) (2,048 bytes)",
        "- evil (1 bytes)",
    ]
    assert 'href="https://z.example/attachments/1?name=log"' in render(body)


def test_files_that_were_downloaded_beside_an_export_come_along(run: Run, runtime: Runtime, tmp_path: Path) -> None:
    beside = tmp_path / "files"
    (beside / "7").mkdir(parents=True)
    (tmp_path / "secret").write_bytes(b"secret")
    (beside / "7" / "log.txt").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")
    (beside / "8-other.txt").write_bytes(b"not as long as told")
    (beside / "9-link").symlink_to(tmp_path / "secret")
    (beside / "image.png").write_bytes(b"x" * 40)
    (beside / "11-empty").write_bytes(b"")
    names = [(7, "log.txt", 16), (8, "other.txt", 3), (9, "link", 6), (10, "image.png", 40), (11, "empty", 0)]
    names += [(12, "../secret", 6), (13, "large", 1)]
    files = [
        {"id": number, "file_name": name, "content_url": f"https://z.example/{number}", "size": size}
        for number, name, size in names
    ]
    comment = {"author_id": 1, "body": "See.", "created_at": "2026-06-01T09:00:00Z", "attachments": files}
    requester = {"id": 1, "email": "dev@customer.example"}
    ticket = {"id": 1, "created_at": "2026-06-01T09:00:00Z", "requester": requester, "comments": [comment]}
    options = ("--from", "zendesk", "--files", str(beside))

    assert run(json.dumps(ticket), *options, "--dry-run")["made"] == 1
    assert run(json.dumps(ticket), *options)["made"] == 1
    assert run(json.dumps(ticket), *options)["known"] == 1

    with runtime.database.session() as session:
        number = session.scalars(select(Interaction.id)).one()
        said = service.history_of(session, number)[1].data
        kept = session.scalars(select(File).order_by(File.id)).all()
        assert [(it.interaction_id, it.name, it.type) for it in kept] == [
            (number, "log.txt", "image/png"),
            (number, "image.png", "text/plain"),
        ]
        assert said["file_ids"] == [each.id for each in kept]
        assert all(f"https://z.example/{each}" in said["body"] for each in (8, 9, 11, 12, 13))
        assert not any(f"https://z.example/{each}>" in said["body"] for each in (7, 10))
        path = attachments.open_kept(attachments.folder_of(runtime.settings), kept[0])
        assert path.read_bytes().startswith(b"\x89PNG")


def test_words_of_other_tools_are_understood(run: Run, runtime: Runtime) -> None:
    row = ROW.format("T1").replace("solved", "Resolved")
    assert run((HEAD + row).replace("Topic,", "Priority,").replace("Auth", "Medium"))["made"] == 1
    with runtime.database.session() as session:
        found = session.scalars(select(Interaction)).one()
        assert (found.status, found.priority) == ("solved", "normal")


def test_one_interaction_is_told_as_one(runtime: Runtime, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("trackside_modules.support.moving.runtime", lambda: runtime)
    path = tmp_path / "one.csv"
    path.write_text(HEAD + ROW.format("T1"))
    told = CliRunner().invoke(cli.trackside, ["support", "import", str(path), "--dry-run"]).output
    assert "1 interaction would be brought in" in told


def test_a_row_that_is_no_csv_is_told_and_the_next_goes_in(run: Run) -> None:
    told = run(HEAD + '"T1"x,broken\n' + ROW.format("T2"), code=1)
    assert (told["made"], [each["line"] for each in told["problems"]]) == (1, [2])
