"""`explain`: the same parts that `evaluate` is made of, asked one by one, with what each answered.

Each condition is asked by its own compiled test, each serve by its own compiled function and each prerequisite by the
function that decides it, so an explanation cannot say other than what is served; that the two walks agree as a whole is
a property tested for any ruleset and context.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from trackside_client.flags.compiling import CompiledFlag, CompiledRule, find_override
from trackside_client.flags.linking import decide_linked, in_order
from trackside_client.flags.result import Context, Result
from trackside_client.flags.serving import CompiledServe, find_unit, in_limit
from trackside_client.flags.spec import ACCOUNT, USER
from trackside_client.flags.trace import BucketTrace, ConditionTrace, Outcome, Step
from trackside_client.flags.words import condition_text, day, json_value, listed, noun, percent, shown


class Walk:
    """One explanation under way: `steps` grow in the order of evaluation; `result` is set by the step that decides."""

    def __init__(self, flags: Mapping[str, CompiledFlag], flag: CompiledFlag, context: Context, now: datetime) -> None:
        self.flags, self.flag, self.context, self.now = flags, flag, context, now
        self.steps: list[Step] = []
        self.result: Result | None = None

    def run(self) -> Result:
        """Walk through the whole flag and return the result."""
        self._state()
        self._prerequisites()
        self._overrides()
        for index, rule in enumerate(self.flag.rules):
            self._rule(index, rule)
        return self._everyone_else()

    def _state(self) -> None:
        spec, on = self.flag.spec, self.flag.enabled_at(self.now)
        past = [step for step in spec.schedule if step[0] <= self.now]
        since = f" since {day(past[-1][0])}, by its schedule" if past else ""
        self.result = None if on else self.flag.disabled
        text = f"The flag is on{since}." if on else f"The flag is off{since}: everybody gets {shown(spec.off)}."
        self.steps.append(Step("state", "passed" if on else "decided", text, variant=None if on else spec.off))

    def _prerequisites(self) -> None:
        needed = self.flag.spec.prerequisites
        found: dict[str, Result] = {}
        if needed and self.result is None:
            for other in in_order(self.flags, self.flag.spec.key)[:-1]:
                found[other.spec.key] = decide_linked(other, found, self.context, self.now)
        for each in needed:
            wanted = " or ".join(shown(name) for name in sorted(each.variants))
            asks = f"The flag {shown(each.flag)} must give {wanted}"
            if self.result is not None:
                self.steps.append(Step("prerequisite", "not_reached", f"{asks}: not asked.", each.flag))
                continue
            variant = found[each.flag].variant
            gives = "nothing, it cannot be evaluated" if variant is None else shown(variant)
            met = variant in each.variants
            self.result = None if met else self.flag.blocked
            ending = "" if met else f", so everybody it stops gets {shown(self.flag.spec.off)}"
            text = f"{asks}: it gives {gives}{ending}."
            self.steps.append(Step("prerequisite", "passed" if met else "decided", text, each.flag, variant=variant))

    def _overrides(self) -> None:
        overrides = self.flag.overrides
        found = find_override(overrides, self.context) if self.result is None else None
        for attribute in (USER, ACCOUNT):
            if attribute not in overrides:
                continue
            count, unit = len(overrides[attribute]), find_unit(self.context, (attribute,))
            what = f"{count} {noun(attribute)}{'s have' if count > 1 else ' has'} a variant of their own"
            if self.result is not None:
                self.steps.append(Step("override", "not_reached", f"{what}: not asked.", attribute))
            elif found is not None and found[0] == attribute:
                self.result = found[2]
                text = f"{what}; {shown(found[1])} is one of them and gets {shown(found[2].variant)}."
                self.steps.append(Step("override", "decided", text, attribute, variant=found[2].variant))
            else:
                who = f"the {noun(attribute)} is not known" if unit is None else f"{shown(unit)} is none of them"
                self.steps.append(Step("override", "not_matched", f"{what}; {who}.", attribute))

    def _rule(self, index: int, rule: CompiledRule) -> None:
        reached, holds = self.result is None, True
        conditions: list[ConditionTrace] = []
        for condition in rule.conditions:
            answer = condition.test(self.context) if reached and holds else None
            actual = self._value(condition.spec.attribute) if answer is not None else None
            spec, text = condition.spec, condition_text(condition, actual, holds=answer)
            shown_values = spec.values[:100]
            conditions.append(
                ConditionTrace(text, spec.attribute, spec.op, shown_values, spec.negate, answer, json_value(actual))
            )
            holds = holds and answer is not False
        title = f"Rule {index + 1}" + (f", {shown(rule.spec.name)}" if rule.spec.name else "")
        bucket: BucketTrace | None = None
        outcome: Outcome = "not_reached"
        text = f"{title}: not asked."
        if reached and not holds:
            outcome, text = "not_matched", f"{title} is for others: {conditions[_first_no(conditions)].text}."
        elif reached:
            bucket = self._serve(rule.serve)
            outcome = "decided" if self.result is not None else "not_taken_in"
            text = f"{title} is for this context: {bucket.text}."
        variant = bucket.variant if bucket else None
        self.steps.append(Step("rule", outcome, text, rule.spec.name, rule.spec.id, tuple(conditions), bucket, variant))

    def _value(self, attribute: str) -> Any:
        return self.context.get(attribute) if isinstance(self.context, Mapping) else None

    def _everyone_else(self) -> Result:
        result = self.result
        if result is not None:
            self.steps.append(Step("everyone_else", "not_reached", "Everyone else: not asked."))
            return result
        bucket = self._serve(self.flag.serve)
        result = self.result or self.flag.outside
        ending = "" if self.result is not None else f", so the flag gives {shown(result.variant)}"
        text = f"Everyone else: {bucket.text}{ending}."
        self.steps.append(Step("everyone_else", "decided", text, bucket=bucket, variant=result.variant))
        return result

    def _serve(self, serve: CompiledServe) -> BucketTrace:
        """Ask a serve, keep what it gives as the result, and tell how it came to it."""
        self.result = serve.take(self.context, self.now)
        return describe_serve(serve, self.context, self.now, self.result)


def _first_no(conditions: list[ConditionTrace]) -> int:
    return next(index for index, each in enumerate(conditions) if each.holds is False)


def describe_serve(serve: CompiledServe, context: Context, now: datetime, result: Result | None) -> BucketTrace:
    """Return how a serve came to a result it gave: the figures are those its function compares."""
    rollout = serve.rollout_at(now)
    below, draw = in_limit(rollout, serve.draw), serve.draw
    drawn = 0 < below < draw.modulus
    unit = find_unit(context, serve.spec.by) if drawn else None
    bucket = draw.value(unit) if unit is not None else None
    mixed = result is not None and result.error_code is None and len(set(serve.pieces)) > 1
    variant_unit = find_unit(context, serve.variants_by) if mixed else None
    variant_bucket = serve.variants.value(variant_unit) if variant_unit is not None else None
    variant = result.variant if result is not None else None
    parts = [_rollout_text(serve, rollout, unit, bucket, result)]
    if result is None and below > 0 and (bucket is None or bucket < below) and (unit is not None or not drawn):
        parts.append(f"; its variants go by {listed(serve.variants_by)}, which the context does not name")
    if variant_bucket is not None:
        parts.append(f", and place {variant_bucket:,} of {serve.variants.modulus:,} among its variants")
    return BucketTrace(
        text="".join(parts) + (f": {shown(variant)}" if variant is not None else ""),
        taken_in=variant is not None,
        rollout=rollout,
        by=serve.spec.by,
        unit=unit,
        bucket=bucket,
        buckets=draw.modulus if drawn else 0,
        below=below if drawn else 0,
        variant_unit=variant_unit,
        variant_bucket=variant_bucket,
        variant_buckets=serve.variants.modulus if mixed else 0,
        variant=variant,
    )


def _rollout_text(
    serve: CompiledServe, rollout: int, unit: str | None, bucket: int | None, result: Result | None
) -> str:
    """Return who a serve takes in, and whether this unit is among them."""
    below, draw, by = in_limit(rollout, serve.draw), serve.draw, listed(serve.spec.by)
    if result is not None and result.error_code is not None:
        return f"it needs the {by}, which the context does not name"
    if not 0 < below < draw.modulus:
        return f"it takes in {'all of them' if below > 0 else 'nobody (0 %)'}"
    share = f"it takes in {percent(rollout)} by {by}"
    if bucket is None:
        return f"{share}, which the context does not name"
    where = "within" if bucket < below else "outside"
    return f"{share}; {shown(unit)} has place {bucket + draw.offset:,} of {draw.modulus:,}, {where} the first {below:,}"


def summary(result: Result, steps: Sequence[Step]) -> str:
    """Return the whole in one sentence or two."""
    if result.error_code is not None:
        return f"The flag cannot be evaluated, the application's default answers: {result.error_details}."
    why = next((step.text for step in steps if step.outcome == "decided"), "")
    value = "" if isinstance(result.value, (dict, list)) else f" ({shown(result.value)})"
    return f"Gives {shown(result.variant)}{value}. {why}"
