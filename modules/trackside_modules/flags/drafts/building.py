"""From a draft to the config it means; what a form does not show of the config stays as it was."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from secrets import token_hex
from typing import Any

from trackside.errors import InputError
from trackside_client.flags import resplit
from trackside_client.flags.operators import OPERATORS
from trackside_modules.flags import shape
from trackside_modules.flags.drafts.fields import Draft
from trackside_modules.flags.drafts.showing import AT, BY, at_text, serve_of
from trackside_modules.flags.drafts.values import read_values

_NUMBER = re.compile(r"\d{1,3}(\.\d{1,3})?", re.ASCII)
_CASED = {"scalar", "text", "pattern"}


class Builder:
    """Builds one config; `problems` grow by field."""

    def __init__(self, base: Mapping[str, Any], variants: Mapping[str, Any], now: datetime, zone: tzinfo) -> None:
        self.base, self.variants, self.now, self.zone = base, list(variants), now, zone
        self.problems: dict[str, str] = {}

    def refuse(self, place: str, message: str) -> None:
        """Note what is wrong at a place; the first thing counts."""
        self.problems.setdefault(place, message)

    def config(self, draft: Draft) -> shape.Config:
        """Return the whole config."""
        return {
            **self.base,
            "by": self.by(draft),
            "off": self.variant("off", draft["off"]),
            "serve": self.serve("serve", draft["serve"], self.base["serve"]),
            "rules": self.rules(draft["rules"]),
            "overrides": [self.override(f"overrides[{n}]", each) for n, each in enumerate(draft["overrides"])],
            "prerequisites": [
                self.prerequisite(f"prerequisites[{n}]", each) for n, each in enumerate(draft["prerequisites"])
            ],
            "schedule": self.schedule(draft["schedule"]),
        }

    def by(self, draft: Draft) -> Any:
        """Return what users are spread by."""
        if draft["by"] in BY:
            return draft["by"]
        names = [str(each) for each in read_values(draft["other"], "contains")]
        if not names:
            self.refuse("other", "Name the attribute that your programs send, or choose users or accounts.")
        return names[0] if len(names) == 1 else names

    def variant(self, place: str, name: str) -> str:
        """Return a variant's name."""
        if name not in self.variants:
            self.refuse(place, "Choose one of the flag's variants.")
        return name

    def serve(self, place: str, draft: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
        """Return a serve; a ramp that goes on stays while nobody types another share."""
        of = self.share(f"{place}.rollout", draft["rollout"])
        made = {**base, "split": self.split(place, draft, base.get("split") or [])}
        if of != shape.rollout_at(base, self.now):
            made = {name: each for name, each in made.items() if name != "steps"} | {"rollout": of}
        return made

    def share(self, place: str, text: str) -> int:
        """Return a percentage as so many of 100,000."""
        bare = text.strip().rstrip("%").strip().replace(",", ".")
        if not _NUMBER.fullmatch(bare) or float(bare) > 100:
            self.refuse(place, "Type a number from 0 to 100, with three digits behind the point at most.")
            return 0
        return round(float(bare) * 1000)

    def split(self, place: str, draft: Mapping[str, Any], before: Sequence[Any]) -> list[list[Any]]:
        """Return the split: of one variant, or by the shares typed, moving only whom the difference moves."""
        shown = serve_of({"split": before}, dict.fromkeys(self.variants), self.now) if before else {}
        if shown and all(draft[name] == shown[name] for name in ("variant", "weights")):
            return [list(each) for each in before]
        if draft["variant"]:
            only = self.variant(f"{place}.variant", draft["variant"])
            weights = {name: shape.WHOLE * (name == only) for name in self.variants}
        else:
            shares = [self.share(f"{place}.weights", each or "0") for each in draft["weights"]]
            weights = dict(zip(self.variants, shares, strict=False))
            total = sum(weights.values())
            if total != shape.WHOLE:
                self.refuse(f"{place}.weights", f"The shares add up to {total / 1000:g}%: make them 100%.")
                return [list(each) for each in before]
        wanted = {name: weight for name, weight in weights.items() if weight}
        kept = before if sum(weight for _, weight in before) == shape.WHOLE else []
        return [list(each) for each in resplit(kept, wanted)]

    def rules(self, drafts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return the rules in their order; one that was there keeps what the form does not show."""
        known = {each.get("id"): each for each in self.base["rules"] if each.get("id")}
        made = []
        for place, each in enumerate(drafts):
            base = known.pop(each["id"], None) or {"id": f"r{token_hex(4)}", "serve": {"rollout": -1, "split": []}}
            at = f"rules[{place}]"
            when = [self.condition(f"{at}.when[{n}]", one) for n, one in enumerate(each["when"])]
            serve = self.serve(f"{at}.serve", each["serve"], base["serve"])
            made.append({**base, "name": each["name"].strip(), "when": when, "serve": serve})
        return made

    def condition(self, place: str, draft: Mapping[str, str]) -> dict[str, Any]:
        """Return a condition."""
        negate, op = draft["op"].startswith("!"), draft["op"].lstrip("!")
        attribute = draft["attribute"].strip()
        attribute = {"user": shape.USER}.get(attribute, attribute)
        if op not in OPERATORS:
            self.refuse(f"{place}.op", "Choose how to compare.")
            return {"attribute": attribute, "op": op, "values": [], "negate": negate}
        kind = OPERATORS[op].kind
        if not attribute and kind != "segment":
            self.refuse(f"{place}.attribute", "Name the attribute, e.g. plan.")
        values = read_values(draft["values"], op)
        if kind != "none" and not values:
            self.refuse(f"{place}.values", "Type what to compare with; several values are parted by commas.")
        made: dict[str, Any] = {"attribute": attribute, "op": op, "values": values, "negate": negate}
        return made | ({"ignore_case": True} if draft["ignore_case"] and kind in _CASED else {})

    def override(self, place: str, draft: Mapping[str, str]) -> dict[str, Any]:
        """Return one user's or account's variant."""
        if not draft["value"].strip():
            self.refuse(f"{place}.value", "Type the id that your API uses.")
        attribute = draft["attribute"] if draft["attribute"] in BY else shape.USER
        variant = self.variant(f"{place}.variant", draft["variant"])
        return {"attribute": attribute, "value": draft["value"].strip(), "variant": variant}

    def prerequisite(self, place: str, draft: Mapping[str, str]) -> dict[str, Any]:
        """Return what another flag must give."""
        variants = [str(each) for each in read_values(draft["variants"], "contains")]
        if not draft["flag"].strip():
            self.refuse(f"{place}.flag", "Type the key of another flag.")
        if not variants:
            self.refuse(f"{place}.variants", "Type one of its variants at least, e.g. on.")
        return {"flag": draft["flag"].strip(), "variants": variants}

    def schedule(self, drafts: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
        """Return what happens at which time, in order; a time that was not touched keeps its seconds."""
        known = {at_text(each["at"], self.zone): each["at"] for each in self.base["schedule"]}
        made = []
        for place, each in enumerate(drafts):
            at = known.get(each["at"]) or self.moment(f"schedule[{place}].at", each["at"])
            made.append({"at": at, "enabled": each["enabled"] == "on"})
        if any(self.problems.get(f"schedule[{n}].at") for n in range(len(made))):
            return made
        if len({each["at"] for each in made}) < len(made):
            self.refuse(f"schedule[{len(made) - 1}].at", "Two changes cannot be at the same time.")
        return sorted(made, key=lambda each: shape.moment(each["at"]))

    def moment(self, place: str, text: str) -> str:
        """Return a time of the member's zone as the ruleset has it."""
        try:
            at = datetime.strptime(text[:16], AT).replace(tzinfo=self.zone).astimezone(UTC)
        except (ValueError, OverflowError):
            at = None
        if at is None or not 2000 <= at.year <= 2200:
            self.refuse(place, "Choose a date and a time, such as 2026-12-01T09:00.")
            return text
        return shape.text_of(at)


def build(
    draft: Draft, base: Mapping[str, Any], variants: Mapping[str, Any], now: datetime, zone: tzinfo
) -> shape.Config:
    """Return the config that a draft means; raises InputError with every problem by field."""
    builder = Builder(base, variants, now, zone)
    made = builder.config(draft)
    if builder.problems:
        raise InputError("Some of this is not right yet.", builder.problems)
    return made
