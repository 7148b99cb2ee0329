"""Webhooks out: kept with the change, signed, sent until taken, paused when nobody takes them, never into the house."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from flask.testing import FlaskClient
from sqlalchemy import select
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from trackside.auth.audit import COMMAND_LINE
from trackside.auth.models import AuditEntry
from trackside.clock import FrozenClock
from trackside.customers.erase import erase
from trackside.customers.models import User
from trackside.events import WebhookPaused
from trackside.jobs.models import OPEN, Task
from trackside.net import network_of
from trackside.runtime import Runtime, build_runtime
from trackside.settings import Settings
from trackside.testing.receiver import Receiver, listening
from trackside.webhooks import Happened, publish, sending, service
from trackside.webhooks.models import Delivery, Endpoint
from trackside.webhooks.service import Wanted
from trackside_modules.support import jobs
from trackside_modules.support import service as support
from trackside_modules.support.drafts import Draft

LOGGED = "support.interaction.created"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with listening() as made:
        yield made


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Let this machine be called, as an operator may."""
    return replace(settings, outbound_networks=("127.0.0.0/8",))


@pytest.fixture
def add(runtime: Runtime, receiver: Receiver) -> Callable[..., tuple[int, str]]:
    """Add an endpoint, and return its number and secret."""

    def made(*types: str, url: str = "") -> tuple[int, str]:
        wanted = Wanted("Receiver", url or receiver.url, types or ("*",))
        checked = wanted.checked(network_of(runtime.settings), sending.types_of(runtime))
        with runtime.database.session() as session:
            it, secret = service.add(
                session, checked, runtime.settings.secret_key, who=COMMAND_LINE, now=runtime.clock.now()
            )
            return it.id, secret

    return made


@pytest.fixture
def log(runtime: Runtime) -> Callable[[str], int]:
    """Log an interaction, as the shell does, and return its number."""

    def made(subject: str = "401 after key rotation") -> int:
        with runtime.database.session() as session:
            draft = Draft(subject=subject, user="dev@customer.example", body="Since noon.")
            return support.log(session, draft, who=COMMAND_LINE, now=runtime.clock.now()).interaction.id

    return made


def deliveries(runtime: Runtime) -> list[Delivery]:
    with runtime.database.session() as session:
        return list(session.scalars(select(Delivery).order_by(Delivery.id)))


def endpoint(runtime: Runtime, number: int) -> Endpoint:
    with runtime.database.session() as session:
        return service.get(session, number)


def verified(secret: str, headers: dict[str, str], body: bytes, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return what a message says, read as a receiver reads it: by the library, at the time that the clock stands at."""
    monkeypatch.setattr(Webhook, "_Webhook__verify_timestamp", lambda self, text: _moment(text))
    found: dict[str, Any] = Webhook(secret).verify(body, headers)
    return found


def _moment(text: str) -> Any:
    return datetime.fromtimestamp(float(text), UTC)


def test_what_happens_is_told_signed_and_in_the_shape_of_the_api(
    runtime: Runtime, receiver: Receiver, add: Any, log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    number, secret = add(LOGGED, "support.interaction.message")
    interaction = log()

    sending.push(runtime, number)

    assert len(receiver.got) == 2
    told = [verified(secret, headers, body, monkeypatch) for headers, body in receiver.got]
    assert [each["type"] for each in told] == [LOGGED, "support.interaction.message"]
    assert told[0]["id"] < told[1]["id"]
    assert told[0]["timestamp"] == "2026-06-15T12:00:00Z"
    assert told[0]["data"]["interaction"]["ref"] == f"SUP-{interaction}"
    assert (told[0]["data"]["interaction"]["version"], told[0]["data"]["interaction"]["messages"]) == (1, 0)
    assert told[1]["data"]["event"]["data"]["body"] == "Since noon."
    assert told[0]["data"]["url"] == f"http://localhost/support/{interaction}"
    headers, body = receiver.got[0]
    assert headers["content-type"] == "application/json"
    with pytest.raises(WebhookVerificationError):
        verified(secret, headers, body.replace(b"401", b"402"), monkeypatch)
    assert {it.state for it in deliveries(runtime)} == {"delivered"}
    assert deliveries(runtime)[0].answer == "thanks"


def test_what_is_rolled_back_is_told_to_nobody(runtime: Runtime, add: Any) -> None:
    add()
    with pytest.raises(RuntimeError), runtime.database.session() as session:
        publish(session, [Happened(LOGGED, {"number": 1, "seq": 1}, runtime.clock.now())])
        raise RuntimeError

    assert deliveries(runtime) == []


def test_nothing_personal_waits_in_the_tables_and_the_secret_is_in_none(runtime: Runtime, add: Any, log: Any) -> None:
    number, secret = add(LOGGED)
    log("dev@customer.example cannot sign in")

    assert all(set(each.ref) == {"number", "seq", "about"} for each in deliveries(runtime))
    row = endpoint(runtime, number)
    assert secret.removeprefix("whsec_") not in str([getattr(row, column.key) for column in Endpoint.__table__.c])
    with runtime.database.session() as session:
        audited = session.scalars(select(AuditEntry).where(AuditEntry.action == "webhook.created")).one()
    assert "t0ps3cret" not in str(audited.changes)


def test_a_failure_is_tried_again_later_and_later_under_the_same_id(
    runtime: Runtime, clock: FrozenClock, receiver: Receiver, add: Any, log: Any
) -> None:
    number, _ = add(LOGGED)
    receiver.answers = [(500, {}, b"<b>no</b>\x00 " + b"x" * 5000), (503, {}, b"")]
    log()

    sending.push(runtime, number)
    sending.push(runtime, number)
    (it,) = deliveries(runtime)
    assert (it.state, it.attempts, it.status, len(receiver.got)) == ("waiting", 1, 500, 1)
    assert it.answer is not None
    assert it.answer.startswith("<b>no</b> xxx")
    assert len(it.answer) <= sending.EXCERPT
    assert endpoint(runtime, number).failing_since == clock.now()
    for wait in (5, 60):
        clock.advance(timedelta(seconds=wait))
        sending.push(runtime, number)

    (it,) = deliveries(runtime)
    assert (it.state, it.attempts, endpoint(runtime, number).failures) == ("delivered", 3, 0)
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1
    assert len({headers["webhook-timestamp"] for headers, _ in receiver.got}) == 3
    with runtime.database.session() as session:
        due = session.scalars(select(Task.not_before).where(Task.kind == "webhooks.push", Task.state.in_(OPEN))).all()
    assert due, "the next try is a task, so a flushed Redis loses none"


def test_one_message_that_is_refused_does_not_hold_up_the_others(
    runtime: Runtime, receiver: Receiver, add: Any, log: Any
) -> None:
    number, _ = add(LOGGED)
    receiver.answers = [(422, {}, b"not this one")]
    log()
    log("Invoice")

    sending.push(runtime, number)

    assert [(it.state, it.status) for it in deliveries(runtime)] == [("waiting", 422), ("delivered", 200)]


def test_one_that_is_never_taken_holds_up_none_even_where_it_looks_like_an_outage(
    runtime: Runtime, clock: FrozenClock, receiver: Receiver, add: Any, log: Any
) -> None:
    number, _ = add(LOGGED)
    receiver.answers = [(503, {}, b"")]
    log()
    sending.push(runtime, number)
    log("Invoice")
    clock.advance(timedelta(seconds=70))
    receiver.answers = [(200, {}, b""), (503, {}, b"")]

    sending.push(runtime, number)

    assert [(it.state, it.attempts) for it in deliveries(runtime)] == [("waiting", 2), ("delivered", 1)]


def test_after_days_of_failures_it_is_paused_announced_and_goes_on_with_what_waited(
    runtime: Runtime, clock: FrozenClock, receiver: Receiver, add: Any, log: Any
) -> None:
    heard: list[WebhookPaused] = []
    runtime.events.subscribe(WebhookPaused, heard.append)
    number, _ = add(LOGGED)
    log()
    receiver.answers = [(500, {}, b"")] * 50
    while endpoint(runtime, number).paused_at is None:
        sending.push(runtime, number)
        clock.advance(timedelta(hours=1))
        assert len(receiver.got) < 40

    assert [(it.endpoint_id, it.why) for it in heard] == [(number, "failing")]
    tried = len(receiver.got)
    log("While it is paused")
    sending.push(runtime, number)
    assert len(receiver.got) == tried
    receiver.answers = []
    with runtime.database.session() as session:
        service.resume(session, number, who=COMMAND_LINE, now=clock.now())
    sending.push(runtime, number)
    assert {it.state for it in deliveries(runtime)} == {"delivered"}


def test_one_that_rests_costs_no_worker_anything_until_it_may_be_tried(
    runtime: Runtime, clock: FrozenClock, receiver: Receiver, add: Any, log: Any
) -> None:
    number, _ = add(LOGGED)
    receiver.answers = [(500, {}, b"")]
    log()
    sending.push(runtime, number)
    with runtime.database.session() as session:
        session.query(Task).delete()
    log("During its rest")
    with runtime.database.session() as session:
        (task,) = session.scalars(select(Task).where(Task.kind == "webhooks.push")).all()
        assert task.not_before == endpoint(runtime, number).hold_until == clock.now() + timedelta(seconds=5)


def test_one_that_says_it_is_gone_is_paused_at_once(runtime: Runtime, receiver: Receiver, add: Any, log: Any) -> None:
    number, _ = add(LOGGED)
    receiver.answers = [(410, {}, b"")]
    log()

    sending.push(runtime, number)

    assert endpoint(runtime, number).paused_why == "gone"


def test_redirects_are_not_followed_and_said(runtime: Runtime, receiver: Receiver, add: Any, log: Any) -> None:
    number, _ = add(LOGGED)
    receiver.answers = [(302, {"Location": receiver.url}, b"")]
    log()

    sending.push(runtime, number)

    (it,) = deliveries(runtime)
    assert (len(receiver.got), it.status) == (1, 302)
    assert "not followed" in (it.answer or "")


def test_an_erased_customer_is_told_of_to_nobody(runtime: Runtime, receiver: Receiver, add: Any, log: Any) -> None:
    number, _ = add(LOGGED)
    log()
    with runtime.database.session() as session:
        user = session.scalars(select(User).where(User.email == "dev@customer.example")).one()
        erase(session, session.get_one(User, user.id), COMMAND_LINE, now=runtime.clock.now())
    jobs.follow(runtime)

    sending.push(runtime, number)

    assert (receiver.got, [it.state for it in deliveries(runtime)]) == ([], ["gone"])


def test_a_rotation_signs_with_both_for_a_day(
    runtime: Runtime, clock: FrozenClock, receiver: Receiver, add: Any, log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    number, old = add(LOGGED)
    with runtime.database.session() as session:
        _, new = service.rotate(session, number, runtime.settings.secret_key, who=COMMAND_LINE, now=clock.now())
    log()
    sending.push(runtime, number)
    clock.advance(timedelta(hours=25))
    log("Later")
    sending.push(runtime, number)

    assert old != new
    for secret in (old, new):
        assert verified(secret, *receiver.got[0], monkeypatch)
    assert verified(new, *receiver.got[1], monkeypatch)
    with pytest.raises(WebhookVerificationError):
        verified(old, *receiver.got[1], monkeypatch)


def test_an_address_that_came_to_lead_into_the_house_is_refused_when_it_is_used(
    runtime: Runtime, receiver: Receiver, add: Any, log: Any, settings: Settings
) -> None:
    number, _ = add(LOGGED)
    log()
    strict = build_runtime(replace(settings, outbound_networks=()), runtime.registry, runtime.clock)

    sending.push(strict, number)

    strict.close()
    assert receiver.got == []
    assert "public internet" in (deliveries(runtime)[0].answer or "")


@pytest.mark.parametrize("types", [[LOGGED], ["*"]])
def test_a_key_has_nobody_told_what_it_cannot_read(
    client: FlaskClient, api_key: Callable[..., str], receiver: Receiver, types: list[str]
) -> None:
    headers = {"Authorization": f"Bearer {api_key('admin', scopes=['webhooks:write'])}"}
    sent = {"name": "CI", "url": receiver.url, "types": types}
    refused = client.post("/api/v1/webhooks", json=sent, headers=headers)
    assert (refused.status_code, "support:read" in refused.json["detail"]) == (403, True)


def test_the_api_adds_rotates_tests_lists_and_sends_again(
    client: FlaskClient, api_key: Callable[..., str], runtime: Runtime, receiver: Receiver
) -> None:
    scopes = ["webhooks:read", "webhooks:write", "support:read"]
    headers = {"Authorization": f"Bearer {api_key('admin', scopes=scopes)}"}
    at = "/api/v1/webhooks"
    made = client.post(at, json={"name": "CI", "url": receiver.url, "types": [LOGGED]}, headers=headers)
    one = f"{at}/{made.json['id']}"
    assert (made.status_code, made.json["secret"][:6]) == (201, "whsec_")
    assert client.get(one, headers=headers).json["secret"] is None
    stale = client.patch(one, json={"name": "x"}, headers={**headers, "If-Match": '"no"'})
    assert stale.status_code == 412
    paused = client.patch(one, json={"paused": True, "types": ["*"]}, headers=headers)
    assert (paused.json["paused_why"], paused.json["types"]) == ("member", ["*"])
    assert client.post(f"{one}:rotate", headers=headers).json["secret"] != made.json["secret"]

    tried = client.post(f"{one}:test", headers=headers)
    sending.push(runtime, made.json["id"])
    (listed,) = client.get(f"{one}/deliveries", headers=headers).json["items"]
    assert (tried.status_code, listed["state"], listed["status"]) == (202, "delivered", 200)
    client.post(f"{one}/deliveries/{listed['id']}:send", headers=headers)
    sending.push(runtime, made.json["id"])

    ids = {got["webhook-id"] for got, _ in receiver.got}
    assert (len(receiver.got), ids) == (2, {listed["message_id"]})
    assert msgspec.json.decode(receiver.got[0][1])["type"] == "trackside.test"
    for wrong in ({"url": "http://10.0.0.1/"}, {"types": ["nothing.here"]}, {"types": []}, {"name": ""}):
        sent = {"name": "CI", "url": receiver.url, "types": ["*"], **wrong}
        assert client.post(at, json=sent, headers=headers).status_code == 422
    assert client.delete(one, headers=headers).status_code == 204
    assert client.get(one, headers=headers).status_code == 404


def test_pages_add_show_the_secret_once_and_say_what_became_of_a_test(
    signed_in_client: Callable[..., FlaskClient], runtime: Runtime, receiver: Receiver
) -> None:
    browser = signed_in_client("admin")
    assert "Nobody is told yet" in browser.get("/webhooks").text
    refused = browser.post("/webhooks/new", data={"name": "W", "url": "http://10.0.0.1/", "types": "*"})
    assert (refused.status_code, "not an address" in refused.text or "public" in refused.text) == (422, True)
    made = browser.post("/webhooks/new", data={"name": "Warehouse", "url": receiver.url, "types": LOGGED})
    assert "whsec_" in made.text
    with runtime.database.session() as session:
        number = session.scalars(select(Endpoint.id)).one()
    receiver.answers = [(404, {}, b"<script>alert(1)</script> nothing here")]
    browser.post(f"/webhooks/{number}/test")
    sending.push(runtime, number)

    shown = browser.get(f"/webhooks/{number}").text
    assert "given up" in shown
    assert "&lt;script&gt;alert(1)" in shown
    assert "whsec_" not in shown
    (it,) = deliveries(runtime)
    browser.post(f"/webhooks/{number}/deliveries/{it.id}/again")
    sending.push(runtime, number)
    assert "thanks" in browser.get(f"/webhooks/{number}?state=delivered").text
    version = endpoint(runtime, number).version
    sent = {"name": "Store", "url": receiver.url, "types": "*", "version": str(version)}
    assert browser.post(f"/webhooks/{number}/edit", data=sent).status_code == 302
    assert browser.post(f"/webhooks/{number}/edit", data=sent).status_code == 412
    for act in ("pause", "resume", "remove"):
        assert browser.post(f"/webhooks/{number}/{act}").status_code == 302
    assert signed_in_client("developer").post("/webhooks/new").status_code == 403


def test_what_waits_too_long_is_given_up_and_what_is_old_forgotten(
    runtime: Runtime, clock: FrozenClock, receiver: Receiver, add: Any, log: Any
) -> None:
    number, _ = add(LOGGED)
    log()
    with runtime.database.session() as session:
        service.pause(session, number, who=COMMAND_LINE, now=clock.now())
    clock.advance(timedelta(days=8))
    sending.forget(runtime)
    assert [it.state for it in deliveries(runtime)] == ["failed"]
    clock.advance(timedelta(days=30))
    sending.forget(runtime)
    assert deliveries(runtime) == []
