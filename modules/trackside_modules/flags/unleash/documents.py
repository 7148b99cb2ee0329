"""What Unleash exports: client features, their delta events, a state export, an export of features.

Unknown fields are passed over, as Unleash's own clients do; a field of the wrong type is refused by its path.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from trackside.errors import InputError

ONLY = ""
"""The environment of a document that holds one and does not say which."""


class _Read(msgspec.Struct, rename="camel"):
    pass


class Constraint(_Read):
    """A test of one field of the context."""

    context_name: str = ""
    operator: str = ""
    values: Sequence[str | int | float] | None = None
    value: str | int | float | None = None
    inverted: bool = False
    case_insensitive: bool = False


class Override(_Read):
    """Values of a field of the context for which a variant is given whatever the bucket says."""

    context_name: str = ""
    values: Sequence[str] = ()


class Payload(_Read):
    """What a variant carries: text, CSV, JSON or a number, always written as text."""

    type: str = "string"
    value: str = ""


class Variant(_Read):
    """A variant, of a feature or of a strategy."""

    name: str
    weight: int = 0
    stickiness: str = ""
    payload: Payload | None = None
    overrides: Sequence[Override] | None = None


class Strategy(_Read):
    """One way to be enabled: any of a feature's is enough."""

    name: str = ""
    parameters: Mapping[str, Any] | None = None
    constraints: Sequence[Constraint] | None = None
    segments: Sequence[int] | None = None
    variants: Sequence[Variant] | None = None
    disabled: bool | None = None


class Dependency(_Read):
    """A feature that another one needs, enabled or not, perhaps with one of some variants."""

    feature: str
    enabled: bool = True
    variants: Sequence[str] | None = None


class Feature(_Read):
    """A feature in one environment."""

    name: str
    type: str | None = None
    description: str | None = None
    enabled: bool = False
    strategies: Sequence[Strategy] | None = None
    variants: Sequence[Variant] | None = None
    segments: Sequence[int] | None = None
    dependencies: Sequence[Dependency] | None = None


class Segment(_Read):
    """Constraints under a number, shared by strategies."""

    id: int
    constraints: Sequence[Constraint] = ()


class Exported(msgspec.Struct):
    """The features of one environment, and the segments that they name."""

    features: Sequence[Feature]
    segments: Mapping[int, Segment]


class _Event(_Read):
    type: str
    features: Sequence[Feature] = ()
    segments: Sequence[Segment] = ()
    feature: Feature | None = None
    feature_name: str = ""
    segment: Segment | None = None
    segment_id: int = 0


class _StateStrategy(_Read):
    feature_name: str
    environment: str
    id: str = ""
    name: str = ""
    strategy_name: str = ""
    parameters: Mapping[str, Any] | None = None
    constraints: Sequence[Constraint] | None = None
    segments: Sequence[int] | None = None
    variants: Sequence[Variant] | None = None
    disabled: bool | None = None


class _StateEnvironment(_Read):
    feature_name: str
    environment: str
    enabled: bool = False
    variants: Sequence[Variant] | None = None


class _StateSegment(_Read):
    feature_strategy_id: str
    segment_id: int


class _StateDependencies(_Read):
    feature: str
    dependencies: Sequence[Dependency] = ()


class _Document(_Read):
    features: Sequence[Feature] = ()
    segments: Sequence[Segment] = ()
    events: Sequence[_Event] | None = None
    feature_strategies: Sequence[_StateStrategy] | None = None
    feature_environments: Sequence[_StateEnvironment] = ()
    feature_strategy_segments: Sequence[_StateSegment] = ()
    dependencies: Sequence[_StateDependencies] = ()


def read(content: bytes) -> dict[str, Exported]:
    """Return the features of each environment (`ONLY` where the document is of one and does not name it).

    Raises InputError for what is none of Unleash's forms.
    """
    try:
        document = msgspec.json.decode(content, type=_Document)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"This is no export of Unleash: {error}.") from error
    if document.feature_strategies is not None:
        found = _by_environment(document)
    elif document.events is not None:
        found = {ONLY: _followed(document.events)}
    else:
        found = {ONLY: Exported(document.features, _numbered(document.segments))}
    if not any(each.features for each in found.values()):
        raise InputError("There are no features in this file: send Unleash's client features or its export.")
    return found


def _numbered(segments: Iterable[Segment]) -> dict[int, Segment]:
    return {each.id: each for each in segments}


def _followed(events: Sequence[_Event]) -> Exported:
    """Return what is left after the events of Unleash's delta API, in their order."""
    features: dict[str, Feature] = {}
    segments: dict[int, Segment] = {}
    for event in events:
        if event.type == "hydration":
            features, segments = {each.name: each for each in event.features}, _numbered(event.segments)
        elif event.type == "feature-updated" and event.feature is not None:
            features[event.feature.name] = event.feature
        elif event.type == "feature-removed":
            features.pop(event.feature_name, None)
        elif event.type == "segment-updated" and event.segment is not None:
            segments[event.segment.id] = event.segment
        elif event.type == "segment-removed":
            segments.pop(event.segment_id, None)
        else:
            raise InputError(f"{event.type!r} is no event that is known here: export the features instead.")
    return Exported(list(features.values()), segments)


def _by_environment(document: _Document) -> dict[str, Exported]:
    segments: dict[str, list[int]] = defaultdict(list)
    for link in document.feature_strategy_segments:
        segments[link.feature_strategy_id].append(link.segment_id)
    strategies: dict[tuple[str, str], list[Strategy]] = defaultdict(list)
    for it in document.feature_strategies or ():
        strategies[it.environment, it.feature_name].append(
            Strategy(
                it.strategy_name or it.name,
                it.parameters,
                it.constraints,
                [*(it.segments or ()), *segments[it.id]],
                it.variants,
                it.disabled,
            )
        )
    needs = {each.feature: each.dependencies for each in document.dependencies}
    known = {each.name: each for each in document.features}
    found: dict[str, list[Feature]] = defaultdict(list)
    for state in document.feature_environments:
        feature = known.get(state.feature_name)
        if feature is None:
            raise InputError(f"The export speaks of {state.feature_name!r} without saying what it is.")
        found[state.environment].append(
            msgspec.structs.replace(
                feature,
                enabled=state.enabled,
                strategies=strategies[state.environment, feature.name],
                variants=state.variants or feature.variants,
                dependencies=needs.get(feature.name, feature.dependencies),
            )
        )
    numbered = _numbered(document.segments)
    return {environment: Exported(features, numbered) for environment, features in found.items()}
