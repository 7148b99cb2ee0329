"""What a module contributes and fails at spoils its own part of a page, and neither the rest nor what was written."""

from collections.abc import Callable

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Integer, bindparam, event, literal, select, text
from sqlalchemy.orm import Session

from trackside.ask import ask, ask_values, only_reads
from trackside.compiled import Compiled
from trackside.runtime import Runtime
from trackside.workspace import Environment, environments, fact, set_fact


def broken(_runtime: Runtime, session: Session, *_args: object) -> int:
    """Fail in the middle of the transaction, as a contribution with a wrong statement does."""
    session.execute(text("select 1/0"))
    return 1


WRONG = select(text("1/0"))
SUM = select(bindparam("first", type_=Integer) + bindparam("second", type_=Integer))
LETTER = select(literal("100 %")).where(literal("b").in_(["a", "b"]))
SLOW = select(text("pg_sleep(10)"))
BROKEN = f"{__name__}:WRONG"


@pytest.mark.parametrize("reads", [True, False])
def test_values_are_asked_as_one_and_one_that_fails_spoils_only_its_own(session: Session, reads: bool) -> None:
    only_reads(session, reads)
    refs = (f"{__name__}:SUM", f"{__name__}:LETTER")
    whole = dict(zip(refs, (5, "100 %"), strict=True))
    seen: list[str] = []
    hear = lambda *it: seen.append(it[2])  # noqa: E731 - as it is heard
    event.listen(session.get_bind(), "before_cursor_execute", hear)
    assert ask_values(refs, session, first=2, second=3) == whole
    event.remove(session.get_bind(), "before_cursor_execute", hear)
    assert len([each for each in seen if "SAVEPOINT" not in each]) == 1
    assert ask_values((BROKEN, *refs), session, first=2, second=3) == whole
    assert ask_values(refs, session, first=7, second=3) == {**whole, refs[0]: 10}
    assert ask_values((), session) == {}


def test_what_takes_too_long_is_not_asked_once_more(session: Session) -> None:
    session.execute(text("set local statement_timeout = '300ms'"))
    seen: list[str] = []
    event.listen(session.get_bind(), "before_cursor_execute", lambda *it: seen.append(it[2]))
    assert ask_values((f"{__name__}:SLOW", f"{__name__}:LETTER"), session) == {}
    assert len([each for each in seen if "pg_sleep" in each]) == 1


def test_a_value_that_is_not_given_is_an_error_and_not_null(session: Session) -> None:
    with pytest.raises(Exception, match="second"):
        Compiled(SUM)(session, first=1)


def good(_runtime: Runtime, session: Session) -> int:
    return session.scalar(text("select 7")) or 0


@pytest.mark.parametrize("reads", [True, False])
def test_after_a_contribution_that_failed_the_page_reads_on(runtime: Runtime, session: Session, reads: bool) -> None:
    only_reads(session, reads)
    first = environments(session)[0]
    assert ask(f"{__name__}:broken", runtime, session, otherwise=-1) == -1
    assert ask(f"{__name__}:good", runtime, session, otherwise=-1) == 7
    assert first.slug == "production", "what was read before is still there"
    assert session.scalar(select(Environment.id).where(Environment.slug == "production"))


def test_what_was_written_survives_a_contribution_that_failed(runtime: Runtime, session: Session) -> None:
    only_reads(session)
    set_fact(session, "color", "blue")
    session.flush()
    assert ask(f"{__name__}:broken", runtime, session, otherwise=-1) == -1
    assert fact(session, "color") == "blue"


def test_a_page_that_only_reads_takes_no_savepoint(
    runtime: Runtime, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused() -> None:
        raise AssertionError("a savepoint")

    monkeypatch.setattr(session, "begin_nested", refused)
    only_reads(session)
    assert ask(f"{__name__}:good", runtime, session, otherwise=-1) == 7


def test_a_page_is_drawn_with_a_sidebar_that_failed(
    signed_in_client: Callable[..., FlaskClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    from trackside.web import nav

    monkeypatch.setattr(nav, "ask_values", lambda refs, session, **given: ask_values((*refs, BROKEN), session, **given))
    shown = signed_in_client("owner").get("/users")
    assert shown.status_code == 200
    assert "Production" in shown.text
