"""What somebody probably meant who called what does not exist: the nearest endpoint there is."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import SequenceMatcher

from trackside_modules.usage.models.names import OTHER, UNMATCHED

_PARAMETER = re.compile(r"\{[^/{}]*\}|<[^/<>]*>|(?<=/):[^/]+|\(\?P<[^/]*\)|\*+")
_VERSION = re.compile(r"v\d+")
_LIKE = 0.65
"""From this likeness on a path is taken for a route misspelt."""
_CANDIDATES = 12


@dataclass(frozen=True, slots=True)
class Nearest:
    """An existing route, and the methods it is there for; `exact` where only the method was wrong."""

    route: str
    methods: tuple[str, ...]
    exact: bool


class Routes:
    """The routes of an environment, to be asked by path."""

    def __init__(self, endpoints: Iterable[tuple[str, str]]) -> None:
        """Take (method, route) pairs."""
        self._methods: dict[str, set[str]] = defaultdict(set)
        self._plain: dict[str, str] = {}
        self._by_piece: dict[str, set[str]] = defaultdict(set)
        self._asked: dict[tuple[str, str], Nearest | None] = {}
        for method, route in endpoints:
            if route in (UNMATCHED, OTHER):
                continue
            plain = _plain(route)
            self._plain.setdefault(plain, route)
            self._methods[plain].add(method)
            for piece in _pieces(plain):
                self._by_piece[piece].add(plain)

    def nearest(self, method: str, path: str) -> Nearest | None:
        """Return the endpoint that is most like `method path`; None where none is near, or it is there."""
        key = method, _plain(path)
        if key not in self._asked:
            self._asked[key] = self._find(*key)
        return self._asked[key]

    def _find(self, method: str, path: str) -> Nearest | None:
        if path in self._methods:
            there = tuple(sorted(self._methods[path]))
            return None if method in there else Nearest(self._plain[path], there, exact=True)
        worth = Counter[str]()
        for piece in _pieces(path):
            for plain in self._by_piece.get(piece, ()):
                worth[plain] += 1 + 1000 // len(self._by_piece[piece])
        best, found = 0.0, None
        for plain, _ in worth.most_common(_CANDIDATES):
            like = _like(path, plain) + (0.02 if method in self._methods[plain] else 0)
            if like > max(best, _LIKE):
                best, found = like, plain
        return None if found is None else Nearest(self._plain[found], tuple(sorted(self._methods[found])), exact=False)


def _plain(route: str) -> str:
    """Return a route with every parameter written alike, without its last slash."""
    return _PARAMETER.sub("{}", route.lower()).rstrip("/") or "/"


def _pieces(plain: str) -> set[str]:
    """Return how each segment begins and ends: what a misspelt one still shares."""
    return {piece for part in plain.split("/") if part and part != "{}" for piece in (part[:3], part[-3:])}


def _like(path: str, plain: str) -> float:
    """Return from 0 to 1 how like two paths are: where both have as many segments, the least like pair decides."""
    pairs = list(zip(path.split("/"), plain.split("/"), strict=False))
    if path.count("/") != plain.count("/"):
        return SequenceMatcher(None, path, plain, autojunk=False).ratio() - 0.15
    return min(_segments_like(*pair) for pair in pairs)


def _segments_like(one: str, other: str) -> float:
    if one == other:
        return 1.0
    if _VERSION.fullmatch(one) and _VERSION.fullmatch(other):
        return 0.9
    return SequenceMatcher(None, one, other, autojunk=False).ratio()
