"""Settings are read once, strictly, and every mistake is told at once."""

from dataclasses import fields
from pathlib import Path

import pytest

from trackside.errors import SettingsError
from trackside.settings import Settings, load_settings, masked

GOOD = {
    "TRACKSIDE_SECRET_KEY": "Zk3vQ9tW7mX1bR5nJ8cL2dF6hS4gA0pY",
    "DATABASE_URL": "postgresql://trackside:pw@db/trackside",
    "REDIS_URL": "redis://cache:6379/0",
    "TRACKSIDE_DATA": "/nowhere",
}


def problems(**changes: str | None) -> str:
    environ = {**GOOD, **changes}
    with pytest.raises(SettingsError) as caught:
        load_settings({name: value for name, value in environ.items() if value is not None})
    return "\n".join(caught.value.problems)


def test_the_plain_names_of_the_two_urls_are_understood():
    settings = load_settings(GOOD)
    assert settings.database_url == "postgresql+psycopg://trackside:pw@db/trackside"
    assert settings.redis_queue_url == settings.redis_live_url == "redis://cache:6379/0"


def test_every_wrong_value_is_named_at_once():
    told = problems(
        TRACKSIDE_WEB_THREADS="many", TRACKSIDE_LOG_FORMAT="xml", REDIS_URL="http://x", TRACKSIDE_BASE_URL="x"
    )
    for name in ("TRACKSIDE_WEB_THREADS", "TRACKSIDE_LOG_FORMAT", "TRACKSIDE_REDIS_URL", "TRACKSIDE_BASE_URL"):
        assert name in told


@pytest.mark.parametrize("weak", ["abc123", "changeme" * 4, "secret" * 6, "a" * 40, "password" * 5])
def test_a_short_or_known_secret_key_is_refused_and_not_repeated(weak: str):
    told = problems(TRACKSIDE_SECRET_KEY=weak)
    assert "TRACKSIDE_SECRET_KEY" in told
    assert weak not in told


def test_a_missing_secret_key_is_refused():
    assert "TRACKSIDE_SECRET_KEY is not set" in problems(TRACKSIDE_SECRET_KEY=None)


def test_a_misspelt_setting_is_refused_rather_than_ignored():
    assert "TRACKSIDE_WEBTHREADS is not a setting" in problems(TRACKSIDE_WEBTHREADS="8")


def test_a_secret_can_come_from_a_file(tmp_path: Path):
    secret = tmp_path / "key"
    secret.write_text(GOOD["TRACKSIDE_SECRET_KEY"] + "\n")
    environ = {**GOOD, "TRACKSIDE_SECRET_KEY_FILE": str(secret)}
    del environ["TRACKSIDE_SECRET_KEY"]
    assert load_settings(environ).secret_key == GOOD["TRACKSIDE_SECRET_KEY"]


def test_a_secret_file_that_cannot_be_read_fails_loudly(tmp_path: Path):
    told = problems(TRACKSIDE_SECRET_KEY=None, TRACKSIDE_SECRET_KEY_FILE=str(tmp_path / "gone"))
    assert "cannot be read" in told


def test_a_value_and_its_file_together_are_refused(tmp_path: Path):
    assert "keep one" in problems(TRACKSIDE_SECRET_KEY_FILE=str(tmp_path / "key"))


def test_the_run_file_of_a_running_up_fills_what_is_not_set(tmp_path: Path):
    (tmp_path / "run.json").write_text('{"database_url": "postgresql://trackside@/here", "redis_url": "unix:///r"}')
    settings = load_settings({"TRACKSIDE_SECRET_KEY": GOOD["TRACKSIDE_SECRET_KEY"], "TRACKSIDE_DATA": str(tmp_path)})
    assert settings.database_url == "postgresql+psycopg://trackside@/here"


def test_the_stream_answers_one_port_above_the_web_by_default():
    assert load_settings({**GOOD, "TRACKSIDE_BASE_URL": "http://127.0.0.1:9000"}).stream_url == "http://127.0.0.1:9001"


def test_no_secret_is_ever_shown():
    shown = "\n".join(masked(load_settings(GOOD)).values())
    assert GOOD["TRACKSIDE_SECRET_KEY"] not in shown
    assert "pw@" not in shown


def test_every_setting_says_what_it_is():
    assert all(each.metadata["doc"] for each in fields(Settings))
