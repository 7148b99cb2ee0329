"""The flag engine's rules: each operator, and what a document is refused for, by its place."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from trackside_client.flags import (
    Ruleset,
    RulesetError,
    bucket,
    check_context,
    check_flag,
    key_problem,
    parse,
    resplit,
    variant_bucket,
)
from trackside_client.flags.operators import OPERATORS

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
ALL = {"split": [["on", 100_000]]}
NONE = {"rollout": 0, "split": [["on", 100_000]]}


def flag(**fields: Any) -> dict[str, Any]:
    return {
        "type": "boolean",
        "salt": "s1",
        "variants": {"on": True, "off": False},
        "off": "off",
        "serve": ALL,
    } | fields


def ruleset(segments: Any = None, **flags: Any) -> Ruleset:
    return parse({"schema": 1, "flags": flags}, segments=segments)


def holds(op: str, values: list[Any], actual: Any, **more: Any) -> bool:
    condition = {"attribute": "x", "op": op, "values": values, **more}
    rules = ruleset(f=flag(rules=[{"when": [condition], "serve": ALL}], serve=NONE))
    value = rules.evaluate("f", {"x": actual}).value
    assert isinstance(value, bool)
    return value


YES = [
    ("in", ["a", "b"], "b"),
    ("in", [1, True], 1.0),
    ("in", ["a"], ["z", "a"]),
    ("equals", [True], True),
    ("contains", ["ell"], "hello"),
    ("starts_with", ["x", "he"], "hello"),
    ("ends_with", ["llo"], "hello"),
    ("matches", ["^h.*o$"], "hello"),
    ("matches", ["ell"], "hello"),
    ("gt", [5], 6),
    ("gt", [5], "5.5"),
    ("gte", [5], 5),
    ("lt", [5], -1e300),
    ("lte", [2**53], 2**53),
    ("before", ["2026-11-23T10:00:00+01:00"], "2026-11-23T08:59:59.999Z"),
    ("after", ["2026-11-23"], 1_800_000_000_000),
    ("semver_eq", ["1.2.3"], "1.2.3+build.7"),
    ("semver_gt", ["1.2.3-rc.2"], "1.2.3-rc.10"),
    ("semver_gt", ["1.2.3-rc.2"], "1.2.3"),
    ("semver_lt", ["1.2.3-rc"], "1.2.3-9"),
    ("semver_gte", ["1.9.0"], "1.10.0"),
    ("semver_lte", ["2.0.0"], "2.0.0"),
    ("cidr", ["10.0.0.0/8"], "10.200.3.4"),
    ("cidr", ["10.0.0.7"], "::ffff:10.0.0.7"),
    ("cidr", ["2001:db8::/32"], "2001:db8:1::1"),
    ("exists", [], 0),
]
NO = [
    ("in", ["1"], 1),
    ("in", [1], True),
    ("in", [0], False),
    ("in", ["a"], {"a": 1}),
    ("in", ["a"], None),
    ("in", ["a"], [["a"]]),
    ("equals", ["A"], "a"),
    ("contains", ["5"], 55),
    ("matches", ["^ell"], "hello"),
    ("gt", [5], "six"),
    ("gt", [5], True),
    ("gt", [5], float("nan")),
    ("lt", [5], None),
    ("before", ["2026-11-23T10:00:00Z"], "yesterday"),
    ("after", ["2026-11-23"], 10**400),
    ("semver_gt", ["1.2.3"], "v9.9.9"),
    ("semver_gt", ["1.2.3"], "9.9"),
    ("semver_gt", ["1.2.3"], "01.9.9"),
    ("cidr", ["10.0.0.0/8"], "10.0.0"),
    ("cidr", ["10.0.0.0/8"], 167772161),
    ("exists", [], None),
]


@pytest.mark.parametrize(("op", "values", "actual"), YES)
def test_a_condition_holds_and_its_negation_does_not(op: str, values: list[Any], actual: Any) -> None:
    assert holds(op, values, actual)
    assert not holds(op, values, actual, negate=True)


@pytest.mark.parametrize(("op", "values", "actual"), NO)
def test_a_condition_does_not_hold_for_other_values_and_types(op: str, values: list[Any], actual: Any) -> None:
    assert not holds(op, values, actual)
    assert holds(op, values, actual, negate=True)


@pytest.mark.parametrize("op", ["in", "equals", "contains", "starts_with", "ends_with", "matches"])
def test_case_counts_unless_told_otherwise(op: str) -> None:
    assert not holds(op, ["ABC"], "abc")
    assert holds(op, ["ABC"], "aBc", ignore_case=True)


def test_a_segment_asks_the_port_and_an_unknown_one_holds_nobody() -> None:
    rules = [{"when": [{"op": "segment", "values": ["big", "gone"]}], "serve": ALL}]
    found = ruleset({"big": lambda context: context.get("seats", 0) > 100}, f=flag(rules=rules, serve=NONE))
    assert found.evaluate("f", {"seats": 500}).value is True
    assert found.evaluate("f", {"seats": 5}).value is False
    (problem,) = check_flag("f", flag(rules=rules), segments={"big"})
    assert problem.path == "rules[0].when[0].values[1]"


def test_a_rule_whose_rollout_leaves_a_user_out_passes_them_on() -> None:
    rules = [
        {"when": [], "serve": {"rollout": 50_000, "split": [["a", 100_000]]}},
        {"when": [], "serve": {"split": [["b", 50_000], ["c", 50_000]]}},
    ]
    found = ruleset(
        f=flag(type="string", variants={n: n for n in "abc"}, off="a", rules=rules, serve={"split": [["a", 100_000]]})
    )
    for number in range(50):
        unit = f"u{number}"
        result = found.evaluate("f", {"targetingKey": unit})
        assert (result.value == "a") == (bucket("s1", unit) < 50_000)
        assert result.reason == "SPLIT"


def test_a_rollout_by_account_takes_whole_accounts_and_nobody_without() -> None:
    found = ruleset(f=flag(by="account", serve={"rollout": 99_999, "split": [["on", 100_000]]}))
    assert {found.evaluate("f", {"targetingKey": f"u{n}", "account": "acme"}).value for n in range(20)} == {True}
    assert found.evaluate("f", {"targetingKey": "u1"}).reason == "SPLIT"
    assert found.evaluate("f", {"targetingKey": "u1"}).value is False


def test_overrides_win_over_rules_but_not_over_a_disabled_flag() -> None:
    overrides = [
        {"attribute": "account", "value": "acme", "variant": "off"},
        {"attribute": "targetingKey", "value": "7", "variant": "on"},
    ]
    found = ruleset(f=flag(overrides=overrides), g=flag(overrides=overrides, enabled=False))
    assert found.evaluate("f", {"targetingKey": 7, "account": "acme"}).reason == "TARGETING_MATCH"
    assert found.evaluate("f", {"targetingKey": 7, "account": "acme"}).value is True
    assert found.evaluate("f", {"targetingKey": 8, "account": "acme"}).value is False
    assert found.evaluate("g", {"targetingKey": 7}).reason == "DISABLED"


def test_a_schedule_and_steps_go_by_the_clock() -> None:
    times = [(NOW + timedelta(days=day)).isoformat() for day in range(3)]
    steps = [{"at": times[0], "rollout": 50_000}, {"at": times[1], "rollout": 100_000}]
    schedule = [{"at": times[0], "enabled": True}, {"at": times[2], "enabled": False}]
    found = ruleset(
        f=flag(enabled=False, schedule=schedule, serve={"rollout": 0, "split": [["on", 100_000]], "steps": steps})
    )
    seen = []
    for hours in (-1, 0, 24, 48):
        results = [found.evaluate("f", {"targetingKey": f"u{n}"}, NOW + timedelta(hours=hours)) for n in range(40)]
        seen.append((sum(each.value for each in results), results[0].reason == "DISABLED"))
    assert seen[0] == (0, True)
    assert 0 < seen[1][0] < 40
    assert seen[2:] == [(40, False), (0, True)]


def test_a_flag_without_times_never_asks_the_clock() -> None:
    def clock() -> datetime:
        raise AssertionError

    found = parse({"schema": 1, "flags": {"f": flag()}}, clock=clock)
    assert found.evaluate("f", {}).error_code is None


def test_prerequisites_hold_in_a_long_chain_and_a_dense_mesh() -> None:
    def needs(*others: str) -> dict[str, Any]:
        return flag(prerequisites=[{"flag": other, "variants": ["on"]} for other in others])

    chain = {"f0": flag()} | {f"f{n}": needs(f"f{n - 1}") for n in range(1, 1500)}
    assert ruleset(**chain).evaluate("f1499", {}).value is True
    chain["f0"]["enabled"] = False
    assert ruleset(**chain).evaluate("f1499", {}).variant == "off"
    mesh = {f"a{n}": needs(f"a{n - 1}", f"b{n - 1}") for n in range(1, 60)}
    mesh |= {f"b{n}": needs(f"a{n - 1}", f"b{n - 1}") for n in range(1, 60)}
    assert ruleset(a0=flag(), b0=flag(), **mesh).evaluate("a59", {}).value is True


def test_circles_are_refused_with_the_way_round() -> None:
    circle = {name: flag(prerequisites=[{"flag": other, "variants": ["on"]}]) for name, other in ("ab", "bc", "ca")}
    with pytest.raises(RulesetError, match="a → b → c → a"):
        ruleset(**circle)
    assert "circle" in check_flag("a", circle["a"], circle)[0].message
    lenient = parse({"schema": 1, "flags": circle | {"d": flag()}}, lenient=True)
    assert lenient.evaluate("a", {}).error_code == "PARSE_ERROR"
    assert lenient.evaluate("d", {}).value is True


def test_one_unreadable_flag_costs_a_lenient_reader_that_flag_alone() -> None:
    newer = flag(rules=[{"when": [{"attribute": "x", "op": "sounds_like", "values": ["y"]}], "serve": ALL}])
    document = {
        "schema": 1,
        "flags": {"new": newer, "needs": flag(prerequisites=[{"flag": "new", "variants": ["on"]}]), "old": flag()},
    }
    found = parse(document, lenient=True)
    assert [found.evaluate(key, {}).error_code for key in ("new", "needs", "old")] == [
        "PARSE_ERROR",
        "PARSE_ERROR",
        None,
    ]
    assert len(found.problems) == 2


REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("type", {"type": "text"}),
    ("salt", {"salt": ""}),
    ("enabled", {"enabled": 1}),
    ("variants", {"variants": {}}),
    ("variants.on", {"variants": {"on": "yes", "off": False}}),
    ("off", {"off": "blue"}),
    ("serve.split", {"serve": {"split": [["on", 99_999]]}}),
    ("serve.split[0][0]", {"serve": {"split": [["blue", 100_000]]}}),
    ("serve.split[0]", {"serve": {"split": [["on"]]}}),
    ("serve.rollout", {"serve": {"rollout": 100_001, "split": [["on", 100_000]]}}),
    ("serve.rollout", {"serve": {"rollout": 12.5, "split": [["on", 100_000]]}}),
    (
        "serve.steps[1].at",
        {
            "serve": ALL
            | {"steps": [{"at": "2026-02-01T00:00:00Z", "rollout": 1}, {"at": "2026-01-01T00:00:00Z", "rollout": 2}]}
        },
    ),
    ("serve.steps[0].at", {"serve": ALL | {"steps": [{"at": "tomorrow", "rollout": 1}]}}),
    ("serve.rolout", {"serve": ALL | {"rolout": 5}}),
    ("overrides[0].attribute", {"overrides": [{"attribute": "plan", "value": "x", "variant": "on"}]}),
    ("prerequisites[0].flag", {"prerequisites": [{"flag": "nowhere", "variants": ["on"]}]}),
    ("prerequisites[0].variants", {"prerequisites": [{"flag": "other", "variants": ["blue"]}]}),
    ("hash.function", {"hash": {"function": "crc32"}}),
    ("metadata.x", {"metadata": {"x": None}}),
    *(
        (f"rules[0].when[0].{place}", {"rules": [{"when": [{"attribute": "x", **condition}], "serve": ALL}]})
        for place, condition in (
            ("op", {"op": "like", "values": ["x"]}),
            ("values[0]", {"op": "matches", "values": ["("]}),
            ("values[0]", {"op": "matches", "values": [r"(a)\1"]}),
            ("values[0]", {"op": "gt", "values": ["5"]}),
            ("values", {"op": "gt", "values": [5, 6]}),
            ("values", {"op": "in", "values": []}),
            ("values", {"op": "exists", "values": ["x"]}),
            ("values[0]", {"op": "semver_gt", "values": ["1.2"]}),
            ("values[0]", {"op": "cidr", "values": ["10.0.0.0/99"]}),
            ("values[0]", {"op": "before", "values": ["2026-13-01"]}),
            ("values[1]", {"op": "in", "values": ["x", None]}),
            ("values[0]", {"op": "in", "values": [float("nan")]}),
            ("values[0]", {"op": "in", "values": ["\ud800"]}),
            ("ignore_case", {"op": "gt", "values": [5], "ignore_case": True}),
            ("negate", {"op": "in", "values": ["x"], "negate": "no"}),
        )
    ),
]


@pytest.mark.parametrize(("path", "fields"), REFUSED)
def test_a_bad_flag_is_refused_at_its_place(path: str, fields: dict[str, Any]) -> None:
    assert path in {problem.path for problem in check_flag("f", flag(**fields), {"other": flag()})}


def test_bad_documents_and_keys_are_refused() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    for document in (None, [], {}, {"schema": 2, "flags": {}}, {"schema": 1}, {"schema": 1, "flags": {"a b": flag()}}):
        with pytest.raises(RulesetError):
            parse(document)
    assert check_flag("f", flag(type="json", variants={"on": deep, "off": 1}))
    assert key_problem("team/checkout") is None
    assert all(
        key_problem(key) for key in ("", "a b", "../x", "a/./b", "a//b", "/a", "a/", "a/...", "é", "x" * 201, "a\n")
    )


def test_a_huge_context_is_refused_and_a_usual_one_is_not() -> None:
    assert check_context({"targetingKey": "u1", "plan": "pro", "teams": ["a", "b"]}) is None
    nested: Any = {}
    for _ in range(1000):
        nested = {"x": nested}
    for context in (
        {"x": "y" * 1_000_000},
        dict.fromkeys(map(str, range(10_000)), 1),
        {"x": [1] * 10_000},
        nested,
        [],
        None,
    ):
        assert check_context(context)


def test_new_weights_must_add_up_as_before() -> None:
    with pytest.raises(ValueError, match="add up"):
        resplit([["a", 100_000]], {"a": 60_000, "b": 60_000})
    assert resplit([["a", 100_000]], {"a": 60_000, "b": 40_000}) == [("a", 60_000), ("b", 40_000)]


def test_an_imported_hash_keeps_unleashs_answers() -> None:
    """The users and percentages are those of its client specification, 10-flexible-rollout-strategy."""
    profile = {"group": "Feature.flexibleRollout.10", "modulus": 100, "offset": 1, "variants": {"seed": 86028157}}
    found = ruleset(f=flag(hash=profile, serve={"rollout": 10_000, "split": [["on", 1]]}))
    assert found.evaluate("f", {"targetingKey": "174"}).value is True
    assert found.evaluate("f", {"targetingKey": "499"}).value is False
    assert found.evaluate("f", {}).value is False


def test_the_page_on_the_engine_tells_the_truth() -> None:
    page = (Path(__file__).parents[2] / "docs/flags-engine.md").read_text(encoding="utf-8")
    document, profile = (json.loads(each) for each in re.findall(r"```json\n(.*?)```", page, re.DOTALL))
    assert parse(document).keys() == ["new-checkout", "payments-v2"]
    assert [check_flag(key, each, document["flags"]) for key, each in document["flags"].items()] == [[], []]
    assert check_flag("f", flag(hash=profile)) == []
    assert all(f"`{op}`" in page for op in OPERATORS)
    assert f"bucket {bucket('5f2c9a7be1d04c33', 'u_42')}:" in page
    assert f"// {variant_bucket('5f2c9a7be1d04c33', 'u_42')}:" in page
    assert page.count(str(bucket("s", "Jürgen"))) == 1


def test_an_explanation_names_every_step_in_plain_words() -> None:
    rules = [
        {"id": "r1", "name": "Paying", "when": [{"attribute": "plan", "op": "in", "values": ["pro"]}], "serve": ALL},
        {"id": "r2", "name": "Half", "when": [], "serve": {"rollout": 50_000, "split": [["on", 100_000]]}},
        {"id": "r3", "name": "", "when": [{"attribute": "plan", "op": "exists"}], "serve": ALL},
    ]
    overrides = [{"attribute": "targetingKey", "value": "u_1", "variant": "on"}]
    found = ruleset(
        p=flag(), f=flag(rules=rules, overrides=overrides, prerequisites=[{"flag": "p", "variants": ["on"]}])
    )
    trace = found.explain("f", {"targetingKey": "u_42", "plan": "free"})
    place = bucket("s1", "u_42")
    taken = "within the first 50,000: “on”" if place < 50_000 else "outside the first 50,000"
    half = f"it takes in 50 % by user; “u_42” has place {place:,} of 100,000, {taken}"
    assert [step.text for step in trace.steps[:5]] == [
        "The flag is on.",
        "The flag “p” must give “on”: it gives “on”.",
        "1 user has a variant of their own; “u_42” is none of them.",
        "Rule 1, “Paying” is for others: plan is one of “pro”: no, it is “free”.",
        f"Rule 2, “Half” is for this context: {half}.",
    ]
    assert [step.outcome for step in trace.steps[:4]] == ["passed", "passed", "not_matched", "not_matched"]
    assert trace.steps[4].bucket is not None
    assert trace.steps[4].bucket.bucket == place
    assert trace.as_dict()["steps"][3]["conditions"][0]["actual"] == "free"
