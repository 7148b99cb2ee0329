"""Features of Unleash as flags, with what was noted on the way and what was refused."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trackside_client.flags import check_flag, key_problem
from trackside_modules.flags.unleash.documents import Dependency, Exported, Feature, Strategy, Variant
from trackside_modules.flags.unleash.strategies import Rollout, rollout
from trackside_modules.flags.unleash.variants import NONE, NotExpressible, Pieces, one, overrides, pieces, values

ON, OFF = "on", "off"
_COMPANION = "/variant"
_KINDS = {"release": "release", "experiment": "experiment", "kill-switch": "ops", "operational": "ops"}
_KINDS["permission"] = "permission"


@dataclass(frozen=True, slots=True)
class Note:
    """Something a person should know about a feature."""

    feature: str
    text: str


@dataclass(frozen=True, slots=True)
class Imported:
    """A flag as the ruleset has it, without a salt, and what it was."""

    key: str
    feature: str
    kind: str
    description: str
    document: dict[str, Any]


@dataclass(slots=True)
class Conversion:
    """What came of an environment's features."""

    flags: dict[str, Imported] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)
    """Feature -> key, where its name can be no key."""
    notes: list[Note] = field(default_factory=list)
    """Said otherwise than in Unleash, with the same answers but where the text says so."""
    refused: list[Note] = field(default_factory=list)
    """Not imported, with the reason."""

    def key_of(self, feature: str) -> str:
        """Return the key of a feature's flag."""
        return self.renamed.get(feature, feature)


def convert(exported: Exported) -> Conversion:
    """Return the flags of an environment's features; `salt` is left to whoever keeps them."""
    found = Conversion()
    _name(exported.features, found)
    known = {each.name: each for each in exported.features}
    for feature in exported.features:
        try:
            made = _Conversion(feature, exported, known, found).flags()
        except NotExpressible as reason:
            found.refused.append(Note(feature.name, str(reason)))
            continue
        wrong = [problem for it in made for problem in _problems(it)]
        if wrong:
            found.refused.append(Note(feature.name, wrong[0]))
        else:
            found.flags |= {it.key: it for it in made}
    _drop_orphans(found, known)
    return found


def _problems(it: Imported) -> list[str]:
    alone = {**it.document, "salt": "x", "prerequisites": []}
    return [f"{each.path}: {each.message}" for each in check_flag(it.key, alone)]


def _drop_orphans(found: Conversion, known: Mapping[str, Feature]) -> None:
    """Refuse what needs a feature that was refused, until nothing does."""
    while lost := {
        it.feature
        for it in found.flags.values()
        if any(need["flag"] not in found.flags for need in it.document["prerequisites"])
    }:
        for name in sorted(lost):
            needed = ", ".join(each.feature for each in known[name].dependencies or ())
            found.refused.append(Note(name, f"it depends on what was refused: {needed}"))
        found.flags = {key: it for key, it in found.flags.items() if it.feature not in lost}


def _name(features: Sequence[Feature], found: Conversion) -> None:
    """Give each feature whose name can be no key one that is made of it."""
    taken = {each.name for each in features}
    for feature in features:
        if key_problem(feature.name + _COMPANION) is None:
            continue
        key = re.sub(r"[^A-Za-z0-9._/-]", lambda it: f"_u{ord(it[0]):X}_", feature.name)[:180].strip("/")
        key = "/".join(part if part.strip(".") else "_" for part in key.split("/"))
        while key in taken:
            key += "_"
        taken.add(key)
        found.renamed[feature.name] = key
        found.notes.append(Note(feature.name, f"its name can be no key here: ask for {key!r}"))


class _Conversion:
    """One feature on its way."""

    def __init__(self, feature: Feature, exported: Exported, known: Mapping[str, Feature], found: Conversion) -> None:
        self._feature, self._exported, self._known, self._found = feature, exported, known, found
        self._key = found.key_of(feature.name)

    def flags(self) -> list[Imported]:
        """Return the feature's flag, and that of its variants where it has any."""
        ways = [(each, self._way(each)) for each in self._feature.strategies or ()]
        ways = [(strategy, way) for strategy, way in ways if not way.never]
        prerequisites = self._prerequisites()
        enabled = self._feature.enabled and prerequisites is not None
        state = {"enabled": enabled, "prerequisites": prerequisites or [], "overrides": [], "schedule": []}
        asked = _flag({ON: True, OFF: False}, "boolean", OFF, self._rules(ways, asked=True), state)
        made = [self._imported(self._key, asked)]
        if has_variants(self._feature):
            held = values(_all_variants(self._feature))
            served = _flag(held.values, held.type, NONE, self._rules(ways, asked=False), state)
            made.append(self._imported(self._key + _COMPANION, served))
        return made

    def _imported(self, key: str, document: dict[str, Any]) -> Imported:
        feature = self._feature
        return Imported(
            key, feature.name, _KINDS.get(feature.type or "", "release"), feature.description or "", document
        )

    def _way(self, strategy: Strategy) -> Rollout:
        also = self._feature.segments or ()
        found = rollout(strategy, self._feature.name, self._exported.segments, also)
        self._found.notes += [Note(self._feature.name, text) for text in found.who.notes]
        return found

    def _rules(self, ways: Sequence[tuple[Strategy, Rollout]], *, asked: bool) -> list[dict[str, Any]]:
        """Return the rules of the flag (`asked`: whether it is enabled; else: which variant)."""
        if not self._feature.strategies:
            ways = [(Strategy("default"), rollout(Strategy("default"), self._feature.name, {}))]
        rules: list[dict[str, Any]] = []
        for strategy, way in ways:
            title = strategy.name if strategy.name != "default" else "everyone"
            for extra, served in [((), one(ON))] if asked else self._served(strategy, way):
                when = [*way.who.conditions, *extra]
                rules.append({"id": f"u{len(rules) + 1}", "name": title, "when": when, "serve": way.serve(served)})
        return rules

    def _served(self, strategy: Strategy, way: Rollout) -> list[tuple[tuple[dict[str, Any], ...], Pieces]]:
        """Return what those whom a strategy takes in get, the exceptions first."""
        own: Sequence[Variant] = strategy.variants or ()
        if own:
            stickiness = str((strategy.parameters or {}).get("stickiness") or "default")
            found = pieces(own, way.group, stickiness)
            return [((), found or one(NONE))]
        shared = self._feature.variants or ()
        exceptions = [((condition,), one(name)) for name, condition in overrides(shared)]
        return [*exceptions, ((), pieces(shared, self._feature.name, "default") or one(NONE))]

    def _prerequisites(self) -> list[dict[str, Any]] | None:
        """Return what the feature needs of others; None where it can never be had, so that it is off for everybody."""
        needs: list[dict[str, Any]] = []
        for it in self._feature.dependencies or ():
            parent = self._known.get(it.feature)
            met = self._needed(it, parent)
            if isinstance(met, str):
                self._found.notes.append(Note(self._feature.name, f"off for everybody: {met}"))
                return None
            needs += met
        return needs

    def _needed(self, it: Dependency, parent: Feature | None) -> list[dict[str, Any]] | str:
        """Return the prerequisites that a dependency comes to, or why it is never met."""
        if parent is None:
            return f"it depends on {it.feature!r}, which is not in the file"
        if parent.dependencies:
            return f"it depends on {it.feature!r}, which depends on others itself: Unleash allows one level"
        key = self._found.key_of(parent.name)
        needs = [{"flag": key, "variants": [ON if it.enabled else OFF]}]
        if not it.variants or not it.enabled:
            return needs
        known = {NONE, *(each.name for each in _all_variants(parent))}
        wanted = [name for name in it.variants if name in known]
        if not wanted:
            return f"{it.feature!r} has none of the variants {', '.join(it.variants)}"
        return [*needs, {"flag": key + _COMPANION, "variants": wanted}] if has_variants(parent) else needs


def _flag(
    variants: Mapping[str, Any], kind: str, off: str, rules: list[dict[str, Any]], state: Mapping[str, Any]
) -> dict[str, Any]:
    first = next(name for name in variants if name != off)
    return {
        "type": kind,
        "variants": dict(variants),
        **state,
        "off": off,
        "by": "targetingKey",
        "rules": rules,
        "serve": {"rollout": 0, "split": [[first, 100_000]]},
    }


def _all_variants(feature: Feature) -> list[Variant]:
    own = [each for strategy in feature.strategies or () for each in strategy.variants or ()]
    return [*own, *(feature.variants or ())]


def has_variants(feature: Feature) -> bool:
    """Whether a feature is asked for variants at all."""
    return bool(_all_variants(feature))
