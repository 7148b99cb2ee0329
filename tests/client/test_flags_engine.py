"""The flag engine: what a ruleset's document means."""

from typing import Any

from trackside_client.flags import Ruleset, check_flag, parse

EVERYONE = [["on", 100_000]]


def flag(**fields: Any) -> dict[str, Any]:
    """Return a boolean flag that is on for everyone, with the given fields in place of its own."""
    return {
        "type": "boolean",
        "salt": "s1",
        "enabled": True,
        "variants": {"on": True, "off": False},
        "off": "off",
        "serve": {"rollout": 100_000, "split": EVERYONE},
    } | fields


def ruleset(**flags: dict[str, Any]) -> Ruleset:
    return parse({"schema": 1, "environment": "production", "version": 1, "flags": flags, "segments": {}})


def test_a_flag_for_everyone_is_static() -> None:
    result = ruleset(f=flag()).evaluate("f", {})
    assert (result.value, result.variant, result.reason, result.error_code) == (True, "on", "STATIC", None)


def test_a_disabled_flag_is_off() -> None:
    result = ruleset(f=flag(enabled=False)).evaluate("f", {"targetingKey": "u1"})
    assert (result.value, result.variant, result.reason) == (False, "off", "DISABLED")


def test_an_unknown_flag_and_a_missing_key_are_errors_by_name() -> None:
    rules = ruleset(f=flag(serve={"rollout": 25_000, "split": EVERYONE}))
    assert rules.evaluate("g", {}).error_code == "FLAG_NOT_FOUND"
    assert rules.evaluate("f", {}).error_code == "TARGETING_KEY_MISSING"


def test_a_name_that_is_no_unicode_is_refused_and_crashes_nothing() -> None:
    rules = ruleset(f=flag(serve={"rollout": 25_000, "split": EVERYONE}))
    assert rules.evaluate("f", {"targetingKey": "\ud800"}).error_code == "INVALID_CONTEXT"


def test_a_sound_flag_has_no_problems() -> None:
    assert check_flag("f", flag()) == []
