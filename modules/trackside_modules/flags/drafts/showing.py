"""From a config to the draft that its form shows."""

from collections.abc import Mapping
from datetime import datetime, tzinfo
from typing import Any

from trackside_modules.flags import shape
from trackside_modules.flags.drafts.fields import Draft
from trackside_modules.flags.drafts.values import write_values

AT = "%Y-%m-%dT%H:%M"
BY = (shape.USER, shape.ACCOUNT)


def of(config: Mapping[str, Any], variants: Mapping[str, Any], now: datetime, zone: tzinfo) -> Draft:
    """Return the draft of a config; rollouts are those in force at `now`."""
    by = config["by"]
    names = by if isinstance(by, list) else [by]
    known = len(names) == 1 and names[0] in BY
    return {
        "by": names[0] if known else "other",
        "other": "" if known else write_values(names, "contains"),
        "off": config["off"],
        "serve": serve_of(config["serve"], variants, now),
        "rules": [rule_of(each, variants, now) for each in config["rules"]],
        "overrides": [dict(each) for each in config["overrides"]],
        "prerequisites": [
            {"flag": each["flag"], "variants": write_values(each["variants"], "contains")}
            for each in config["prerequisites"]
        ],
        "schedule": [
            {"at": at_text(each["at"], zone), "enabled": "on" if each["enabled"] else "off"}
            for each in config["schedule"]
        ],
    }


def serve_of(serve: Mapping[str, Any], variants: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Return a serve as its fields show it: one variant where everybody gets the same, else the share of each."""
    weights = dict.fromkeys(variants, 0)
    for name, weight in serve["split"]:
        weights[name] = weights.get(name, 0) + weight
    total = sum(weights.values()) or 1
    only = [name for name, weight in weights.items() if weight]
    return {
        "rollout": number_text(shape.rollout_at(serve, now) / 1000),
        "variant": only[0] if len(only) == 1 else "",
        "weights": [number_text(round(weights[name] * 100 / total, 6)) for name in variants],
    }


def rule_of(rule: Mapping[str, Any], variants: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Return a rule as its fields show it; a negated operator is one of its own, `!in`."""
    return {
        "id": rule.get("id") or "",
        "name": rule.get("name") or "",
        "when": [
            {
                "attribute": each.get("attribute") or "",
                "op": ("!" if each.get("negate") else "") + each["op"],
                "values": write_values(each.get("values") or [], each["op"]),
                "ignore_case": "1" if each.get("ignore_case") else "",
            }
            for each in rule["when"]
        ],
        "serve": serve_of(rule["serve"], variants, now),
    }


def number_text(value: float) -> str:
    """Return a number without needless digits: `12.5`, `10`."""
    return f"{value:.6f}".rstrip("0").rstrip(".")


def at_text(written: str, zone: tzinfo) -> str:
    """Return a time of the ruleset as a form's field has it, in the member's zone."""
    return shape.moment(written).astimezone(zone).strftime(AT)
