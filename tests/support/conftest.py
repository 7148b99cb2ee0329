"""The support log, ready to be written into."""

import hashlib
import hmac
import json
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from trackside.auth.audit import COMMAND_LINE, Actor
from trackside.auth.models import Member
from trackside.clock import FrozenClock
from trackside.runtime import Runtime
from trackside_modules.support import moving, service
from trackside_modules.support.drafts import Draft
from trackside_modules.support.models import Interaction
from trackside_modules.support.service import trackers
from trackside_modules.support.web.hooks import sign

Post = Callable[..., TestResponse]


@pytest.fixture(autouse=True)
def unsettled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep an import of the shell, which is the only one in its process, from settling that of all tests."""
    monkeypatch.setattr(moving, "settle", lambda: None)


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


@pytest.fixture
def tracker(runtime: Runtime) -> Callable[[str], tuple[int, str]]:
    """Add a tracker; return its number and secret."""

    def made(ships_on: str = "merge") -> tuple[int, str]:
        with runtime.database.session() as session:
            it, secret = trackers.add(
                session, "GitHub", ships_on, runtime.settings.secret_key, who=COMMAND_LINE, now=runtime.clock.now()
            )
            return it.id, secret

    return made


@pytest.fixture
def github(client: FlaskClient) -> Post:
    """Post as GitHub does."""

    def post(to: tuple[int, str], event: str, data: Any, delivery: str = "d-1", secret: str = "") -> TestResponse:
        body = data if isinstance(data, bytes) else json.dumps(data).encode()
        made = hmac.new((secret or to[1]).encode(), body, hashlib.sha256).hexdigest()
        headers = {"X-GitHub-Event": event, "X-GitHub-Delivery": delivery, "X-Hub-Signature-256": f"sha256={made}"}
        return client.post(f"/hooks/support/work/{to[0]}", data=body, headers=headers)

    return post


@pytest.fixture
def script(client: FlaskClient, clock: FrozenClock) -> Post:
    """Post as a script of one's own does."""
    counted = count()

    def post(to: tuple[int, str], data: Any) -> TestResponse:
        body, called, at = json.dumps(data).encode(), f"m{next(counted)}", int(clock.now().timestamp())
        headers = {"webhook-id": called, "webhook-timestamp": str(at)}
        headers |= {"webhook-signature": sign(to[1], called, at, body)}
        return client.post(f"/hooks/support/work/{to[0]}", data=body, headers=headers)

    return post
