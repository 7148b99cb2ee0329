"""What can happen to an interaction.

| kind | data |
|---|---|
| created | subject, kind, channel, direction, priority, status, tags, source; where known: topic_id, user_id, account_id, assignee_id, env_id, external_ref, logged_ms (from open to saved) |
| message | side (`customer` or `staff`), body (Markdown), via; where there are: file_ids, mail_id, automatic (true: nobody wrote it) |
| note | body; where there are: file_ids |
| status | to |
| assign | to (member or null) |
| topic | to (topic or null) |
| kind, priority, subject | to |
| customer | user_id, account_id |
| tags | add, remove |
| snooze | until (RFC 3339 or null) |
| link | kind, ref, title |
| unlink, shipped, told | kind, ref |
| merged | into: it goes on there |
| absorbed | from: that one goes on here |
| split | into and seqs (what left), or from (where it came out of) |
| csat_asked | |
| csat | score (1 to 5), comment |
| imported | whatever is worth keeping of where it came from |
| erased | : the customer was erased |

An event of the kind `created` is the first, and happens once.
"""  # noqa: E501 - a table

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

KINDS = (
    "created",
    "message",
    "note",
    "status",
    "assign",
    "topic",
    "kind",
    "priority",
    "subject",
    "customer",
    "tags",
    "snooze",
    "link",
    "unlink",
    "shipped",
    "told",
    "merged",
    "absorbed",
    "split",
    "csat_asked",
    "csat",
    "imported",
    "erased",
)


class Event(msgspec.Struct, frozen=True, gc=False):
    """Something that happened to an interaction.

    Imports and the rebuild make a million of them: a struct is made six times faster than a frozen dataclass. Nothing
    in one refers back to it, so Python need not look for that (`gc=False`), here and in what is made of events.
    """

    seq: int
    at: datetime
    """When it happened; never before the event it follows."""
    kind: str
    data: Mapping[str, Any]
    recorded_at: datetime
    """When Trackside was told."""
    member_id: int | None = None
    user_id: int | None = None
    key_id: int | None = None

    @property
    def by_itself(self) -> bool:
        """Whether Trackside itself did it."""
        return self.member_id is None and self.user_id is None and self.key_id is None
