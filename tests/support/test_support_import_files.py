"""What was uploaded to be imported is kept no longer than it is of use, and names nobody who was erased."""

import errno
import io
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from trackside.auth.audit import SYSTEM
from trackside.clock import FrozenClock
from trackside.customers.erase import erase
from trackside.customers.models import User
from trackside.errors import InputError
from trackside.runtime import Runtime
from trackside_modules.support import attachments, jobs
from trackside_modules.support.models import Import, Interaction, LeftOut
from trackside_modules.support.service import imports, upload_files, uploads

HEAD = "Ticket ID,Subject,Requester email,User ID,Created at\n"
GOOD = HEAD + "T1,Hello,eve@customer.example,u_eve,2026-06-01\n"
BAD = "T2,No time,ada@customer.example,,yesterday\n"


@pytest.fixture
def admin(signed_in_client: Callable[..., FlaskClient]) -> FlaskClient:
    return signed_in_client("admin")


@pytest.fixture
def folder(runtime: Runtime) -> Path:
    return upload_files.folder_of(runtime.settings)


@pytest.fixture
def upload(admin: FlaskClient) -> Callable[[str], int]:
    """Upload a file and let it wait; return its number."""

    def send(content: str) -> int:
        answer = admin.post("/support/settings/import", data={"file": (io.BytesIO(content.encode()), "x.csv")})
        assert answer.status_code == 302, answer.text
        return int(answer.headers["Location"].rsplit("/", 1)[1])

    return send


def begin(runtime: Runtime, import_id: int) -> None:
    with runtime.database.session() as session:
        uploads.begin(session, upload_files.folder_of(runtime.settings), uploads.get(session, import_id), dry=False)


def erase_eve(runtime: Runtime) -> None:
    with runtime.database.session() as session:
        found = session.scalars(select(User).where(User.external_id == "u_eve")).one_or_none()
        if found is None:
            found = User(
                external_id="u_eve", email="Eve@customer.example", source="manual", created_at=runtime.clock.now()
            )
            session.add(found)
            session.flush()
        erase(session, found, SYSTEM, now=runtime.clock.now())


def test_a_file_goes_as_soon_as_all_of_it_is_in(upload: Any, runtime: Runtime, folder: Path) -> None:
    number = upload(GOOD)
    assert [(each.name, each.stat().st_mode & 0o777) for each in folder.iterdir()] == [(str(number), 0o600)]
    begin(runtime, number)
    jobs.bring_in(runtime, number)
    assert list(folder.iterdir()) == []


def test_a_file_with_rows_to_mend_stays_for_a_week(
    upload: Any, runtime: Runtime, folder: Path, clock: FrozenClock
) -> None:
    number = upload(GOOD + BAD)
    begin(runtime, number)
    jobs.bring_in(runtime, number)
    clock.advance(timedelta(days=7))
    jobs.forget_imports(runtime)
    assert len(list(folder.iterdir())) == 1
    clock.advance(timedelta(seconds=1))
    jobs.forget_imports(runtime)
    assert list(folder.iterdir()) == []


def test_erasing_whoever_it_is_removes_what_waits(
    upload: Any, runtime: Runtime, folder: Path, admin: FlaskClient
) -> None:
    waiting = upload(GOOD)
    mending = upload(HEAD + BAD)
    begin(runtime, mending)
    jobs.bring_in(runtime, mending)
    erase_eve(runtime)  # of whom there is no interaction
    assert list(folder.iterdir()) == []
    assert "upload it again" in admin.get(f"/support/settings/import/{waiting}").text
    with runtime.database.session() as session:
        assert session.scalars(select(LeftOut.problem)).all() == ["(removed)"]


def test_a_running_import_leaves_the_erased_out_and_removes_its_file_at_its_end(
    upload: Any, runtime: Runtime, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = upload(GOOD + "T3,Other,eve@customer.example,,2026-06-01\nT4,Kept,bob@customer.example,,2026-06-01\n")
    begin(runtime, number)
    erase_eve(runtime)
    assert len(list(folder.iterdir())) == 1, "it is being read"
    jobs.bring_in(runtime, number)
    assert list(folder.iterdir()) == []
    with runtime.database.session() as session:
        assert session.scalars(select(Interaction.external_ref)).all() == ["T4"]
        assert session.get_one(Import, number).broken == 2
        assert set(session.scalars(select(LeftOut.problem))) == {"(removed)"}


def test_who_is_erased_between_reading_and_writing_loses_the_words_at_the_end(
    upload: Any, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = upload(GOOD)
    begin(runtime, number)
    write = imports._write

    def late(it: Any, histories: Any) -> Any:
        erase_eve(runtime)
        return write(it, histories)

    monkeypatch.setattr(imports, "_write", late)
    jobs.bring_in(runtime, number)
    with runtime.database.session() as session:
        row = session.scalars(select(Interaction)).one()
        assert (row.subject, row.erased) == ("(erased)", True)


def test_a_dry_run_and_a_failure_end_so_too(upload: Any, runtime: Runtime, folder: Path) -> None:
    tried, failing = upload(GOOD), upload(GOOD)
    with runtime.database.session() as session:
        uploads.begin(session, folder, uploads.get(session, tried), dry=True)
        uploads.begin(session, folder, uploads.get(session, failing), dry=False)
    (folder / str(failing)).unlink()
    erase_eve(runtime)
    jobs.bring_in(runtime, tried)
    jobs.bring_in(runtime, failing)
    assert list(folder.iterdir()) == []
    with runtime.database.session() as session:
        assert all(each.removed_at for each in session.scalars(select(Import)))


def test_a_full_disk_is_told_and_leaves_nothing_behind(
    admin: FlaskClient, folder: Path, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_path: Path, _target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    answer = admin.post("/support/settings/import", data={"file": (io.BytesIO(GOOD.encode()), "x.csv")})
    assert answer.status_code == 503
    assert "No space left on device" in answer.text
    assert list(folder.iterdir()) == []
    with runtime.database.session() as session:
        assert session.scalars(select(Import)).all() == []


def test_what_a_killed_upload_left_is_swept_later(upload: Any, runtime: Runtime, folder: Path) -> None:
    number = upload(GOOD)
    old, young = folder / "tmpold", folder / "tmpyoung"
    moment = runtime.clock.now().timestamp()
    for path, age in ((old, 3601), (young, 60), (folder / str(number), 7200)):
        path.touch()
        os.utime(path, (moment - age, moment - age))
    jobs.forget_imports(runtime)
    assert {each.name for each in folder.iterdir()} == {str(number), "tmpyoung"}


def test_a_row_without_end_is_told_by_its_line_and_the_others_come_in(
    upload: Any, runtime: Runtime, admin: FlaskClient
) -> None:
    fine = "{},Fine,c@d.example,,2026-06-01\n"
    endless = '"' + "".join(f'",{"x" * 1000},"\n' for _ in range(1500))
    number = upload(f"{GOOD}T2,{'x' * (3 << 20)}\r\n{fine.format('T3')}{endless}{fine.format('T4')}")
    begin(runtime, number)
    jobs.bring_in(runtime, number)
    with runtime.database.session() as session:
        assert set(session.scalars(select(Interaction.external_ref))) == {"T1", "T3", "T4"}
        first = session.scalars(select(LeftOut).order_by(LeftOut.line)).first()
        assert first is not None
        assert first.line == 3
        assert "Line 3 is too long: a row may have 1,048,576 characters" in first.problem


def test_a_first_line_without_end_is_refused(runtime: Runtime) -> None:
    from trackside.customers import sheets

    with pytest.raises(InputError, match="Line 1 is too long"):
        sheets.opened(io.BytesIO(b"x" * (2 << 20)))
    with pytest.raises(InputError, match="Line 2 is too long"):
        sheets.parsed("id,name\na," + "x" * (2 << 20))


def test_erasing_wipes_the_words_of_an_import_whose_file_is_gone(upload: Any, runtime: Runtime, folder: Path) -> None:
    number = upload(HEAD + BAD)
    begin(runtime, number)
    jobs.bring_in(runtime, number)
    with runtime.database.session() as session:
        # as of a Zendesk export with tickets left out: it is removed once it was imported
        session.get_one(Import, number).removed_at = runtime.clock.now()
        session.query(LeftOut).update({"problem": "'eve@customer.example' cannot be a user."})
    erase_eve(runtime)
    with runtime.database.session() as session:
        assert session.scalars(select(LeftOut.problem)).all() == ["(removed)"]


@pytest.mark.parametrize("row", ["T1,Hello,EVE@customer.example,,2026-06-01\n", "T1,Hello,,u_eve,2026-06-01\n"])
def test_why_a_row_of_the_erased_is_left_out_does_not_name_them(
    upload: Any, runtime: Runtime, clock: FrozenClock, row: str
) -> None:
    erase_eve(runtime)
    clock.advance(timedelta(seconds=1))
    number = upload(HEAD + row)
    begin(runtime, number)
    jobs.bring_in(runtime, number)
    with runtime.database.session() as session:
        (told,) = session.scalars(select(LeftOut.problem))
    assert "was erased" in told
    assert "eve" not in told.lower()


def test_what_is_uploaded_while_an_erasure_waits_goes_too(
    upload: Any, runtime: Runtime, folder: Path, clock: FrozenClock
) -> None:
    began = clock.now()
    clock.advance(timedelta(seconds=30))
    upload(GOOD)
    with runtime.database.session() as session:
        eve = User(external_id="u_eve", email="eve@customer.example", source="manual", created_at=began)
        session.add(eve)
        session.flush()
        erase(session, eve, SYSTEM, now=began)
    assert list(folder.iterdir()) == []


def test_a_file_that_goes_while_it_is_looked_at_does_not_stop_the_sweep(
    runtime: Runtime, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.mkdir(parents=True)
    for name in ("tmpone", "tmptwo"):
        (folder / name).touch()
        os.utime(folder / name, (0, 0))

    def is_file(path: Path) -> bool:
        path.unlink()
        return True

    monkeypatch.setattr(Path, "is_file", is_file)
    assert upload_files.sweep(folder, [], now=runtime.clock.now()) == 0


def test_bytes_of_attachments_that_no_message_has_are_swept(runtime: Runtime) -> None:
    place, now = attachments.folder_of(runtime.settings), runtime.clock.now()
    with runtime.database.session() as session:
        attachments.keep(session, place, [("kept.txt", b"kept")], now=now)
    try:
        with runtime.database.session() as session:
            attachments.keep(session, place, [("old.txt", b"old"), ("young.txt", b"young")], now=now)
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    every = {each.read_bytes(): each for each in place.rglob("*") if each.is_file()}
    for content, each in every.items():
        at = now.timestamp() - (60 if content == b"young" else 3601)
        os.utime(each, (at, at))
    jobs.forget_files(runtime)
    assert {each.read_bytes() for each in place.rglob("*") if each.is_file()} == {b"kept", b"young"}


def test_bytes_that_are_kept_once_more_are_young_again(runtime: Runtime) -> None:
    place, now = attachments.folder_of(runtime.settings), runtime.clock.now()
    with runtime.database.session() as session:
        attachments.keep(session, place, [("a.txt", b"same")], now=now)
        (path,) = (each for each in place.rglob("*") if each.is_file())
        os.utime(path, (0, 0))
        attachments.keep(session, place, [("b.txt", b"same")], now=now)
        assert path.stat().st_mtime > 0
