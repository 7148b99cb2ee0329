"""Serves compiled: who is taken in and which variant they get, by thresholds on the hash itself.

`(h * m) >> 32 < n` is the same as `h < ceil((n << 32) / m)`, so a check is one hash and one comparison of integers.
"""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import accumulate
from typing import NamedTuple

from mmh3 import mmh3_32_uintdigest as murmur3  # never mmh3.hash: a lone surrogate makes it crash the process

from trackside_client.flags.hashing import BUCKETS, FUNCTIONS, Draw, own_draw, unit_text
from trackside_client.flags.result import TARGETING_KEY_MISSING, Context, Result, failure
from trackside_client.flags.spec import USER, Serve

Take = Callable[[Context, "datetime | None"], "Result | None"]
"""The result for whom it takes in, None for others; the moment is not None where the serve has steps."""


def in_limit(rollout: int, draw: Draw) -> int:
    """Return the number below which a draw is in a rollout of so many of 100,000."""
    return -(-rollout * draw.modulus // BUCKETS)


class Cut(NamedTuple):
    """The plainest of rollouts: the hash of `prefix + context[attribute]` below a threshold gives one result."""

    attribute: str
    prefix: str
    threshold: int
    only: Result


@dataclass(frozen=True, slots=True)
class CompiledServe:
    """A serve, what it draws by, and the function that decides."""

    spec: Serve
    take: Take
    draw: Draw
    variants: Draw
    variants_by: tuple[str, ...]
    borders: tuple[int, ...]
    """A unit whose variant draw is below `borders[i]` (and not below the one before) gets piece i of the split."""
    pieces: tuple[str, ...]
    lacking: Result | None
    """What a context without the sticky attribute gets."""
    everyone: Result | None = None
    """The one result that everyone gets, always."""
    cut: Cut | None = None

    @property
    def nobody(self) -> bool:
        """Whether it takes in nobody, ever."""
        return self.take is _nobody

    def rollout_at(self, now: datetime | None) -> int:
        """Return the rollout in force, of 100,000."""
        if now is None or not self.spec.steps:
            return self.spec.rollout
        index = bisect_right([at for at, _ in self.spec.steps], now)
        return self.spec.steps[index - 1][1] if index else self.spec.rollout


def find_unit(context: Context, by: Sequence[str]) -> str | None:
    """Return the text of the first sticky attribute that the context has."""
    for attribute in by:
        text = unit_text(context.get(attribute))
        if text is not None:
            return text
    return None


def compile_serve(
    key: str, salt: str, spec: Serve, whole: Mapping[str, Result], part: Mapping[str, Result]
) -> CompiledServe:
    """Return a serve with its function; `whole` are the results of who needs no bucket, `part` those of who does."""
    profile = spec.hash
    pieces = [(variant, weight) for variant, weight in spec.split if weight]
    total = sum(weight for _, weight in pieces)
    draw = profile.rollout if profile else own_draw(salt)
    variants = profile.variants if profile else own_draw(salt, variants=True)
    if variants.modulus == 0:
        variants = _with_modulus(variants, total)
    sums = accumulate(weight for _, weight in pieces)
    lacking = None
    if profile is None and spec.by == (USER,):
        lacking = failure(
            key, TARGETING_KEY_MISSING, "this flag is rolled out by user: give the context a targetingKey"
        )
    borders = tuple(-(-each * variants.modulus // total) for each in sums)
    by = (profile.variants_by if profile else ()) or spec.by
    names = tuple(variant for variant, _ in pieces)
    serve = CompiledServe(spec, _nobody, draw, variants, by, borders, names, lacking)
    if spec.steps:
        return replace(serve, take=_stepped(serve, whole, part))
    limit = in_limit(spec.rollout, draw)
    single = names[0] if len(set(names)) == 1 else None
    everyone = whole[single] if single is not None and limit >= draw.modulus else None
    cut = None
    if single is not None and 0 < limit < draw.modulus and profile is None:
        cut = Cut(spec.by[0], draw.prefix, -(-(limit << 32) // draw.modulus), part[single])
    return replace(serve, take=_taker(serve, spec.rollout, whole, part), everyone=everyone, cut=cut)


def _with_modulus(draw: Draw, modulus: int) -> Draw:
    return Draw(draw.function, draw.seed, draw.prefix, draw.suffix, modulus, draw.scaled, draw.offset)


def _nobody(context: Context, now: datetime | None) -> Result | None:
    return None


def _stepped(serve: CompiledServe, whole: Mapping[str, Result], part: Mapping[str, Result]) -> Take:
    times = [at for at, _ in serve.spec.steps]
    takers = [
        _taker(serve, rollout, whole, part) for rollout in (serve.spec.rollout, *(n for _, n in serve.spec.steps))
    ]

    def take(context: Context, now: datetime | None) -> Result | None:
        assert now is not None
        return takers[bisect_right(times, now)](context, now)

    return take


def _taker(serve: CompiledServe, rollout: int, whole: Mapping[str, Result], part: Mapping[str, Result]) -> Take:
    limit = in_limit(rollout, serve.draw)
    single = len(set(serve.pieces)) == 1
    if limit <= 0:
        return _nobody
    if limit < serve.draw.modulus:
        return _rollout(serve, limit, part[serve.pieces[0]] if single else None, part)
    if single:
        everyone = whole[serve.pieces[0]]
        return lambda context, now: everyone
    return _split(serve, part)


def _below(draw: Draw, limit: int) -> Callable[[str], bool]:
    """Return whether a unit's draw is below a limit."""
    prefix, suffix, seed, modulus = draw.prefix, draw.suffix, draw.seed, draw.modulus
    if draw.scaled:
        bits, function = FUNCTIONS[draw.function]
        threshold = -(-(limit << bits) // modulus)
        return lambda unit: function(f"{prefix}{unit}{suffix}", seed) < threshold
    return lambda unit: draw.value(unit) < limit


def _rollout(serve: CompiledServe, limit: int, only: Result | None, part: Mapping[str, Result]) -> Take:
    by, lacking, draw = serve.spec.by, serve.lacking, serve.draw
    split = _nobody if only is not None else _split(serve, part)
    if only is None or serve.spec.hash is not None:
        below = _below(draw, limit)

        def take(context: Context, now: datetime | None) -> Result | None:
            unit = find_unit(context, by)
            if unit is None:
                return lacking
            return (split(context, now) if only is None else only) if below(unit) else None

        return take

    attribute, prefix = by[0], draw.prefix
    threshold = -(-(limit << 32) // draw.modulus)

    def take_one(context: Context, now: datetime | None) -> Result | None:
        unit = context.get(attribute)
        if type(unit) is not str or not unit:
            unit = find_unit(context, by)
            if unit is None:
                return lacking
        return only if murmur3((prefix + unit).encode()) < threshold else None

    return take_one


def _split(serve: CompiledServe, part: Mapping[str, Result]) -> Take:
    results = [part[variant] for variant in serve.pieces]
    if len(set(serve.pieces)) == 1:
        return lambda context, now: results[0]
    by, lacking, draw, borders = serve.variants_by, serve.lacking, serve.variants, serve.borders

    def take(context: Context, now: datetime | None) -> Result | None:
        unit = find_unit(context, by)
        if unit is None:
            return lacking
        return results[bisect_right(borders, draw.value(unit))]

    return take
