"""What flags add to other pages and to the demo, and what the demo takes away again."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select

from trackside.customers.models import User
from trackside.demo import workspace
from trackside.runtime import Runtime
from trackside_modules.flags import contrib, demo
from trackside_modules.flags.models import Change, Flag, Request, State

Flags = Callable[..., Flag]
Changes = Callable[..., State]
Browsers = Callable[..., FlaskClient]


def counts(runtime: Runtime) -> dict[str, int]:
    with runtime.database.session() as session:
        return {
            table.__tablename__: session.scalar(select(func.count()).select_from(table)) or 0
            for table in (Flag, State, Change, Request)
        }


def seed(runtime: Runtime) -> None:
    with runtime.database.session() as session:
        workspace._add_users(session, workspace._add_accounts(session))
        demo.seed(runtime, session)


def test_the_demo_is_seeded_once_seen_everywhere_and_taken_away(
    flag: Flags, runtime: Runtime, signed_in_client: Browsers
) -> None:
    flag("their-own")
    before = counts(runtime)
    seed(runtime)
    seeded = counts(runtime)
    assert seeded["flags_flag"] > before["flags_flag"] + 5
    seed(runtime)
    assert counts(runtime) == seeded
    browser = signed_in_client("support")
    listed = browser.get("/flags/").text
    assert "stale" in listed
    assert "#checkout" in listed or 'class="tag">checkout' in listed
    with runtime.database.session() as session:
        row_id = session.scalar(select(User.id).where(User.external_id == "kestrel-bulk-importer"))
        shown = session.scalar(select(Flag.id).where(Flag.key == "checkout/one-page"))
    page = browser.get(f"/users/{row_id}").text
    assert "checkout/<wbr>one-page" in page
    assert f"/flags/{shown}/who?user=kestrel-bulk-importer" in page
    assert "Evaluations" in browser.get(f"/flags/{shown}").text
    assert "checkout/one-page" in browser.get("/-/palette?q=one-page").text
    with runtime.database.session() as session:
        demo.clear(runtime, session)
    assert counts(runtime) == before


def test_every_chart_is_marked_by_what_changed(flag: Flags, change: Changes, app: Flask, runtime: Runtime) -> None:
    flag("checkout")
    change("checkout", {"enabled": True}, reason="launch")
    now = runtime.clock.now()
    with app.test_request_context(), runtime.database.session() as session:
        found: list[Any] = contrib.marks(runtime, session, 1, now - timedelta(hours=1), now + timedelta(seconds=1))
    assert [(each.kind, each.title) for each in found] == [("flag", "checkout edited: launch")]
    assert "/history#change-" in found[0].url
