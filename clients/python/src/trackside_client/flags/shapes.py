"""The shape that most flags have, in one function: two calls fewer in each check.

A rule with one condition on texts and a plain rollout, and one result for everyone else. It does what the parts do that
`explain` asks; tests hold both to the same answers.
"""

from collections.abc import Callable, Sequence
from datetime import datetime

from mmh3 import mmh3_32_uintdigest as murmur3  # never mmh3.hash: a lone surrogate makes it crash the process

from trackside_client.flags.conditions import CompiledCondition
from trackside_client.flags.result import Context, Result
from trackside_client.flags.serving import CompiledServe

Choose = Callable[[Context, "datetime | None"], Result]
"""Decides a flag; asks the clock by itself where it is given no moment and needs one. May raise."""


def usual_shape(
    conditions: Sequence[CompiledCondition], serve: CompiledServe, rest: Result, careful: Choose
) -> Choose | None:
    """Return the function of such a flag, for which `careful` decides what is unusual; None for another shape."""
    texts = conditions[0].texts if len(conditions) == 1 else None
    if texts is None or serve.cut is None:
        return None
    asked = conditions[0].spec.attribute
    sticky, prefix, threshold, only = serve.cut

    def choose(context: Context, now: datetime | None) -> Result:
        try:
            value = context[asked]
            if value in texts:
                unit = context[sticky]
                if unit:
                    return only if murmur3((prefix + unit).encode()) < threshold else rest
            elif type(value) is str:
                return rest
        except KeyError:
            if asked not in context:
                return rest
        except TypeError:  # it is no text
            pass
        return careful(context, now)

    return choose
