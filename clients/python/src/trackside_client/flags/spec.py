"""A flag as read and found sound: plain immutable values, from which it is compiled and explained."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from trackside_client.flags.hashing import Draw

Type = Literal["boolean", "string", "number", "json"]
TYPES: frozenset[str] = frozenset({"boolean", "string", "number", "json"})

USER = "targetingKey"
ACCOUNT = "account"


@dataclass(frozen=True, slots=True)
class HashProfile:
    """How an imported flag is bucketed."""

    rollout: Draw
    variants: Draw
    """A modulus of 0 stands for the sum of the split's weights."""
    variants_by: tuple[str, ...]
    """Sticky attributes for variants; empty: the rollout's own."""


@dataclass(frozen=True, slots=True)
class Serve:
    """Who of those a rule is for is taken in, and the variants they get."""

    rollout: int
    """Of 100,000."""
    split: tuple[tuple[str, int], ...]
    """Variant and weight, in order; a variant may stand in it more than once."""
    steps: tuple[tuple[datetime, int], ...]
    """From when on which rollout replaces `rollout`."""
    by: tuple[str, ...]
    """Sticky attributes: the first one the context has."""
    hash: HashProfile | None


@dataclass(frozen=True, slots=True)
class Condition:
    """One test of one attribute."""

    attribute: str
    op: str
    values: tuple[Any, ...]
    negate: bool
    ignore_case: bool


@dataclass(frozen=True, slots=True)
class Rule:
    """Who a serve is for: those for whom all conditions hold."""

    id: str
    name: str
    when: tuple[Condition, ...]
    serve: Serve


@dataclass(frozen=True, slots=True)
class Override:
    """One user's or account's variant."""

    attribute: str
    value: str
    variant: str


@dataclass(frozen=True, slots=True)
class Prerequisite:
    """Another flag, and which of its variants let this one be evaluated."""

    flag: str
    variants: frozenset[str]


@dataclass(frozen=True, slots=True)
class Flag:
    """A flag in one environment."""

    key: str
    type: str
    salt: str
    enabled: bool
    variants: Mapping[str, Any]
    off: str
    overrides: tuple[Override, ...]
    prerequisites: tuple[Prerequisite, ...]
    rules: tuple[Rule, ...]
    serve: Serve
    schedule: tuple[tuple[datetime, bool], ...]
    """From when on it is enabled or not, in place of `enabled`."""
    metadata: Mapping[str, bool | str | int | float]
