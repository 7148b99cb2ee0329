"""What an evaluation did, step by step: typed fields for programs, and a sentence for people in each."""

from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime
from typing import Any, Literal

from trackside_client.flags.result import Result

Kind = Literal["state", "prerequisite", "override", "rule", "everyone_else"]
Outcome = Literal["decided", "passed", "not_matched", "not_taken_in", "not_reached"]
"""`decided`: this step gave the result. `passed`: it let the evaluation go on, as a flag that is on, or a prerequisite
that is met. `not_matched`: no override, or a condition that does not hold. `not_taken_in`: the conditions hold, but the
unit is outside the rollout. `not_reached`: an earlier step had decided."""


@dataclass(frozen=True, slots=True)
class ConditionTrace:
    """One condition, asked or not."""

    text: str
    attribute: str
    op: str
    values: tuple[Any, ...]
    negate: bool
    holds: bool | None
    """None where an earlier step had decided, or an earlier condition had failed."""
    actual: Any = None
    """The context's value; a long one cut, one that is no JSON as text."""


@dataclass(frozen=True, slots=True)
class BucketTrace:
    """How a serve decided. Figures are None where no bucket was needed, or the unit is missing."""

    text: str
    taken_in: bool
    rollout: int
    """In force at that moment, of 100,000."""
    by: tuple[str, ...]
    unit: str | None = None
    bucket: int | None = None
    buckets: int = 0
    below: int = 0
    """A bucket below this one is in the rollout."""
    variant_unit: str | None = None
    variant_bucket: int | None = None
    variant_buckets: int = 0
    variant: str | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One step, in the order of evaluation."""

    kind: Kind
    outcome: Outcome
    text: str
    name: str = ""
    """The rule's name, the prerequisite's flag, or the overrides' attribute."""
    id: str = ""
    """The rule's id."""
    conditions: tuple[ConditionTrace, ...] = ()
    bucket: BucketTrace | None = None
    variant: str | None = None
    """The variant it gave; of a prerequisite, the one that the other flag has."""


@dataclass(frozen=True, slots=True)
class Trace:
    """Why a flag gives what it gives: the result is the very object that `evaluate` returns."""

    key: str
    at: datetime
    result: Result
    text: str
    steps: tuple[Step, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON."""
        found: dict[str, Any] = _plain(self)
        return found


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return dict(value) if hasattr(value, "items") else value
