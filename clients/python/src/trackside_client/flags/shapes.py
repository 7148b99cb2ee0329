"""The shape that most flags have, in one function: two calls fewer in each check.

A rule with one condition on texts and a plain rollout, and one result for everyone else. It does what the parts do that
`explain` asks; tests hold both to the same answers.
"""

from collections.abc import Callable, Sequence
from datetime import datetime

from mmh3 import hash as murmur3_of_ascii  # of ASCII alone: a lone surrogate makes it crash the process

from trackside_client.flags.conditions import CompiledCondition
from trackside_client.flags.result import Context, Result
from trackside_client.flags.serving import CompiledServe

Choose = Callable[[Context, "datetime | None"], Result]
"""Decides a flag; asks the clock by itself where it is given no moment and needs one. May raise."""


def usual_shape(conditions: Sequence[CompiledCondition], serve: CompiledServe, rest: Result) -> Choose | None:
    """Return the function of such a flag; None where the flag has another shape."""
    texts = conditions[0].texts if len(conditions) == 1 else None
    if texts is None or serve.cut is None:
        return None
    asked, test, take = conditions[0].spec.attribute, conditions[0].test, serve.take
    sticky, prefix, threshold, only = serve.cut

    def choose(context: Context, now: datetime | None) -> Result:
        value = context.get(asked)
        if type(value) is str:
            if value not in texts:
                return rest
        elif not test(context):
            return rest
        unit = context.get(sticky)
        if type(unit) is str and unit and unit.isascii():
            return only if murmur3_of_ascii(prefix + unit, 0, False) < threshold else rest
        return take(context, now) or rest

    return choose
