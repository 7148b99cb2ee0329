"""Constraints of Unleash as conditions of a rule, and as the span of time in which it is in force.

All constraints of a strategy must hold, its segments' too. One that can never hold (no values, an operator or an
expression that nobody knows) takes its strategy out. A constraint on `currentTime` is no condition: the application
leaves that to the clock, so it becomes steps of the serve.
"""

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from trackside_client.flags.moments import parse_moment
from trackside_client.flags.operators import compile_pattern, network_of, number_of, version_of
from trackside_modules.flags.unleash.documents import Constraint

USER = "targetingKey"
DEFAULT_STICKY = (USER, "sessionId")
"""What Unleash's stickiness `default` tries in turn, before chance."""
_FIELDS = {"userId": USER}
_CLOCK = "currentTime"
_TICK = timedelta(microseconds=1)
_TEXTS = {"STR_CONTAINS": "contains", "STR_STARTS_WITH": "starts_with", "STR_ENDS_WITH": "ends_with"}
_NUMBERS = {"NUM_EQ": "num_eq", "NUM_GT": "gt", "NUM_GTE": "gte", "NUM_LT": "lt", "NUM_LTE": "lte"}
_VERSIONS = {
    "SEMVER_EQ": "semver_eq",
    "SEMVER_GT": "semver_gt",
    "SEMVER_GTE": "semver_gte",
    "SEMVER_LT": "semver_lt",
    "SEMVER_LTE": "semver_lte",
}
_DATES = {"DATE_AFTER": "after", "DATE_BEFORE": "before"}

Condition = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Who:
    """Whom constraints hold for, and when."""

    conditions: tuple[Condition, ...] = ()
    start: datetime | None = None
    end: datetime | None = None
    never: bool = False
    notes: tuple[str, ...] = ()

    def both(self, other: "Who") -> "Who":
        """Return for whom, and when, both hold."""
        start = max((each for each in (self.start, other.start) if each), default=None)
        end = min((each for each in (self.end, other.end) if each), default=None)
        never = self.never or other.never or (start is not None and end is not None and start >= end)
        return Who(self.conditions + other.conditions, start, end, never, self.notes + other.notes)


NEVER = Who(never=True)


def field_of(context_name: str) -> str:
    """Return the attribute that a field of Unleash's context is here."""
    return _FIELDS.get(context_name, context_name)


def who(constraints: Iterable[Constraint]) -> Who:
    """Return for whom, and when, all constraints hold."""
    found = Who()
    for constraint in constraints:
        found = found.both(_of(constraint))
    return found


def known(context_name: str) -> Condition:
    """Return the condition that a field is there at all."""
    return {"attribute": field_of(context_name), "op": "exists"}


def _of(it: Constraint) -> Who:
    for operators, translate in _TRANSLATIONS:
        if it.operator in operators:
            return translate(it)
    return replace(NEVER, notes=(f"the operator {it.operator!r} is unknown to Unleash too: it never holds",))


def _one(it: Constraint) -> str:
    return "" if it.value is None else str(it.value).strip()


def _all_texts(it: Constraint) -> tuple[str, ...]:
    return tuple(str(each) for each in it.values or ())


def _condition(it: Constraint, op: str, values: tuple[Any, ...], *, negate: bool = False) -> Who:
    """Return a condition; without a value it holds for nobody, or inverted for everybody."""
    negate = negate is not it.inverted
    if not values:
        return Who() if negate else replace(NEVER, notes=(f"{it.operator} on {it.context_name} has no usable value",))
    made: Condition = {"attribute": field_of(it.context_name), "op": op, "values": list(values)}
    if negate:
        made["negate"] = True
    if it.case_insensitive and (op in _TEXTS.values() or op == "matches"):
        made["ignore_case"] = True
    return Who((made,))


def _is_in(it: Constraint) -> Who:
    """Unleash compares texts, so that a number of the context is found among texts: here both are named."""
    values: list[str | int | float | bool] = []
    for text in _all_texts(it):
        number = number_of(text)
        values += [text] if number is None or str(number) != text else [text, number]
        values += [text == "true"] if text in {"true", "false"} else []
    return _condition(it, "in", tuple(values), negate=it.operator == "NOT_IN")


def _matches(it: Constraint) -> Who:
    try:
        compile_pattern(_one(it), ignore_case=it.case_insensitive)
    except Exception:  # re2 raises several kinds, all of them "no expression"
        note = f"REGEX on {it.context_name}: {_one(it)!r} is no expression of RE2, so it never matches"
        return replace(Who() if it.inverted else NEVER, notes=(note,))
    return _condition(it, "matches", (_one(it),))


def _within(it: Constraint) -> Who:
    texts = _all_texts(it)
    networks = tuple(text for text in texts if network_of(text) is not None)
    found = _condition(it, "cidr", networks)
    wrong = [text for text in texts if network_of(text) is None]
    notes = (f"left out of {it.context_name}, no address: {', '.join(wrong)}",) if wrong else ()
    return replace(found, notes=found.notes + notes)


def _compared(it: Constraint) -> Who:
    number = number_of(_one(it))
    return _condition(it, _NUMBERS[it.operator], () if number is None else (number,))


def _versioned(it: Constraint) -> Who:
    return _condition(it, _VERSIONS[it.operator], (_one(it),) if version_of(_one(it)) else ())


def _dated(it: Constraint) -> Who:
    at = parse_moment(_one(it))
    if at is None or it.context_name != _CLOCK:
        return _condition(it, _DATES[it.operator], () if at is None else (_one(it),))
    if it.operator == "DATE_AFTER":
        # "after" leaves the very moment out, a step does not: it begins the smallest while later
        return Who(end=at + _TICK) if it.inverted else Who(start=at + _TICK)
    return Who(start=at) if it.inverted else Who(end=at)


def within(context_name: str, texts: tuple[str, ...]) -> Who:
    """Return who calls from one of these addresses or networks; what is neither is noted and left out."""
    return _within(Constraint(context_name, "IN_CIDR", texts))


_TRANSLATIONS: tuple[tuple[Container[str], Callable[[Constraint], Who]], ...] = (
    (("IN", "NOT_IN"), _is_in),
    (_TEXTS, lambda it: _condition(it, _TEXTS[it.operator], _all_texts(it))),
    (("REGEX",), _matches),
    (_NUMBERS, _compared),
    (_VERSIONS, _versioned),
    (_DATES, _dated),
    (("IN_CIDR",), _within),
)
