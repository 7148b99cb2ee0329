"""Asking a module for what it contributes, so that one that fails spoils only its own part of a page."""

from typing import Any

import structlog
from sqlalchemy.orm import Session

from trackside.module import Ref, resolve
from trackside.runtime import Runtime

log = structlog.get_logger(__name__)


def ask(ref: Ref, runtime: Runtime, session: Session, *args: Any, otherwise: Any) -> Any:
    """Return what the code named by `ref` answers to `(runtime, session, *args)`, or `otherwise` where it fails.

    It runs in a savepoint: a statement of it that fails does not take the page's transaction with it.
    """
    try:
        with session.begin_nested():
            return resolve(ref)(runtime, session, *args)
    except Exception:
        log.exception("contribution.failed", ref=ref)
        return otherwise
