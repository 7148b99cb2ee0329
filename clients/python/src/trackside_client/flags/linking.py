"""Prerequisites between flags: circles found, and each flag's function made to ask the others first.

Nothing here recurses, and a flag that many others need is asked once in an evaluation: chains and meshes of any depth
cost what they have flags.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime

from trackside_client.flags.compiling import Clock, CompiledFlag
from trackside_client.flags.problems import Problem
from trackside_client.flags.result import Context, Result
from trackside_client.flags.shapes import Choose
from trackside_client.flags.spec import Flag


def link_problems(flags: Mapping[str, Flag]) -> Iterator[Problem]:
    """Yield what is wrong between flags: unknown ones, unknown variants of others, and circles."""
    for key, flag in flags.items():
        for index, prerequisite in enumerate(flag.prerequisites):
            other = flags.get(prerequisite.flag)
            path = f"prerequisites[{index}]"
            if other is None:
                yield Problem(key, f"{path}.flag", f"there is no flag “{prerequisite.flag}” in this environment")
            else:
                for name in sorted(prerequisite.variants - set(other.variants)):
                    yield Problem(key, f"{path}.variants", f"“{prerequisite.flag}” has no variant “{name}”")
    for circle in _circles(flags):
        way = " → ".join((*circle, circle[0]))
        for key in circle:
            yield Problem(key, "prerequisites", f"flags wait for each other in a circle: {way}")


def _circles(flags: Mapping[str, Flag]) -> Iterator[list[str]]:
    """Yield one circle for each way back that a walk through all flags meets."""
    done: set[str] = set()
    for start in flags:
        way: dict[str, Iterator[str]] = {}
        following: str | None = start if start not in done else None
        while following is not None or way:
            if following is not None:
                way[following] = iter([each.flag for each in flags[following].prerequisites if each.flag in flags])
            current = next(reversed(way))
            following = None
            for other in way[current]:
                if other in way:
                    names = list(way)
                    yield names[names.index(other) :]
                elif other not in done:
                    following = other
                    break
            if following is None:
                done.add(current)
                del way[current]


def in_order(flags: Mapping[str, CompiledFlag], key: str) -> list[CompiledFlag]:
    """Return the flags that one needs, each before those that need it, itself last."""
    found: dict[str, CompiledFlag] = {}
    way = [key]
    while way:
        flag = flags[way[-1]]
        missing = next((each.flag for each in flag.spec.prerequisites if each.flag not in found), None)
        if missing is None:
            found[way.pop()] = flag
        else:
            way.append(missing)
    return list(found.values())


def decide_linked(flag: CompiledFlag, found: Mapping[str, Result], context: Context, now: datetime | None) -> Result:
    """Return a flag's result from those of its prerequisites; a disabled one is disabled whatever they are."""
    if not flag.enabled_at(now):
        return flag.disabled
    for needed in flag.spec.prerequisites:
        if found[needed.flag].variant not in needed.variants:
            return flag.blocked
    return flag.decide(context, now)


def link(flags: Mapping[str, CompiledFlag], clock: Clock) -> dict[str, Choose]:
    """Return each flag's whole function; flags without prerequisites and times keep their own, at no cost."""
    return {key: _linked(flags, flag, clock) for key, flag in flags.items()}


def _linked(flags: Mapping[str, CompiledFlag], flag: CompiledFlag, clock: Clock) -> Choose:
    decide, key = flag.decide, flag.spec.key
    if flag.spec.prerequisites:

        def after_others(context: Context, now: datetime | None) -> Result:
            now = clock() if now is None else now
            found: dict[str, Result] = {}
            for each in in_order(flags, key):
                found[each.spec.key] = decide_linked(each, found, context, now)
            return found[key]

        return after_others
    if flag.timed:
        return lambda context, now: decide(context, clock() if now is None else now)
    return decide
