"""Which bucket a unit falls into: published, in integers alone, so that any client in any language computes the same.

    h      = murmur3_32(salt + ":" + unit, seed 0)              of the UTF-8 text, unsigned
    bucket = (h * 100000) >> 32                                 from 0 to 99999

A unit is in a rollout of `n` (of 100,000) where its bucket is below `n`: raising `n` only adds units. Variants take
the bucket of `salt + ":variant:" + unit`, so who is in a rollout says nothing of the variant within it.
A flag imported from elsewhere brings the hash it was bucketed by before: a `HashProfile`.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import Any

from mmh3 import mmh3_32_uintdigest as murmur3_of_bytes  # never mmh3.hash: a lone surrogate makes it crash the process

BUCKETS = 100_000
"""100 % of a rollout, and what the weights of a split add up to."""
_LONGEST_INTEGER = 10**300


def bucket(salt: str, unit: str) -> int:
    """Return the bucket (0 to 99,999) that decides whether a unit is in a rollout."""
    return (murmur3_of_bytes(f"{salt}:{unit}".encode(), 0) * BUCKETS) >> 32


def variant_bucket(salt: str, unit: str) -> int:
    """Return the bucket (0 to 99,999) that decides a unit's variant."""
    return bucket(f"{salt}:variant", unit)


def unit_text(value: Any) -> str | None:
    """Return the text by which a value is bucketed; None for a value that is no unit (null, empty, an object, a list).

    Numbers are written as JSON's shortest form, whole ones without a point: `1` and `1.0` are the same unit.
    """
    if isinstance(value, str):
        return value or None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value) if abs(value) < _LONGEST_INTEGER else None
    if isinstance(value, float) and isfinite(value):
        return str(int(value)) if value.is_integer() else repr(value)
    return None


@dataclass(frozen=True, slots=True)
class Draw:
    """One question to a hash: `prefix + unit + suffix` hashed and brought to `0 .. modulus - 1`."""

    function: str
    seed: int
    prefix: str
    suffix: str
    modulus: int
    scaled: bool
    """Whether the hash is scaled to the modulus (`h * modulus >> bits`) rather than divided by it (`h % modulus`)."""
    offset: int = 0
    """What the source system adds to the remainder: for showing its figure; it decides nothing."""

    def value(self, unit: str) -> int:
        """Return the unit's number, from 0 to `modulus - 1`."""
        bits, function = FUNCTIONS[self.function]
        hashed = function(f"{self.prefix}{unit}{self.suffix}", self.seed)
        return (hashed * self.modulus) >> bits if self.scaled else hashed % self.modulus


def own_draw(salt: str, *, variants: bool = False) -> Draw:
    """Return Trackside's own draw, for rollouts or for variants."""
    return Draw("murmur3_32", 0, f"{salt}:variant:" if variants else f"{salt}:", "", BUCKETS, True)


def _murmur3(text: str, seed: int) -> int:
    return murmur3_of_bytes(text.encode(), seed)


def _fnv1a(text: str, seed: int) -> int:
    hashed = 0x811C9DC5 ^ seed
    for byte in text.encode():
        hashed = ((hashed ^ byte) * 0x01000193) & 0xFFFFFFFF
    return hashed


def _sha1(text: str, seed: int) -> int:
    return int(hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()[:15], 16)


def _md5(text: str, seed: int) -> int:
    return int(hashlib.md5(text.encode(), usedforsecurity=False).hexdigest(), 16)


FUNCTIONS: dict[str, tuple[int, Callable[[str, int], int]]] = {
    "murmur3_32": (32, _murmur3),
    "fnv1a_32": (32, _fnv1a),
    "sha1_60": (60, _sha1),
    "md5_128": (128, _md5),
}
"""Name of a hash -> how many bits it gives, and the function of (text, seed); only murmur3 and FNV take a seed."""
