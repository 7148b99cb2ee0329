"""Mails in: signed, kept as they are, joined to their interaction; loops, bounces and repeats are harmless."""

from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from email.message import EmailMessage

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from trackside.auth.audit import Actor
from trackside.clock import FrozenClock
from trackside.jobs.models import Task
from trackside.runtime import Runtime
from trackside.settings import Settings
from trackside_modules.support import service
from trackside_modules.support.mail import tags
from trackside_modules.support.mail.incoming import id_of, read
from trackside_modules.support.models import File, Interaction, Mail
from trackside_modules.support.service import mails
from trackside_modules.support.web.hooks import sign

HOOK = "/hooks/support/mail"
SECRET = "whsec_" + b64encode(bytes(range(32))).decode()
Log = Callable[..., Interaction]
Take = Callable[..., tuple[str, int | None]]


def mail(body: str = "It fails.\n", **headers: str) -> EmailMessage:
    """Write a mail of dev@customer.example; `In_Reply_To` is In-Reply-To."""
    made = EmailMessage()
    given = {"From": "Dev <dev@customer.example>", "To": "support@example.com", "Subject": "401 since noon"}
    for name, value in (given | headers).items():
        made[name.replace("_", "-")] = value
    made.set_content(body)
    return made


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Give settings that take mails in."""
    return replace(settings, mail_hook_secret=SECRET, mail_from="Support <support@example.com>")


@pytest.fixture
def take(session: Session, clock: FrozenClock, settings: Settings) -> Take:
    """Take a mail in: return what became of it, and its interaction."""

    def made(it: EmailMessage | bytes) -> tuple[str, int | None]:
        raw = it if isinstance(it, bytes) else it.as_bytes()
        kept = mails.keep(session, raw, now=clock.now())
        assert kept is not None
        outcome = mails.take(session, kept, settings=settings, now=clock.now(), context_of=lambda *_: {})
        return outcome, session.get_one(Mail, kept).interaction_id

    return made


@pytest.fixture
def post(runtime: Runtime, app: Flask, client: FlaskClient) -> Callable[..., int]:
    """Post a mail to the hook, signed; return the status."""
    app.config["WTF_CSRF_ENABLED"] = True

    def made(raw: bytes, **changed: str) -> int:
        at = int(runtime.clock.now().timestamp())
        headers = {"webhook-id": "m1", "webhook-timestamp": str(at), "webhook-signature": sign(SECRET, "m1", at, raw)}
        headers |= {name.replace("_", "-"): value for name, value in changed.items()}
        answer = client.post(HOOK, data=raw, headers=headers)
        if answer.status_code >= 400:
            assert answer.content_type == "application/problem+json"
        return answer.status_code

    return made


def count(session: Session, model: type) -> int:
    """Count rows."""
    return session.scalar(select(func.count()).select_from(model)) or 0


def test_a_signed_mail_is_kept_with_its_task(post: Callable[..., int], session: Session) -> None:
    raw = mail(Message_ID="<one@customer.example>").as_bytes() + b"\xff\xfe"
    assert post(raw) == 202
    assert post(raw) == 202  # a repeat
    kept = session.scalars(select(Mail)).one()
    assert (kept.message_id, kept.raw, kept.outcome) == ("<one@customer.example>", raw, "waiting")
    assert [task.args for task in session.scalars(select(Task).where(Task.kind == "support.mail"))] == [
        {"mail_id": kept.id}
    ]


@pytest.mark.parametrize(
    "changed",
    [
        {"webhook_signature": ""},
        {"webhook_signature": "v1,AAAA"},
        {"webhook_signature": "v1,é"},
        {"webhook_id": "m2"},
        {"webhook_id": ""},
        {"webhook_timestamp": "1"},
        {"webhook_timestamp": "soon"},
        {"webhook_timestamp": "9" * 400},
    ],
)
def test_an_unsigned_mail_is_refused(post: Callable[..., int], session: Session, changed: dict[str, str]) -> None:
    assert post(b"Subject: hi\r\n\r\nhi", **changed) == 401
    assert count(session, Mail) == 0


def test_a_mail_that_is_too_large_is_refused(post: Callable[..., int]) -> None:
    assert post(b"x" * (mails.MOST_BYTES + 1)) == 413


def test_who_writes_first_gets_an_interaction(session: Session, take: Take) -> None:
    it = mail("Since noon:\n> 401 Unauthorized\n")
    it.add_attachment(b"GET /\n", maintype="text", subtype="plain", filename="../../call.txt")
    outcome, number = take(it)
    assert outcome == "new"
    assert number is not None
    row = service.get(session, number)
    assert (row.subject, row.channel, row.source, row.status) == ("401 since noon", "email", "mail", "new")
    said = service.history_of(session, number)[1]
    assert said.data["body"] == "Since noon:\n> 401 Unauthorized"
    assert said.user_id == row.user_id
    assert session.scalars(select(File.name)).one() == "call.txt"


def test_an_answer_goes_on_by_our_message_id_and_opens_it_again(
    session: Session, ada: Actor, clock: FrozenClock, settings: Settings, log: Log, take: Take
) -> None:
    number = log().id
    service.set_status(session, number, "solved", who=ada, now=clock.now())
    ours = tags.message_id(settings.secret_key, number, 2, "example.com")
    quoted = "It fails again.\n\nOn Mon, 15 Jun 2026 at 10:00, Ada <support@example.com> wrote:\n> Rotate it.\n"
    assert take(mail(quoted, In_Reply_To=ours)) == ("joined", number)
    assert service.get(session, number).status == "open"
    assert service.history_of(session, number)[-1].data["body"] == "It fails again."


def test_an_answer_goes_on_by_its_reply_address(settings: Settings, log: Log, take: Take) -> None:
    number = log().id
    tag = tags.tag(settings.secret_key, number)
    assert take(mail(To=f"support+{tag.upper()}@example.com")) == ("joined", number)


def test_a_second_mail_goes_on_where_the_first_began(take: Take) -> None:
    _, number = take(mail(Message_ID="<one@customer.example>"))
    assert take(mail(References="<one@customer.example>", Message_ID="<two@customer.example>")) == ("joined", number)


def test_a_number_in_the_subject_counts_for_who_is_known_there(log: Log, take: Take) -> None:
    number = log(account="acme").id
    assert take(mail(Subject=f"Re: hm [SUP-{number}]")) == ("joined", number)
    outcome, other = take(mail(Subject=f"Re: hm [SUP-{number}]", From="eve@evil.example"))
    assert outcome == "new"
    assert other != number


def test_a_forged_signature_joins_nothing(settings: Settings, log: Log, take: Take) -> None:
    number = log().id
    forged = tags.tag("x" * 32, number)
    outcome, other = take(mail(From="eve@evil.example", To=f"support+{forged}@example.com"))
    assert outcome == "new"
    assert other != number


def test_a_merged_one_goes_on_where_it_was_merged_to(
    session: Session, ada: Actor, clock: FrozenClock, settings: Settings, log: Log, take: Take
) -> None:
    first, second = log().id, log("Another").id
    service.merge(session, first, second, who=ada, now=clock.now())
    assert take(mail(To=f"s+{tags.tag(settings.secret_key, first)}@example.com")) == ("joined", second)


@pytest.mark.parametrize(
    "headers",
    [{"Auto_Submitted": "auto-replied"}, {"Precedence": "bulk"}, {"List_Id": "<l.example>"}, {"X_Autoreply": "yes"}],
)
def test_what_nobody_wrote_makes_nothing_and_opens_nothing(
    session: Session,
    ada: Actor,
    clock: FrozenClock,
    settings: Settings,
    log: Log,
    take: Take,
    headers: dict[str, str],
) -> None:
    number = log().id
    service.set_status(session, number, "solved", who=ada, now=clock.now())
    assert take(mail(**headers)) == ("automatic", None)
    to = f"s+{tags.tag(settings.secret_key, number)}@example.com"
    assert take(mail(To=to, **headers)) == ("automatic", number)
    assert service.get(session, number).status == "solved"
    assert count(session, Interaction) == 1
    assert session.scalars(select(Task).where(Task.kind == "support.deliver")).all() == []


def test_a_bounce_becomes_a_note(session: Session, settings: Settings, log: Log, take: Take) -> None:
    number = log().id
    ours = tags.message_id(settings.secret_key, number, 2, "example.com")
    said = f"550 no such user\n\n--- original ---\nMessage-ID: {ours}\n"
    assert take(mail(said, From="MAILER-DAEMON@mx.example")) == ("bounce", number)
    assert "550 no such user" in service.history_of(session, number)[-1].data["body"]
    assert service.history_of(session, number)[-1].kind == "note"
    assert take(mail("what?", From="MAILER-DAEMON@mx.example", Message_ID="<x@mx>")) == ("bounce", None)


def test_our_own_mail_makes_no_loop(settings: Settings, take: Take) -> None:
    assert take(mail(From="Ada <SUPPORT@example.com>")) == ("loop", None)
    ours = tags.message_id(settings.secret_key, 1, 2, "example.com")
    assert take(mail(Message_ID=ours)) == ("loop", None)


def test_two_programs_that_answer_each_other_come_to_an_end(
    session: Session, clock: FrozenClock, take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mails, "AN_HOUR", 3)
    outcomes = [take(mail(Message_ID=f"<{number}@customer.example>"))[0] for number in range(5)]
    assert outcomes == ["new", "new", "new", "limited", "limited"]
    clock.advance(timedelta(hours=2))
    assert take(mail(Message_ID="<later@customer.example>"))[0] == "new"


def test_a_page_of_html_becomes_its_words(session: Session, take: Take) -> None:
    it = mail()
    it.set_content(
        "<title>x</title><p>It <b>fails</b>&amp;more</p><script>alert(1)</script><p>Why?</p>", subtype="html"
    )
    _, number = take(it)
    assert number is not None
    body = service.history_of(session, number)[1].data["body"]
    assert body.startswith("It fails&more\nWhy?")
    assert "alert" not in body


@given(st.binary(max_size=300))
def test_whatever_is_posted_can_be_read_or_is_refused_in_words(raw: bytes) -> None:
    assert id_of(raw)
    try:
        found = read(b"From: a@b.example\r\nSubject: =?utf-8?b?" + raw + b"?=\r\n" + raw)
    except ValueError:
        return
    assert "\0" not in found.subject + found.text + found.sender
    found.text.encode()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\0" * 50,
        b"From: \r\n\r\nhi",
        b"From: a@b.example\r\nContent-Type: text/plain; charset=nonsense\r\n\r\nhi",
        b"From: a@b.example\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n" + b"--x\r\n" * 1000,
        b"From: =?utf-8?q?\xff?= <a@b.example\r\nTo: \xff\xfe,,;:\r\n\r\n\xff",
    ],
)
def test_what_is_hardly_a_mail_does_no_harm(take: Take, raw: bytes) -> None:
    assert take(raw)[0] in {"new", "unreadable", "refused"}
