"""The OpenFeature provider under the real SDK."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import ProviderEvent
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import Reason

from trackside_client.flags import Flags
from trackside_client.openfeature import TracksideProvider


@pytest.fixture
def provided() -> Iterator[Callable[..., OpenFeatureClient]]:
    """Give OpenFeature a provider, and take it away at the end."""

    def provide(provider: TracksideProvider) -> OpenFeatureClient:
        api.set_provider_and_wait(provider)
        return api.get_client()

    yield provide
    api.shutdown()
    api.clear_providers()


@pytest.fixture
def typed(flag_door: Any) -> dict[str, Any]:
    split = {"rollout": 100000, "split": [["a", 100000]]}

    def one(kind: str, value: Any) -> dict[str, Any]:
        return {**flag_door.flag(), "type": kind, "variants": {"a": value}, "off": "a", "serve": split}

    found: dict[str, Any] = flag_door.ruleset(
        **{
            "team/checkout": flag_door.flag(metadata={"owner": "ada", "tries": 3}),
            "colour": one("string", "red"),
            "ratio": one("number", 0.5),
            "limit": one("number", 25),
            "whole": one("number", 25.0),
            "theme": one("json", {"size": [1]}),
            "half": flag_door.flag(serve={"rollout": 50000, "split": [["on", 100000]]}),
        }
    )
    return found


def test_every_type_is_resolved_by_both_kinds_of_methods(
    flag_door: Any, typed: dict[str, Any], flags_of: Callable[..., Flags], provided: Callable[..., OpenFeatureClient]
) -> None:
    flag_door.document = typed
    client = provided(TracksideProvider(flags=flags_of(flag_door)))
    assert client.get_boolean_value("team/checkout", False) is True
    assert client.get_string_value("colour", "blue") == "red"
    assert client.get_float_value("ratio", 1.0) == 0.5
    assert repr(client.get_float_value("limit", 1.0)) == "25.0"
    assert repr(client.get_integer_value("limit", 1)) == repr(client.get_integer_value("whole", 1)) == "25"
    assert client.get_object_value("theme", {}) == {"size": [1]}

    async def all_of_them() -> list[Any]:
        return [
            await client.get_boolean_value_async("team/checkout", False),
            await client.get_string_value_async("colour", "blue"),
            await client.get_float_value_async("ratio", 1.0),
            await client.get_integer_value_async("limit", 1),
            await client.get_object_value_async("theme", {}),
        ]

    with ThreadPoolExecutor(1) as thread:  # where an earlier browser test left a loop, there is no room for another
        found = thread.submit(asyncio.run, all_of_them()).result()
    assert found == [True, "red", 0.5, 25, {"size": [1]}]


def test_details_carry_variant_reason_and_metadata(
    flag_door: Any, typed: dict[str, Any], flags_of: Callable[..., Flags], provided: Callable[..., OpenFeatureClient]
) -> None:
    flag_door.document = typed
    client = provided(TracksideProvider(flags=flags_of(flag_door)))
    found = client.get_boolean_details("team/checkout", False)
    assert (found.variant, found.reason, found.error_code) == ("on", Reason.STATIC, None)
    assert dict(found.flag_metadata) == {"owner": "ada", "tries": 3}
    assert client.get_boolean_details("half", False, EvaluationContext("u_1")).reason == Reason.SPLIT


@pytest.mark.parametrize(
    ("ask", "code"),
    [
        (lambda c: c.get_boolean_details("nope", True), ErrorCode.FLAG_NOT_FOUND),
        (lambda c: c.get_boolean_details("colour", True), ErrorCode.TYPE_MISMATCH),
        (lambda c: c.get_integer_details("ratio", True), ErrorCode.TYPE_MISMATCH),
        (lambda c: c.get_object_details("colour", True), ErrorCode.TYPE_MISMATCH),
        (lambda c: c.get_boolean_details("half", True), ErrorCode.TARGETING_KEY_MISSING),
    ],
)
def test_an_error_is_the_default_and_its_code(
    ask: Callable[[OpenFeatureClient], Any],
    code: ErrorCode,
    flag_door: Any,
    typed: dict[str, Any],
    flags_of: Callable[..., Flags],
    provided: Callable[..., OpenFeatureClient],
) -> None:
    flag_door.document = typed
    found = ask(provided(TracksideProvider(flags=flags_of(flag_door))))
    assert (found.value, found.error_code, found.reason) == (True, code, Reason.ERROR)


def test_a_change_and_an_outage_are_told_as_events(
    flag_door: Any,
    flags_of: Callable[..., Flags],
    provided: Callable[..., OpenFeatureClient],
    until: Callable[..., None],
) -> None:
    said: list[tuple[str, Any]] = []
    for event in ProviderEvent:
        api.add_handler(event, lambda details, name=event.name: said.append((name, details.flags_changed)))
    client = provided(TracksideProvider(flags=flags_of(flag_door)))
    until(lambda: flag_door.streams)
    assert client.get_boolean_value("checkout", False) is True
    flag_door.change(flag_door.ruleset(2, checkout=flag_door.flag(enabled=False)))
    until(lambda: ("PROVIDER_CONFIGURATION_CHANGED", ["checkout"]) in said)
    assert client.get_boolean_value("checkout", True) is False
    flag_door.close()
    until(lambda: ("PROVIDER_STALE", None) in said)
    assert client.get_boolean_details("checkout", True).flag_metadata["stale"] is True
    said.clear()
    flag_door.open()
    until(lambda: ("PROVIDER_READY", None) in said)


def test_a_server_that_is_away_at_the_start_is_an_error_and_then_ready(
    flag_door: Any, provided: Callable[..., OpenFeatureClient], until: Callable[..., None]
) -> None:
    said: list[str] = []
    for event in (ProviderEvent.PROVIDER_READY, ProviderEvent.PROVIDER_ERROR):
        api.add_handler(event, lambda details, name=event.name: said.append(name))
    flag_door.close()
    client = provided(
        TracksideProvider(flag_door.url, flag_door.key, stream_url=flag_door.url, poll_seconds=0.1, wait=1)
    )
    found = client.get_boolean_details("checkout", True)
    assert (found.value, found.error_code) == (True, ErrorCode.PROVIDER_NOT_READY)
    until(lambda: said[-1:] == ["PROVIDER_ERROR"])
    flag_door.open()
    until(lambda: client.get_boolean_details("checkout", False).value is True)
    until(lambda: said[-1:] == ["PROVIDER_READY"])
