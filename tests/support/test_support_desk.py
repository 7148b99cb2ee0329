"""The list beside the threads: views, search, bulk, and what other pages know of interactions."""

import re
from collections.abc import Callable

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, text

from trackside.runtime import Runtime
from trackside_modules.support import service
from trackside_modules.support.models import Interaction, SavedView
from trackside_modules.support.queries import newest
from trackside_modules.support.web import saved


def test_snoozing_hides_it_from_the_list_until_then(desk: FlaskClient, logged: Callable[..., int]) -> None:
    number = logged()
    assert "401 after key rotation" in desk.get("/support/?view=open").text
    desk.post(f"/support/{number}/snooze", data={"until": "tomorrow"})
    assert "401 after key rotation" not in desk.get("/support/?view=open").text
    assert "401 after key rotation" in desk.get("/support/?view=snoozed").text
    assert desk.post(f"/support/{number}/snooze", data={"until": "at", "at": "some day"}).status_code == 422


def test_bulk_does_one_thing_to_all_that_are_selected(
    desk: FlaskClient, logged: Callable[..., int], now_of: Callable[[int], Interaction]
) -> None:
    numbers = [logged(), logged("ops@customer.example another thing")]
    desk.post("/support/-/bulk", data={"id": numbers, "act": "", "more": "priority:low", "tag": "later"})
    assert [(now_of(each).priority, now_of(each).tags) for each in numbers] == [("low", ["later"])] * 2


def test_bulk_says_which_refused_and_changes_the_others(
    desk: FlaskClient, logged: Callable[..., int], now_of: Callable[[int], Interaction]
) -> None:
    number = logged()
    page = desk.post("/support/-/bulk", data={"id": [number, 999], "act": "status:solved"}, follow_redirects=True).text
    assert "1 interaction changed." in page
    assert "SUP-999" in page
    assert now_of(number).status == "solved"


def test_a_search_is_kept_as_a_view_in_its_order(desk: FlaskClient, runtime: Runtime) -> None:
    view = {"name": "Slow ones", "query": "tag:slow", "sort": "due"}
    page = desk.post("/support/-/views", data=view, follow_redirects=True).text
    assert "Slow ones is a view now." in page
    with runtime.database.session() as session:
        assert session.scalars(select(SavedView.sort)).all() == ["due"]


def test_views_beyond_a_number_are_refused(desk: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved, "MOST_VIEWS", 1)
    assert desk.post("/support/-/views", data={"name": "One", "query": "tag:one"}).status_code == 302
    assert (
        desk.post("/support/-/views", data={"name": "Shared", "query": "tag:one", "shared": "yes"}).status_code == 302
    )
    assert desk.post("/support/-/views", data={"name": "Two", "query": "tag:two"}).status_code == 409


def test_odd_addresses_are_refused_or_empty(desk: FlaskClient) -> None:
    assert desk.get("/support/?q=%00").status_code == 422
    assert desk.get("/support/?q=" + "x" * 400).status_code == 422
    assert desk.get("/support/?q=a&q=b").status_code == 422
    assert desk.get("/support/?view=nonsense&q=%27%29%3B--").status_code in {200, 404, 422}


def test_other_pages_know_of_interactions(desk: FlaskClient, logged: Callable[..., int]) -> None:
    number = logged()
    assert f"SUP-{number}, new" in desk.get(f"/-/palette?q=SUP-{number}").text
    assert "401 after key rotation" in desk.get("/-/palette?q=key+rotation").text
    assert "Waiting longest" in desk.get("/usage/").text
    user = re.search(r'href="(/users/\d+)"', desk.get(f"/support/{number}").text)
    assert user is not None
    page = desk.get(user[1]).text
    assert "Interactions" in page
    assert f'href="/support/{number}"' in page


def test_a_search_finds_a_misspelt_word_and_says_so(desk: FlaskClient, logged: Callable[..., int]) -> None:
    logged("dev@customer.example Quokka exports come out empty")
    page = desk.get("/support/?q=quoka+exports").text
    assert "<mark>Quokka</mark>" in page
    assert "No interaction has these words" in page
    asked = desk.get("/support/?q=kind:question+quoka+exprots&sort=newest").text
    assert "has “quokka exports”" in asked
    assert "/support/export.csv?q=kind:question+quokka+exports" in asked, "a file holds what the list does"


def test_a_search_that_is_not_understood_says_why_and_finds_nothing(
    desk: FlaskClient, logged: Callable[..., int]
) -> None:
    logged()
    page = desk.get("/support/?q=status:nope+rotation").text
    assert "status:nope: choose of" in page
    assert "401 after key rotation" not in page
    assert "Nothing was looked for" in page
    assert ">Save as a view</button>" not in page


def test_chips_can_be_taken_away_one_by_one(desk: FlaskClient, logged: Callable[..., int]) -> None:
    logged()
    page = desk.get("/support/?q=kind:bug+priority:high").text
    assert 'href="/support/?q=priority%3Ahigh"' in page
    assert "401 after key rotation" in page


def test_a_forged_cursor_is_refused(desk: FlaskClient) -> None:
    assert desk.get("/support/?view=all&cursor=AAAA").status_code == 422


def test_a_long_list_goes_on_with_a_cursor(desk: FlaskClient, runtime: Runtime, logged: Callable[..., int]) -> None:
    logged()
    with runtime.database.session() as session:
        original = service.history_of(session, 1)
        service.bring_in(session, [original] * 55)
    page = desk.get("/support/?view=all").text
    following = re.search(r'rel="next" href="([^"]+)"', page)
    assert following is not None
    rest = desk.get(following[1].replace("&amp;", "&")).text
    assert rest.count("data-row") == 6


def test_the_list_says_where_a_phrase_was_looked_for_among_the_newest_alone(
    runtime: Runtime, desk: FlaskClient, logged: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = [logged(f"dev@customer.example Key rotation {at}") for at in range(4)]
    with runtime.database.session() as session:
        session.execute(text("analyze support_search"))
    for name, value in (("PHRASES", 0.001), ("LATELY", 1), ("COMMON", 2.0)):
        monkeypatch.setattr(newest, name, value)
    page = desk.get("/support/", query_string={"q": '"key rotation"'}).text
    assert "Look through all" in page
    whole = desk.get("/support/", query_string={"q": '"key rotation"', "sort": "newest"}).text
    assert "Look through all" not in whole
    assert all(f"Key rotation {at}" in whole for at in range(len(numbers)))
