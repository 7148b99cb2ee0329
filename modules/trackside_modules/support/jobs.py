"""What the support log does by itself."""

import structlog

from trackside.events import AccountErased, AccountsMerged, UserErased, UsersMerged
from trackside.runtime import Runtime
from trackside_modules.support import attachments
from trackside_modules.support.events import InteractionsErased
from trackside_modules.support.service import erasing

log = structlog.get_logger(__name__)


def customers_changed(runtime: Runtime, _event: UserErased | AccountErased | UsersMerged | AccountsMerged) -> None:
    """Follow what became of a customer at once; what fails here the tick repeats."""
    follow(runtime)


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
