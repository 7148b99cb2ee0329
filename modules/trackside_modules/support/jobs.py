"""What the support log does by itself: following its customers, measuring anew, asking for ratings."""

from datetime import datetime
from functools import partial

import structlog

from trackside.auth.audit import SYSTEM
from trackside.errors import Conflict
from trackside.events import AccountErased, AccountsMerged, UserErased, UsersMerged
from trackside.jobs.outbox import post
from trackside.jobs.run import fenced
from trackside.runtime import Runtime
from trackside_modules.support import attachments
from trackside_modules.support.events import InteractionsErased
from trackside_modules.support.lookup.interactions import get
from trackside_modules.support.mail import outgoing
from trackside_modules.support.service import csat, erasing, mails, metrics, sending, trackers, upload_files, uploads
from trackside_modules.support.service.contexts import freezer

log = structlog.get_logger(__name__)
MAIL = "mail"
RATE_PATH = "/support/rate/"


def customers_changed(runtime: Runtime, event: UserErased | AccountErased | UsersMerged | AccountsMerged) -> None:
    """Follow what became of a customer at once; what fails here the ticks repeat."""
    follow(runtime)
    if isinstance(event, UserErased | AccountErased):
        # it is over: what was uploaded while it waited goes too
        forget_imports(runtime, erased_at=runtime.clock.now())


def remove_files(runtime: Runtime, event: InteractionsErased) -> None:
    """Remove the bytes of files that no interaction has any more."""
    attachments.remove(attachments.folder_of(runtime.settings), event.files)


def follow(runtime: Runtime) -> None:
    """Take the words out of interactions of erased customers, and give those of merged ones to who stands for them."""
    count = 1
    while count:
        with runtime.database.session() as session:
            count = erasing.follow(session, now=runtime.clock.now())
        if count:
            log.info("support.followed", count=count)


def bring_in(runtime: Runtime, import_id: int) -> None:
    """Bring in a file that a member uploaded, or try what would become of it."""
    folder = upload_files.folder_of(runtime.settings)
    uploads.work(partial(fenced, runtime), folder, import_id, clock=runtime.clock.now)
    # who was erased while it ran: what was being written of them just then
    follow(runtime)
    log.info("support.imported", upload=import_id)


def forget_imports(runtime: Runtime, erased_at: datetime | None = None) -> None:
    """Remove uploaded files that are of no use any more, or that may name who was erased."""
    with fenced(runtime) as session:
        folder = upload_files.folder_of(runtime.settings)
        uploads.forget(session, folder, now=runtime.clock.now(), erased_at=erased_at)


def forget_files(runtime: Runtime) -> None:
    """Remove the bytes of attachments whose message was never written: a killed import left them."""
    with fenced(runtime) as session:
        count = attachments.sweep(session, attachments.folder_of(runtime.settings), now=runtime.clock.now())
    if count:
        log.info("support.files_swept", count=count)


def forget_mails(runtime: Runtime) -> None:
    """Delete mails of long ago that belong to no interaction, and what trackers told long ago."""
    with fenced(runtime) as session:
        mails.forget(session, now=runtime.clock.now())
        trackers.forget(session, now=runtime.clock.now())


def measure(runtime: Runtime) -> None:
    """Make all metrics anew that are of an older version of the rules, a batch a transaction."""
    done: int | None = 0
    while done is not None:
        with fenced(runtime) as session:
            done = metrics.remeasure(session, after=done)


def ask(runtime: Runtime, interaction_id: int) -> None:
    """Send the customer a link by which they can rate, unless there is a reason not to (see `csat.recipient`)."""
    now = runtime.clock.now()
    with fenced(runtime, finish=True) as session:
        address = csat.recipient(session, interaction_id, now)
        if address is None or not any(MAIL in module.senders for module in runtime.registry.modules):
            return
        try:
            token = csat.make_link(session, interaction_id, who=SYSTEM, now=now)
        except Conflict:
            return
        row = get(session, interaction_id)
        link = f"{runtime.settings.base_url.rstrip('/')}{RATE_PATH}{token}"
        subject = f"How were you helped? [{row.ref}]"
        payload = {"interaction": row.id, "to": address, "subject": subject, "text": _text(link), "automatic": True}
        post(session, MAIL, payload)
    log.info("support.asked", interaction=interaction_id)


def deliver(runtime: Runtime, interaction_id: int, seq: int) -> None:
    """Send the customer what a member wrote, where they have an address."""
    with fenced(runtime, finish=True) as session:
        found = sending.outgoing(session, interaction_id, seq)
        if found is None:
            return
        post(session, MAIL, outgoing.compose(runtime.settings, found), about=sending.about(interaction_id, seq))
    log.info("support.delivered", interaction=interaction_id, seq=seq)


def take_mail(runtime: Runtime, mail_id: int) -> None:
    """Let a mail that was kept become part of its interaction, a new one, or nothing but itself."""
    with fenced(runtime, finish=True) as session:
        context, now = freezer(runtime), runtime.clock.now()
        outcome = mails.take(session, mail_id, settings=runtime.settings, now=now, context_of=context)
    log.info("support.mail", mail=mail_id, outcome=outcome)


def _text(link: str) -> str:
    return (
        "Hello,\n\nwe believe that what you wrote to us about is solved. How were you helped?\n\n"
        f"{link}\n\nOne click is all it takes. The link works once, for {csat.LASTS.days} days. "
        "If it is not solved, just answer our last mail.\n"
    )
