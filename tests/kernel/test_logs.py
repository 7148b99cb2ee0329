"""Logs: one JSON line each, nothing personal, nothing that a caller can forge."""

import json
import logging
from collections.abc import Iterator
from dataclasses import replace

import pytest
import structlog
from flask import Flask
from hypothesis import HealthCheck, given
from hypothesis import settings as rules
from hypothesis import strategies as st

from trackside.logs import REQUEST_ID, RequestIds, configure_logging
from trackside.settings import Settings, load_settings

SETTINGS = load_settings(
    {},
    secret_key="Zk3vQ9tW7mX1bR5nJ8cL2dF6hS4gA0pYxEuT",
    database_url="postgresql://x/y",
    redis_url="redis://x",
)


@pytest.fixture(autouse=True)
def tidy() -> Iterator[None]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    token = REQUEST_ID.set("")
    yield
    REQUEST_ID.reset(token)
    root.handlers[:] = before
    root.setLevel(level)
    structlog.reset_defaults()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_line_is_json_with_time_level_process_and_request(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(SETTINGS, "web")
    RequestIds().take({"HTTP_X_REQUEST_ID": "from-the-caller"})
    structlog.get_logger().info("thing.done", count=3)
    (line,) = lines(capsys)
    assert line["event"] == "thing.done"
    assert (line["level"], line["process"], line["request_id"], line["count"]) == ("info", "web", "from-the-caller", 3)
    assert str(line["timestamp"]).endswith("Z")


def test_the_standard_library_logs_the_same_way(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(SETTINGS)
    logging.getLogger("some.library").warning("gone %s", "away")
    (line,) = lines(capsys)
    assert (line["event"], line["level"], line["logger"]) == ("gone away", "warning", "some.library")


def test_keys_of_people_and_secrets_are_dropped(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(SETTINGS)
    structlog.get_logger().info("x", user_id=7, email="a@b.de", password="p", data={"token": "t", "rows": 1})
    (line,) = lines(capsys)
    assert line["data"] == {"rows": 1}
    assert not {"user_id", "email", "password"} & set(line)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Key (email)=(ann.lee+x@example.co.uk) exists", "Key (email)=([email]) exists"),
        ("from 203.0.113.9 port 5", "from [address] port 5"),
        ("from 2001:db8::8a2e:370:7334.", "from [address]."),
        ("from fe80::1", "from [address]"),
        ("at http://127.0.0.1:8000", "at http://127.0.0.1:8000"),
        ("at 2026-06-15T12:30:45", "at 2026-06-15T12:30:45"),
        ("module.py:12:5 and a::b", "module.py:12:5 and a::b"),
    ],
)
def test_addresses_inside_texts_are_masked(capsys: pytest.CaptureFixture[str], text: str, kept: str) -> None:
    configure_logging(SETTINGS)
    structlog.get_logger().info(text, inside=[text])
    (line,) = lines(capsys)
    assert (line["event"], line["inside"]) == (kept, [kept])


def test_a_trace_is_masked_and_stays_on_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(SETTINGS)
    try:
        raise ValueError("ann@example.com\nsecond")
    except ValueError:
        structlog.get_logger().exception("failed")
        logging.getLogger("lib").exception("failed too")
    for line in lines(capsys):
        assert "ValueError: [email]\nsecond" in str(line["exception"])


@rules(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(text=st.text(st.characters(exclude_categories=[])), form=st.sampled_from(["json", "console"]))
def test_whatever_is_logged_is_one_inert_line(capsys: pytest.CaptureFixture[str], text: str, form: str) -> None:
    configure_logging(replace(SETTINGS, log_format=form))
    structlog.get_logger().info(text, value=text)
    logging.getLogger("lib").warning("%s", text)
    out = capsys.readouterr().out
    assert out.count("\n") == 2
    assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in out.replace("\n", ""))


@pytest.mark.parametrize("sent", ["x\nfake", "a" * 65, "short", "\x1b[31mred-red", "ünïcödé-id"])
def test_an_insane_request_id_is_replaced(sent: str) -> None:
    assert RequestIds().take({"HTTP_X_REQUEST_ID": sent}) != sent


def test_a_request_is_logged_by_its_template_alone(
    app: Flask, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging(settings)
    answer = app.test_client().get("/api/v1/nothing/ann@example.com?q=secret", headers={"X-Request-Id": "sane-id-1"})
    assert answer.headers["X-Request-Id"] == "sane-id-1"
    (line,) = [each for each in lines(capsys) if each["event"] == "request"]
    assert (line["route"], line["status"], line["method"], line["request_id"]) == (
        "(unmatched)",
        404,
        "GET",
        "sane-id-1",
    )
    assert "ann" not in str(line)
    assert "secret" not in str(line)
