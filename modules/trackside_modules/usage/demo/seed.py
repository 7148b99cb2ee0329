"""What the demo puts into usage: its rate limits at once, its past by a worker."""

from sqlalchemy.orm import Session

from trackside.runtime import Runtime
from trackside_modules.usage.demo import history, limits


def seed(runtime: Runtime, session: Session) -> None:
    """Add what is missing."""
    limits.seed(runtime, session)
    history.seed(runtime, session)
