"""Taking a mail apart at a bounded price, whoever wrote it.

Python's parser goes through some headers once for each of their characters: 100,000 of them take it a minute, and a
part of eight bytes takes a kilobyte of memory; and each line is held against the boundaries of all parts it is within.
So headers are cut before they are understood, and a mail of more parts, headers or lines than any that people send is
refused.
"""

import re
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import EmailPolicy
from typing import Any

MOST_PARTS = 500
MOST_HEADERS = 5000
"""Of all parts together."""
MOST_LINES = 1_000_000
MOST_MATCHES = 50_000_000
"""Lines times the boundaries that they are held against."""
_AS_DEAR_AS_A_LINE = 150
"""Characters of a line that begins like a boundary: they are held against it one by one."""
LONGEST_HEADER = 4000
LONGEST_OF_ADDRESSES = 16_000
"""Characters of a header that says whom a mail is to, see `addresses_of`: ours may be the last of some hundred."""
LONGEST_OF_A_PART = 2000
"""Characters of a header that says what a part is: these are understood once for each part."""
ALL_HEADERS = 256_000
"""Characters of all headers together."""
LONGEST_HEAD = 1 << 18
_END_OF_HEAD = re.compile(rb"\r?\n\r?\n|\r\r")
ADDRESSED = frozenset({"to", "cc", "delivered-to", "x-original-to", "envelope-to"})


class _Bounded(EmailPolicy):
    """What counts the parts and headers of one mail, and cuts those that are too long."""

    left: dict[str, int] = {}  # noqa: RUF012 - each mail has its own, see `counting`

    def counting(self, lines: int) -> "_Bounded":
        """Return a policy for one mail, of which nothing was counted yet but its lines."""
        left = {"parts": MOST_PARTS, "headers": MOST_HEADERS, "text": ALL_HEADERS}
        left["boundaries for its lines"] = MOST_MATCHES // max(lines, 1)

        def part(policy: EmailPolicy) -> EmailMessage:
            _take(left, "parts")
            return _Part(policy)

        own: dict[str, Any] = {"left": left, "message_factory": part}
        return self.clone(**own)

    def header_source_parse(self, sourcelines: list[str]) -> tuple[str, str]:
        """Return a header's name and value as they are, cut where they are too long."""
        _take(self.left, "headers")
        name, value = super().header_source_parse(sourcelines)
        lower = name.lower()
        longest = LONGEST_OF_A_PART if lower.startswith("content-") else LONGEST_HEADER
        if lower in ADDRESSED and self.left["parts"] == MOST_PARTS - 1:  # the mail's own: no part was opened yet
            longest = LONGEST_OF_ADDRESSES
        longest = min(longest, self.left["text"])
        # the nearest reference is the last
        value = value[max(0, len(value) - longest) :] if lower == "references" else value[:longest]
        self.left["text"] -= len(value)
        return name[:LONGEST_OF_A_PART], value


class _Part(EmailMessage):
    """A part that tells when it is opened."""

    def get_boundary(self, failobj: Any = None) -> Any:
        """Return the line between its parts; the parser asks before it goes through them.

        What the header says is no use for counting: it has many ways to write one.
        """
        if not self.is_multipart() and isinstance(self.policy, _Bounded):
            _take(self.policy.left, "boundaries for its lines")
        return super().get_boundary(failobj)


_POLICY = _Bounded()
AS_READ = EmailPolicy(refold_source="none")
"""For writing a mail: without understanding its headers, which takes long."""


def head_of(raw: bytes) -> EmailMessage:
    """Return a mail's headers alone; raises ValueError where they are no headers."""
    head = raw[:LONGEST_HEAD]
    end = _END_OF_HEAD.search(head)
    return parsed(head[: end.end()] if end else head)


def parsed(raw: bytes) -> EmailMessage:
    """Return a mail taken apart; raises ValueError for one of too many parts, headers or lines."""
    lines = raw.count(b"\n") + raw.count(b"\r") - raw.count(b"\r\n")
    if lines > MOST_LINES:
        raise ValueError(f"a mail of more than {MOST_LINES:,} lines")
    found = message_from_bytes(raw, policy=_POLICY.counting(lines + len(raw) // _AS_DEAR_AS_A_LINE))
    if not isinstance(found, EmailMessage):
        raise TypeError("no mail")
    return found


def addresses_of(mail: EmailMessage) -> str:
    """Return what says whom a mail is to, as it stands there: to understand it takes Python half a minute."""
    return " ".join(str(value) for name, value in mail.raw_items() if name.lower() in ADDRESSED)


def _take(left: dict[str, int], what: str) -> None:
    left[what] -= 1
    if left[what] < 0:
        raise ValueError(f"a mail of too many {what}")
