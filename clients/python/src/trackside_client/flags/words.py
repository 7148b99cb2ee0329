"""The sentences of an explanation: for a support person who knows neither buckets nor JSON."""

from collections.abc import Sequence
from datetime import datetime
from math import isfinite
from typing import Any

from trackside_client.flags.conditions import CompiledCondition
from trackside_client.flags.moments import moment_of
from trackside_client.flags.operators import OPERATORS, number_of, version_of
from trackside_client.flags.spec import ACCOUNT, USER

_MOST_SHOWN, _LONGEST_SHOWN = 5, 100


def shown(value: Any) -> str:
    """Return a value as a sentence names it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"“{_cut(value)}”"
    if isinstance(value, (list, tuple)):
        more = f", … ({len(value)} in all)" if len(value) > _MOST_SHOWN else ""
        return ", ".join(shown(each) for each in value[:_MOST_SHOWN]) + more
    if isinstance(value, dict):
        return "an object"
    return _cut(value)


def _cut(value: Any) -> str:
    try:
        text = str(value)
    except Exception:
        text = type(value).__name__
    text = text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…"
    return text.encode("utf-8", "replace").decode()


def json_value(value: Any) -> Any:
    """Return a context's value fit for JSON, long ones cut."""
    if value is None or isinstance(value, bool) or (isinstance(value, int) and abs(value) < 2**63):
        return value
    if isinstance(value, float) and isfinite(value):
        return value
    if isinstance(value, (list, tuple)):
        return [_cut(each) if isinstance(each, (list, tuple, dict)) else json_value(each) for each in value[:20]]
    return _cut(value)


def percent(rollout: int) -> str:
    """Return so many of 100,000 as in “12.5 %”."""
    whole, part = divmod(rollout, 1000)
    return f"{whole}.{part:03}".rstrip("0").rstrip(".") + " %"


def noun(attribute: str) -> str:
    """Return what an attribute is called."""
    return {USER: "user", ACCOUNT: "account"}.get(attribute, attribute)


def listed(names: Sequence[str]) -> str:
    """Return names as in “user, else sessionId”."""
    return ", else ".join(noun(each) for each in names)


def condition_text(condition: CompiledCondition, actual: Any, *, holds: bool | None) -> str:
    """Return a condition as a sentence, with its answer and why."""
    spec = condition.spec
    operator = OPERATORS[spec.op]
    case = ", in capitals or not" if spec.ignore_case else ""
    values = f" {shown(spec.values)}" if spec.values else ""
    subject = noun(spec.attribute) if spec.attribute else noun(USER)
    asked = f"{subject} {operator.unlike if spec.negate else operator.words}{values}{case}"
    if holds is None:
        return f"{asked}: not asked"
    answer = "yes" if holds else "no"
    if operator.kind in {"segment", "none"}:
        return f"{asked}: {answer}"
    if actual is None:
        return f"{asked}: {answer}, it is not known"
    return f"{asked}: {answer}, it is {shown(actual)}{_mismatch(operator.kind, spec.values, actual)}"


_READ = {"number": (number_of, "number"), "moment": (moment_of, "date"), "version": (version_of, "semantic version")}


def _mismatch(kind: str, values: Sequence[Any], actual: Any) -> str:
    """Return why a value of another type cannot hold; empty where its type is right."""
    if isinstance(actual, (list, tuple)):
        return ""
    if kind in _READ:
        read, name = _READ[kind]
        return "" if read(actual) is not None else f", which is no {name}"
    if kind in {"text", "pattern", "network"} and not isinstance(actual, str):
        return ", which is no text"
    if (
        kind == "scalar"
        and actual not in values
        and shown(actual).strip("“”") in {shown(v).strip("“”") for v in values}
    ):
        return f", a {_type(actual)}: the rule asks for another type"
    return ""


def _type(value: Any) -> str:
    return "text" if isinstance(value, str) else "truth value" if isinstance(value, bool) else "number"


def day(moment: datetime) -> str:
    """Return a moment as text."""
    return moment.strftime("%Y-%m-%d %H:%M %Z")
