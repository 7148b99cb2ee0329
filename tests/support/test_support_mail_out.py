"""Mails out: what a member replies reaches the customer, in the conversation it belongs to."""

import email
import socketserver
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from email.message import EmailMessage
from email.policy import default

import pytest
from sqlalchemy import delete, select

from trackside.auth.audit import Actor
from trackside.errors import InputError, SettingsError, Unavailable
from trackside.jobs.mail import Smtp, build, server_of
from trackside.jobs.models import Delivery, Task
from trackside.jobs.outbox import Console
from trackside.runtime import Runtime
from trackside.settings import load_settings
from trackside_modules.support import attachments, jobs, service
from trackside_modules.support.drafts import Draft
from trackside_modules.support.mail import tags

ADA = Actor("Ada")
GAVE_UP, LATER = b"550 no such dev@customer.example", b"451 try later"


class Server(socketserver.ThreadingTCPServer):
    """As much of SMTP as a client speaks; `refuse` is what it answers to a receiver."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Talk)
        self.taken: list[EmailMessage] = []
        self.refuse = b""

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"smtp://127.0.0.1:{self.server_address[1]}"


class _Talk(socketserver.StreamRequestHandler):
    server: Server

    def handle(self) -> None:
        self._say(b"220 here")
        for line in self.rfile:
            verb = line[:4].upper()
            if verb == b"DATA":
                self._say(b"354 go on")
                self._take()
            elif verb == b"RCPT" and self.server.refuse:
                self._say(self.server.refuse)
            elif verb == b"QUIT":
                return self._say(b"221 bye")
            else:
                self._say(b"250 fine")
        return None

    def _take(self) -> None:
        lines = iter(self.rfile.readline, b".\r\n")
        raw = b"".join(line[1:] if line.startswith(b"..") else line for line in lines)
        found = email.message_from_bytes(raw, policy=default)
        assert isinstance(found, EmailMessage)
        self.server.taken.append(found)
        self._say(b"250 taken")

    def _say(self, line: bytes) -> None:
        self.wfile.write(line + b"\r\n")


@pytest.fixture
def smtp() -> Iterator[Server]:
    """Run a mail server on this machine."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def runtime(runtime: Runtime, smtp: Server) -> Runtime:
    """Give a runtime that sends by it."""
    given = {"smtp_url": smtp.url, "mail_from": "Support <support@example.com>"}
    given["mail_reply_to"] = "support+{tag}@example.com"
    return replace(runtime, settings=replace(runtime.settings, **given))


@pytest.fixture
def logged(runtime: Runtime) -> int:
    """Log an interaction."""
    draft = Draft(subject="401 after key rotation", body="It fails.", user="dev@customer.example")
    with runtime.database.session() as session:
        return service.log(session, draft, who=ADA, now=runtime.clock.now()).interaction.id


@pytest.fixture
def reply(runtime: Runtime, logged: int) -> Callable[..., None]:
    """Reply, and do what that leaves to do."""

    def made(body: str, **given: object) -> None:
        with runtime.database.session() as session:
            service.reply(session, logged, body, who=ADA, now=runtime.clock.now(), **given)  # type: ignore[arg-type]
        work(runtime)

    return made


def work(runtime: Runtime) -> None:
    """Do the tasks that send mails, as a worker would."""
    with runtime.database.session() as session:
        tasks = session.scalars(select(Task).where(Task.kind == "support.deliver")).all()
        args = [dict(task.args) for task in tasks]
        session.execute(delete(Task))
    for each in args:
        jobs.deliver(runtime, **each)
    with runtime.database.session() as session:
        found = session.scalars(select(Delivery).where(Delivery.sent_at.is_(None))).all()
        deliveries = [(it.delivery_id, dict(it.payload)) for it in found]
    for delivery_id, payload in deliveries:
        build(runtime).send(delivery_id, payload)


def test_a_reply_reaches_the_customer(runtime: Runtime, smtp: Server, logged: int, reply: Callable[..., None]) -> None:
    reply("Rotate it **again** <script>alert(1)</script>, see SUP-7.")
    (mail,) = smtp.taken
    assert (mail["To"], mail["From"]) == ("dev@customer.example", "Support <support@example.com>")
    assert mail["Subject"] == f"401 after key rotation [SUP-{logged}]"
    assert mail["Auto-Submitted"] is None
    assert tags.signed(runtime.settings.secret_key, mail["Reply-To"]) == logged
    assert tags.is_ours(runtime.settings.secret_key, mail["Message-ID"])
    plain, html = (mail.get_body((kind,)) for kind in ("plain", "html"))
    assert plain is not None
    assert html is not None
    assert plain.get_content().startswith("Rotate it **again**")
    assert "<strong>again</strong>" in html.get_content()
    assert "<script" not in html.get_content()
    assert "/support/7" not in html.get_content()


def test_a_second_reply_is_in_the_same_conversation(smtp: Server, reply: Callable[..., None]) -> None:
    reply("First.")
    smtp.taken.clear()
    reply("Second.")
    first, second = sorted(smtp.taken, key=lambda mail: str(mail["Subject"]).startswith("Re: "))
    assert first["Message-ID"] != second["Message-ID"]
    assert second["In-Reply-To"] == second["References"] == first["Message-ID"]


def test_files_go_along(runtime: Runtime, smtp: Server, reply: Callable[..., None]) -> None:
    folder = attachments.folder_of(runtime.settings)
    with runtime.database.session() as session:
        ids = attachments.keep(session, folder, [("keys.txt", b"one\n")], now=runtime.clock.now())
    reply("See the file.", file_ids=ids)
    (file,) = smtp.taken[0].iter_attachments()
    assert (file.get_filename(), file.get_content()) == ("keys.txt", "one\n")


def test_what_was_said_elsewhere_is_not_sent(runtime: Runtime, smtp: Server) -> None:
    draft = Draft(subject="Called them", body="As said.", user="dev@customer.example", direction="out", channel="phone")
    with runtime.database.session() as session:
        service.log(session, draft, who=ADA, now=runtime.clock.now())
    work(runtime)
    assert smtp.taken == []


def test_who_has_no_address_gets_no_mail(runtime: Runtime, smtp: Server) -> None:
    with runtime.database.session() as session:
        made = service.log(session, Draft(subject="Hm", user="u_42"), who=ADA, now=runtime.clock.now())
        service.reply(session, made.interaction.id, "Hello.", who=ADA, now=runtime.clock.now())
    work(runtime)
    assert smtp.taken == []


@pytest.mark.parametrize("field", ["to", "subject", "from_name", "reply_to", "message_id", "in_reply_to"])
def test_nothing_becomes_a_header_of_its_own(runtime: Runtime, field: str) -> None:
    sender = build(runtime)
    assert isinstance(sender, Smtp)
    payload = {"to": "a@b.example", "subject": "Hello", "text": "Hi\n", field: "x@y.example\r\nBcc: all@evil.example"}
    try:
        raw = sender.message("d1", payload).as_bytes()
    except InputError:
        return
    assert b"\nBcc:" not in raw


def test_a_receiver_refused_for_good_is_not_tried_again(runtime: Runtime, smtp: Server) -> None:
    payload = {"to": "dev@customer.example", "subject": "Hello", "text": "Hi\n"}
    smtp.refuse = GAVE_UP
    with pytest.raises(InputError, match="550") as refused:
        build(runtime).send("d1", payload)
    assert "customer.example" not in str(refused.value)
    smtp.refuse = LATER
    with pytest.raises(Unavailable, match="451"):
        build(runtime).send("d1", payload)


def test_a_server_that_is_away_is_tried_later(runtime: Runtime) -> None:
    away = replace(runtime, settings=replace(runtime.settings, smtp_url="smtp://127.0.0.1:1"))
    with pytest.raises(Unavailable):
        build(away).send("d1", {"to": "dev@customer.example", "subject": "Hello", "text": "Hi\n"})


def test_without_a_server_the_log_says_that_there_was_a_mail(runtime: Runtime) -> None:
    assert isinstance(build(replace(runtime, settings=replace(runtime.settings, smtp_url=""))), Console)


def test_servers_of_other_machines_are_spoken_to_over_tls() -> None:
    assert server_of("smtp://u:p%40ss@mail.example.com") == server_of(
        "smtp://u:p%40ss@mail.example.com:587?starttls=yes"
    )
    assert server_of("smtp://u:p%40ss@mail.example.com").password == "p@ss"
    assert not server_of("smtp://mail.example.com?starttls=no").starttls
    assert not server_of("smtp://localhost:25").starttls
    assert server_of("smtps://mail.example.com").port == 465
    for wrong in ("http://mail.example.com", "smtp://", "smtp://h?starttls=maybe"):
        with pytest.raises(ValueError, match="must be|takes"):
            server_of(wrong)


def test_settings_of_mail_are_checked(runtime: Runtime) -> None:
    needed = {"secret_key": "Zk3vQ9tW7mX1bR5nJ8cL2dF6hS4gA0pYxEuT", "database_url": "postgresql://h/n"}
    given = {
        "redis_url": "redis://h",
        "smtp_url": "smtp://h",
        "mail_reply_to": "nobody",
        "mail_hook_secret": "whsec_eA==",
    }
    with pytest.raises(SettingsError) as refused:
        load_settings({}, **needed, **given)
    said = str(refused.value)
    for name in ("TRACKSIDE_MAIL_FROM", "TRACKSIDE_MAIL_REPLY_TO", "TRACKSIDE_MAIL_HOOK_SECRET"):
        assert name in said


def test_mails_that_wait_go_with_an_erased_customer(runtime: Runtime, logged: int) -> None:
    from trackside_modules.support.service import erasing

    with runtime.database.session() as session:
        service.reply(session, logged, "Hello.", who=ADA, now=runtime.clock.now())
        (seq,) = [dict(it.args)["seq"] for it in session.scalars(select(Task).where(Task.kind == "support.deliver"))]
    jobs.deliver(runtime, logged, seq)
    with runtime.database.session() as session:
        erasing.erase(session, [logged], now=runtime.clock.now())
        assert session.scalars(select(Delivery)).all() == []
