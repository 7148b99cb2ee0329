"""The embedded servers as real processes."""

import os
import signal
from pathlib import Path

import psycopg
import pytest
import redis

from trackside.embedded.postgres import Postgres
from trackside.embedded.process import EmbeddedError, socket_folder
from trackside.embedded.valkey import Valkey


def _rows(url: str, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        found = connection.execute(query)
        return found.fetchall() if found.description else []


def test_postgres_keeps_its_rows_over_a_restart_in_a_private_folder(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    server = Postgres(private / "data", throwaway=True)
    url = server.start()
    try:
        _rows(url, "create table kept as select 7 as seven")
        server.stop()
        server.stop()
        assert server.pid is None
        again = Postgres(private / "data", throwaway=True)
        assert again.start() == url
        assert _rows(url, "select seven from kept") == [(7,)]
        again.stop()
    finally:
        server.stop()


def test_the_application_role_is_no_superuser(database_url: str) -> None:
    assert _rows(database_url, "select rolsuper from pg_roles where rolname = current_user") == [(False,)]


def test_a_killed_initdb_does_not_poison_the_next_start(tmp_path: Path) -> None:
    half = tmp_path / "pg.new"
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")
    server = Postgres(tmp_path, throwaway=True)
    server.start()
    server.stop()
    assert not half.exists()


def test_a_stale_pid_file_naming_another_process_harms_nobody(tmp_path: Path) -> None:
    server = Postgres(tmp_path, throwaway=True)
    server.start()
    server.stop()
    (server.folder / "postmaster.pid").write_text(f"{os.getpid()}\n{server.folder}\n")
    url = server.start()
    assert _rows(url, "select 1") == [(1,)]
    server.stop()


def test_a_leftover_postmaster_is_stopped_first(tmp_path: Path) -> None:
    first, second = Postgres(tmp_path, throwaway=True), Postgres(tmp_path, throwaway=True)
    first.start()
    second.start()
    assert first.pid is None
    second.stop()


def test_a_killed_server_is_started_again(tmp_path: Path) -> None:
    server = Valkey(tmp_path)
    client = redis.Redis.from_url(server.start())
    client.set("kept", 1)
    assert server.pid is not None
    assert not server.restart_if_dead()
    os.kill(server.pid, signal.SIGKILL)
    while server.pid is not None:
        pass
    assert server.restart_if_dead()
    assert client.get("kept") == b"1"
    server.stop()


def test_sockets_of_a_deep_folder_go_to_the_temporary_one(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 120)
    folder = socket_folder(deep)
    assert len(str(folder)) < 90
    assert folder == socket_folder(deep)
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.rmdir()


def test_a_wrong_pg_bin_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PG_BIN", str(tmp_path))
    with pytest.raises(EmbeddedError, match="PG_BIN is .* which holds no `postgres`"):
        Postgres(tmp_path)


def test_each_test_gets_a_fresh_database_and_an_empty_redis(
    database_url: str, empty_database_url: str, redis_client: "redis.Redis[bytes]"
) -> None:
    assert database_url != empty_database_url
    assert redis_client.dbsize() == 0
