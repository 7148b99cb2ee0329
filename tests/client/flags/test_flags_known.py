"""Answers that are at hand: what was answered before is answered again only where it would be the same."""

import json
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trackside_client.flags import Flags, UserFlags, parse
from trackside_client.flags.known import Known

PEOPLE = {"attribute": "plan", "op": "in", "values": ["pro", "1"]}
PART = {"rollout": 50_000, "split": [["on", 100_000]]}


def _rule(*conditions: dict[str, Any], **serve: Any) -> dict[str, Any]:
    return {"id": "r", "name": "", "when": list(conditions), "serve": {**PART, **serve}}


def _ruleset(door: Any, version: int = 1, **more: Any) -> dict[str, Any]:
    nobody = {"rollout": 0, "split": [["on", 100_000]]}
    region = {"attribute": "region", "op": "equals", "values": ["eu"]}
    flags = {
        "plan": door.flag(rules=[_rule(PEOPLE)], serve=nobody),
        "both": door.flag(rules=[_rule(PEOPLE, region)], serve=nobody),
        "not": door.flag(rules=[_rule({**PEOPLE, "negate": True}, rollout=100_000)], serve=nobody),
        "account": door.flag(serve={**PART, "by": ["account"]}),
        "user": door.flag(serve=PART),
        "needs": door.flag(prerequisites=[{"flag": "user", "variants": ["on"]}], serve=PART),
        "one": door.flag(overrides=[{"attribute": "targetingKey", "value": "u1", "variant": "on"}], serve=nobody),
    }
    return dict(door.ruleset(version, **{**flags, **more}))


values = (
    st.none() | st.sampled_from(["pro", "free", "1", "eu", "u1", "u2", ""]) | st.sampled_from([1, 1.0, True, ["pro"]])
)
contexts = st.dictionaries(st.sampled_from(["plan", "region", "account", "targetingKey"]), values)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=st.lists(st.tuples(contexts, st.booleans()), min_size=2, max_size=12))
def test_what_was_asked_before_never_changes_an_answer(flag_door: Any, tmp_path_factory: Any, asked: Any) -> None:
    document = _ruleset(flag_door)
    path = tmp_path_factory.getbasetemp() / "known.json"
    path.write_text(json.dumps(document))
    ruleset = parse(document)
    with Flags(mode="offline", bootstrap=path) as flags:
        for context, as_user in asked * 2:
            for key in document["flags"]:
                expected = bool(ruleset.evaluate(key, context).value)
                found = UserFlags(flags, context).boolean(key, False) if as_user else flags.boolean(key, False, context)
                assert found is expected, (key, context)


def test_each_check_counts_for_what_was_answered(flag_door: Any, flags_of: Callable[..., Flags]) -> None:
    flag_door.document = _ruleset(flag_door)
    flags = flags_of(flag_door)
    for plan in ("pro", "free", "pro", "pro"):
        for number in range(20):
            flags.boolean("plan", False, user=f"u{number}", plan=plan)
    flags.flush()
    on = {f"u{number}" for number in range(20) if flags.boolean("plan", False, user=f"u{number}", plan="pro")}
    told = flag_door.told()
    assert 0 < len(on) < 20
    assert {user for _, variant, user, _ in told if variant == "on"} == on
    assert sum(count for (_, variant, _, _), count in told.items() if variant == "on") == 3 * len(on)
    assert sum(told.values()) == 80


def test_a_change_of_the_flag_reaches_those_who_were_answered(
    flag_door: Any, flags_of: Callable[..., Flags], until: Callable[..., None]
) -> None:
    flag_door.document = _ruleset(flag_door)
    flags = flags_of(flag_door)
    users = [flags.user(f"u{number}", plan="pro") for number in range(20)]
    assert 0 < sum(user.boolean("plan", False) for user in users) < 20
    everyone = flag_door.flag(rules=[_rule(PEOPLE, rollout=100_000)], serve=PART)
    flag_door.change(_ruleset(flag_door, 2, plan=everyone))
    until(lambda: flags.status.version == 2)
    assert all(user.boolean("plan", False) for user in users)
    assert all(flags.boolean("plan", False, user=f"u{number}", plan="pro") for number in range(20))


def test_an_answer_that_was_found_before_a_change_is_not_kept_after_it() -> None:
    known = Known()
    turn, counter = known.turn, object()
    known.forget()
    known.keep(turn, "f", None, {"targetingKey": "u"}, counter)
    assert not known.by_flag
    known.keep(known.turn, "f", None, {"targetingKey": "u"}, counter)
    assert known.by_flag["f"] == (None, {"u": counter})


def test_answers_at_hand_are_bounded(monkeypatch: Any) -> None:
    monkeypatch.setattr("trackside_client.flags.known.MOST", 10)
    known = Known()
    for number in range(50):
        known.keep(known.turn, "f", "plan", {"targetingKey": "u", "plan": str(number)}, object())
    assert len(known.by_flag["f"][1]) == 10
