"""A backup is private, whole, and comes back as it was."""

import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from trackside.backup import FILES, backup, files_beside, restore
from trackside.errors import Conflict, InputError
from trackside.runtime import Runtime, build_runtime
from trackside.workspace import environments, fact, set_fact


@pytest.fixture
def saved(runtime: Runtime, tmp_path: Path) -> Path:
    with runtime.database.session() as session:
        set_fact(session, "kept", "Grüße")
    return backup(runtime, tmp_path / "trackside.backup").path


@pytest.fixture
def elsewhere(runtime: Runtime, empty_database_url: str):
    other = build_runtime(replace(runtime.settings, database_url=empty_database_url), runtime.registry)
    yield other
    other.close()


def test_a_backup_is_readable_by_its_owner_only(saved: Path):
    assert saved.stat().st_mode & 0o777 == 0o600


def test_a_restored_backup_holds_the_same_rows(saved: Path, runtime: Runtime, elsewhere: Runtime):
    restore(elsewhere, saved)
    with elsewhere.database.session() as session:
        assert fact(session, "kept") == "Grüße"
        assert [e.slug for e in environments(session)] == ["production", "staging"]
    assert _counts(elsewhere) == _counts(runtime)


def _counts(runtime: Runtime) -> dict[str, int]:
    with runtime.database.engine.connect() as connection:
        names = connection.scalars(text("select tablename from pg_tables where schemaname = 'public'")).all()
        return {name: connection.scalar(text(f'select count(*) from "{name}"')) or 0 for name in names}


def test_new_rows_after_a_restore_do_not_collide_with_restored_ones(saved: Path, elsewhere: Runtime):
    restore(elsewhere, saved)
    with elsewhere.database.engine.begin() as connection:
        connection.execute(text("insert into environment (slug, name, position) values ('new', 'New', 9)"))


def test_a_restore_into_a_database_with_tables_is_refused(saved: Path, runtime: Runtime):
    with pytest.raises(Conflict, match="not empty"):
        restore(runtime, saved)


def test_an_existing_file_is_never_overwritten(saved: Path, runtime: Runtime):
    before = saved.read_bytes()
    with pytest.raises(Conflict, match="is there already"):
        backup(runtime, saved)
    assert saved.read_bytes() == before


@pytest.mark.parametrize("cut", [0, 100, -200])
def test_a_truncated_backup_changes_nothing(saved: Path, elsewhere: Runtime, cut: int):
    broken = saved.with_name("broken")
    broken.write_bytes(saved.read_bytes()[:cut] if cut else b"")
    with pytest.raises((InputError, Exception), match="whole backup|failed"):
        restore(elsewhere, broken)
    with elsewhere.database.engine.connect() as connection:
        assert connection.scalar(text("select count(*) from pg_tables where schemaname = 'public'")) == 0


def test_a_folder_that_does_not_exist_is_named(runtime: Runtime, tmp_path: Path):
    with pytest.raises(InputError, match="does not exist"):
        backup(runtime, tmp_path / "gone" / "x")


def test_files_go_along_and_come_back(runtime: Runtime, elsewhere: Runtime, tmp_path: Path):
    kept = replace(runtime, settings=replace(runtime.settings, data=tmp_path / "here"))
    file = tmp_path / "here" / FILES / "ab" / ("ab" + 62 * "0")
    file.parent.mkdir(parents=True)
    file.write_bytes(b"what was attached")
    made = backup(kept, tmp_path / "full.backup")
    assert made.files == 1
    assert files_beside(made.path).stat().st_mode & 0o777 == 0o600
    there = replace(elsewhere, settings=replace(elsewhere.settings, data=tmp_path / "there"))
    restore(there, made.path)
    assert (tmp_path / "there" / FILES / "ab" / file.name).read_bytes() == b"what was attached"
    with pytest.raises(Conflict, match=r"full\.backup is there already"):
        backup(kept, made.path)


@pytest.mark.parametrize("name", ["../outside", "/tmp/outside", "ab/../../../outside"])
def test_files_of_a_forged_backup_do_not_leave_their_folder(
    runtime: Runtime, elsewhere: Runtime, tmp_path: Path, name: str
):
    made = backup(replace(runtime, settings=replace(runtime.settings, data=tmp_path / "none")), tmp_path / "it.backup")
    assert (made.files, files_beside(made.path).exists()) == (0, False)
    with tarfile.open(files_beside(made.path), "w") as archive:
        archive.addfile(tarfile.TarInfo(name))
    there = replace(elsewhere, settings=replace(elsewhere.settings, data=tmp_path / "deep" / "there"))
    if not name.startswith("/"):
        with pytest.raises(InputError, match="not a whole backup of files"):
            restore(there, made.path)
    else:
        restore(there, made.path)
    assert not list(tmp_path.glob("outside")) + list(tmp_path.glob("deep/outside"))
    assert not Path("/tmp/outside").exists()
