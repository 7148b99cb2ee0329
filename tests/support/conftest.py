"""The support log, ready to be written into."""

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from trackside.auth.audit import Actor
from trackside.auth.models import Member
from trackside.clock import FrozenClock
from trackside.runtime import Runtime
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


@pytest.fixture
def desk(signed_in_client: Callable[..., FlaskClient]) -> FlaskClient:
    """A browser of somebody who works there."""
    return signed_in_client("support")


@pytest.fixture
def logged(desk: FlaskClient) -> Callable[..., int]:
    """Log a line on its page, and return the number it got."""

    def log(line: str = "dev@customer.example 401 after key rotation !high bug -- the **old** key works") -> int:
        answer = desk.post("/support/new", data={"line": line, "opened": ""})
        assert answer.status_code == 302, answer.text
        return int(answer.headers["Location"].rsplit("/", 1)[1])

    return log


@pytest.fixture
def now_of(runtime: Runtime) -> Callable[[int], Interaction]:
    """Return an interaction as it is now."""

    def read(number: int) -> Interaction:
        with runtime.database.session() as session:
            return service.get(session, number)

    return read
