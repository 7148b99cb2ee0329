"""The rules that clocks run by, what they showed for each interaction, and the links by which customers rate us."""

from datetime import datetime
from typing import Any

from sqlalchemy import Identity, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from trackside.db import Base

MOMENTS = ("started_at", "first_reply_at", "resolved_at")
"""What periods of reports are of. Rows lie about in the order of time, so an index of blocks is enough, and cheap."""

RARE = ("csat_asked_at", "logged_at")
"""The same, which only some have."""


class RulesRow(Base):
    """A version of all calendars and policies: see `clocks.rules`. Insert-only; the highest version holds."""

    __tablename__ = "support_rules"

    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    document: Mapped[dict[str, Any]]
    made_at: Mapped[datetime]
    who: Mapped[str]
    """As they were called then."""
    member_id: Mapped[int | None]
    what: Mapped[str]
    """What they changed, in words."""


class Metric(Base):
    """What the clocks of an interaction showed, by `rules_version`: a cache of its events.

    Durations are seconds of business time; columns are those of `clocks.metrics.Metrics`. What reports are narrowed to
    and told by stands here as well, so that they read nothing else: see ADR 0220.
    """

    __tablename__ = "support_metric"
    __table_args__ = (
        Index("ix_support_metric_started_at", "started_at"),
        Index("ix_support_metric_rules_version", "rules_version"),
        Index(
            "ix_support_metric_moments",
            *MOMENTS,
            postgresql_using="brin",
            postgresql_ops=dict.fromkeys(MOMENTS, "timestamptz_minmax_multi_ops"),
            postgresql_with={"autosummarize": "on", "pages_per_range": 16},
        ),
        Index("ix_support_metric_active", "started_at", postgresql_where=text("active")),
        *(Index(f"ix_support_metric_{at}", at, postgresql_where=text(f"{at} is not null")) for at in RARE),
        Index("ix_support_metric_due_at", "due_at", postgresql_where=text("due_at is not null")),
    )

    interaction_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    seq: Mapped[int]
    """Of the last event that is in it."""
    rules_version: Mapped[int]
    policy_id: Mapped[int]
    """0: none matched, so nothing was promised."""
    started_at: Mapped[datetime]
    first_reply_at: Mapped[datetime | None]
    first_reply_s: Mapped[int | None]
    first_reply_due: Mapped[datetime | None]
    first_reply_missed: Mapped[bool | None]
    next_replies: Mapped[int]
    next_reply_s: Mapped[int | None]
    next_reply_due: Mapped[datetime | None]
    next_reply_missed: Mapped[bool | None]
    resolved_at: Mapped[datetime | None]
    resolution_s: Mapped[int | None]
    resolution_due: Mapped[datetime | None]
    resolution_missed: Mapped[bool | None]
    due_at: Mapped[datetime | None]
    """When the first of the clocks that run is due."""
    due_what: Mapped[str | None]
    """Which: `first_reply`, `next_reply` or `resolution`."""
    missed: Mapped[bool]
    """Whether a promise was broken by a clock that has ended or stands still."""
    replies: Mapped[int]
    reopens: Mapped[int]
    logged_ms: Mapped[int | None]
    """Milliseconds from opening the form to saving."""
    logged_at: Mapped[datetime | None]
    """When that was."""
    csat_asked_at: Mapped[datetime | None]
    csat_at: Mapped[datetime | None]
    csat_score: Mapped[int | None]
    counted: Mapped[bool]
    """Whether reports count it: what is spam, or goes on in another interaction, they do not."""
    active: Mapped[bool]
    """Whether they do, and it is not solved."""
    inbound: Mapped[bool]
    """Whether the customer came to us."""
    kind: Mapped[str]
    channel: Mapped[str]
    topic_id: Mapped[int | None]
    user_id: Mapped[int | None]
    account_id: Mapped[int | None]


class RatingLink(Base):
    """A link by which a customer rates how they were helped, once; what they said is in the events."""

    __tablename__ = "support_csat"

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    interaction_id: Mapped[int] = mapped_column(index=True)
    token_digest: Mapped[bytes] = mapped_column(unique=True)
    """SHA-256 of the token; the token itself is in the mail alone."""
    sent_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    commented_at: Mapped[datetime | None]
