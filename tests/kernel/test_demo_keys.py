"""The demo's key: one that works, wherever the demo starts, and none once it is cleared."""

from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from trackside.auth.keyring import KeyRing
from trackside.auth.models import ApiKey
from trackside.demo.keys import KEY_FILE, demo_key, remove_key
from trackside.errors import NotAuthenticated
from trackside.runtime import Runtime


def _works(runtime: Runtime, key: str) -> bool:
    try:
        return KeyRing(runtime).authenticate({"HTTP_AUTHORIZATION": f"Bearer {key}"}).kind == "ingest"
    except NotAuthenticated:
        return False


def test_the_demo_keeps_its_key_in_a_private_file(runtime: Runtime, tmp_path: Path) -> None:
    key = demo_key(runtime, tmp_path)
    assert _works(runtime, key)
    assert demo_key(runtime, tmp_path) == key
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o777 == 0o600


def test_a_lost_or_foreign_key_file_is_replaced_and_its_key_ended(
    runtime: Runtime, session: Session, tmp_path: Path
) -> None:
    first = demo_key(runtime, tmp_path)
    (tmp_path / KEY_FILE).write_text("ts_production_ingest_other_key_of_another_folder")
    second = demo_key(runtime, tmp_path)
    assert second != first
    assert _works(runtime, second)
    assert not _works(runtime, first)
    assert len(session.scalars(select(ApiKey)).all()) == 1


def test_no_key_is_left_once_it_is_removed(runtime: Runtime, session: Session, tmp_path: Path) -> None:
    key = demo_key(runtime, tmp_path)
    remove_key(runtime, session)
    remove_key(runtime, session)
    session.commit()
    assert not _works(runtime, key)
    assert session.scalars(select(ApiKey)).all() == []
