"""What a line of the quick log means: whom, which topic, who takes it, and what is told where it means nothing."""

from collections.abc import Callable
from datetime import UTC, timedelta
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy.orm import Session

from trackside.auth.audit import Actor
from trackside.auth.models import Member
from trackside.clock import FrozenClock
from trackside_modules.support import service
from trackside_modules.support.models import Interaction
from trackside_modules.support.service.reading import Reading, read

Log = Callable[..., Interaction]
Read = Callable[[str], Reading]


@pytest.fixture
def reading(session: Session, ada: Actor, clock: FrozenClock) -> Read:
    """Read a line as Ada, in Berlin."""
    return lambda text: read(session, text, now=clock.now(), zone=ZoneInfo("Europe/Berlin"), member_id=ada.member_id)


def told(read: Reading) -> dict[str, str]:
    return {each.what: each.label + (" (new)" if each.new else "") for each in read.understood}


def test_the_line_of_the_manual_becomes_an_interaction(
    session: Session, ada: Actor, clock: FrozenClock, reading: Read
) -> None:
    service.topics.create(session, "Auth", parent_id=None, who=ada, now=clock.now())

    found = reading("dev@customer.example 401 after key rotation #auth !high bug flag:new-auth")

    assert told(found) == {
        "user": "dev@customer.example (new)",
        "topic": "auth",
        "kind": "Bug",
        "priority": "High",
        "flag": "new-auth",
    }
    assert found.draft is not None
    made = service.log(session, found.draft, who=ada, now=clock.now()).interaction
    assert (made.subject, made.kind, made.priority) == ("401 after key rotation", "bug", "high")


def test_a_first_word_that_is_a_users_id_says_who(log: Log, reading: Read) -> None:
    log(user="u_42", account="acme")

    found = reading("u_42 is slow again")

    assert (found.subject, told(found)) == ("is slow again", {"user": "u_42", "account": "acme"})


def test_a_first_word_that_is_nobodys_id_is_text_and_who_is_asked_for(reading: Read) -> None:
    found = reading("everything is slow")

    assert found.draft is None
    assert found.subject == "everything is slow"
    assert found.problems == ["Say who it was: an e-mail address, a user's id, or @account."]


def test_a_new_address_of_a_known_company_belongs_to_its_account(log: Log, reading: Read) -> None:
    log(user="dev@customer.example", account="acme")
    log(user="someone@gmail.com", account="other")

    assert told(reading("ops@customer.example x")) == {"user": "ops@customer.example (new)", "account": "acme"}
    assert told(reading("else@gmail.com x")) == {"user": "else@gmail.com (new)"}


def test_an_account_alone_is_enough(reading: Read) -> None:
    assert told(reading("@acme asks for an invoice")) == {"account": "acme (new)"}


def test_a_topic_or_member_that_is_none_is_told(reading: Read) -> None:
    found = reading("dev@customer.example x #nothing @@nobody")

    assert found.draft is None
    assert found.problems == [
        "There is no topic #nothing: choose another, or write \\#nothing to have it as text.",
        "No member is called nobody: write the e-mail address, or @@me.",
    ]


def test_whoever_takes_it_is_found_by_the_beginning_of_a_name(session: Session, reading: Read) -> None:
    assert told(reading("a@b.example x @@me"))["assignee"] == "Ada"
    assert told(reading("a@b.example x @@ad"))["assignee"] == "Ada"
    session.add(Member(email="adam@staff.example", name="Adam", role="support"))
    session.flush()
    assert reading("a@b.example x @@ad").problems == [
        "More than one member is called ad: write the e-mail address, or @@me."
    ]


def test_a_time_to_come_is_refused(clock: FrozenClock, reading: Read) -> None:
    found = reading("a@b.example x at:-2h")

    assert found.draft is not None
    assert found.draft.occurred_at == clock.now() - timedelta(hours=2)
    assert reading(f"a@b.example x at:{clock.now().astimezone(UTC).year + 1}-01-01T00:00").draft is None
    assert reading("a@b.example x at:soon").draft is None


@pytest.mark.parametrize(
    "text", ["", " ", "\x00", "a@b.example", "@@", "#", "a@b.example \ud800 \x00 \u202e", "x" * 9000]
)
def test_whatever_is_typed_never_makes_it_fail(text: str, reading: Read) -> None:
    reading(text)
