"""A mail that came in, read: who wrote what, where it belongs, and whether anybody wrote it at all.

A mail that is attached to it becomes a file with the headers that were read: what was cut of those too long (`bounds`)
is missing there. The mail itself is kept as it came.
"""

import codecs
import hashlib
import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import EmailMessage, Message, MIMEPart
from email.utils import parseaddr

import nh3
from mailparser_reply import EmailReplyParser

from trackside.text import is_hidden
from trackside_modules.support.mail import bounds

LONGEST_TEXT = 150_000
"""Characters of a mail that become a message; the rest is in the mail, which is kept."""
LONGEST_SUBJECT = 180
_LONGEST_CUT = 20_000
"""Characters among which quotes are looked for: the patterns that find them are slow on more."""
_LONGEST_ID = 900
_LANGUAGES = ["en", "de", "fr", "es", "it", "nl", "pl", "sv", "da"]
_NO_CHARSETS = {"punycode", "idna"}
"""Of names, not of texts: Python knows them, and goes through a text once for each of its characters."""
_MANY = {"bulk", "list", "junk"}
_POSTMASTERS = ("mailer-daemon@", "postmaster@")
_COMMENTS = re.compile(r"<!--(?:-?>|.*?-->)", re.DOTALL)
_END = r"""[^<>=]*(?:=(?:\s*"[^"<]*"|\s*'[^'<]*'|(?!\s*["']))[^<>=]*){0,200}>"""
"""Of a tag: what is quoted may hold a `>`. None goes beyond the next `<`, so no page is gone through twice."""
_BREAKS = re.compile(rf"<(?:br|/p|/div|/tr|/li|/h[1-6])\b{_END}", re.IGNORECASE)
_TAGS = re.compile(rf"</?(?!(?:script|style|title)\b)[a-z]{_END}", re.IGNORECASE)
_MOST_TAGS = 5000
"""Tags that are taken out by their grammar: its time grows with the square of how deep they are nested."""
_BLANKS = re.compile(r"\n{3,}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """What a mail says."""

    sender: str
    """Their address in lower case; empty where there is none."""
    subject: str
    text: str
    """All of it, as plain text."""
    references: tuple[str, ...]
    """Message-IDs that it answers, the nearest first."""
    addresses: str
    """Whom it is to, as it is written there."""
    automatic: bool
    """Whether nobody wrote it: an absence note, a list, a monitor."""
    bounce: bool
    """Whether it tells that one of ours did not arrive."""
    files: tuple[tuple[str, bytes], ...]

    @property
    def answer(self) -> str:
        """What is new in it: without what it quotes."""
        if len(self.text) > _LONGEST_CUT:
            return self.text
        cut = EmailReplyParser(languages=_LANGUAGES).parse_reply(text=self.text) or ""
        return cut.strip() or self.text


def id_of(raw: bytes) -> str:
    """Return the Message-ID of a mail, or one made of its bytes where it has none."""
    try:
        given = _clean(str(bounds.head_of(raw).get("Message-ID", ""))).replace("\n", "").strip()
    except Exception:
        given = ""
    return given if 2 < len(given) <= _LONGEST_ID else f"<{hashlib.sha256(raw).hexdigest()}@made.invalid>"


def read(raw: bytes) -> Incoming:
    """Read a mail; raises ValueError for what cannot be read as one."""
    try:
        return _read(bounds.parsed(raw))
    except Exception as error:
        raise ValueError(f"This is no mail that can be read: {type(error).__name__}.") from error


def _read(mail: EmailMessage) -> Incoming:
    sender = parseaddr(_header(mail, "From"))[1].strip().lower()
    bounce = mail.get_content_type() == "multipart/report" or sender.startswith(_POSTMASTERS)
    return Incoming(
        sender=sender if "@" in sender[1:-1] else "",
        subject=" ".join(_header(mail, "Subject").split())[:LONGEST_SUBJECT] or "(no subject)",
        text=_text(mail)[:LONGEST_TEXT],
        references=tuple(_references(mail)),
        addresses=_clean(bounds.addresses_of(mail)),
        automatic=bounce or _automatic(mail),
        bounce=bounce or _header(mail, "Return-Path").strip() == "<>",
        files=tuple(_files(mail)),
    )


def _header(mail: EmailMessage, name: str) -> str:
    return _clean(", ".join(str(each) for each in mail.get_all(name, [])))


def _references(mail: EmailMessage) -> Iterator[str]:
    nearest = re.findall(r"<[^<>\s]+>", _header(mail, "In-Reply-To"))
    yield from dict.fromkeys([*nearest, *reversed(re.findall(r"<[^<>\s]+>", _header(mail, "References"))[-50:])])


def _automatic(mail: EmailMessage) -> bool:
    """Whether a program sent it, by RFC 3834 and by what programs write that never read it."""
    submitted = _header(mail, "Auto-Submitted").split(";")[0].strip().lower()
    return (
        submitted not in ("", "no")
        or _header(mail, "Precedence").strip().lower() in _MANY
        or _header(mail, "Return-Path").strip() == "<>"
        or any(mail.get(name) is not None for name in ("List-Id", "X-Autoreply", "X-Autorespond", "X-Loop"))
    )


def _text(mail: EmailMessage) -> str:
    part = mail.get_body(preferencelist=("plain", "html"))
    if part is None:
        return ""
    said = _content(part)
    if part.get_content_type() == "text/html":
        said = _BLANKS.sub("\n\n", "\n".join(line.strip() for line in _bare(said).splitlines()))
    return _clean(said[: 4 * LONGEST_TEXT]).strip()


def _bare(page: str) -> str:
    """Return the words of a page; what opens more tags within tags than people do is left as it stands."""
    closed = page.rfind("-->") + 3  # beyond it a comment would be looked for up to the end, from each beginning again
    said = _COMMENTS.sub("", page[:closed]) + page[closed:] if closed > 2 else page
    bare = _TAGS.sub("", _BREAKS.sub("\n", said))
    if bare.count("<") <= _MOST_TAGS:
        bare = nh3.clean(bare, tags=set(), clean_content_tags={"script", "style", "title"})
    return html.unescape(bare)


def _content(part: MIMEPart) -> str:
    try:
        charset = codecs.lookup(str(part.get_param("charset", "ascii"))).name  # "-punycode" is a way to write it, too
        found = None if charset in _NO_CHARSETS else part.get_content()
    except (LookupError, ValueError):  # a charset that does not exist
        found = None
    if found is None:
        found = part.get_payload(decode=True)
    return found.decode("utf-8", "replace") if isinstance(found, bytes) else str(found)


def _files(mail: EmailMessage) -> Iterator[tuple[str, bytes]]:
    for part in mail.iter_attachments():
        if part.get_content_type() == "message/rfc822":
            inner = part.get_payload()
            held = inner[0] if isinstance(inner, list) else None
            content = held.as_bytes(policy=bounds.AS_READ) if isinstance(held, Message) else b""
            name = part.get_filename() or "message.eml"
        else:
            payload = part.get_payload(decode=True)
            content, name = payload if isinstance(payload, bytes) else b"", part.get_filename() or "file"
        if content:
            yield _clean(name), content


def _clean(text: str) -> str:
    """Return `text` with nothing in it that cannot be stored or seen."""
    whole = text.replace("\r\n", "\n").encode("utf-8", "replace").decode()
    return "".join(each for each in whole if each in "\n\t" or each.isprintable() or not is_hidden(each))
