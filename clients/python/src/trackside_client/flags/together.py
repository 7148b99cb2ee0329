"""All flags of a ruleset at once: those of one shape are asked in one loop, with the context looked into once.

Called one by one, fifty flags look the same user up fifty times and pay for fifty calls. What is decided here is what
each flag's own function decides; tests hold both to the same results.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from mmh3 import mmh3_32_uintdigest as murmur3

from trackside_client.flags.compiling import CompiledFlag
from trackside_client.flags.result import Context, Result
from trackside_client.flags.shapes import Choose

Together = Callable[[Context], list[Result]]
"""Decides all flags, in an order of its own. May raise, as each flag's function may."""
_Texts = frozenset[str]


class _Drawn(NamedTuple):
    """Flags without rules, rolled out by one attribute."""

    sticky: str
    draws: list[tuple[bytes, int, Result, Result]]
    """What is hashed before the unit, below what it is in, the result then, and else."""
    choosers: list[Choose]


class _Targeted(NamedTuple):
    """Flags with one rule on the texts of one attribute, rolled out by another."""

    asked: str
    sticky: str
    draws: list[tuple[_Texts, bytes, int, Result, Result]]
    choosers: list[Choose]


def together(flags: Iterable[tuple[CompiledFlag, Choose]]) -> Together:
    """Return the function of these flags, each of which is given with its own."""
    always: list[Result] = []
    drawn: dict[str, _Drawn] = {}
    targeted: dict[tuple[str, str], _Targeted] = {}
    others: list[Choose] = []
    for flag, choose in flags:
        rest, rule = flag.rest, flag.rules[0] if len(flag.rules) == 1 else None
        texts = rule.conditions[0].texts if rule is not None and len(rule.conditions) == 1 else None
        if flag.is_special:
            others.append(choose)
        elif not flag.spec.enabled:
            always.append(flag.disabled)
        elif not flag.rules and rest is not None:
            always.append(rest)
        elif not flag.rules and (cut := flag.serve.cut) is not None:
            of = drawn.setdefault(cut.attribute, _Drawn(cut.attribute, [], []))
            of.draws.append((cut.prefix.encode(), cut.threshold, cut.only, flag.outside))
            of.choosers.append(choose)
        elif rule is not None and texts is not None and rest is not None and (cut := rule.serve.cut) is not None:
            asked = rule.conditions[0].spec.attribute
            among = targeted.setdefault((asked, cut.attribute), _Targeted(asked, cut.attribute, [], []))
            among.draws.append((texts, cut.prefix.encode(), cut.threshold, cut.only, rest))
            among.choosers.append(choose)
        else:
            others.append(choose)
    return _deciding(always, list(drawn.values()), list(targeted.values()), others)


def _deciding(always: list[Result], drawn: list[_Drawn], targeted: list[_Targeted], others: list[Choose]) -> Together:
    def decide(context: Context) -> list[Result]:
        found = [*always, *[choose(context, None) for choose in others]]
        for sticky, draws, choosers in drawn:
            unit = context.get(sticky)
            if type(unit) is not str or not unit:
                found += [choose(context, None) for choose in choosers]
                continue
            key = unit.encode()
            found += [only if murmur3(prefix + key) < limit else rest for prefix, limit, only, rest in draws]
        for asked, sticky, rules, choosers in targeted:
            value, unit = context.get(asked), context.get(sticky)
            if type(unit) is not str or not unit or not (value is None or type(value) is str):
                found += [choose(context, None) for choose in choosers]
                continue
            key = unit.encode()
            found += [
                only if value in texts and murmur3(prefix + key) < limit else rest
                for texts, prefix, limit, only, rest in rules
            ]
        return found

    return decide
