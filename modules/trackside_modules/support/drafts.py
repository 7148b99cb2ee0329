"""An interaction that is about to be logged, as whoever logs it says it."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What is told of a new interaction: who and what are needed, the rest is left to its default.

    Give the user by number or by text, the account likewise; an unknown one is made.
    """

    subject: str
    body: str = ""
    """The first message, in Markdown: the customer's where the direction is `in`, else ours."""
    user: str = ""
    """An e-mail address, or the id that the API uses."""
    user_id: int | None = None
    account: str = ""
    """The id that the API uses."""
    account_id: int | None = None
    """None: the user's."""
    kind: str = "question"
    topic: str = ""
    """A topic's path or alias; unknown ones are refused."""
    topic_id: int | None = None
    channel: str = "other"
    direction: str = "in"
    status: str = ""
    """Empty: `new` where the customer came and nobody has it, else `open` (or theirs to answer, once we wrote)."""
    priority: str = "normal"
    assignee_id: int | None = None
    tags: tuple[str, ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    """`("flag", key)`, `("url", address)` or `("interaction", number)`."""
    note: str = ""
    """An internal note besides."""
    occurred_at: datetime | None = None
    """When it happened; None: now."""
    logged_ms: int | None = None
    """Milliseconds from when the form was opened until it was saved."""
    source: str = "web"
    external_ref: str | None = None
    """Its id where it comes from: logged once for each source."""
    env_id: int | None = None
    """The environment whose context is frozen; None: the first."""
    file_ids: tuple[int, ...] = ()
    mail_id: int | None = None
    automatic: bool = False
    """Whether nobody wrote the body: a monitor's mail, say."""
