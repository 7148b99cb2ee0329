"""What two do at the same moment, and what is asked without end: answered once, or refused in words."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import OperationalError, PendingRollbackError
from sqlalchemy.orm import Session

from trackside.auth.audit import COMMAND_LINE
from trackside.clock import FrozenClock
from trackside.customers.models import Account, User
from trackside.errors import Conflict, InputError
from trackside.runtime import Runtime
from trackside.web.errors import as_trackside
from trackside_modules.support import grammar, service
from trackside_modules.support.drafts import Draft
from trackside_modules.support.models import Interaction
from trackside_modules.support.queries import chips, search, similar
from trackside_modules.support.service import fields

Log = Callable[..., Interaction]
AT_ONCE = 4


def at_once(runtime: Runtime, draft: Draft) -> list[str]:
    """Log `draft` several times at once; return what became of each."""

    def log(_: int) -> str:
        try:
            with runtime.database.session() as session:
                service.log(session, draft, who=COMMAND_LINE, now=runtime.clock.now())
        except Conflict:
            return "refused"
        return "logged"

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return sorted(pool.map(log, range(AT_ONCE)))


def test_a_new_customer_who_is_logged_twice_at_once_is_made_once(runtime: Runtime) -> None:
    """All but the first were answered 500: the others found nobody, and made them too."""
    assert at_once(runtime, Draft(subject="401", user="new@fresh.example", account="fresh")) == ["logged"] * AT_ONCE
    with runtime.database.session() as session:
        made = [select(func.count()).select_from(User).where(User.email == "new@fresh.example")]
        made += [select(func.count()).select_from(Account).where(Account.external_id == "fresh")]
        assert [session.scalar(each) for each in made] == [1, 1]


def test_what_is_told_twice_at_once_is_logged_once(runtime: Runtime) -> None:
    """A reference is one interaction, and the others are told which."""
    draft = Draft(subject="401", user="dev@customer.example", source="shop", external_ref="T-1")
    assert at_once(runtime, draft) == ["logged", *["refused"] * (AT_ONCE - 1)]


def test_a_search_of_dashes_alone_is_no_error(session: Session, log: Log, clock: FrozenClock) -> None:
    """PostgreSQL has no room for five hundred negations in a row."""
    log("retry -- after 429")
    for typed in ("-" * 500, "- " * 250, "-(" * 250, "a " + "-," * 200 + "b"):
        assert len(str(chips.parse(typed)[1])) < 40
        search.find(session, typed, now=clock.now())
    assert similar.similar(session, "-" * 200) == []
    assert chips.parse("retry --fast foo--bar - x")[1] == "retry --fast foo--bar - x"


def test_more_links_than_one_can_follow_are_refused(log: Log) -> None:
    """Fifteen thousand of them held a place of the web for minutes."""
    links = tuple(("url", f"https://tracker.example/{at}") for at in range(fields.MOST_LINKS + 1))
    with pytest.raises(InputError, match="50 links"):
        log(links=links)
    assert log(links=links[1:]).version > fields.MOST_LINKS


def test_a_line_of_nothing_but_wrong_words_says_the_first_few() -> None:
    """A hundred thousand topics in a line were a hundred thousand sentences on its page."""
    found = grammar.parse("dev@customer.example 401 " + "#auth " * 50_000)
    assert len(found.problems) == grammar.MOST_PROBLEMS
    assert found.subject.count("#auth") == 49_999


def test_a_database_that_goes_away_inside_a_change_is_told_as_away(runtime: Runtime) -> None:
    """What leaves a savepoint then raised an error of its own, answered 500."""
    with pytest.raises(PendingRollbackError) as caught, runtime.database.session() as session, session.begin_nested():
        with suppress(OperationalError):
            session.execute(text("select pg_terminate_backend(pg_backend_pid())"))
        session.execute(text("select 1"))
    assert as_trackside(caught.value).status == 503
