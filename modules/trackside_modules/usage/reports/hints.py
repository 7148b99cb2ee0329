"""What is probably wrong where somebody takes wrong turns, in a sentence for support."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from trackside_modules.usage.models.names import UNMATCHED
from trackside_modules.usage.reports.nearest import Routes
from trackside_modules.usage.storage.turns import STATUSES, Sort

SORTS: dict[Sort, str] = {
    "nowhere": "Does not exist",
    "unauthorized": "401 not signed in",
    "forbidden": "403 not allowed",
    "limited": "429 too many",
}


@dataclass(frozen=True, slots=True)
class Tried:
    """A path that somebody tried, of the samples kept."""

    method: str
    path: str
    status: int
    samples: int
    at: datetime


@dataclass(slots=True)
class Counts:
    """How many wrong turns of each sort; a call of what does not exist is that, whatever its status."""

    nowhere: int = 0
    unauthorized: int = 0
    forbidden: int = 0
    limited: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.nowhere + self.unauthorized + self.forbidden + self.limited

    def add(self, sort: Sort, calls: int) -> None:
        """Count calls of a sort."""
        setattr(self, sort, getattr(self, sort) + calls)


def hint(counts: Counts, calls: int, tried: Sequence[Tried], routes: Routes, *, known: bool) -> str:
    """Return what is probably wrong; empty where there is nothing to say.

    Args:
        counts: The turns, by sort.
        calls: All their calls.
        tried: What they tried, most first.
        routes: What there is.
        known: Whether the calls name a user.

    """
    most = max(SORTS, key=lambda sort: int(getattr(counts, sort)))
    first = next((it for it in tried if STATUSES.get(it.status, "nowhere") == most), None)
    if not counts.total:
        return ""
    if most == "nowhere":
        return _nowhere(first, routes)
    if most == "unauthorized":
        return _unauthorized(known, never=counts.unauthorized == calls)
    if most == "forbidden":
        what = f"{first.method} {first.path}" if first else "what they try"
        return f"They are not allowed to call {what}: their role or plan lacks it."
    if not known:
        return "They are over a limit, and no call says who they are."
    share = counts.limited / max(calls, counts.limited)
    return f"{share:.0%} of their calls are over the limit: they need more, or should call less often."


def _nowhere(tried: Tried | None, routes: Routes) -> str:
    if tried is None or tried.path == UNMATCHED:
        return "They call an address that no route answers; what it was is in no sample."
    near = routes.nearest(tried.method, tried.path)
    what = f"They call {tried.method} {tried.path}"
    if near is None:
        return f"{what}; nothing like it exists."
    return (
        f"{what}; it exists for {' and '.join(near.methods)} only." if near.exact else f"{what}; {near.route} exists."
    )


def _unauthorized(known: bool, *, never: bool) -> str:
    if not known:
        return "Calls without a valid key: one expired, or somebody tries some."
    if never:
        return "No call of theirs was let in: their key is missing, wrong or expired."
    return "Some of their calls carry no valid key: an old one is still in use somewhere, perhaps."
