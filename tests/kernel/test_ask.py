"""What a module contributes and fails at spoils its own part of a page, and neither the rest nor what was written."""

from collections.abc import Callable

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from trackside.ask import ask, only_reads
from trackside.runtime import Runtime
from trackside.workspace import Environment, environments, fact, set_fact


def broken(_runtime: Runtime, session: Session, *_args: object) -> int:
    """Fail in the middle of the transaction, as a contribution with a wrong statement does."""
    session.execute(text("select 1/0"))
    return 1


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

    monkeypatch.setattr(
        nav, "_count", lambda runtime, item: ask(f"{__name__}:broken", runtime, nav.db.session(), otherwise=0)
    )
    shown = signed_in_client("owner").get("/users")
    assert shown.status_code == 200
    assert "Production" in shown.text
