"""What holds of the flag engine whatever the ruleset and the context are."""

import json
import struct
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from trackside_client.flags import BUCKETS, RulesetError, bucket, check_flag, parse, resplit, variant_bucket, weights_of

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
FEW = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
NAMES = ["a", "b", "c"]
ATTRIBUTES = ["targetingKey", "account", "plan", "age", "version", "ip", "joined"]
texts = st.sampled_from(
    ["pro", "team", "Pro", "free", "u1", "u2", "", "ü", "10.0.0.7", "1.2.3", "2026-11-23T09:00:00Z", "5"]
)
numbers = st.integers(-5, 50) | st.sampled_from([1.5, 2**53, 1e308])
scalars = texts | numbers | st.booleans()
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
contexts = st.dictionaries(st.sampled_from(ATTRIBUTES), scalars | st.lists(scalars, max_size=3) | anything, max_size=7)
moments = st.integers(-5, 5).map(lambda days: (NOW + timedelta(days=days)).isoformat())


def _condition(op: str, values: st.SearchStrategy[Any], least: int = 1, most: int = 3) -> st.SearchStrategy[Any]:
    fields = {
        "attribute": st.sampled_from(ATTRIBUTES),
        "op": st.just(op),
        "values": st.lists(values, min_size=least, max_size=most),
        "negate": st.booleans(),
    }
    if op in {"in", "equals", "contains", "starts_with", "ends_with", "matches"}:
        fields["ignore_case"] = st.booleans()
    return st.fixed_dictionaries(fields)


conditions = st.one_of(
    *(_condition(op, scalars) for op in ("in", "equals")),
    *(_condition(op, texts.filter(bool)) for op in ("contains", "starts_with", "ends_with", "segment")),
    _condition("matches", st.sampled_from(["^p", "o$", "[a-z]+", r"\d"])),
    *(_condition(op, st.integers(0, 20), most=1) for op in ("gt", "gte", "lt", "lte")),
    *(_condition(op, moments, most=1) for op in ("before", "after")),
    *(_condition(f"semver_{op}", st.just("1.2.3-rc.1"), most=1) for op in ("eq", "gt", "gte", "lt", "lte")),
    _condition("cidr", st.sampled_from(["10.0.0.0/8", "::/0", "192.168.0.1"])),
    _condition("exists", texts, least=0, most=0),
)
weights = st.lists(st.integers(0, BUCKETS), min_size=2, max_size=2).map(
    lambda cuts: dict(zip(NAMES, [min(cuts), max(cuts) - min(cuts), BUCKETS - max(cuts)], strict=True))
)
sticky = st.sampled_from(["targetingKey", "account", "plan", ["age", "targetingKey"]])
profiles = st.fixed_dictionaries(
    {
        "function": st.sampled_from(["murmur3_32", "fnv1a_32", "sha1_60", "md5_128"]),
        "group": st.just("g"),
        "modulus": st.sampled_from([100, 10_000]),
        "scaled": st.booleans(),
        "unit_first": st.booleans(),
        "variants": st.just({"seed": 86028157}),
    }
)


@st.composite
def serves(draw: st.DrawFn) -> dict[str, Any]:
    serve: dict[str, Any] = {
        "rollout": draw(st.sampled_from([0, 1, 25_000, 99_999, BUCKETS])),
        "split": draw(weights.map(lambda each: list(map(list, each.items()))) | st.just([["b", BUCKETS]])),
    }
    if draw(st.booleans()):
        days = sorted(draw(st.sets(st.integers(-3, 3), max_size=3)))
        serve["steps"] = [
            {"at": (NOW + timedelta(days=day)).isoformat(), "rollout": draw(st.integers(0, BUCKETS))} for day in days
        ]
    if draw(st.booleans()):
        serve["by"] = draw(sticky)
    if draw(st.integers(0, 3)) == 0:
        serve["hash"] = draw(profiles)
    return serve


@st.composite
def flags(draw: st.DrawFn, others: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "type": "json",
        "salt": draw(st.sampled_from(["s1", "s2"])),
        "enabled": draw(st.integers(0, 4)) > 0,
        "variants": {"a": {"x": 1}, "b": [1], "c": None},
        "off": "a",
        "by": draw(sticky),
        "rules": draw(st.lists(rules, max_size=3)),
        "serve": draw(serves()),
    }
    if draw(st.booleans()):
        found["overrides"] = draw(st.lists(overrides, max_size=3))
    if others and draw(st.booleans()):
        found["prerequisites"] = [
            {"flag": other, "variants": draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True))}
            for other in draw(st.lists(st.sampled_from(others), max_size=2, unique=True))
        ]
    if draw(st.integers(0, 3)) == 0:
        found["schedule"] = [{"at": draw(moments), "enabled": draw(st.booleans())}]
    return found


rules = st.fixed_dictionaries(
    {"id": st.just("r"), "name": st.just("Rule"), "when": st.lists(conditions, max_size=3), "serve": serves()}
)
overrides = st.fixed_dictionaries(
    {
        "attribute": st.sampled_from(["targetingKey", "account"]),
        "value": texts.filter(bool),
        "variant": st.sampled_from(NAMES),
    }
)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key in ["f1", "f2", "f3"]:
        found[key] = draw(flags(list(found)))
    return {"schema": 1, "environment": "production", "version": 1, "flags": found, "segments": {}}


@given(documents(), contexts, st.integers(-4, 4))
@FEW
def test_an_explanation_agrees_with_the_evaluation(document: Any, context: Any, days: int) -> None:
    ruleset = parse(document, segments={"pro": lambda each: each.get("plan") == "pro"})
    now = NOW + timedelta(days=days)
    for key in ruleset.keys():  # noqa: SIM118 - a method of ours
        result, trace = ruleset.evaluate(key, context, now), ruleset.explain(key, context, now)
        assert trace.result is result or (result.error_code and _told(trace.result) == _told(result))
        json.dumps(trace.as_dict(), allow_nan=False, ensure_ascii=False).encode()
        decided = [step for step in trace.steps if step.outcome == "decided"]
        assert len(decided) == 1 or result.error_code in {"INVALID_CONTEXT", "GENERAL"}
        assert result.error_code != "GENERAL"
        assert all(step.variant == result.variant for step in decided if step.kind != "prerequisite")
        for step in trace.steps:
            if step.bucket and step.bucket.bucket is not None and step.bucket.taken_in:
                assert step.bucket.bucket < step.bucket.below


@given(documents(), contexts)
@settings(parent=FEW, max_examples=60)
def test_all_at_once_are_decided_as_each_alone(document: Any, context: Any) -> None:
    plain = {"when": [{"attribute": "plan", "op": "in", "values": ["pro", "u1"]}], "serve": _half("a")}
    flag = {"type": "string", "salt": "s", "variants": {"a": "a", "b": "b"}, "off": "b", "serve": _half("b", 0)}
    document["flags"] |= {
        "rule": {**flag, "rules": [plain]},
        "half": {**flag, "serve": _half("a")},
        "off": {**flag, "enabled": False},
        "all": {**flag, "serve": _half("a", BUCKETS)},
    }
    ruleset = parse(document, clock=lambda: NOW)
    try:
        found = {each.key: each for each in ruleset.together(lambda result: result)(context)}
    except UnicodeError:
        return  # then they are asked one by one
    alone = {each.key: each for each in ruleset.evaluate_all(context)}
    assert found.keys() == alone.keys()
    assert all(found[key] is each or _told(found[key]) == _told(each) for key, each in alone.items())


def _half(variant: str, rollout: int = 50_000) -> dict[str, Any]:
    return {"rollout": rollout, "split": [[variant, BUCKETS]]}


@given(documents(), documents(), contexts)
@FEW
def test_a_ruleset_made_of_the_one_before_answers_as_one_made_anew(old: Any, new: Any, context: Any) -> None:
    new["flags"]["f1"] = json.loads(json.dumps(old["flags"]["f1"]))
    before = parse(old, clock=lambda: NOW)
    after, anew = parse(new, clock=lambda: NOW, before=before), parse(new, clock=lambda: NOW)
    assert list(map(_told, after.evaluate_all(context))) == list(map(_told, anew.evaluate_all(context)))
    assert after.made_of("f1", new["flags"]["f1"]) is before.made_of("f1", old["flags"]["f1"]) is not None


def test_a_value_that_is_written_otherwise_is_another_one() -> None:
    def made(value: str, before: Any = None) -> Any:
        flag = {"type": "json", "salt": "s", "variants": {"a": "?"}, "off": "a", "serve": _half("a", BUCKETS)}
        document = {"schema": 1, "environment": "e", "version": 1, "flags": {"f": flag}}
        return parse(json.loads(json.dumps(document).replace('"?"', f"[{value}]")), before=before)

    for first, then in ("1", "1.0"), ("1", "true"), ("0.0", "-0.0"):
        assert repr(made(then, made(first)).evaluate("f", {}).value) == repr(json.loads(f"[{then}]"))


def _told(result: Any) -> tuple[Any, ...]:
    return result.key, result.variant, result.error_code, result.error_details


@given(documents())
@FEW
def test_a_sound_flag_is_sound_alone_too_and_survives_json(document: Any) -> None:
    for key, flag in document["flags"].items():
        assert check_flag(key, flag, document["flags"]) == []
    again = json.loads(json.dumps(document))
    assert parse(again).evaluate("f3", {"targetingKey": "u1"}, NOW).variant == (
        parse(document).evaluate("f3", {"targetingKey": "u1"}, NOW).variant
    )


@st.composite
def damaged(draw: st.DrawFn) -> Any:
    """A ruleset in which one place holds something else."""
    document = json.loads(json.dumps(draw(documents())))
    where = document
    while True:
        keys = list(where) if isinstance(where, dict) else list(range(len(where)))
        if not keys:
            return document
        key = draw(st.sampled_from(keys))
        if not isinstance(where[key], (dict, list)) or draw(st.integers(0, 4)) == 0:
            where[key] = draw(anything)
            return document
        where = where[key]


@given(damaged() | anything, contexts | anything)
@settings(parent=FEW, max_examples=80)
def test_any_json_is_refused_with_its_place_or_answers_any_context(document: Any, context: Any) -> None:
    for lenient in (False, True):
        try:
            ruleset = parse(document, lenient=lenient)
        except RulesetError as refused:
            if not refused.problems or not all(each.message for each in refused.problems):
                raise AssertionError(refused.problems) from refused
            continue
        for key in [*ruleset.keys(), "other"]:
            result = ruleset.evaluate(key, context)
            assert result.error_code != "GENERAL"
            assert (result.variant is None) == (result.error_code is not None)
            ruleset.explain(key, context).as_dict()


@given(st.text(max_size=20), st.text(min_size=1, max_size=20))
@example("salt", "u_42")
@settings(max_examples=100)
def test_the_bucket_is_the_published_formula(salt: str, unit: str) -> None:
    assert bucket(salt, unit) == murmur3_reference(f"{salt}:{unit}".encode()) * 100_000 // 2**32
    assert variant_bucket(salt, unit) == murmur3_reference(f"{salt}:variant:{unit}".encode()) * 100_000 // 2**32


def murmur3_reference(data: bytes, seed: int = 0) -> int:
    """MurmurHash3 x86 32 as its author published it, in plain integers."""
    mask, h = 0xFFFFFFFF, seed
    whole = len(data) // 4 * 4

    def mixed(k: int) -> int:
        k = k * 0xCC9E2D51 & mask
        return (k << 15 | k >> 17) * 0x1B873593 & mask

    for (k,) in struct.iter_unpack("<I", data[:whole]):
        h ^= mixed(k)
        h = ((h << 13 | h >> 19) * 5 + 0xE6546B64) & mask
    if data[whole:]:
        h ^= mixed(int.from_bytes(data[whole:], "little"))
    h ^= len(data)
    h = (h ^ h >> 16) * 0x85EBCA6B & mask
    h = (h ^ h >> 13) * 0xC2B2AE35 & mask
    return h ^ h >> 16


def _rolled(rollout: int, split: Any, **more: Any) -> Any:
    flag = {
        "type": "json",
        "salt": "s",
        "variants": {"off": 0, "a": 1, "b": 2, "c": 3},
        "off": "off",
        "serve": {"rollout": rollout, "split": split},
    }
    return parse({"schema": 1, "flags": {"f": flag | more}})


UNITS = [f"user-{number}" for number in range(400)]


def _variants(ruleset: Any) -> list[str]:
    return [ruleset.evaluate("f", {"targetingKey": unit}).variant for unit in UNITS]


@given(st.integers(0, BUCKETS), st.integers(0, BUCKETS), weights)
@settings(parent=FEW, max_examples=15)
def test_raising_a_percentage_only_adds_users(low: int, high: int, split: Any) -> None:
    low, high = sorted((low, high))
    pieces = [[name, weight] for name, weight in split.items()]
    before, after = _variants(_rolled(low, pieces)), _variants(_rolled(high, pieces))
    assert all(old in {"off", new} for old, new in zip(before, after, strict=True))
    imported = {"group": "f", "modulus": 100}
    before, after = (_variants(_rolled(n, [["a", BUCKETS]], hash=imported)) for n in (low, high))
    assert all(old in {"off", new} for old, new in zip(before, after, strict=True))


def _moved(before: list[tuple[str, int]], after: list[tuple[str, int]]) -> int:
    """How many of the 100,000 buckets changed their variant."""
    borders = sorted({0, *_sums(before), *_sums(after)})
    return sum(high - low for low, high in pairwise(borders) if _owner(before, low) != _owner(after, low))


def _sums(split: list[tuple[str, int]]) -> list[int]:
    return [sum(weight for _, weight in split[: index + 1]) for index in range(len(split))]


def _owner(split: list[tuple[str, int]], place: int) -> str:
    return next(name for (name, _), end in zip(split, _sums(split), strict=True) if place < end)


@given(st.lists(weights, min_size=2, max_size=8))
@FEW
def test_an_edit_of_weights_moves_the_difference_and_no_more(history: list[dict[str, int]]) -> None:
    split = resplit([], history[0])
    for before, after in pairwise(history):
        edited = resplit(split, after)
        assert weights_of(edited) == {name: weight for name, weight in after.items() if weight}
        assert _moved(split, edited) == sum(max(0, after[name] - before[name]) for name in after)
        assert check_flag("f", _flag(edited)) == []
        split = edited


def _flag(split: Any) -> dict[str, Any]:
    return {
        "type": "string",
        "salt": "s",
        "variants": dict.fromkeys(NAMES, "x"),
        "off": "a",
        "serve": {"split": [list(each) for each in split]},
    }


@given(weights, st.lists(rules, max_size=2), st.text(st.characters(codec="utf-8", categories=["L"]), min_size=1))
@settings(parent=FEW, max_examples=10)
def test_edits_elsewhere_move_nobody_in_a_split(split: Any, added: Any, name: str) -> None:
    assume(name not in {"off", *NAMES})
    pieces = [list(each) for each in split.items()]
    before = _variants(_rolled(BUCKETS, pieces))
    elsewhere = [rule | {"when": [{"attribute": "plan", "op": "in", "values": ["none"]}]} for rule in added]
    variants = {name: 9, "c": 30, "b": 20, "a": 10, "off": 0}
    assert _variants(_rolled(BUCKETS, pieces, rules=elsewhere, variants=variants, metadata={"note": name})) == before


def test_buckets_are_uniform_and_variants_know_nothing_of_rollouts() -> None:
    units = [f"user-{number}" for number in range(20_000)]
    for salt in ("first", "second"):
        cells = Counter(
            (bucket(salt, unit) * 10 // BUCKETS, variant_bucket(salt, unit) * 10 // BUCKETS) for unit in units
        )
        expected = len(units) / 100
        chi_square = sum((cells[row, column] - expected) ** 2 / expected for row in range(10) for column in range(10))
        assert chi_square < 149.4  # 99 degrees of freedom: one in a thousand salts is above it, these are fixed


odd_units = st.none() | st.text(max_size=6) | st.integers() | st.booleans() | st.just("ü") | st.just("\ud800")


@given(
    st.fixed_dictionaries({}, optional={"plan": scalars | st.lists(texts, max_size=2), "targetingKey": odd_units}),
    st.sampled_from([1, 30_000, 99_999]),
    st.booleans(),
)
@settings(parent=FEW, max_examples=150)
def test_the_usual_shape_decides_as_the_general_one_does(context: Any, rollout: int, negate: bool) -> None:
    condition = {"attribute": "plan", "op": "in", "values": ["pro", "ü", "u1"], "negate": negate}
    rule = {"when": [condition], "serve": {"rollout": rollout, "split": [["a", BUCKETS]]}}
    never = {"when": [{"attribute": "nothing", "op": "exists"}], "serve": {"split": [["c", BUCKETS]]}}
    usual = _rolled(0, [["b", BUCKETS]], rules=[rule]).evaluate("f", context)
    general = _rolled(0, [["b", BUCKETS]], rules=[never, rule]).evaluate("f", context)
    assert (usual.variant, usual.reason, usual.error_code) == (general.variant, general.reason, general.error_code)
