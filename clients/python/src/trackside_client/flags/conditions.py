"""Conditions compiled to functions of the context; each is made once and asked many times."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from trackside_client.flags.operators import OPERATORS, SEGMENT, Test
from trackside_client.flags.result import Context
from trackside_client.flags.spec import Condition

ContextTest = Callable[[Context], bool]
Segments = Mapping[str, ContextTest]
"""The port for segments: name -> whether a context belongs to it. A segment that is not there holds nobody."""
_SCALARS = (str, int, float)


@dataclass(frozen=True, slots=True)
class CompiledCondition:
    """A condition and its test, which `evaluate` and `explain` both ask."""

    spec: Condition
    test: ContextTest
    texts: frozenset[str] | None = None
    """Where the condition is that the attribute is one of these texts, and nothing else."""


def compile_condition(spec: Condition, segments: Segments) -> CompiledCondition:
    """Return the condition with its test.

    A list in the context holds where any of its items does. An attribute that is absent or null holds nothing, and
    `negate` turns the answer round whatever it came from: "plan is none of pro" holds where no plan is known.
    """
    plain = spec.op in {"in", "equals"} and not spec.ignore_case and all(isinstance(each, str) for each in spec.values)
    texts = frozenset(spec.values) if plain else None
    return CompiledCondition(spec, _test(spec, segments, texts), None if spec.negate else texts)


def _test(spec: Condition, segments: Segments, texts: frozenset[str] | None) -> ContextTest:
    attribute, negate = spec.attribute, spec.negate
    if spec.op == SEGMENT:
        tests = [segments[name] for name in spec.values if name in segments]
        return lambda context: any(test(context) for test in tests) is not negate
    if spec.op == "exists":
        return lambda context: (context.get(attribute) is not None) is not negate
    general = _general(attribute, OPERATORS[spec.op].compile(spec.values, spec.ignore_case), negate=negate)
    if texts is None:
        return general

    def is_in(context: Context) -> bool:
        value = context.get(attribute)
        return value in texts if type(value) is str else general(context)

    def is_not_in(context: Context) -> bool:
        value = context.get(attribute)
        return value not in texts if type(value) is str else general(context)

    return is_not_in if negate else is_in


def _general(attribute: str, holds: Test, *, negate: bool) -> ContextTest:
    def test(context: Context) -> bool:
        return any_holds(context.get(attribute), holds) is not negate

    return test


def any_holds(value: Any, holds: Test) -> bool:
    """Tell whether a value, or any item of a list, holds; only texts, numbers and booleans can."""
    if isinstance(value, (list, tuple)):
        return any(isinstance(each, _SCALARS) and holds(each) for each in value)
    return isinstance(value, _SCALARS) and holds(value)
