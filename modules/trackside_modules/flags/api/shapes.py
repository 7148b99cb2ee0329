"""What comes in and goes out: flags, their states, their history."""

from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

from trackside.api import Input, Moment
from trackside_modules.flags import shape
from trackside_modules.flags.models import Change, Flag, Request, State
from trackside_modules.flags.service import diff_of

_PART = r"[A-Za-z0-9._-]*[A-Za-z0-9_-][A-Za-z0-9._-]*"
Key = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=200,
        pattern=f"^{_PART}(/{_PART})*$",
        description="The flag's key: A to Z, a to z, 0 to 9, dot, underscore, hyphen; slashes between parts",
        extra={"slashes": True},
    ),
]
Reason = Annotated[str, Meta(max_length=1000, description="Why, for the history")]
Line = Annotated[str, Meta(max_length=200)]
Rollout = Annotated[int, Meta(description="How many of 100,000 users are taken in: 25000 is 25 %")]
By = Annotated[str | list[str], Meta(description="Sticky attribute: `targetingKey` (the user), `account`, or another")]
At = Annotated[str, Meta(max_length=40, description="RFC 3339: from when on")]


class StepIn(Input):
    """From a time on, another rollout."""

    at: At
    rollout: Rollout


class ServeIn(Input):
    """Who is taken in, and which variants they get."""

    split: Annotated[list[tuple[str, int]], Meta(description="Variants and weights, which add up to 100,000")]
    rollout: Rollout = shape.WHOLE
    steps: list[StepIn] | UnsetType = UNSET
    by: By | UnsetType = UNSET
    hash: dict[str, Any] | UnsetType | None = UNSET


class ConditionIn(Input):
    """One test of one attribute of the context."""

    op: Annotated[
        str,
        Meta(
            max_length=40,
            description="`in`, `equals`, `contains`, `matches`, `gt`, `before`, `semver_gte`, `segment` and others",
        ),
    ]
    attribute: Line = ""
    values: list[str | int | float | bool] = field(default_factory=list)
    negate: bool = False
    ignore_case: bool = False


class RuleIn(Input):
    """For whom all conditions hold gets what the rule serves."""

    serve: ServeIn
    id: Line = ""
    name: Line = ""
    when: list[ConditionIn] = field(default_factory=list)


class OverrideIn(Input):
    """One user's or account's variant, whatever the rules say."""

    attribute: Annotated[str, Meta(max_length=40, description="`targetingKey` or `account`")]
    value: Annotated[str, Meta(max_length=1000)]
    variant: Line


class PrerequisiteIn(Input):
    """Another flag that must give one of these variants."""

    flag: Line
    variants: list[str]


class SwitchIn(Input):
    """From a time on, on or off."""

    at: At
    enabled: bool


class StateIn(Input):
    """How a flag is rolled out in this environment; parts that are not sent stay as they are."""

    enabled: bool | UnsetType = UNSET
    off: Annotated[str, Meta(max_length=200, description="The variant while it is off")] | UnsetType = UNSET
    by: By | UnsetType = UNSET
    overrides: list[OverrideIn] | UnsetType = UNSET
    prerequisites: list[PrerequisiteIn] | UnsetType = UNSET
    rules: list[RuleIn] | UnsetType = UNSET
    serve: ServeIn | UnsetType = UNSET
    schedule: list[SwitchIn] | UnsetType = UNSET

    def parts(self) -> dict[str, Any]:
        """Return the parts that were sent."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return found


class FlagOut(msgspec.Struct):
    """A flag, and its state in the environment of the key."""

    key: str
    name: str
    description: str
    type: str
    kind: str
    salt: str
    variants: dict[str, Any]
    tags: list[str]
    owner_id: int | None
    expected_end: datetime | None
    hash: dict[str, Any] | None
    metadata: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    archived_at: datetime | None
    version: int
    """Of the flag itself."""
    state: dict[str, Any]
    """As in the ruleset: enabled, off, by, overrides, prerequisites, rules, serve, schedule."""
    state_version: int
    state_updated_at: datetime
    state_updated_by: str

    @classmethod
    def of(cls, flag: Flag, state: State) -> "FlagOut":
        """Return a flag as the API shows it."""
        own = {n: getattr(flag, n) for n in cls.__struct_fields__ if n != "metadata" and not n.startswith("state")}
        return cls(
            **own,
            metadata=flag.facts,
            state=state.config,
            state_version=state.version,
            state_updated_at=state.updated_at,
            state_updated_by=state.updated_by,
        )


def version(flag: Flag, state: State) -> str:
    """Return what the ETag is made of: any change of the flag or of its state here makes another."""
    return f"{flag.id} {flag.version} {state.version}"


class Fields(Input):
    """Fields of a flag itself; they are the same in all environments."""

    name: Line | UnsetType = UNSET
    description: Annotated[str, Meta(max_length=4000)] | UnsetType = UNSET
    kind: Annotated[str, Meta(description="release, experiment, ops or permission")] | UnsetType = UNSET
    variants: Annotated[dict[str, Any], Meta(description="Value by name")] | UnsetType = UNSET
    tags: list[str] | UnsetType = UNSET
    owner_id: int | UnsetType | None = UNSET
    expected_end: Moment | UnsetType | None = UNSET
    metadata: Annotated[dict[str, Any], Meta(description="Texts, numbers and booleans")] | UnsetType = UNSET

    def fields(self) -> dict[str, Any]:
        """Return the fields that were sent, by the names of the columns."""
        names = Fields.__struct_fields__
        sent = {name: getattr(self, name) for name in names if getattr(self, name) is not UNSET}
        return {"facts" if name == "metadata" else name: value for name, value in sent.items()}


class DiffOut(msgspec.Struct, omit_defaults=True):
    """One place that changed; `old` or `new` is missing where there was nothing."""

    path: str
    old: Any = UNSET
    new: Any = UNSET


class ChangeOut(msgspec.Struct):
    """A change in the history of a flag."""

    id: int
    at: datetime
    what: str
    who: str
    reason: str
    of: str
    """`flag`: of the flag itself, in all environments; `state`: of its state here."""
    version: int
    diff: list[DiffOut]
    request_id: int | None

    @classmethod
    def of_row(cls, row: Change) -> "ChangeOut":
        """Return a change as the API shows it."""
        return cls(
            id=row.id,
            at=row.at,
            what=row.what,
            who=row.who,
            reason=row.reason,
            of="state" if row.env_id is not None else "flag",
            version=row.version,
            diff=[DiffOut(**each) for each in diff_of(row)],
            request_id=row.request_id,
        )


class RequestOut(msgspec.Struct):
    """A change that waits for a second member, or did."""

    id: int
    key: str
    status: str
    reason: str
    who: str
    made_at: datetime
    diff: list[DiffOut]
    decided_by: str | None
    decided_at: datetime | None
    note: str
    applied_at: datetime | None

    @classmethod
    def of(cls, row: Request, key: str) -> "RequestOut":
        """Return a change request as the API shows it."""
        own = {name: getattr(row, name) for name in cls.__struct_fields__ if name not in {"key", "diff"}}
        return cls(key=key, diff=[DiffOut(**each) for each in shape.diff(row.before, row.after)], **own)


AT = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
STATE = shape.base_config({"on": True, "off": False}, enabled=True, rollout=25_000)
FLAG = FlagOut(
    key="team/checkout",
    name="New checkout",
    description="The checkout on one page",
    type="boolean",
    kind="release",
    salt="9f1c22ab0d34e567",
    variants={"on": True, "off": False},
    tags=["shop"],
    owner_id=None,
    expected_end=None,
    hash=None,
    metadata={},
    created_at=AT,
    updated_at=AT,
    archived_at=None,
    version=1,
    state=STATE,
    state_version=4,
    state_updated_at=AT,
    state_updated_by="Ada",
)
DIFF = [DiffOut("serve.rollout", 10_000, 25_000)]
CHANGE = ChangeOut(812, AT, "edited", "Ada", "No tickets so far", "state", 4, DIFF, None)
REQUEST = RequestOut(7, "team/checkout", "open", "Half of all", "Ada", AT, DIFF, None, None, "", None)
