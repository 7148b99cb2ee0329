"""Mails that come in: kept as they are at once, then joined to their interaction by a task.

| outcome | what became of it |
|---|---|
| waiting | the task has not come to it |
| new, joined | an interaction was logged, or it went on |
| automatic | nobody wrote it: kept in its conversation where it has one, and never answered |
| bounce | one of ours did not arrive: a note says so |
| loop | it is one of our own |
| limited | its sender sent too many within an hour |
| unreadable, refused | it is no mail, or its sender cannot be a customer |
"""

from datetime import datetime, timedelta
from email.utils import parseaddr
from pathlib import Path

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from trackside.auth.audit import SYSTEM
from trackside.errors import InputError
from trackside.jobs.tasks import enqueue
from trackside.settings import Settings
from trackside_modules.support import attachments
from trackside_modules.support.drafts import Draft
from trackside_modules.support.lookup.people import find_user
from trackside_modules.support.mail import tags
from trackside_modules.support.mail.incoming import Incoming, id_of, read
from trackside_modules.support.models import Interaction, Mail
from trackside_modules.support.service import logs, messages, people
from trackside_modules.support.service.contexts import ContextOf

TAKE = "support.mail"
MOST_BYTES = 25 << 20
AN_HOUR = 30
"""Mails of one sender that are taken in within an hour: two programs that answer each other end here."""
KEEP_UNJOINED = timedelta(days=30)
_HEAD = 1 << 18
_LONGEST_NOTE = 2000


def keep(session: Session, raw: bytes, *, now: datetime) -> int | None:
    """Keep a mail, with the task that takes it in; return its id, or None where it was kept already."""
    row = insert(Mail).values(message_id=id_of(raw), received_at=now, raw=raw)
    mail_id = session.scalar(row.on_conflict_do_nothing(index_elements=[Mail.message_id]).returning(Mail.id))
    if mail_id is not None:
        enqueue(session, TAKE, {"mail_id": mail_id})
    return mail_id


def take(session: Session, mail_id: int, *, settings: Settings, now: datetime, context_of: ContextOf) -> str:
    """Let a mail become what it is: part of an interaction, a new one, or nothing but itself. Return the outcome."""
    mail = session.get(Mail, mail_id, with_for_update=True)
    if mail is None or mail.outcome != "waiting" or mail.raw is None:
        return mail.outcome if mail else "gone"
    try:
        found = read(mail.raw)
    except ValueError:
        mail.outcome = "unreadable"
        return mail.outcome
    mail.sender = found.sender
    session.flush()
    try:
        mail.outcome, mail.interaction_id = _taken(
            session, mail, found, settings=settings, now=now, context_of=context_of
        )
    except InputError:
        mail.outcome = "refused"
    session.flush()
    return mail.outcome


def forget(session: Session, *, now: datetime) -> None:
    """Delete mails of long ago that belong to no interaction: nobody would find them to erase them."""
    old = delete(Mail).where(Mail.interaction_id.is_(None), Mail.received_at < now - KEEP_UNJOINED)
    session.execute(old)


def _taken(
    session: Session, mail: Mail, found: Incoming, *, settings: Settings, now: datetime, context_of: ContextOf
) -> tuple[str, int | None]:
    if found.sender == parseaddr(settings.mail_from)[1].lower() or tags.is_ours(settings.secret_key, mail.message_id):
        return "loop", None
    if not found.sender:
        return ("bounce" if found.bounce else "unreadable"), None
    if _too_many(session, mail, now):
        return "limited", None
    number = _belongs_to(session, mail, found, settings.secret_key)
    if found.bounce:
        return "bounce", _bounced(session, number, found, now)
    if found.automatic and number is None:
        return "automatic", None
    folder = attachments.folder_of(settings)
    return _said(session, mail, found, number, folder=folder, now=now, context_of=context_of)


def _said(
    session: Session,
    mail: Mail,
    found: Incoming,
    number: int | None,
    *,
    folder: Path,
    now: datetime,
    context_of: ContextOf,
) -> tuple[str, int]:
    files, left_out = _files(found)
    file_ids = attachments.keep(session, folder, files, now=now) if files else []
    said = "\n\n".join(filter(None, (found.text if number is None else found.answer, left_out)))
    if number is None:
        draft = Draft(
            subject=found.subject,
            body=said,
            user=found.sender,
            channel="email",
            source="mail",
            file_ids=tuple(file_ids),
            mail_id=mail.id,
        )
        return "new", logs.log(session, draft, who=SYSTEM, now=now, context_of=context_of).interaction.id
    user = people.find_or_make(session, people.Named(user=found.sender), SYSTEM, now=now).user
    row = messages.receive(
        session,
        number,
        said or "(an empty mail)",
        now=now,
        user_id=user.id if user else None,
        file_ids=file_ids,
        mail_id=mail.id,
        automatic=found.automatic,
    )
    return ("automatic" if found.automatic else "joined"), row.id


def _too_many(session: Session, mail: Mail, now: datetime) -> bool:
    lately = (
        select(func.count())
        .select_from(Mail)
        .where(Mail.sender == mail.sender, Mail.received_at > now - timedelta(hours=1), Mail.id < mail.id)
    )
    return (session.scalar(lately) or 0) >= AN_HOUR


def _belongs_to(session: Session, mail: Mail, found: Incoming, secret: str) -> int | None:
    """Return the interaction a mail goes on with: by our signature, by a mail before it, by number for those known."""
    signed = tags.signed(secret, f"{found.addresses} {' '.join(found.references)}")
    if signed is None and found.bounce and mail.raw is not None:
        signed = tags.signed(secret, mail.raw[:_HEAD].decode("latin-1"))
    if signed is None and found.references:
        before = select(Mail.interaction_id).where(
            Mail.message_id.in_(found.references), Mail.interaction_id.is_not(None)
        )
        signed = session.scalar(before.limit(1))
    if signed is not None:
        row = session.get(Interaction, signed)
        return row.id if row is not None and not row.erased else None
    return _by_number(session, found)


def _by_number(session: Session, found: Incoming) -> int | None:
    number = tags.named(found.subject)
    row = session.get(Interaction, number) if number else None
    sender = find_user(session, found.sender)
    if row is None or row.erased or sender is None:
        return None
    theirs = sender.id == row.user_id or (sender.account_id is not None and sender.account_id == row.account_id)
    return row.id if theirs else None


def _bounced(session: Session, number: int | None, found: Incoming, now: datetime) -> int | None:
    if number is None:
        return None
    number = messages.standing(session, number)
    quoted = "\n".join(f"> {line}" for line in found.text[:_LONGEST_NOTE].splitlines() if line.strip())
    said = f"A mail to the customer came back. What the mail server said:\n\n{quoted}"
    messages.note(session, number, said, who=SYSTEM, now=now)
    return number


def _files(found: Incoming) -> tuple[list[tuple[str, bytes]], str]:
    """Return the files that fit, and what is to be said of those that do not."""
    kept: list[tuple[str, bytes]] = []
    for name, content in found.files:
        size = sum(len(each) for _, each in kept) + len(content)
        if len(kept) < attachments.MOST_FILES and size <= attachments.MOST_BYTES:
            kept.append((name, content))
    left = len(found.files) - len(kept)
    return kept, f"({left} more attached: too many or too large to keep.)" if left else ""


__all__ = ["MOST_BYTES", "TAKE", "forget", "keep", "take"]
