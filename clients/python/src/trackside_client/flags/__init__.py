"""Feature flags evaluated in the process: pure functions of a ruleset and a context, shared by server and client.

`Flags`, an application's client, loads and follows the ruleset, and is imported when asked for; all else does no I/O.

    parse(document, *, segments=None, clock=..., lenient=False, before=None) -> Ruleset
                                                                               raises RulesetError (.problems)
    check_flag(key, flag, known=None, *, segments=None) -> list[Problem]       what is wrong with one flag
    check_context(context) -> str | None                                       why a door refuses a context
    key_problem(key) -> str | None                                             why a text can be no flag's key
    Ruleset.evaluate(key, context, now=None) -> Result                         never raises
    Ruleset.evaluate_all(context, now=None) -> list[Result]
    Ruleset.explain(key, context, now=None) -> Trace                           each step and why; .as_dict() for JSON
    Ruleset.keys(), .spec(key) -> Flag | None, .environment, .version, .problems
    Ruleset.together(made) -> decide(context) -> list[made(result)]            all at once, fast; may raise too
    Ruleset.choosers: key -> choose(context, now | None) -> Result             the hot path; may raise on bad contexts
    resplit(current_split, weights) -> list[(variant, weight)]                 moves only the difference
    weights_of(split) -> {variant: weight}
    bucket(salt, unit) -> int, variant_bucket(salt, unit) -> int

Whoever changes the weights of a `split` must go through `resplit(split in force, new weights)`: the pieces of a split
are laid out along the buckets, and a new layout would move people who need not move.

`now` is an aware datetime, None for the clock's. A `Result` is shared between evaluations and compared by identity, so
it can be the key of a counter.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from trackside_client.flags.hashing import BUCKETS, bucket, unit_text, variant_bucket
from trackside_client.flags.limits import check_context
from trackside_client.flags.problems import Problem, RulesetError
from trackside_client.flags.reading import key_problem
from trackside_client.flags.result import Context, Result, failure
from trackside_client.flags.ruleset import SCHEMA, Ruleset, check_flag, parse
from trackside_client.flags.split import resplit, weights_of
from trackside_client.flags.trace import BucketTrace, ConditionTrace, Step, Trace

if TYPE_CHECKING:
    from trackside_client.flags.client import Flags, Status, UserFlags
    from trackside_client.flags.details import Details

__all__ = [
    "BUCKETS",
    "SCHEMA",
    "BucketTrace",
    "ConditionTrace",
    "Context",
    "Details",
    "Flags",
    "Problem",
    "Result",
    "Ruleset",
    "RulesetError",
    "Status",
    "Step",
    "Trace",
    "UserFlags",
    "bucket",
    "check_context",
    "check_flag",
    "failure",
    "key_problem",
    "parse",
    "resplit",
    "unit_text",
    "variant_bucket",
    "weights_of",
]

_CLIENT = {"Details": "details", "Flags": "client", "Status": "client", "UserFlags": "client"}


def __getattr__(name: str) -> Any:
    """Import the client when it is asked for: the server, which needs the engine alone, never does."""
    if name not in _CLIENT:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_CLIENT[name]}"), name)
