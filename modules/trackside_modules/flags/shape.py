"""The shape of a flag: the parts of the ruleset's FLAG that are the flag's own, and those of an environment. Pure.

    FLAG = {"type", "salt", "variants", "hash", "metadata"}                                   the flag's, everywhere
         | {"enabled", "off", "by", "overrides", "prerequisites", "rules", "serve", "schedule"}   an environment's

Weights and rollouts are whole numbers of 100,000.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from trackside.errors import InputError
from trackside_client.flags import key_problem
from trackside_client.flags.moments import parse_moment
from trackside_client.flags.split import resplit

WHOLE = 100_000
"""All users, in the units of rollouts and weights."""
TYPES = ("boolean", "string", "number", "json")
KINDS = ("release", "experiment", "ops", "permission")
USER = "targetingKey"
ACCOUNT = "account"
CONFIG = ("enabled", "off", "by", "overrides", "prerequisites", "rules", "serve", "schedule")
"""The parts of an environment."""

Config = dict[str, Any]


def checked_key(key: str) -> str:
    """Return `key`; raises InputError for what programs could not call a flag."""
    problem = key_problem(key)
    if problem is None:
        return key
    message = f"{problem[:1].upper()}{problem[1:]}."
    raise InputError(f"key: {message}", {"key": message})


def compose(definition: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ruleset's FLAG of a flag's `definition` and its `config` in an environment."""
    return {**definition, **{name: config[name] for name in CONFIG}}


def base_config(variants: Mapping[str, Any], *, off: str = "", enabled: bool = False, rollout: int = WHOLE) -> Config:
    """Return a config that serves the first variant which is not `off` to `rollout` of all users, once enabled."""
    off = off or ("off" if "off" in variants else list(variants)[-1])
    on = next((name for name in variants if name != off), off)
    return {
        "enabled": enabled,
        "off": off,
        "by": USER,
        "overrides": [],
        "prerequisites": [],
        "rules": [],
        "serve": {"rollout": rollout, "split": [[on, WHOLE]]},
        "schedule": [],
    }


def text_of(at: datetime) -> str:
    """Return a time as the ruleset has it: RFC 3339 in UTC."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def moment(text: str) -> datetime:
    """Return a time of a ruleset that was checked, in UTC, read as the engine reads it."""
    found = parse_moment(text)
    if found is None:
        raise InputError(f"{text!r} is no time as in 2026-11-23T09:00:00Z.")
    return found


def enabled_at(config: Mapping[str, Any], now: datetime) -> bool:
    """Whether a flag is on at `now`, its schedule heeded."""
    past = [each["enabled"] for each in config["schedule"] if moment(each["at"]) <= now]
    return bool(past[-1] if past else config["enabled"])


def rollout_at(serve: Mapping[str, Any], now: datetime) -> int:
    """Return how many of 100,000 a serve takes in at `now`, its steps heeded."""
    past = [each["rollout"] for each in serve.get("steps") or () if moment(each["at"]) <= now]
    return int(past[-1] if past else serve.get("rollout", WHOLE))


def to_come(serve: Mapping[str, Any], now: datetime) -> list[Mapping[str, Any]]:
    """Return the steps of a serve's ramp that are still to come at `now`."""
    return [step for step in serve.get("steps") or () if moment(step["at"]) > now]


def as_served(type_: str, variants: Mapping[str, Any], name: str) -> Any:
    """Return a variant's value as it is served: where one number of a flag has a point, all have."""
    return float(variants[name]) if has_floats(type_, variants) else variants[name]


def has_floats(type_: str, variants: Mapping[str, Any]) -> bool:
    """Whether a number flag has a value with a point: then all its values get one, or typed clients would fail."""
    return type_ == "number" and any(isinstance(value, float) for value in variants.values())


def times(config: Mapping[str, Any]) -> list[datetime]:
    """Return when the config changes by itself, in order: steps of ramps and of the schedule."""
    serves = [config["serve"], *(rule["serve"] for rule in config["rules"])]
    steps = [*config["schedule"], *(step for serve in serves for step in serve.get("steps") or ())]
    return sorted({moment(each["at"]) for each in steps})


def at_rest(config: Mapping[str, Any], now: datetime) -> Config:
    """Return the config as it works at `now`: its schedule and its steps done, none to come."""

    def still(serve: Mapping[str, Any]) -> dict[str, Any]:
        return {**{k: v for k, v in serve.items() if k != "steps"}, "rollout": rollout_at(serve, now)}

    rules = [{**rule, "serve": still(rule["serve"])} for rule in config["rules"]]
    now_on = enabled_at(config, now)
    return {**config, "enabled": now_on, "schedule": [], "serve": still(config["serve"]), "rules": rules}


def verdict(config: Mapping[str, Any], now: datetime) -> str | None:
    """Return the one variant that everybody gets at `now`, None where it differs by who asks."""
    if not enabled_at(config, now):
        return str(config["off"])
    if config["prerequisites"]:
        return None
    given = {each["variant"] for each in config["overrides"]}
    for serve in [*(rule["serve"] for rule in config["rules"]), config["serve"]]:
        of = rollout_at(serve, now)
        given |= {name for name, weight in serve["split"] if weight} if of else set()
        given |= {config["off"]} if of < WHOLE and serve is config["serve"] else set()
    return str(given.pop()) if len(given) == 1 else None


def listed(value: Any) -> Any:
    """Return a value as JSON gives it back: tuples as lists."""
    if isinstance(value, dict):
        return {name: listed(each) for name, each in value.items()}
    return [listed(each) for each in value] if isinstance(value, list | tuple) else value


def settled(before: Mapping[str, Any], after: Mapping[str, Any]) -> Config:
    """Return the config `after` with new weights laid out so that only as many users move as the weights differ.

    A split that names a variant twice is taken as it is: who writes pieces means them.
    """
    olds = {each.get("id"): each["serve"] for each in before["rules"] if each.get("id")}
    rules = after["rules"]
    if isinstance(rules, list):
        rules = [
            {**each, "serve": _settled(olds[each["id"]], each["serve"])}
            if isinstance(each, dict) and isinstance(each.get("id"), str) and each["id"] in olds and "serve" in each
            else each
            for each in rules
        ]
    return {**after, "serve": _settled(before["serve"], after["serve"]), "rules": rules}


def _settled(old: Mapping[str, Any], new: Any) -> Any:
    weights = _weights(new)
    if weights is None or weights == total(old["split"]):
        return new if weights is None else {**new, "split": old["split"]}
    try:
        return {**new, "split": [list(piece) for piece in resplit(old["split"], weights)]}
    except ValueError:
        return new  # the engine refuses what does not add up, in better words


def _weights(serve: Any) -> dict[str, int] | None:
    """Return the weights of a serve by variant; None where it is none yet, or names a variant twice."""
    split = serve.get("split") if isinstance(serve, dict) else None
    try:
        found = {str(name): int(weight) for name, weight in split or ()}
    except (TypeError, ValueError):
        return None
    return found if split and len(found) == len(split) else None


def total(split: Iterable[Sequence[Any]]) -> dict[str, int]:
    """Return the weights of a split by variant, its pieces added up."""
    found: dict[str, int] = {}
    for name, weight in split:
        found[name] = found.get(name, 0) + weight
    return found


def diff(before: Any, after: Any, path: str = "") -> Iterator[dict[str, Any]]:
    """Yield what differs, as `{"path", "old", "new"}` with plain values; `old` or `new` is missing where it was not.

    A path is `rules[0].serve.rollout`. Lists of the same length are compared by place, others as a whole.
    """
    if isinstance(before, dict) and isinstance(after, dict):
        for name in [*before, *(name for name in after if name not in before)]:
            yield from _side(before, after, name, f"{path}.{name}".lstrip("."))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from diff(old, new, f"{path}[{index}]")
    elif before != after or type(before) is not type(after):
        yield {"path": path, "old": before, "new": after}


def _side(before: Mapping[str, Any], after: Mapping[str, Any], name: str, path: str) -> Iterator[dict[str, Any]]:
    if name not in after:
        yield {"path": path, "old": before[name]}
    elif name not in before:
        yield {"path": path, "new": after[name]}
    else:
        yield from diff(before[name], after[name], path)
