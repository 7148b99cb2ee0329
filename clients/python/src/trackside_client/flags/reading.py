"""From a flag's JSON to its `spec.Flag`, with everything that is wrong with it found in one go."""

import re
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

import re2

from trackside_client.flags.cursor import Cursor
from trackside_client.flags.hashing import BUCKETS, FUNCTIONS, Draw
from trackside_client.flags.moments import parse_moment
from trackside_client.flags.operators import (
    LONGEST_PATTERN,
    MOST_VALUES,
    OPERATORS,
    compile_pattern,
    network_of,
    version_of,
)
from trackside_client.flags.spec import (
    ACCOUNT,
    TYPES,
    USER,
    Condition,
    Flag,
    HashProfile,
    Override,
    Prerequisite,
    Rule,
    Serve,
)

KEY = re.compile(r"[A-Za-z0-9._/-]{1,200}", re.ASCII)
MOST_VARIANTS, MOST_RULES, MOST_CONDITIONS, MOST_OVERRIDES, MOST_PREREQUISITES = 100, 1000, 100, 10_000, 100
MOST_STEPS, MOST_PIECES, MOST_METADATA, MOST_STICKY = 1000, 10_000, 100, 10
LARGEST_WEIGHT = 1_000_000_000
LONGEST_NAME = 200
LONGEST_UNIT = 1000

FLAG_FIELDS = frozenset(
    {"type", "salt", "enabled", "variants", "off", "by", "overrides", "prerequisites", "rules", "serve"}
    | {"schedule", "hash", "metadata"}
)
SERVE_FIELDS = frozenset({"rollout", "split", "steps", "by", "hash"})
RULE_FIELDS = frozenset({"id", "name", "when", "serve"})
CONDITION_FIELDS = frozenset({"attribute", "op", "values", "negate", "ignore_case"})
_DRAW_FIELDS = frozenset({"function", "seed", "group", "separator", "unit_first", "modulus", "scaled", "offset"})
_OVERRIDES = frozenset({USER, ACCOUNT})


def key_problem(key: str) -> str | None:
    """Return why a text cannot be a flag's key; None where it can."""
    if not KEY.fullmatch(key):
        return "a key has 1 to 200 letters, digits, or any of . _ / -"
    if not all(part.strip(".") for part in key.split("/")):
        return "a key has no part that is empty or only dots: addresses cannot hold it"
    return None


class FlagReader:
    """Reads one flag; `strict` refuses unknown fields too, as an edit must and an older client may not."""

    def __init__(self, key: str, document: Any, segments: Collection[str] | None, *, strict: bool) -> None:
        self.root = Cursor(document, key)
        self.problems = self.root.problems
        self.strict, self.segments = strict, segments
        self.variants: Mapping[str, Any] = {}
        self.by: tuple[str, ...] = (USER,)
        self.hash: HashProfile | None = None

    def read(self) -> Flag | None:
        """Return the flag, or None with the reasons in `problems`."""
        root = self.root
        if why := key_problem(root.flag):
            root.refuse(why)
        if not root.object(self._known(FLAG_FIELDS)):
            return None
        kind = root.field("type").choice(TYPES, "type of flag")
        self.variants = self._variants(root.field("variants"), kind)
        self.by = self._by(root.field("by", USER), (USER,))
        self.hash = self._hash(root.field("hash"))
        flag = Flag(
            key=root.flag,
            type=kind,
            salt=root.field("salt").text(LONGEST_NAME),
            enabled=root.field("enabled", True).boolean(),
            variants=self.variants,
            off=root.field("off").choice(self.variants, "variant"),
            overrides=tuple(map(self._override, root.field("overrides", ()).items(MOST_OVERRIDES, "overrides"))),
            prerequisites=tuple(
                map(self._prerequisite, root.field("prerequisites", ()).items(MOST_PREREQUISITES, "prerequisites"))
            ),
            rules=tuple(map(self._rule, root.field("rules", ()).items(MOST_RULES, "rules"))),
            serve=self._serve(root.field("serve")),
            schedule=tuple(
                (at, each.field("enabled").boolean()) for at, each in self._times(root.field("schedule", ()), "enabled")
            ),
            metadata=self._metadata(root.field("metadata", {})),
        )
        return None if self.problems else flag

    def _known(self, fields: frozenset[str]) -> frozenset[str] | None:
        return fields if self.strict else None

    def _variants(self, at: Cursor, kind: str) -> Mapping[str, Any]:
        found: dict[str, Any] = {}
        for name, value in at.entries():
            Cursor(name, at.flag, value.path, self.problems).text(LONGEST_NAME)
            if kind == "boolean":
                found[name] = value.boolean()
            elif kind == "string":
                found[name] = value.prose() if isinstance(value.value, str) else value.text()
            elif kind == "number":
                found[name] = value.number()
            else:
                found[name] = value.json()
        if not found and isinstance(at.value, Mapping):
            at.refuse("needs at least one variant")
        if len(found) > MOST_VARIANTS:
            at.refuse(f"has {len(found)} variants; at most {MOST_VARIANTS} are allowed")
        return found

    def _by(self, at: Cursor, default: tuple[str, ...]) -> tuple[str, ...]:
        if not at.given:
            return default
        if isinstance(at.value, str):
            return (at.text(LONGEST_NAME),)
        found = tuple(each.text(LONGEST_NAME) for each in at.items(MOST_STICKY, "attributes"))
        if not found:
            at.refuse("must be an attribute, or a list of them in order of preference")
        return found

    def _override(self, at: Cursor) -> Override:
        at.object(self._known(frozenset({"attribute", "value", "variant"})))
        return Override(
            at.field("attribute").choice(_OVERRIDES, "attribute for overrides"),
            at.field("value").text(LONGEST_UNIT),
            at.field("variant").choice(self.variants, "variant"),
        )

    def _prerequisite(self, at: Cursor) -> Prerequisite:
        at.object(self._known(frozenset({"flag", "variants"})))
        variants = [each.text(LONGEST_NAME) for each in at.field("variants").items(MOST_VARIANTS, "variants")]
        if not variants:
            at.field("variants").refuse("name at least one variant of the other flag")
        return Prerequisite(at.field("flag").text(LONGEST_NAME), frozenset(variants))

    def _rule(self, at: Cursor) -> Rule:
        at.object(self._known(RULE_FIELDS))
        return Rule(
            id=at.field("id", "").text(LONGEST_NAME, empty=True),
            name=at.field("name", "").text(LONGEST_NAME, empty=True),
            when=tuple(map(self._condition, at.field("when", ()).items(MOST_CONDITIONS, "conditions"))),
            serve=self._serve(at.field("serve")),
        )

    def _condition(self, at: Cursor) -> Condition:
        at.object(self._known(CONDITION_FIELDS))
        op = at.field("op").choice(frozenset(OPERATORS), "operator")
        kind = OPERATORS[op].kind if op else "none"
        values = tuple(self._value(each, kind) for each in at.field("values", ()).items(MOST_VALUES, "values"))
        if op and kind == "none" and values:
            at.field("values").refuse(f"“{op}” takes no values")
        elif op and kind != "none" and not values:
            at.field("values").refuse(f"“{op}” needs a value")
        elif op and not OPERATORS[op].many and len(values) > 1:
            at.field("values").refuse(f"“{op}” takes exactly one value")
        ignore_case = at.field("ignore_case", False).boolean()
        if ignore_case and kind not in {"scalar", "text", "pattern"}:
            at.field("ignore_case").refuse(f"“{op}” knows no case")
        attribute = at.field("attribute", "" if kind == "segment" else None).text(LONGEST_NAME, empty=kind == "segment")
        return Condition(attribute, op, values, at.field("negate", False).boolean(), ignore_case)

    def _value(self, at: Cursor, kind: str) -> Any:
        if kind == "scalar" and not isinstance(at.value, str):
            return at.value if isinstance(at.value, bool) else at.number()
        if kind == "number":
            return at.number()
        text = at.text(LONGEST_PATTERN if kind == "pattern" else LONGEST_UNIT, empty=kind == "scalar")
        if not text:
            return text
        if kind == "pattern":
            try:
                compile_pattern(text)
            except re2.error as refused:
                at.refuse(f"is no regular expression of RE2: {_reason(refused)}")
        elif kind == "moment" and parse_moment(text) is None:
            at.refuse("must be a date and time as in 2026-11-23T09:00:00Z")
        elif kind == "version" and version_of(text) is None:
            at.refuse("must be a semantic version as in 2.10.0 or 3.0.0-beta.1")
        elif kind == "network" and network_of(text) is None:
            at.refuse("must be a network as in 10.0.0.0/8 or 2001:db8::/32, or one address")
        elif kind == "segment" and self.segments is not None and text not in self.segments:
            at.refuse("is no segment of this environment")
        return text

    def _serve(self, at: Cursor) -> Serve:
        at.object(self._known(SERVE_FIELDS))
        profile = self._hash(at.field("hash")) or self.hash
        split = tuple(
            (piece[0].choice(self.variants, "variant"), piece[1].integer(0, LARGEST_WEIGHT))
            for piece in map(self._pair, at.field("split").items(MOST_PIECES, "variants"))
        )
        total = sum(weight for _, weight in split)
        if profile is None and split and total != BUCKETS:
            at.field("split").refuse(f"the weights add up to {total}; they must add up to {BUCKETS} (100 %)")
        elif not total and isinstance(at.field("split").value, (list, tuple)):
            at.field("split").refuse("must give at least one variant a weight")
        return Serve(
            rollout=at.field("rollout", BUCKETS).integer(0, BUCKETS),
            split=split,
            steps=tuple(
                (moment, each.field("rollout").integer(0, BUCKETS))
                for moment, each in self._times(at.field("steps", ()), "rollout")
            ),
            by=self._by(at.field("by"), self.by),
            hash=profile,
        )

    def _pair(self, at: Cursor) -> tuple[Cursor, Cursor]:
        found = list(at.items(2, "parts"))
        if len(found) == 2:
            return found[0], found[1]
        if isinstance(at.value, (list, tuple)):
            at.refuse("must be a pair of a variant and its weight")
        return at, at

    def _times(self, at: Cursor, what: str) -> list[tuple[datetime, Cursor]]:
        found: list[tuple[datetime, Cursor]] = []
        for each in () if at.value is None else at.items(MOST_STEPS, "steps"):
            each.object(self._known(frozenset({"at", what})))
            moment = each.field("at").moment()
            if moment is not None:
                if found and moment <= found[-1][0]:
                    each.field("at").refuse("must be later than the step before")
                found.append((moment, each))
        return found

    def _metadata(self, at: Cursor) -> Mapping[str, bool | str | int | float]:
        found: dict[str, bool | str | int | float] = {}
        for name, value in at.entries() if at.given else ():
            if isinstance(value.value, bool):
                found[name] = value.value
            else:
                found[name] = value.text() if isinstance(value.value, str) else value.number()
        if len(found) > MOST_METADATA:
            at.refuse(f"has {len(found)} entries; at most {MOST_METADATA} are allowed")
        return found

    def _hash(self, at: Cursor) -> HashProfile | None:
        if not at.given or not at.object(self._known(_DRAW_FIELDS | {"variants"})):
            return None
        rollout = self._draw(at, {}, 2)
        variants = at.field("variants", {})
        if not variants.object(self._known(_DRAW_FIELDS | {"by"})):
            return None
        inherited = {name: each for name, each in at.value.items() if name != "modulus"}
        return HashProfile(rollout, self._draw(variants, inherited, 0), self._by(variants.field("by"), ()))

    def _draw(self, at: Cursor, inherited: Mapping[str, Any], smallest: int) -> Draw:
        def field(name: str, default: Any) -> Cursor:
            return at.field(name, inherited.get(name, default))

        group = field("group", "").text(LONGEST_NAME, empty=True)
        separator = field("separator", ":").text(10, empty=True)
        unit_first = field("unit_first", False).boolean()
        return Draw(
            function=field("function", "murmur3_32").choice(FUNCTIONS, "hash"),
            seed=field("seed", 0).integer(0, 2**32 - 1),
            prefix="" if unit_first else f"{group}{separator}",
            suffix=f"{separator}{group}" if unit_first else "",
            modulus=field("modulus", 0 if smallest == 0 else BUCKETS).integer(smallest, 2**32),
            scaled=field("scaled", False).boolean(),
            offset=field("offset", 0).integer(0, 1000),
        )


def _reason(refused: Exception) -> str:
    """Return RE2's own words, which it gives as bytes."""
    said = refused.args[0] if refused.args else ""
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
