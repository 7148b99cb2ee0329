"""The pages on which macros are set up."""

from collections.abc import Callable

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from trackside.auth.audit import SYSTEM
from trackside.runtime import Runtime
from trackside_modules.support import service
from trackside_modules.support.models import Interaction, Macro

Browsers = Callable[..., FlaskClient]
PAGE = "/support/settings/macros"


@pytest.fixture
def made(runtime: Runtime) -> Callable[[], list[tuple[str, bool]]]:
    """Read all macros that are offered, by their order: name, and whether it is somebody's own."""

    def read() -> list[tuple[str, bool]]:
        query = select(Macro.name, Macro.member_id).where(Macro.archived_at.is_(None))
        with runtime.database.session() as session:
            found = session.execute(query.order_by(Macro.member_id.is_not(None), Macro.position)).all()
        return [(name, owner is not None) for name, owner in found]

    return read


def test_an_empty_page_says_what_macros_are_for(signed_in_client: Browsers) -> None:
    page = signed_in_client("viewer").get(PAGE).text
    assert "No macros yet" in page
    assert "New macro" not in page


def test_a_macro_is_added_tried_on_an_interaction_ordered_and_put_away(
    logged: Callable[..., int], signed_in_client: Browsers, made: Callable[[], list[tuple[str, bool]]]
) -> None:
    number, browser = logged(), signed_in_client("admin")
    macro = {"name": "Keys", "body": "About {{ref}}, <b>{{user.email}}</b>", "status": "solved", "tags": "keys, sdk"}
    macro |= {"shared": "y", "priority": "", "topic": ""}
    tried = browser.post(f"{PAGE}/new", data=macro | {"do": "preview"}).text
    assert f'<p>About <a href="/support/{number}"' in tried.partition('class="tried"')[2]
    assert "<b>" not in tried.partition('class="tried"')[2].partition("Variables")[0]
    assert "There is no such interaction" in browser.post(f"{PAGE}/new", data=macro | {"do": "preview", "on": "x"}).text
    assert made() == []
    assert browser.post(f"{PAGE}/new", data=macro).status_code == 302
    assert "one of this name already" in browser.post(f"{PAGE}/new", data=macro | {"name": "KEYS"}).text
    browser.post(f"{PAGE}/new", data=macro | {"name": "Later"})
    browser.post(f"{PAGE}/new", data={"name": "Mine", "body": "Hello"})
    assert made() == [("Keys", False), ("Later", False), ("Mine", True)]
    page = browser.get(PAGE).text
    assert ("+sdk" in page, "Solved" in page) == (True, True)
    browser.post(f"{PAGE}/2/raise")
    assert [name for name, _ in made()] == ["Later", "Keys", "Mine"]
    assert "keys sdk" in browser.get(f"{PAGE}/1").text
    assert browser.post(f"{PAGE}/1", data=macro | {"name": "Key", "version": "0"}).status_code == 412
    assert browser.post(f"{PAGE}/1", data=macro | {"name": "Key", "version": "1"}).status_code == 302
    browser.post(f"{PAGE}/1/archive")
    assert [name for name, _ in made()] == ["Later", "Mine"]
    assert ">Key</option>" not in browser.get(f"/support/{number}").text
    browser.post(f"{PAGE}/1/restore")
    assert ">Key</option>" in browser.get(f"/support/{number}").text


def test_what_everybody_has_is_changed_by_who_manages_alone(
    signed_in_client: Browsers, made: Callable[[], list[tuple[str, bool]]]
) -> None:
    admin, worker, viewer = (signed_in_client(role) for role in ("admin", "support", "viewer"))
    admin.post(f"{PAGE}/new", data={"name": "Shared", "body": "Hello", "shared": "y"})
    admin.post(f"{PAGE}/new", data={"name": "Own", "body": "Hello"})
    assert "can change it" in worker.get(f"{PAGE}/1").text
    for path in ("1", "1/archive", "1/restore", "1/raise"):
        assert worker.post(f"{PAGE}/{path}", data={"name": "X", "body": "x"}).status_code == 403
    assert worker.post(f"{PAGE}/new", data={"name": "X", "body": "x", "shared": "y"}).status_code == 403
    assert worker.get(f"{PAGE}/2").status_code == worker.post(f"{PAGE}/2", data={"name": "X"}).status_code == 404
    assert viewer.post(f"{PAGE}/new", data={"name": "X", "body": "x"}).status_code == 403
    assert worker.post(f"{PAGE}/new", data={"name": "Own", "body": "x"}).status_code == 302
    assert made() == [("Shared", False), ("Own", True), ("Own", True)]


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"body": ""},
        {"status": "no"},
        {"topic": "99"},
        {"priority": "no"},
        {"assignee": "5"},
        {"body": "x" * 300_000},
    ],
)
def test_a_macro_that_makes_no_sense_is_refused_and_kept_in_the_form(
    signed_in_client: Browsers, made: Callable[[], list[tuple[str, bool]]], wrong: dict[str, str]
) -> None:
    answer = signed_in_client("admin").post(f"{PAGE}/new", data={"name": "Keys", "body": "Hello"} | wrong)
    assert answer.status_code in {413, 422}
    assert made() == []


def test_a_macro_takes_away_and_lowers_too(
    logged: Callable[..., int],
    signed_in_client: Browsers,
    desk: FlaskClient,
    now_of: Callable[..., Interaction],
    runtime: Runtime,
) -> None:
    number, admin = logged(), signed_in_client("admin")
    macro = {"name": "Calm down", "body": "No haste.", "shared": "y", "priority": "low"}
    for given, tags in (({"topic": "none", "assignee": "none"}, "hot"), ({"assignee": "sender"}, "")):
        saved = admin.post(f"{PAGE}/new", data=macro | given | {"remove_tags": tags, "name": str(len(given))})
        assert saved.status_code == 302, saved.text
    twice = admin.post(f"{PAGE}/new", data=macro | {"tags": "hot", "remove_tags": "hot"})
    assert (twice.status_code, "hot is added, too" in twice.text) == (422, True)
    assert all(
        each in admin.get(PAGE).text for each in ("no topic", "no assignee", "\N{MINUS SIGN}hot", "to the sender")
    )
    assert admin.get(f"{PAGE}/1").text.count('<option selected value="none">') == 2

    use = {"body": "No haste.", "mode": "reply", "do": "send"}
    desk.post(f"/support/{number}/write", data=use | {"macro": "2"})
    assert (now_of(number).assignee_id, now_of(number).priority) != (None, "high")
    with runtime.database.session() as session:
        topic = service.topics.create(session, "Auth", who=SYSTEM, now=runtime.clock.now())
        service.set_topic(session, number, topic.id, who=SYSTEM, now=runtime.clock.now())
        service.tag(session, number, add=["hot"], who=SYSTEM, now=runtime.clock.now())
    desk.post(f"/support/{number}/write", data=use | {"macro": "1"})
    it = now_of(number)
    assert (it.assignee_id, it.topic_id, it.priority, it.tags) == (None, None, "low", [])
