"""The support log, ready to be written into."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.orm import Session

from trackside.auth.audit import Actor
from trackside.auth.models import Member
from trackside.clock import FrozenClock
from trackside_modules.support import service
from trackside_modules.support.drafts import Draft
from trackside_modules.support.models import Interaction


@pytest.fixture
def ada(session: Session) -> Actor:
    """Ada of the staff."""
    member = Member(email="ada@staff.example", name="Ada", role="support")
    session.add(member)
    session.flush()
    return Actor("Ada", member_id=member.id)


@pytest.fixture
def log(session: Session, ada: Actor, clock: FrozenClock) -> Callable[..., Interaction]:
    """Log an interaction, by Ada and with `dev@customer.example` unless told otherwise."""

    def made(subject: str = "401 after key rotation", **given: Any) -> Interaction:
        draft = Draft(**{"subject": subject, "user": "dev@customer.example", **given})
        return service.log(session, draft, who=ada, now=clock.now()).interaction

    return made
