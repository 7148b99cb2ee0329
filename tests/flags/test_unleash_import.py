"""What an export of Unleash comes to: by environment, with everything that is said otherwise, or not at all, listed."""

import json
from collections.abc import Mapping
from typing import Any

import mmh3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackside.errors import InputError
from trackside_client.flags import parse
from trackside_modules.flags.unleash import importing

SLUGS = ("production", "staging")


def strategy(name: str = "flexibleRollout", **parameters: Any) -> dict[str, Any]:
    return {"name": name, "parameters": {key: str(value) for key, value in parameters.items()}}


def feature(name: str = "checkout", **given: Any) -> dict[str, Any]:
    return {"name": name, "enabled": True, "strategies": [strategy("default")], **given}


def read(*features: Mapping[str, Any], **more: Any) -> importing.Import:
    content = json.dumps({"version": 2, "features": features, **more}).encode()
    return importing.read(content, slugs=SLUGS, places={}, alone="production")


def answer(found: importing.Import, key: str, context: Mapping[str, Any], slug: str = "production") -> Any:
    flags = {}
    for name, flag in found.document["flags"].items():
        own = {part: flag[part] for part in ("type", "variants")}
        flags[name] = {**own, "salt": name, **flag["environments"][slug]}
    return parse({"schema": 1, "environment": slug, "version": 1, "flags": flags}).evaluate(key, context).value


STATE = {
    "features": [{"name": "checkout", "type": "kill-switch", "description": "The new one"}],
    "featureStrategies": [
        {"id": "s1", "featureName": "checkout", "environment": "production", "strategyName": "userWithId"}
        | {"parameters": {"userIds": "u_1"}},
        {"id": "s2", "featureName": "checkout", "environment": "development", "strategyName": "default"},
    ],
    "featureEnvironments": [
        {"featureName": "checkout", "environment": "production", "enabled": True},
        {"featureName": "checkout", "environment": "development", "enabled": True},
    ],
    "featureStrategySegments": [{"featureStrategyId": "s2", "segmentId": 1}],
    "segments": [{"id": 1, "constraints": [{"contextName": "plan", "operator": "IN", "values": ["pro"]}]}],
}


def test_a_state_export_keeps_each_environments_own_rules() -> None:
    found = importing.read(
        json.dumps(STATE).encode(), slugs=SLUGS, places={"development": "staging"}, alone="production"
    )
    assert (found.notes, found.refused, found.left_out) == ([], [], [])
    flag = found.document["flags"]["checkout"]
    assert (flag["kind"], flag["description"]) == ("ops", "The new one")
    asked = [answer(found, "checkout", {"targetingKey": user}) for user in ("u_1", "u_2")]
    assert asked == [True, False]
    assert [answer(found, "checkout", {"plan": plan}, "staging") for plan in ("pro", "free")] == [True, False]


def test_an_environment_without_a_counterpart_is_left_out_and_told() -> None:
    found = importing.read(json.dumps(STATE).encode(), slugs=SLUGS, places={}, alone="production")
    assert found.left_out == ["development"]
    assert list(found.document["flags"]["checkout"]["environments"]) == ["production"]


@pytest.mark.parametrize(
    ("places", "says"),
    [
        ({"production": "nowhere"}, "no environment 'nowhere'"),
        ({"development": "production"}, "Two environments"),
    ],
)
def test_a_wrong_map_of_environments_is_refused(places: dict[str, str], says: str) -> None:
    with pytest.raises(InputError, match=says):
        importing.read(json.dumps(STATE).encode(), slugs=SLUGS, places=places, alone="production")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"{", "no export of Unleash"),
        (b'{"features": [{"name": 7}]}', "features"),
        (b'{"features": []}', "no features"),
        (b"[]", "no export of Unleash"),
        (b"\xff", "no export of Unleash"),
        (b'{"events": [{"type": "toggled"}]}', "'toggled' is no event"),
    ],
)
def test_what_is_no_export_is_refused(content: bytes, says: str) -> None:
    with pytest.raises(InputError, match=says):
        importing.read(content, slugs=SLUGS, places={}, alone="production")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"strategies": [strategy("companyDomain")]}, "'companyDomain' is code of the application"),
        ({"strategies": [strategy("gradualRolloutRandom", percentage=30)]}, "chance decides"),
        ({"strategies": [strategy(rollout=30, stickiness="random")]}, "chance decides"),
        (
            {"variants": [{"name": name, "weight": 500, "stickiness": "random"} for name in "ab"]},
            "chance decides at each call which variant",
        ),
    ],
)
def test_what_cannot_be_said_exactly_is_refused_by_name_and_with_its_dependants(given: Any, says: str) -> None:
    child = feature("child", dependencies=[{"feature": "checkout"}])
    found = read(feature(**given), child, feature("other"))
    assert list(found.document["flags"]) == ["other"]
    assert [it.feature for it in found.refused] == ["checkout", "child"]
    assert says in found.refused[0].text
    assert "checkout" in found.refused[1].text


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"strategies": [strategy(rollout=30, stickiness="default")]}, "without userId and sessionId"),
        ({"strategies": [{"name": "default", "segments": [9]}]}, "segment 9"),
        ({"dependencies": [{"feature": "gone"}]}, "'gone', which is not in the file"),
        (
            {
                "strategies": [
                    {"name": "default", "constraints": [{"contextName": "a", "operator": "REGEX", "value": "("}]}
                ]
            },
            "no expression of RE2",
        ),
        ({"strategies": [strategy("remoteAddress", IPs="10.0.0.1, host")]}, "no address: host"),
    ],
)
def test_what_is_said_otherwise_is_noted(given: Any, says: str) -> None:
    found = read(feature(**given))
    assert not found.refused
    assert says in " ".join(it.text for it in found.notes)


def test_a_variant_with_other_payloads_elsewhere_is_refused() -> None:
    state = json.loads(json.dumps(STATE))
    for index, each in enumerate(state["featureEnvironments"]):
        each["variants"] = [{"name": "a", "weight": 1, "payload": {"type": "string", "value": str(index)}}]
    found = importing.read(
        json.dumps(state).encode(), slugs=SLUGS, places={"development": "staging"}, alone="production"
    )
    assert "different payloads" in found.refused[0].text
    assert found.document["flags"] == {}


@given(percent=st.integers(0, 100), user=st.text(min_size=1, max_size=20).filter(lambda it: it.isprintable()))
def test_every_user_of_a_rollout_keeps_their_answer(percent: int, user: str) -> None:
    found = read(feature(strategies=[strategy(rollout=percent, stickiness="userId", groupId="g")]))
    was = mmh3.hash(f"g:{user}", 0, signed=False) % 100 + 1 <= percent
    assert answer(found, "checkout", {"targetingKey": user}) is was


@given(
    weights=st.lists(st.integers(0, 1000), min_size=1, max_size=5).filter(any),
    user=st.text(min_size=1, max_size=20).filter(lambda it: it.isprintable()),
)
def test_every_user_keeps_their_variant(weights: list[int], user: str) -> None:
    variants = [{"name": f"v{number}", "weight": weight} for number, weight in enumerate(weights)]
    found = read(feature(variants=variants))
    place, target = 0, mmh3.hash(f"checkout:{user}", 86028157, signed=False) % sum(weights) + 1
    while target > sum(weights[: place + 1]) or not weights[place]:
        place += 1
    assert answer(found, "checkout/variant", {"targetingKey": user}) == f"v{place}"
