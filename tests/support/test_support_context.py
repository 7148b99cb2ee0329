"""What is frozen into an interaction: what its customer's calls and flags were like when it was logged."""

import io
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from trackside.auth.audit import Actor
from trackside.auth.principal import KeyPrincipal
from trackside.clock import FrozenClock
from trackside.lane import LaneRequest
from trackside.module import ContextCard
from trackside.runtime import Runtime
from trackside_modules.flags import service as flags
from trackside_modules.support import service
from trackside_modules.support.drafts import Draft
from trackside_modules.support.models import FrozenContext
from trackside_modules.usage.folding import fold
from trackside_modules.usage.ingest.events import door

ADA = Actor("Ada")
Call = Callable[[int, str], None]


@pytest.fixture
def call(runtime: Runtime) -> Call:
    """Let `dev@customer.example` call the API, with a status and an error, and count it."""
    take = door.events(runtime)

    def made(status: int, error: str) -> None:
        event = {
            "ts": runtime.clock.now().isoformat(),
            "method": "POST",
            "route": "/v1/keys",
            "status": status,
            "duration_ms": 12,
            "user": "dev@customer.example",
            "account": "customer",
            **({"error": error} if error else {}),
        }
        body = json.dumps({"events": [event]}).encode()
        environ = {"CONTENT_LENGTH": str(len(body)), "CONTENT_TYPE": "application/json", "wsgi.input": io.BytesIO(body)}
        key = KeyPrincipal(7, 1, "server", environment="production")
        answer = take(LaneRequest(environ, "/v1/events", key))
        assert answer.status.startswith("202"), answer
        fold.run(runtime, 1)

    return made


def logged(runtime: Runtime, **given: Any) -> dict[str, Any]:
    with runtime.database.session() as session:
        draft = Draft(**{"subject": "401 after rotation", "user": "dev@customer.example", **given})
        made = service.log(
            session, draft, who=ADA, now=runtime.clock.now(), context_of=service.freezer(runtime)
        ).interaction
        return dict(session.get_one(FrozenContext, made.id).data)


def card(context: dict[str, Any], name: str) -> Any:
    return next(each["values"] for each in context["cards"] if each["name"] == name)


def test_failing_calls_and_flag_variants_are_frozen_as_they_were(
    runtime: Runtime, clock: FrozenClock, call: Call
) -> None:
    with runtime.database.session() as session:
        flags.create(session, "new-auth", who=ADA, now=clock.now(), template="ops")
    call(200, "")
    call(401, "KeyRotated: the old key is not taken any more")
    context = logged(runtime)
    usage, variants = card(context, "usage"), card(context, "flags")
    assert (usage["calls"], usage["client_errors"]) == (2, 1)
    assert [(each["status"], each["route"], each["error"]) for each in usage["errors"]] == [
        (401, "/v1/keys", "KeyRotated")
    ]
    assert [(each["flag"], each["variant"]) for each in variants["rows"]] == [("new-auth", "on")]
    assert context["user"]["external_id"] == "dev@customer.example"
    assert context["account"]["external_id"] == "customer"
    assert context["environment"] == "Production"

    clock.advance(timedelta(hours=1))
    with runtime.database.session() as session:
        flags.change(session, 1, "new-auth", flags.edits.switch(on=False), who=ADA, now=clock.now())
    call(500, "Down")
    again = logged(runtime)
    assert card(again, "flags")["rows"] == []
    assert len(card(again, "usage")["errors"]) == 2
    with runtime.database.session() as session:
        assert session.get_one(FrozenContext, 1).data == context


def test_a_card_that_fails_is_marked_and_holds_up_nobody(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = ContextCard(
        "usage", "Usage", frozenset({"user"}), "usage.view", "trackside_modules.usage.contrib:gone", "usage/_card.html"
    )
    odd = ContextCard("odd", "Odd", frozenset({"user"}), "usage.view", f"{__name__}:gone", "odd/_card.html")
    monkeypatch.setattr("trackside.registry.Registry.each", lambda _self, _of: iter([broken, odd]))
    context = logged(runtime)
    assert [(each["name"], each["values"]) for each in context["cards"]] == [("odd", None), ("usage", None)]


def test_an_account_alone_has_a_context_too(runtime: Runtime) -> None:
    context = logged(runtime, user="", account="customer")
    assert (context["subject"], context["user"]) == ("account", None)
    assert context["account"]["external_id"] == "customer"
