"""Asking a module for what it contributes, so that one that fails spoils only its own part of a page."""

from collections.abc import Sequence
from contextlib import nullcontext
from functools import lru_cache
from typing import Any

import structlog
from sqlalchemy import event as sa_event
from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, UOWTransaction

from trackside.compiled import Compiled
from trackside.module import Ref, resolve
from trackside.runtime import Runtime

log = structlog.get_logger(__name__)
_READS = "trackside.reads"


def only_reads(session: Session, reads: bool = True) -> None:
    """Say whether `session` is there to read, as that of a GET is: then `ask` needs no savepoint around each answer."""
    session.info[_READS] = reads


@sa_event.listens_for(Session, "after_flush")
def _written(session: Session, _flushed: UOWTransaction) -> None:
    session.info.pop(_READS, None)


def ask(ref: Ref, runtime: Runtime, session: Session, *args: Any, otherwise: Any) -> Any:
    """Return what the code named by `ref` answers to `(runtime, session, *args)`, or `otherwise` where it fails.

    A statement of it that fails does not take the page's transaction with it: where something may have been written it
    runs in a savepoint, which is two statements more; where nothing was (see `only_reads`) the transaction starts anew.
    """
    reads = session.info.get(_READS, False)
    try:
        if reads:
            return resolve(ref)(runtime, session, *args)
        with session.begin_nested():
            return resolve(ref)(runtime, session, *args)
    except Exception:
        log.exception("contribution.failed", ref=ref)
        if reads:
            session.rollback()
        return otherwise


def ask_values(refs: Sequence[Ref], session: Session, **given: Any) -> dict[Ref, Any]:
    """Return the one value of each statement named in `refs`, all of them asked as one; what fails is left out.

    `given` are the parameters that the statements may hold.
    """
    if not refs:
        return {}
    try:
        with nullcontext() if session.info.get(_READS, False) else session.begin_nested():
            values = _together(tuple(refs))(session, **given)[0]
        return dict(zip(refs, values, strict=True))
    except Exception as error:
        log.exception("contribution.failed", refs=refs)
        if session.info.get(_READS, False):
            session.rollback()
        if isinstance(error, OperationalError):
            return {}  # a database that does not answer, or not in time, is not waited for once more by each
        alone = refs if len(refs) > 1 else ()  # one of them spoils only its own
        return {key: value for ref in alone for key, value in ask_values((ref,), session, **given).items()}


@lru_cache(maxsize=128)
def _together(refs: tuple[Ref, ...]) -> Compiled:
    return Compiled(select(*(resolve(ref).scalar_subquery() for ref in refs)))
