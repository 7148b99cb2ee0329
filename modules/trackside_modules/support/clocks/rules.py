"""The rules that clocks run by: calendars, and policies with their targets. All of them are one document.

Each change makes the next version of the whole document, and versions are never changed; so what a metric was computed
by can be said, and computing it again gives the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import msgspec

DAY_MINUTES = 24 * 60
Opening = tuple[int, int]
"""From and until, in minutes of the local day: `(540, 1020)` is 9:00 to 17:00. Until may be 1440."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """When a team works: opening hours by weekday in a time zone, and the days that are different."""

    id: int
    name: str
    zone: str
    """A name of the IANA time zone database."""
    week: tuple[tuple[Opening, ...], ...]
    """The openings of Monday to Sunday."""
    country: str = ""
    """Two letters: its public holidays are closed. None where empty."""
    region: str = ""
    """A subdivision of the country, for the holidays that only it has."""
    closed: tuple[date, ...] = ()
    """Closed besides."""
    worked: tuple[date, ...] = ()
    """Open as the weekday says, although a holiday."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which interactions a policy is for: in each field one of the values, where there are any."""

    kinds: tuple[str, ...] = ()
    priorities: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    plans: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    topics: tuple[int, ...] = ()
    """As they were chosen."""
    below: tuple[int, ...] = ()
    """What `topics` mean: those, whatever is below them, and whatever was merged into one of them, in this version."""

    def takes(self, about: "About") -> bool:
        """Whether it matches."""
        return (
            _fits(self.kinds, about.kind)
            and _fits(self.priorities, about.priority)
            and _fits(self.channels, about.channel)
            and _fits(self.plans, about.plan)
            and (not self.topics or about.topic_id in self.below)
            and (not self.tags or not set(self.tags).isdisjoint(about.tags))
        )

    @property
    def everything(self) -> bool:
        """Whether it asks for nothing at all."""
        return not (self.kinds or self.priorities or self.channels or self.plans or self.tags or self.topics)


def _fits(wanted: tuple[str, ...], value: str) -> bool:
    return not wanted or value in wanted


class About(msgspec.Struct, frozen=True, gc=False):
    """What of an interaction decides which policy it has."""

    kind: str
    priority: str
    channel: str
    plan: str = ""
    """Of the account, when the interaction was logged."""
    tags: tuple[str, ...] = ()
    topic_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A promise: how soon, in business time, whom it matches is answered and helped. None: no promise."""

    id: int
    name: str
    calendar_id: int
    when: Filter = Filter()
    first_reply: int | None = None
    """Seconds, as the two below."""
    next_reply: int | None = None
    resolution: int | None = None
    pauses: tuple[str, ...] = ("waiting_customer",)
    """Statuses in which its clocks stand still, besides those that end the work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """All calendars, and all policies: of those that match the first one counts."""

    version: int
    calendars: tuple[Calendar, ...]
    """Never empty; the first one measures what no policy matches."""
    policies: tuple[Policy, ...] = ()
    _calendars: dict[int, Calendar] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._calendars.update({each.id: each for each in self.calendars})

    def policy_for(self, about: About) -> Policy:
        """Return the policy of an interaction; one without promises where none matches."""
        return next((each for each in self.policies if each.when.takes(about)), self.fallback)

    @property
    def fallback(self) -> Policy:
        """What measures where no policy matches: nothing is promised. Its id is 0."""
        return Policy(id=0, name="No policy", calendar_id=self.calendars[0].id)

    def calendar(self, calendar_id: int) -> Calendar:
        """Return a calendar by its id; raises KeyError."""
        return self._calendars[calendar_id]

    def document(self) -> dict[str, Any]:
        """Return all but the version as plain JSON values."""
        plain: dict[str, Any] = msgspec.to_builtins(
            {"calendars": self.calendars, "policies": self.policies}, str_keys=True
        )
        return plain


class _Document(msgspec.Struct, forbid_unknown_fields=True):
    calendars: tuple[Calendar, ...]
    policies: tuple[Policy, ...]


def from_document(version: int, document: Mapping[str, Any]) -> Rules:
    """Return the rules that `Rules.document` made; raises msgspec.ValidationError where it did not."""
    read = msgspec.convert(document, _Document)
    return Rules(version=version, calendars=read.calendars, policies=read.policies)


_OFFICE: tuple[Opening, ...] = ((9 * 60, 17 * 60),)
HOUR = 3600
DEFAULT = Rules(
    version=0,
    calendars=(Calendar(id=1, name="Office hours", zone="UTC", week=(*(_OFFICE for _ in range(5)), (), ())),),
    policies=(
        Policy(id=1, name="Everyone", calendar_id=1, first_reply=4 * HOUR, next_reply=8 * HOUR, resolution=24 * HOUR),
    ),
)
"""What holds until someone says otherwise: Monday to Friday, 9 to 17, and one policy for everyone."""
