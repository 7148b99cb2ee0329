"""Changing the weights of a split so that nobody moves who need not.

A split is a list of pieces of the 100,000 variant buckets, in order, and a variant may have several of them. Were the
weights laid out anew at each edit, growing the first variant at the last one's cost would push all those between:
everybody in a middle variant's edge would change for nothing. So an edit keeps each piece where it is, cuts from those
variants that shrink, and gives exactly what was cut to those that grow.
"""

from collections.abc import Iterable, Mapping, Sequence

Piece = tuple[str, int]


def resplit(current: Iterable[Sequence[object]], weights: Mapping[str, int]) -> list[Piece]:
    """Return the split that has these weights and moves the fewest buckets: as many as the weights differ, no more.

    `current` is the split in force, empty for a new one, then the weights' own order counts. Raises ValueError where a
    weight is negative, or the sums of old and new differ: with other sums every border would move.
    """
    before = [(str(piece[0]), int(str(piece[1]))) for piece in current]
    if any(weight < 0 for weight in weights.values()):
        raise ValueError("a weight cannot be negative")
    if not before:
        return _joined(weights.items())
    total, wanted = sum(weight for _, weight in before), sum(weights.values())
    if total != wanted:
        raise ValueError(f"the weights add up to {wanted}; they must add up to {total}, as before")
    left = dict(weights)
    kept: list[tuple[str | None, int]] = []
    for variant, weight in before:
        keep = min(weight, left.get(variant, 0))
        left[variant] = left.get(variant, 0) - keep
        kept += [(variant, keep), (None, weight - keep)]
    growing = [[variant, weight] for variant, weight in left.items() if weight]
    return _joined(_filled(kept, growing))


def _filled(kept: Iterable[tuple[str | None, int]], growing: list[list[object]]) -> Iterable[Piece]:
    queue = [(str(variant), int(str(weight))) for variant, weight in growing]
    for owner, size in kept:
        if owner is not None:
            yield owner, size
            continue
        free = size
        while free:
            variant, wanted = queue[0]
            taken = min(free, wanted)
            yield variant, taken
            free -= taken
            queue[:1] = [(variant, wanted - taken)] if wanted > taken else []


def _joined(pieces: Iterable[Piece]) -> list[Piece]:
    """Return the pieces without empty ones, neighbours of one variant as one."""
    found: list[Piece] = []
    for variant, weight in pieces:
        if weight and found and found[-1][0] == variant:
            found[-1] = (variant, found[-1][1] + weight)
        elif weight:
            found.append((variant, weight))
    return found


def weights_of(split: Iterable[Sequence[object]]) -> dict[str, int]:
    """Return each variant's weight in a split, its pieces added up, in the order they first come."""
    found: dict[str, int] = {}
    for piece in split:
        found[str(piece[0])] = found.get(str(piece[0]), 0) + int(str(piece[1]))
    return found
