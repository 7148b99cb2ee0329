"""What comes in and goes out: interactions, and what happened to them."""

from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from trackside.api import Input, Moment
from trackside_modules.support.history import Event
from trackside_modules.support.queries.lists import Row

Word = Annotated[str, Meta(max_length=40)]
Line = Annotated[str, Meta(max_length=200)]
Body = Annotated[str, Meta(max_length=200_000, description="Markdown")]
Ref = Annotated[str, Meta(min_length=1, max_length=1000)]


class LinkIn(Input):
    """What an interaction is linked to."""

    kind: Annotated[str, Meta(max_length=40, description="url, flag or interaction")]
    ref: Annotated[str, Meta(min_length=1, max_length=1000, description="Address, flag's key, or SUP-123")]
    title: Line = ""


class InteractionNew(Input):
    """An interaction to log: one `line` as it is typed in the quick log, or its fields; an unknown user is made."""

    line: Annotated[str, Meta(max_length=20_000, description="`dev@customer.example 401 #auth !high`; else fields")] = (
        ""
    )
    subject: Line = ""
    body: Annotated[str, Meta(max_length=200_000, description="The first message, in Markdown")] = ""
    user: Annotated[str, Meta(max_length=200, description="An e-mail address, or the id your API uses")] = ""
    account: Annotated[str, Meta(max_length=200, description="The id your API uses; by itself the user's")] = ""
    kind: Annotated[str, Meta(max_length=40, description="question, bug, feature, billing, incident, praise")] = ""
    topic: Annotated[str, Meta(max_length=200, description="A topic's path or alias")] = ""
    channel: Annotated[str, Meta(max_length=40, description="email, chat, phone, web, api, meeting or other")] = "api"
    direction: Annotated[str, Meta(max_length=40, description="in: the customer came; out: we did")] = "in"
    status: Word = ""
    priority: Annotated[str, Meta(max_length=40, description="low, normal, high or urgent")] = "normal"
    assignee: Annotated[str, Meta(max_length=200, description="A member's e-mail address")] = ""
    tags: list[str] = msgspec.field(default_factory=list)
    links: list[LinkIn] = msgspec.field(default_factory=list)
    note: Annotated[str, Meta(max_length=200_000, description="An internal note besides, in Markdown")] = ""
    occurred_at: Moment | None = None
    source: Annotated[str, Meta(max_length=50, description="Where it comes from")] = "api"
    external_ref: Annotated[str, Meta(max_length=200, description="Its id there: logged once a source")] | None = None


class InteractionOut(msgspec.Struct):
    """An interaction as it is now."""

    number: int
    ref: str
    """How people call it: `SUP-123`."""
    subject: str
    kind: str
    status: str
    priority: str
    channel: str
    direction: str
    topic: str
    tags: list[str]
    user_id: int | None
    user: str
    account_id: int | None
    account: str
    assignee_id: int | None
    assignee: str
    waiting_since: datetime | None
    """Since when the customer waits for us."""
    snooze_until: datetime | None
    occurred_at: datetime
    created_at: datetime
    updated_at: datetime
    first_reply_at: datetime | None
    solved_at: datetime | None
    messages: int
    reopens: int
    csat: int | None
    source: str
    external_ref: str | None
    merged_into: int | None
    version: int
    said: list[str] = msgspec.field(default_factory=list)
    """What logging it made besides: a user or account that was not known."""

    @classmethod
    def of(cls, row: Row, said: list[str] | None = None) -> "InteractionOut":
        """Return a row as the API shows it."""
        it = row.interaction
        looked_up = {"number", "topic", "user", "account", "assignee", "said"}
        own: dict[str, Any] = {name: getattr(it, name) for name in cls.__struct_fields__ if name not in looked_up}
        own |= {"topic": row.topic, "user": row.user, "account": row.account, "assignee": row.assignee}
        return cls(number=it.id, said=said or [], **own)


class EventOut(msgspec.Struct):
    """Something that happened to an interaction."""

    number: int
    """Of the interaction; another's where that one was merged into this."""
    seq: int
    at: datetime
    recorded_at: datetime
    kind: str
    who: str
    """Whoever did it: a member, the user, a key, or `Trackside`."""
    member_id: int | None
    user_id: int | None
    data: dict[str, Any]

    @classmethod
    def of(cls, number: int, event: Event, who: str) -> "EventOut":
        """Return an event as the API shows it."""
        told = (event.seq, event.at, event.recorded_at, event.kind)
        return cls(number, *told, who, event.member_id, event.user_id, dict(event.data))


_AT = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
INTERACTION = InteractionOut(
    number=123,
    ref="SUP-123",
    subject="401 after key rotation",
    kind="bug",
    status="new",
    priority="high",
    channel="email",
    direction="in",
    topic="auth",
    tags=["vip"],
    user_id=42,
    user="dev@customer.example",
    account_id=7,
    account="Acme Robotics",
    assignee_id=None,
    assignee="",
    waiting_since=_AT,
    snooze_until=None,
    occurred_at=_AT,
    created_at=_AT,
    updated_at=_AT,
    first_reply_at=None,
    solved_at=None,
    messages=1,
    reopens=0,
    csat=None,
    source="api",
    external_ref=None,
    merged_into=None,
    version=2,
)
EVENT = EventOut(123, 2, _AT, _AT, "message", "dev@customer.example", None, 42, {"side": "customer", "body": "401s."})
