"""The native API: checks that never raise, in every mode, and a default that always answers."""

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackside_client.flags import Flags, UserFlags


@pytest.fixture
def bootstrap(tmp_path: Path, flag_door: Any) -> Path:
    split = {"rollout": 100000, "split": [["a", 100000]]}
    numbers = {"type": "number", "off": "a", "serve": split}
    path = tmp_path / "flags.json"
    path.write_text(
        json.dumps(
            flag_door.ruleset(
                7,
                **{
                    "team/checkout": flag_door.flag(metadata={"owner": "ada"}),
                    "off": flag_door.flag(enabled=False),
                    "pro": flag_door.flag(
                        rules=[
                            {
                                "id": "r",
                                "name": "",
                                "when": [{"attribute": "plan", "op": "in", "values": ["pro"]}],
                                "serve": {"rollout": 100000, "split": [["on", 100000]]},
                            }
                        ],
                        serve={"rollout": 0, "split": [["on", 100000]]},
                    ),
                    "half": flag_door.flag(serve={"rollout": 50000, "split": [["on", 100000]]}),
                    "colour": {
                        **flag_door.flag(),
                        "type": "string",
                        "variants": {"a": "red"},
                        "off": "a",
                        "serve": split,
                    },
                    "ratio": {**flag_door.flag(), **numbers, "variants": {"a": 0.5}},
                    "limit": {**flag_door.flag(), **numbers, "variants": {"a": 25}},
                    "theme": {**flag_door.flag(), **numbers, "type": "json", "variants": {"a": {"size": [1]}}},
                    "broken": {"type": "nonsense"},
                },
            )
        )
    )
    return path


def test_every_type_is_answered_from_a_bootstrap_file(bootstrap: Path, flags_of: Callable[..., Flags]) -> None:
    flags = flags_of(bootstrap=bootstrap)
    assert flags.boolean("team/checkout", False) is True
    assert flags.boolean("off", True) is False
    assert flags.string("colour", "blue") == "red"
    assert (flags.number("ratio", 1), flags.number("limit", 1)) == (0.5, 25)
    assert flags.json("theme", None) == {"size": [1]}
    assert flags.status.version == 7
    assert flags.status.mode == "offline"


def test_a_changed_answer_of_a_json_flag_changes_nothing(bootstrap: Path, flags_of: Callable[..., Flags]) -> None:
    flags = flags_of(bootstrap=bootstrap)
    flags.json("theme", None)["size"].append(2)
    assert flags.json("theme", None) == {"size": [1]}


def test_rules_see_the_attributes_however_they_are_given(bootstrap: Path, flags_of: Callable[..., Flags]) -> None:
    flags = flags_of(bootstrap=bootstrap)
    assert flags.boolean("pro", False, user="u_1", plan="pro")
    assert flags.boolean("pro", False, {"plan": "pro"})
    assert flags.boolean("pro", False, {"plan": "free"}, plan="pro")
    assert flags.user("u_1", plan="pro").boolean("pro", False)
    assert not flags.boolean("pro", True, user="u_1", plan="free")


def test_details_say_variant_reason_and_metadata(bootstrap: Path, flags_of: Callable[..., Flags]) -> None:
    found = flags_of(bootstrap=bootstrap).details("team/checkout", False)
    assert (found.value, found.variant, found.reason, found.error_code) == (True, "on", "STATIC", None)
    assert dict(found.flag_metadata) == {"owner": "ada"}


@pytest.mark.parametrize(
    ("key", "default", "code"),
    [
        ("colour", False, "TYPE_MISMATCH"),
        ("limit", "x", "TYPE_MISMATCH"),
        ("team/checkout", 3, "TYPE_MISMATCH"),
        ("theme", "x", "TYPE_MISMATCH"),
        ("nope", "x", "FLAG_NOT_FOUND"),
        ("broken", "x", "PARSE_ERROR"),
        ("half", True, "TARGETING_KEY_MISSING"),
    ],
)
def test_what_cannot_be_answered_is_the_default_with_a_code(
    bootstrap: Path, flags_of: Callable[..., Flags], key: str, default: Any, code: str
) -> None:
    found = flags_of(bootstrap=bootstrap).details(key, default)
    assert (found.value, found.reason, found.error_code) == (default, "ERROR", code)
    assert found.error_details


def test_an_unknown_flag_is_said_once(
    bootstrap: Path, flags_of: Callable[..., Flags], caplog: pytest.LogCaptureFixture
) -> None:
    flags = flags_of(bootstrap=bootstrap)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert flags.boolean("nope", True)
    assert [each.getMessage().count("flag nope") for each in caplog.records] == [0, 1]


def test_a_trace_says_why(bootstrap: Path, flags_of: Callable[..., Flags]) -> None:
    trace = flags_of(bootstrap=bootstrap).explain("pro", user="u_1", plan="free")
    assert trace is not None
    assert [step.outcome for step in trace.steps if step.kind == "rule"] == ["not_matched"]


def test_the_settings_may_come_from_the_environment(
    bootstrap: Path, flags_of: Callable[..., Flags], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKSIDE_FLAGS_BOOTSTRAP", str(bootstrap))
    monkeypatch.delenv("TRACKSIDE_URL", raising=False)
    assert flags_of().boolean("team/checkout", False)


@pytest.mark.parametrize("given", [{"url": "nonsense", "key": "k"}, {"url": "http://x", "key": "a b"}, {"url": ""}])
def test_settings_that_make_no_sense_leave_the_defaults(given: dict[str, Any], flags_of: Callable[..., Flags]) -> None:
    flags = flags_of(**given, poll_seconds=-1.0)
    assert flags.boolean("checkout", True) is True
    assert flags.details("checkout", "x").error_code == "PROVIDER_NOT_READY"


def test_a_file_that_holds_something_else_leaves_the_defaults(tmp_path: Path, flags_of: Callable[..., Flags]) -> None:
    for text in ("", "[]", "{", '{"schema": 99}', '{"flags": 3}', "[" * 100_000):
        path = tmp_path / "odd.json"
        path.write_text(text)
        assert flags_of(bootstrap=path).boolean("checkout", True) is True


@given(
    key=st.one_of(st.text(), st.none(), st.integers(), st.lists(st.text())),
    context=st.one_of(
        st.none(),
        st.integers(),
        st.text(),
        st.dictionaries(
            st.sampled_from(["targetingKey", "account", "plan"]),
            st.one_of(st.none(), st.text(), st.floats(), st.lists(st.integers()), st.just("\ud800")),
        ),
    ),
)
def test_nothing_that_is_asked_ever_raises(key: Any, context: Any) -> None:
    flags = Flags(mode="offline")
    flags._state.take(
        {"schema": 1, "flags": {"half": {"type": "boolean", "salt": "s", "enabled": True,
            "variants": {"on": True, "off": False}, "off": "off",
            "serve": {"rollout": 50000, "split": [["on", 100000]]}}}}, "", confirmed=False)  # fmt: skip
    for each in (key, "half"):
        assert flags.boolean(each, True, context) in {True, False}
        assert flags.string(each, "x", context) == "x"
        assert flags.details(each, None, context).key == each
        if isinstance(context, dict):
            assert UserFlags(flags, context).boolean(each, True) in {True, False}


def test_a_moment_in_a_context_is_no_error(bootstrap: Path, flags_of: Callable[..., Flags]) -> None:
    assert flags_of(bootstrap=bootstrap).boolean("pro", False, plan="pro", since=datetime.now(UTC))
