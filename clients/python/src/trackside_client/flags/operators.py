"""The typed operators of conditions: each compiles its values once into a test of one value.

A test never raises for a value of another type: it does not hold, and `explain` says of which type the value was.
"""

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from math import isfinite
from typing import Any

import re2

from trackside_client.flags.moments import moment_of

Test = Callable[[Any], bool]
MOST_VALUES = 10_000
LONGEST_PATTERN = 1000


@dataclass(frozen=True, slots=True)
class Operator:
    """What a condition's `op` names: how many values of which kind it takes, how it is compiled, and its words."""

    kind: str
    """Of its values: scalar, text, pattern, number, moment, version, network, segment, or none."""
    many: bool
    """Whether it takes a list of values, any of which may hold; else exactly one."""
    words: str
    """As in “plan *is one of* pro, team”."""
    unlike: str
    """The same, negated."""
    compile: Callable[[Sequence[Any], bool], Test]


def _scalar_key(value: Any) -> Any:
    """Return what two scalars have in common where they are equal by type and value: true is not 1, "1" is not 1."""
    return ("bool", value) if isinstance(value, bool) else value


def _is_in(values: Sequence[Any], ignore_case: bool) -> Test:
    if ignore_case:
        lowered = {each.lower() if isinstance(each, str) else _scalar_key(each) for each in values}
        return lambda value: (value.lower() if isinstance(value, str) else _scalar_key(value)) in lowered
    known = frozenset(map(_scalar_key, values))
    return lambda value: _scalar_key(value) in known


def _texts(test: Callable[[str, tuple[str, ...]], bool]) -> Callable[[Sequence[Any], bool], Test]:
    def compiled(values: Sequence[Any], ignore_case: bool) -> Test:
        if ignore_case:
            lowered = tuple(each.lower() for each in values)
            return lambda value: isinstance(value, str) and test(value.lower(), lowered)
        wanted = tuple(values)
        return lambda value: isinstance(value, str) and test(value, wanted)

    return compiled


def _contains(value: str, wanted: tuple[str, ...]) -> bool:
    return any(each in value for each in wanted)


def compile_pattern(pattern: str, *, ignore_case: bool = False) -> Any:
    """Return a compiled regular expression of linear time; raises `re2.error` for one that is none."""
    options = re2.Options()
    options.log_errors = False
    options.case_sensitive = not ignore_case
    return re2.compile(pattern, options)


def _matches(values: Sequence[Any], ignore_case: bool) -> Test:
    searches = [compile_pattern(each, ignore_case=ignore_case).search for each in values]
    return lambda value: isinstance(value, str) and any(search(value) is not None for search in searches)


_NUMBER = re.compile(r"[+-]?\d{1,300}(\.\d{1,300})?([eE][+-]?\d{1,3})?", re.ASCII)


def number_of(value: Any) -> int | float | None:
    """Return the finite number a value is, or writes as text; None for others."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = int(value) if value.isdigit() else float(value)
    return value if isinstance(value, int) or (isinstance(value, float) and isfinite(value)) else None


_VERSION = re.compile(
    r"(0|[1-9]\d{0,17})\.(0|[1-9]\d{0,17})\.(0|[1-9]\d{0,17})"
    r"(?:-((?:0|[1-9]\d{0,17}|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d{0,17}|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?"
    r"(?:\+[0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*)?",
    re.ASCII,
)
_LONGEST_VERSION = 256


def version_of(value: Any) -> tuple[Any, ...] | None:
    """Return what orders a semantic version (2.0, build metadata without weight); None for what is none."""
    found = _VERSION.fullmatch(value) if isinstance(value, str) and len(value) <= _LONGEST_VERSION else None
    if found is None:
        return None
    core = tuple(int(part) for part in found.groups()[:3])
    if found[4] is None:
        return (*core, 1)
    parts = tuple((0, int(part)) if part.isdigit() else (1, part) for part in found[4].split("."))
    return (*core, 0, parts)


def _ordered(read: Callable[[Any], Any], holds: Callable[[Any, Any], bool]) -> Callable[[Sequence[Any], bool], Test]:
    def compiled(values: Sequence[Any], ignore_case: bool) -> Test:
        limit = read(values[0])

        def test(value: Any) -> bool:
            found = read(value)
            return found is not None and holds(found, limit)

        return test

    return compiled


Network = tuple[int, int, int]
"""IP version, bits that count (a mask), and those bits."""


def network_of(text: str) -> Network | None:
    """Return the network a text writes (`10.0.0.0/8`, `2001:db8::/32`, or one address); None for what is none."""
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        return None
    mask = int(network.netmask)
    return network.version, mask, int(network.network_address) & mask


def _within(values: Sequence[Any], ignore_case: bool) -> Test:
    networks = [network for network in map(network_of, values) if network is not None]

    def test(value: Any) -> bool:
        if not isinstance(value, str) or len(value) > 64:
            return False
        try:
            address = ip_address(value)
        except ValueError:
            return False
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        version, bits = address.version, int(address)
        return any(version == each and bits & mask == wanted for each, mask, wanted in networks)

    return test


def _exists(values: Sequence[Any], ignore_case: bool) -> Test:
    return lambda value: True


SEGMENT = "segment"
OPERATORS: dict[str, Operator] = {
    "in": Operator("scalar", True, "is one of", "is none of", _is_in),
    "equals": Operator("scalar", True, "is", "is not", _is_in),
    "contains": Operator("text", True, "contains", "does not contain", _texts(_contains)),
    "starts_with": Operator("text", True, "starts with", "does not start with", _texts(str.startswith)),
    "ends_with": Operator("text", True, "ends with", "does not end with", _texts(str.endswith)),
    "matches": Operator("pattern", True, "matches", "does not match", _matches),
    "num_eq": Operator("number", False, "is the number", "is not the number", _ordered(number_of, operator.eq)),
    "gt": Operator("number", False, "is greater than", "is not greater than", _ordered(number_of, operator.gt)),
    "gte": Operator("number", False, "is at least", "is not at least", _ordered(number_of, operator.ge)),
    "lt": Operator("number", False, "is less than", "is not less than", _ordered(number_of, operator.lt)),
    "lte": Operator("number", False, "is at most", "is not at most", _ordered(number_of, operator.le)),
    "before": Operator("moment", False, "is before", "is not before", _ordered(moment_of, operator.lt)),
    "after": Operator("moment", False, "is after", "is not after", _ordered(moment_of, operator.gt)),
    "semver_eq": Operator("version", False, "is version", "is not version", _ordered(version_of, operator.eq)),
    "semver_gt": Operator("version", False, "is newer than", "is not newer than", _ordered(version_of, operator.gt)),
    "semver_gte": Operator("version", False, "is at least", "is not at least", _ordered(version_of, operator.ge)),
    "semver_lt": Operator("version", False, "is older than", "is not older than", _ordered(version_of, operator.lt)),
    "semver_lte": Operator("version", False, "is at most", "is not at most", _ordered(version_of, operator.le)),
    "cidr": Operator("network", True, "is an address in", "is not an address in", _within),
    "exists": Operator("none", True, "is known", "is not known", _exists),
    SEGMENT: Operator("segment", True, "is in segment", "is not in segment", _exists),
}
"""`segment` is compiled by the caller: it asks for the whole context, not for one attribute."""
