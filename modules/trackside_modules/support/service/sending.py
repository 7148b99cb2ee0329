"""Letting what members write reach the customer: a task in the same transaction, so that no reply is lost."""

from collections.abc import Collection, Iterable

from sqlalchemy import delete, or_, select, update
from sqlalchemy.orm import Session

from trackside.auth.models import Member
from trackside.customers.models import User
from trackside.errors import Conflict, NotFound
from trackside.jobs import sent, tasks
from trackside.jobs.models import Delivery
from trackside_modules.support.history import Event
from trackside_modules.support.lookup.interactions import get, history_of
from trackside_modules.support.mail.outgoing import Outgoing
from trackside_modules.support.models import File, Mail
from trackside_modules.support.models.files import FOLDER

DELIVER = "support.deliver"


def arrange(session: Session, number: int, added: Iterable[Event]) -> None:
    """Let the messages of ours among `added` be sent.

    What an interaction begins with was said elsewhere (a call, an import, a split one): it is a record, and stays here.
    """
    events = list(added)
    if any(event.kind == "created" for event in events):
        return
    for event in events:
        if event.kind == "message" and event.data["side"] == "staff":
            tasks.enqueue(session, DELIVER, {"interaction_id": number, "seq": event.seq})


def about(number: int, seq: int) -> str:
    """Return what the outbox calls the message `seq` of the interaction `number`."""
    return f"support.message:{number}:{seq}"


def again(session: Session, number: int, seq: int) -> None:
    """Send a message of ours once more, to the address of today, and give up the try before.

    Raises NotFound where there is no such message, Conflict where it is on its way.
    """
    event = next((each for each in history_of(session, number) if each.seq == seq), None)
    if event is None or not _ours(event):
        raise NotFound("There is no such message of ours.")
    before = sent.of(session, [about(number, seq)]).get(about(number, seq))
    if before is not None and before.state in (sent.QUEUED, sent.TRYING):
        raise Conflict("It is on its way already.")
    if before is None or before.state not in (sent.GIVEN_UP, sent.NOWHERE):
        raise Conflict("Only what could not be sent is sent again.")
    if before.state == sent.GIVEN_UP and before.task_id is not None:
        tasks.discard(session, before.task_id)
    key = f"{DELIVER}:{number}:{seq}"
    tasks.enqueue(session, DELIVER, {"interaction_id": number, "seq": seq}, dedupe_key=key)


def outgoing(session: Session, number: int, seq: int) -> Outgoing | None:
    """Return the message `seq` of the interaction `number` as it is to be sent; None: there is nobody to send it to."""
    row = get(session, number)
    user = session.get(User, row.user_id) if row.user_id else None
    if row.erased or user is None or not user.email or user.erased_at is not None:
        return None
    events = history_of(session, number)
    event = next((each for each in events if each.seq == seq and each.kind == "message"), None)
    if event is None:
        return None
    member = session.get(Member, event.member_id) if event.member_id else None
    theirs = select(Mail.message_id).where(Mail.interaction_id == number).order_by(Mail.id)
    return Outgoing(
        number=number,
        seq=seq,
        to=user.email,
        subject=row.subject,
        body=event.data["body"],
        sender=member.name if member else "",
        automatic=bool(event.data.get("automatic")),
        theirs=session.scalars(theirs).all(),
        ours=[each.seq for each in events if each.seq < seq and _ours(each)],
        files=_files(session, event.data.get("file_ids", ())),
    )


def forget(session: Session, numbers: Collection[int]) -> None:
    """Empty what waits to be sent about the interactions `numbers`, and the mails that came in for them."""
    waiting = Delivery.payload["interaction"].as_integer().in_(numbers)
    session.execute(
        delete(Delivery).where(Delivery.sent_at.is_(None), waiting).execution_options(synchronize_session=False)
    )
    gone = update(Mail).where(Mail.interaction_id.in_(numbers), or_(Mail.raw.is_not(None), Mail.sender != ""))
    session.execute(gone.values(raw=None, sender="").execution_options(synchronize_session=False))


def _ours(event: Event) -> bool:
    return event.kind == "message" and event.data["side"] == "staff"


def _files(session: Session, ids: Collection[int]) -> list[dict[str, str]]:
    found = session.scalars(select(File).where(File.id.in_(ids)).order_by(File.id)) if ids else ()
    return [{"name": it.name, "type": it.type, "path": f"{FOLDER}/{it.sha256[:2]}/{it.sha256}"} for it in found]
