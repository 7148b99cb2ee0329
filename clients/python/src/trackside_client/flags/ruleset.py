"""A ruleset: the flags of one environment, parsed and compiled once, immutable, safe to share between threads."""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timezone
from types import MappingProxyType
from typing import Any

from trackside_client.flags.compiling import Clock, CompiledFlag, compile_flag
from trackside_client.flags.conditions import Segments
from trackside_client.flags.cursor import Cursor
from trackside_client.flags.explaining import Walk, summary
from trackside_client.flags.linking import link, link_problems
from trackside_client.flags.problems import Problem, RulesetError
from trackside_client.flags.reading import FlagReader
from trackside_client.flags.result import (
    FLAG_NOT_FOUND,
    GENERAL,
    INVALID_CONTEXT,
    PARSE_ERROR,
    Context,
    Result,
    failure,
)
from trackside_client.flags.shapes import Choose
from trackside_client.flags.spec import Flag
from trackside_client.flags.together import T, Together, together
from trackside_client.flags.trace import Trace

SCHEMA = 1


def _system_clock() -> datetime:
    return datetime.now(timezone.utc)


class Ruleset:
    """The flags of one environment. Made by `parse`."""

    __slots__ = (
        "_broken",
        "_clock",
        "_documents",
        "_flags",
        "beside",
        "choosers",
        "environment",
        "lasting",
        "problems",
        "version",
    )

    def __init__(
        self,
        environment: str,
        version: int,
        flags: Mapping[str, CompiledFlag],
        broken: Mapping[str, Problem],
        *,
        clock: Clock,
        documents: Mapping[str, Any],
    ) -> None:
        self.environment, self.version = environment, version
        self.problems = tuple(broken.values())
        self._documents = documents
        self._flags, self._broken, self._clock = dict(flags), dict(broken), clock
        self.choosers: Mapping[str, Choose] = MappingProxyType(link(self._flags, clock))
        self.beside: Mapping[str, str | None] = {
            key: flag.beside for key, flag in self._flags.items() if flag.is_for_users
        }
        """Flags decided for good by the user's id and one attribute at most: that one, None where there is none."""
        self.lasting = frozenset(key for key, flag in self._flags.items() if flag.asks is not None)
        """Flags whose result is always the same for the same context."""

    def keys(self) -> Collection[str]:
        """Return the keys of all flags, those that could not be read included."""
        return [*self._flags, *self._broken]

    def spec(self, key: str) -> Flag | None:
        """Return a flag as read; None where there is none."""
        flag = self._flags.get(key)
        return None if flag is None else flag.spec

    def made_of(self, key: str, document: Any) -> CompiledFlag | None:
        """Return a flag that was compiled of this very JSON; None where it was another, or there is none."""
        flag = self._flags.get(key)
        if flag is None:
            return None
        known = self._documents[key]
        # equal is not the same: to Python 1, 1.0 and True are equal, to those who get them as a value they are not
        return flag if known is document or (known == document and repr(known) == repr(document)) else None

    def evaluate(self, key: str, context: Context, now: datetime | None = None) -> Result:
        """Return a flag's result for a context at a moment (an aware datetime; now where not given). Never raises."""
        try:
            choose = self.choosers.get(key)
            return self._absent(key) if choose is None else choose(context, now)
        except Exception as broken:
            return refusal(key, context, broken)

    def evaluate_all(self, context: Context, now: datetime | None = None) -> list[Result]:
        """Return the results of all flags, in the order of the document. Never raises."""
        return [self.evaluate(key, context, now) for key in self.keys()]

    def together(self, made: Callable[[Result], T]) -> Together[T]:
        """Return the function that decides all flags at once, and gives what is `made` of each result; keep it."""
        return together(((flag, self.choosers[key]) for key, flag in self._flags.items()), made)

    def explain(self, key: str, context: Context, now: datetime | None = None) -> Trace:
        """Return each step of an evaluation and why; `result` is what `evaluate` gives. Never raises."""
        now = self._clock() if now is None else now
        flag = self._flags.get(key)
        if flag is None:
            result = self._absent(key)
            return Trace(key, now, result, f"{result.error_details or ''}.".capitalize())
        walk = Walk(self._flags, flag, context, now)
        try:
            result = walk.run()
        except Exception as broken:
            result = refusal(key, context, broken)
        return Trace(key, now, result, summary(result, walk.steps), tuple(walk.steps))

    def _absent(self, key: str) -> Result:
        problem = self._broken.get(key) if isinstance(key, str) else None
        if problem is not None:
            return failure(key, PARSE_ERROR, f"the flag cannot be read: {problem.path}: {problem.message}")
        return failure(key, FLAG_NOT_FOUND, "there is no such flag in this environment")


def refusal(key: str, context: Any, broken: Exception) -> Result:
    """Return the answer where an evaluation raised: the context is to blame, or we are."""
    if not isinstance(context, Mapping):
        return failure(key, INVALID_CONTEXT, "the context must be an object")
    if isinstance(broken, UnicodeError):
        return failure(key, INVALID_CONTEXT, "the context holds text that is no Unicode (a lone surrogate)")
    return failure(key, GENERAL, f"the evaluation failed: {type(broken).__name__}")


def parse(
    document: Any,
    *,
    segments: Segments | None = None,
    clock: Clock = _system_clock,
    lenient: bool = False,
    before: Ruleset | None = None,
) -> Ruleset:
    """Return the ruleset of a document; raises `RulesetError` with every problem found.

    `segments` says who belongs to which; names it lacks hold nobody. Unknown fields are passed over, so that an older
    client reads a newer server's document. With `lenient` a flag that cannot be read answers PARSE_ERROR and the others
    work (`problems` lists them): what a client wants, where a server wants to know.
    Flags that are in the ruleset `before` (of the same segments) unchanged are taken from there: compiling is what
    costs. It keeps the document, which must not be changed afterwards.
    """
    root = Cursor(document)
    broken: dict[str, Problem] = {}
    specs: dict[str, Flag] = {}
    kept: dict[str, CompiledFlag] = {}
    if root.object():
        root.field("schema").integer(SCHEMA, SCHEMA)
        for key, at in root.field("flags").entries():
            if before is not None and (same := before.made_of(key, at.value)) is not None:
                kept[key], specs[key] = same, same.spec
                continue
            reader = FlagReader(key, at.value, None, strict=False)
            flag = reader.read()
            if flag is not None:
                specs[key] = flag
            elif lenient:
                broken[key] = reader.problems[0]
            else:
                root.problems.extend(reader.problems)
    environment = root.field("environment", "").text(empty=True)
    version = root.field("version", 0).integer(0, 2**63 - 1)
    _check_links(specs, broken, root.problems, lenient=lenient)
    if root.problems:
        raise RulesetError(root.problems)
    flags = {key: kept.get(key) or compile_flag(flag, segments or {}) for key, flag in specs.items()}
    return Ruleset(environment, version, flags, broken, clock=clock, documents=document["flags"])


def _check_links(specs: dict[str, Flag], broken: dict[str, Problem], found: list[Problem], *, lenient: bool) -> None:
    """Note what is wrong between flags; leniently, take flags out until nothing is."""
    while problems := list(link_problems(specs)):
        if not lenient:
            found.extend(problems)
            return
        for problem in problems:
            broken[problem.flag] = problem
            specs.pop(problem.flag, None)


def check_flag(
    key: str, flag: Any, known: Mapping[str, Any] | None = None, *, segments: Collection[str] | None = None
) -> list[Problem]:
    """Return everything wrong with one flag's JSON before it is saved; an empty list where nothing is.

    `known` are the documents of the environment's other flags, for prerequisites (its own old one is passed over);
    `segments` the names there are, None where they are not to be checked. Unknown fields are refused.
    """
    reader = FlagReader(key, flag, segments, strict=True)
    spec = reader.read()
    if spec is None or not spec.prerequisites:
        return reader.problems
    specs = {key: spec}
    for other, document in (known or {}).items():
        read = FlagReader(other, document, None, strict=False).read() if other != key else None
        if read is not None:
            specs[other] = read
    return [problem for problem in link_problems(specs) if problem.flag == key]
