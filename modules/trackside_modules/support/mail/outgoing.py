"""What a member wrote, as the mail that the customer gets."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import parseaddr
from typing import Any

from trackside.settings import Settings
from trackside_modules.support import words
from trackside_modules.support.mail import tags
from trackside_modules.support.markdown import render

MOST_REFERENCES = 20
# the numbers of other interactions are no links for somebody outside
_OWN_LINKS = re.compile(r'<a href="/support/[^>]*>(.*?)</a>')
_HTML = """<!doctype html>
<html><head><meta charset="utf-8"><title>{title}</title></head><body>
{body}
</body></html>
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A message on its way out."""

    number: int
    seq: int
    to: str
    subject: str
    body: str
    """Markdown: what is written is readable as it is."""
    sender: str
    """What the member is called; empty: Trackside itself."""
    automatic: bool
    theirs: Sequence[str]
    """Message-IDs of the customer's mails in this conversation, in order."""
    ours: Sequence[int]
    """Events of ours that were said before."""
    files: Sequence[dict[str, str]] = ()


def compose(settings: Settings, it: Outgoing) -> dict[str, Any]:
    """Return `it` as a payload of the outbox's channel `mail`."""
    name, address = parseaddr(settings.mail_from)
    domain = address.rpartition("@")[2] or "localhost"
    before = [tags.message_id(settings.secret_key, it.number, seq, domain) for seq in it.ours]
    chain = [*it.theirs[-MOST_REFERENCES // 2 :], *before[-MOST_REFERENCES // 2 :]]
    answered = it.theirs[-1] if it.theirs else before[-1] if before else None
    return {
        "interaction": it.number,
        "to": it.to,
        "from_name": " - ".join(filter(None, (it.sender, name))),
        "subject": f"{'Re: ' if chain else ''}{it.subject} [{words.ref(it.number)}]",
        "text": f"{it.body}\n",
        "html": _html(it),
        "message_id": tags.message_id(settings.secret_key, it.number, it.seq, domain),
        "in_reply_to": answered,
        "references": chain,
        "reply_to": settings.mail_reply_to.replace("{tag}", tags.tag(settings.secret_key, it.number)),
        "automatic": it.automatic,
        "files": list(it.files),
    }


def _html(it: Outgoing) -> str:
    return _HTML.format(title=words.ref(it.number), body=_OWN_LINKS.sub(r"\1", str(render(it.body))))
