"""How a mail stands is said in the thread: on its way, sent, tried again, failed and why, and sent again."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select, update

from trackside.errors import InputError, Unavailable
from trackside.jobs import run
from trackside.jobs.models import FAILED, WAITING, Task
from trackside.jobs.outbox import LOGGED, Recorder
from trackside.runtime import Runtime
from trackside.settings import Settings
from trackside_modules.support import service
from trackside_modules.support.history import Event


class Post(Recorder):
    """A mail server that does as it is told."""

    refuses: Exception | None = None
    remark: str | None = None

    def send(self, delivery_id: str, payload: object) -> str | None:  # type: ignore[override]
        """Take a mail, or not."""
        if self.refuses is not None:
            raise self.refuses
        super().send(delivery_id, payload)  # type: ignore[arg-type]
        return self.remark


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, smtp_url="smtp://127.0.0.1:1", mail_from="support@example.com")


@pytest.fixture
def post(monkeypatch: pytest.MonkeyPatch) -> Post:
    made = Post()
    monkeypatch.setattr("trackside.jobs.mail.build", lambda _: made)
    return made


@pytest.fixture
def work(runtime: Runtime) -> Callable[[], None]:
    """Do what waits, as a worker would, without waiting for its time."""

    def done() -> None:
        for kind in ("support.deliver", "jobs.send"):
            with runtime.database.session() as session:
                session.execute(update(Task).where(Task.state == WAITING).values(not_before=func.now()))
                ids = session.scalars(select(Task.id).where(Task.kind == kind, Task.state == WAITING)).all()
            for task_id in ids:
                run.task(runtime, "worker", task_id, kind)

    return done


@pytest.fixture
def replied(desk: FlaskClient, logged: Callable[..., int], runtime: Runtime) -> tuple[int, int]:
    """Reply to an interaction; return its number, and the reply's place in it."""
    number = logged()
    desk.post(f"/support/{number}/write", data={"mode": "reply", "body": "Rotate it again."})
    with runtime.database.session() as session:
        found: list[Event] = service.history_of(session, number)
    return number, next(each.seq for each in found if each.data.get("side") == "staff")


def test_a_reply_is_on_its_way_then_sent(
    desk: FlaskClient, replied: tuple[int, int], post: Post, work: Callable[[], None]
) -> None:
    number, seq = replied
    assert "being sent" in desk.get(f"/support/{number}").text
    assert 'hx-trigger="every 3s"' in desk.get(f"/support/{number}?mail={seq}").text

    work()

    part = desk.get(f"/support/{number}?mail={seq}").text
    assert "sent" in part
    assert "not sent" not in part
    assert "every 3s" not in part
    assert [payload["to"] for _, payload in post.sent] == ["dev@customer.example"]
    assert "It is on its way" not in desk.post(f"/support/{number}/mail/{seq}/again", follow_redirects=True).text


def test_a_failure_says_why_and_is_tried_again_by_itself(
    desk: FlaskClient, replied: tuple[int, int], post: Post, work: Callable[[], None]
) -> None:
    number, seq = replied
    post.refuses = Unavailable("The mail server cannot be reached (TimeoutError).")
    work()

    shown = desk.get(f"/support/{number}").text
    assert "not sent yet: The mail server cannot be reached (TimeoutError). Tried again" in shown
    refused = desk.post(f"/support/{number}/mail/{seq}/again", follow_redirects=True).text
    assert "It is on its way already." in refused
    post.refuses = None
    work()
    assert "not sent" not in desk.get(f"/support/{number}").text


def test_what_failed_for_good_is_sent_again_to_the_address_of_today(
    desk: FlaskClient, replied: tuple[int, int], post: Post, work: Callable[[], None], runtime: Runtime
) -> None:
    number, seq = replied
    post.refuses = InputError("The mail server refused the receiver for good (550).")
    work()
    shown = desk.get(f"/support/{number}").text
    assert "not sent: The mail server refused the receiver for good (550)." in shown
    assert "Send again" in shown

    post.refuses = None
    assert desk.post(f"/support/{number}/mail/{seq}/again").status_code == 302
    work()

    assert len(post.sent) == 1
    assert "not sent" not in desk.get(f"/support/{number}").text
    with runtime.database.session() as session:
        assert session.scalar(select(func.count()).where(Task.state == FAILED)) == 0


def test_what_only_went_into_the_log_is_not_called_sent(
    desk: FlaskClient, replied: tuple[int, int], post: Post, work: Callable[[], None]
) -> None:
    post.remark = LOGGED
    work()
    assert "not sent: there was no mail server" in desk.get(f"/support/{replied[0]}").text


def test_a_customer_without_an_address_is_said(
    desk: FlaskClient, logged: Callable[..., int], post: Post, work: Callable[[], None]
) -> None:
    number = logged("user:u_77 asked on the phone -- Hm.")
    desk.post(f"/support/{number}/write", data={"mode": "reply", "body": "Call us."})
    work()
    assert "not sent: the customer has no e-mail address" in desk.get(f"/support/{number}").text


def test_only_a_message_of_ours_is_sent_again(
    desk: FlaskClient, replied: tuple[int, int], signed_in_client: Callable[..., FlaskClient]
) -> None:
    number, seq = replied
    assert desk.post(f"/support/{number}/mail/1/again").status_code == 404
    assert desk.post(f"/support/{number}/mail/999/again").status_code == 404
    assert signed_in_client("viewer").post(f"/support/{number}/mail/{seq}/again").status_code == 403
