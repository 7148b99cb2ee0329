"""What the client has to say: each thing once, to the logger `trackside_client`, so that no log is ever filled."""

import logging

logger = logging.getLogger("trackside_client")
_MOST = 100
_said: set[str] = set()


def once(about: str, message: str, *values: object, error: bool = False) -> None:
    """Log a warning, with the exception in hand where `error`, unless one about the same has been."""
    if about in _said or len(_said) >= _MOST:
        return
    _said.add(about)
    logger.warning("trackside: " + message, *values, exc_info=error)  # noqa: G003 - one prefix for all


def again(about: str) -> None:
    """Let the next warning about this be heard: what it was about is over."""
    _said.discard(about)
