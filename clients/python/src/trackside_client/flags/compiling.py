"""A flag compiled: its parts, and one function that decides, made of those very parts."""

from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from trackside_client.flags.conditions import CompiledCondition, ContextTest, Segments, compile_condition
from trackside_client.flags.hashing import BUCKETS, unit_text
from trackside_client.flags.operators import SEGMENT
from trackside_client.flags.result import DEFAULT, DISABLED, SPLIT, STATIC, TARGETING_MATCH, Context, Result
from trackside_client.flags.serving import CompiledServe, Take, compile_serve
from trackside_client.flags.shapes import Choose, usual_shape
from trackside_client.flags.spec import ACCOUNT, USER, Flag, Rule

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """A rule, its conditions and its serve."""

    spec: Rule
    conditions: tuple[CompiledCondition, ...]
    serve: CompiledServe

    def holds(self, context: Context) -> bool:
        """Tell whether all conditions hold."""
        return all(condition.test(context) for condition in self.conditions)


@dataclass(frozen=True, slots=True)
class CompiledFlag:
    """A flag's parts for explaining and its function for evaluating."""

    spec: Flag
    rules: tuple[CompiledRule, ...]
    serve: CompiledServe
    overrides: Mapping[str, Mapping[str, Result]]
    """Attribute -> its value -> the result."""
    disabled: Result
    blocked: Result
    """A prerequisite is not met."""
    outside: Result
    """No serve took the unit in."""
    decide: Choose
    """Everything but the prerequisites; the moment must be given where `timed`."""
    timed: bool
    asks: frozenset[str] | None
    """The attributes that decide; None where the moment, other flags or segments do."""

    @property
    def is_for_users(self) -> bool:
        """Whether the user's id and one attribute at most decide for good."""
        return self.asks is not None and len(self.asks - {USER}) <= 1

    @property
    def beside(self) -> str | None:
        """The attribute that decides besides the user's id, where there is one alone."""
        return next(iter((self.asks or frozenset()) - {USER}), None)

    @property
    def rest(self) -> Result | None:
        """The one result of everybody whom no rule takes; None where a bucket or the moment decides."""
        return self.outside if self.serve.nobody else self.serve.everyone

    @property
    def is_special(self) -> bool:
        """Whether more decides than whether it is on, its rules and its serve."""
        return bool(self.timed or self.overrides or self.spec.prerequisites)

    def enabled_at(self, now: datetime | None) -> bool:
        """Tell whether the flag is on at a moment."""
        if now is None or not self.spec.schedule:
            return self.spec.enabled
        index = bisect_right([at for at, _ in self.spec.schedule], now)
        return self.spec.schedule[index - 1][1] if index else self.spec.enabled


def compile_flag(spec: Flag, segments: Segments) -> CompiledFlag:
    """Return a flag compiled: nothing of it is looked at again in an evaluation."""

    def results(reason: str) -> dict[str, Result]:
        return {
            name: Result(spec.key, value, name, reason, flag_metadata=spec.metadata)
            for name, value in spec.variants.items()
        }

    matched, part = results(TARGETING_MATCH), results(SPLIT)
    alone = not (spec.rules or spec.overrides or spec.prerequisites or spec.schedule or spec.serve.steps)
    fallthrough = results(STATIC if alone else DEFAULT)
    rules = tuple(
        CompiledRule(
            rule,
            tuple(compile_condition(condition, segments) for condition in rule.when),
            compile_serve(spec.key, spec.salt, rule.serve, matched, part),
        )
        for rule in spec.rules
    )
    serve = compile_serve(spec.key, spec.salt, spec.serve, fallthrough, part)
    overrides: dict[str, dict[str, Result]] = {}
    for override in reversed(spec.overrides):
        overrides.setdefault(override.attribute, {})[override.value] = matched[override.variant]
    disabled = results(DISABLED)[spec.off]
    by_bucket = spec.serve.steps or spec.serve.rollout not in {0, BUCKETS}
    outside = part[spec.off] if by_bucket or len(set(serve.pieces)) > 1 else fallthrough[spec.off]
    decide = _with_overrides(overrides, _decision(rules, serve, outside))
    timed = bool(spec.schedule or spec.serve.steps or any(rule.serve.steps for rule in spec.rules))
    blocked = fallthrough[spec.off]
    decide = _with_state(spec, disabled, decide)
    asks = None if timed else _asked(spec)
    return CompiledFlag(spec, rules, serve, overrides, disabled, blocked, outside, decide, timed, asks)


def _asked(spec: Flag) -> frozenset[str] | None:
    """Return the attributes that a flag's result depends on; None where it depends on other things too."""
    conditions = [condition for rule in spec.rules for condition in rule.when]
    if spec.prerequisites or any(condition.op == SEGMENT for condition in conditions):
        return None
    serves = [spec.serve, *(rule.serve for rule in spec.rules)]
    found = {condition.attribute for condition in conditions} | {each.attribute for each in spec.overrides}
    for serve in serves:
        found.update(serve.by, serve.hash.variants_by if serve.hash else ())
    return frozenset(found)


def _decision(rules: tuple[CompiledRule, ...], serve: CompiledServe, outside: Result) -> Choose:
    take = serve.take
    rest = outside if serve.nobody else serve.everyone

    def everyone_else(context: Context, now: datetime | None) -> Result:
        return take(context, now) or outside

    def always(context: Context, now: datetime | None) -> Result:
        assert rest is not None
        return rest

    if not rules:
        return everyone_else if rest is None else always
    pairs: list[tuple[ContextTest, Take]] = [(_all_hold(rule.conditions), rule.serve.take) for rule in rules]
    if len(pairs) == 1 and rest is not None:
        careful = _one_rule(*pairs[0], rest)
        return usual_shape(rules[0].conditions, rules[0].serve, rest, careful) or careful

    def many_rules(context: Context, now: datetime | None) -> Result:
        for holds, take_in in pairs:
            if holds(context):
                result = take_in(context, now)
                if result is not None:
                    return result
        return take(context, now) or outside

    return many_rules


def _one_rule(holds: ContextTest, take: Take, rest: Result) -> Choose:
    def one_rule(context: Context, now: datetime | None) -> Result:
        return (holds(context) and take(context, now)) or rest

    return one_rule


def _all_hold(conditions: tuple[CompiledCondition, ...]) -> ContextTest:
    tests = [condition.test for condition in conditions]
    if len(tests) == 1:
        return tests[0]
    if len(tests) == 2:
        first, second = tests
        return lambda context: first(context) and second(context)
    return lambda context: all(test(context) for test in tests)


def find_override(overrides: Mapping[str, Mapping[str, Result]], context: Context) -> tuple[str, str, Result] | None:
    """Return attribute, value and result of the override that applies: the user's before the account's."""
    for attribute in (USER, ACCOUNT):
        unit = unit_text(context.get(attribute)) if attribute in overrides else None
        if unit is not None and unit in overrides[attribute]:
            return attribute, unit, overrides[attribute][unit]
    return None


def _with_overrides(overrides: Mapping[str, Mapping[str, Result]], decide: Choose) -> Choose:
    if not overrides:
        return decide

    def overridden(context: Context, now: datetime | None) -> Result:
        found = find_override(overrides, context)
        return decide(context, now) if found is None else found[2]

    return overridden


def _with_state(spec: Flag, disabled: Result, decide: Choose) -> Choose:
    if not spec.schedule:
        return decide if spec.enabled else lambda context, now: disabled
    times = [at for at, _ in spec.schedule]
    states = (spec.enabled, *(enabled for _, enabled in spec.schedule))

    def scheduled(context: Context, now: datetime | None) -> Result:
        assert now is not None
        return decide(context, now) if states[bisect_right(times, now)] else disabled

    return scheduled
