"""All flags of a ruleset at once: those of one shape are asked in one loop, with the context looked into once.

Called one by one, fifty flags look the same user up fifty times and pay for fifty calls. What is decided here is what
each flag's own function decides; tests hold both to the same results.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from mmh3 import mmh3_32_uintdigest as murmur3

from trackside_client.flags.compiling import CompiledFlag
from trackside_client.flags.result import Context, Result
from trackside_client.flags.shapes import Choose

T = TypeVar("T")
Together = Callable[[Context], list[T]]
"""Decides all flags, in an order of its own. May raise, as each flag's function may."""
_Texts = frozenset[str]


@dataclass(frozen=True, slots=True)
class _Drawn(Generic[T]):
    """Flags without rules, rolled out by one attribute."""

    sticky: str
    draws: list[tuple[bytes, int, T, T]] = field(default_factory=list)
    """What is hashed before the unit, below what it is in, the answer then, and else."""
    choosers: list[Choose] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Targeted(Generic[T]):
    """Flags with one rule on the texts of one attribute, rolled out by another."""

    asked: str
    sticky: str
    draws: list[tuple[_Texts, bytes, int, T, T]] = field(default_factory=list)
    choosers: list[Choose] = field(default_factory=list)


def together(flags: Iterable[tuple[CompiledFlag, Choose]], made: Callable[[Result], T]) -> Together[T]:
    """Return the function of these flags, each of which is given with its own.

    It gives what is `made` of the results, such as their JSON: known before for those that a loop decides.
    """
    always: list[T] = []
    drawn: dict[str, _Drawn[T]] = {}
    targeted: dict[tuple[str, str], _Targeted[T]] = {}
    others: list[Choose] = []
    for flag, choose in flags:
        rest, rule = flag.rest, flag.rules[0] if len(flag.rules) == 1 else None
        texts = rule.conditions[0].texts if rule is not None and len(rule.conditions) == 1 else None
        if flag.is_special:
            others.append(choose)
        elif not flag.spec.enabled:
            always.append(made(flag.disabled))
        elif not flag.rules and rest is not None:
            always.append(made(rest))
        elif not flag.rules and (cut := flag.serve.cut) is not None:
            of = drawn.setdefault(cut.attribute, _Drawn(cut.attribute))
            of.draws.append((cut.prefix.encode(), cut.threshold, made(cut.only), made(flag.outside)))
            of.choosers.append(choose)
        elif rule is not None and texts is not None and rest is not None and (cut := rule.serve.cut) is not None:
            asked = rule.conditions[0].spec.attribute
            among = targeted.setdefault((asked, cut.attribute), _Targeted(asked, cut.attribute))
            among.draws.append((texts, cut.prefix.encode(), cut.threshold, made(cut.only), made(rest)))
            among.choosers.append(choose)
        else:
            others.append(choose)
    return _deciding(always, list(drawn.values()), list(targeted.values()), others, made)


def _deciding(
    always: list[T],
    drawn: list[_Drawn[T]],
    targeted: list[_Targeted[T]],
    others: list[Choose],
    made: Callable[[Result], T],
) -> Together[T]:
    def decide(context: Context) -> list[T]:
        found = [*always, *[made(choose(context, None)) for choose in others]]
        for flags in drawn:
            unit = context.get(flags.sticky)
            if type(unit) is not str or not unit:
                found += [made(choose(context, None)) for choose in flags.choosers]
                continue
            key = unit.encode()
            found += [only if murmur3(prefix + key) < limit else rest for prefix, limit, only, rest in flags.draws]
        for among in targeted:
            value, unit = context.get(among.asked), context.get(among.sticky)
            if type(unit) is not str or not unit or not (value is None or type(value) is str):
                found += [made(choose(context, None)) for choose in among.choosers]
                continue
            key = unit.encode()
            found += [
                only if value in texts and murmur3(prefix + key) < limit else rest
                for texts, prefix, limit, only, rest in among.draws
            ]
        return found

    return decide
