"""The pages of reports, service levels, topics and ratings."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from trackside.auth.audit import SYSTEM
from trackside.jobs.models import Delivery, Task
from trackside.module import Module
from trackside.registry import Registry
from trackside.runtime import Runtime
from trackside_modules.support import jobs, service
from trackside_modules.support.clocks.rules import DEFAULT
from trackside_modules.support.drafts import Draft
from trackside_modules.support.service import asking, csat, metrics, rules
from trackside_modules.support.web.clock_forms import openings_of, target_of, target_words

Browsers = Callable[..., FlaskClient]
WEEK = {f"{day}day": "9 - 17" for day in ("mon", "tues", "wednes", "thurs", "fri")}


@pytest.fixture
def number(runtime: Runtime) -> int:
    """Log an interaction about a topic, and solve it."""
    now = runtime.clock.now()
    with runtime.database.session() as session:
        topic = service.topics.create(session, "API keys", who=SYSTEM, now=now, aliases=("key",))
        draft = Draft(subject="=401 <b>", user="dev@customer.example", topic_id=topic.id, logged_ms=7000)
        made = service.log(session, draft, who=SYSTEM, now=now).interaction.id
        service.set_status(session, made, "solved", who=SYSTEM, now=now)
        return made


def test_a_report_of_nothing_says_what_will_be_here(signed_in_client: Browsers) -> None:
    page = signed_in_client("viewer").get("/support/reports")
    assert page.status_code == 200
    assert "Nothing in this period" in page.text


def test_each_number_of_a_report_opens_its_rows(number: int, signed_in_client: Browsers) -> None:
    browser = signed_in_client("viewer")
    page = browser.get("/support/reports?range=90d")
    assert "Promises kept" in page.text
    assert "How each figure is defined" in page.text
    links = set(re.findall(r'href="(/support/reports/rows\?[^"]+)"', page.text))
    assert len(links) >= 8
    for link in links:
        rows = browser.get(link.replace("&amp;", "&"))
        assert rows.status_code == 200, link
    rows = browser.get("/support/reports/rows?of=logging&sort=-value").text
    assert "=401 &lt;b&gt;" in rows
    assert "7 s" in rows


def rows_of(page: str) -> int:
    return page.count('<th scope="row"><a class="clip"')


def test_a_topic_and_an_age_open_as_many_rows_as_they_say(
    runtime: Runtime, number: int, signed_in_client: Browsers
) -> None:
    now = runtime.clock.now()
    with runtime.database.session() as session:
        below = service.topics.create(session, "Scopes", parent_id=1, who=SYSTEM, now=now).id
        for topic_id, days in ((below, 0), (below, 2), (None, 5)):
            draft = Draft(subject="401", user="u_1", topic_id=topic_id, occurred_at=now - timedelta(days=days))
            service.log(session, draft, who=SYSTEM, now=now)
    browser = signed_in_client("viewer")
    page = browser.get("/support/reports").text
    found = re.findall(
        r'<a href="(/support/reports/rows\?of=(?:volume|backlog)&[^"]*(?:below=no|topic=none|age=)[^"]*)">(\d+)<', page
    )
    assert sorted(int(count) for _, count in found) == [1, 1, 1, 1, 1, 2]
    for link, count in found:
        assert rows_of(browser.get(link.replace("&amp;", "&")).text) == int(count), link
    assert rows_of(browser.get("/support/reports/rows?topic=1").text) == 3
    assert browser.get("/support/reports/rows?topic=none").text.count("Take away the filter Topic") == 1
    assert browser.get("/support/reports/rows?of=backlog&age=old").status_code == 422
    solved = browser.get("/support/reports/rows?of=reopened").text
    assert "/support/reports/rows?of=solved" in solved


def test_reports_go_out_as_files(number: int, signed_in_client: Browsers) -> None:
    browser = signed_in_client("viewer")
    figures = browser.get("/support/reports?format=json").json
    assert isinstance(figures, list)
    assert next(each for each in figures if each["figure"] == "volume")["period"] == 1
    rows = browser.get("/support/reports/rows?of=volume&format=csv").text.splitlines()
    assert rows[0].startswith("interaction,subject,status")
    assert f"SUP-{number},'=401 <b>" in rows[1]


@pytest.mark.parametrize(
    "query",
    ["range=8d", "from=yesterday", "from=2026-06-20&to=2026-06-01", "kind=none", "account=x", "range=7d&range=30d",
     "to=9999-01-01&from=2026-01-01", "of=none"],
)  # fmt: skip
def test_a_period_that_is_none_is_refused(query: str, signed_in_client: Browsers) -> None:
    browser = signed_in_client("viewer")
    assert browser.get(f"/support/reports/rows?{query}").status_code == 422
    assert browser.get("/support/reports?topic=99").status_code == 404


def test_there_are_service_levels_from_the_first_start(signed_in_client: Browsers) -> None:
    page = signed_in_client("viewer").get("/support/settings").text
    assert "Office hours" in page
    assert "Mon \N{EN DASH} Fri 9:00\N{EN DASH}17:00" in page
    assert "New policy" not in page


def test_a_calendar_and_a_policy_are_made_on_their_pages(
    runtime: Runtime, number: int, signed_in_client: Browsers
) -> None:
    browser = signed_in_client("admin")
    calendar = {
        "name": "Berlin",
        "zone": "Europe/Berlin",
        "country": "DE",
        "region": "BE",
        "closed": "2026-12-24",
        **WEEK,
    }
    assert browser.post("/support/settings/calendars/new", data=calendar | {"monday": "9-12, 11-17"}).status_code == 422
    assert browser.post("/support/settings/calendars/new", data=calendar).status_code == 302
    policy = {"name": "Bugs", "calendar_id": "2", "first_reply": "1 h 30 min", "kinds": ["bug"], "plans": "scale, pro"}
    policy |= {"topics": ["1"]}
    refused = browser.post("/support/settings/policies/new", data=policy | {"first_reply": "soon"})
    assert refused.status_code == 422
    assert "Write a time such as" in refused.text
    assert browser.post("/support/settings/policies/new", data=policy).status_code == 302
    with runtime.database.session() as session:
        found = rules.current(session)
        assert [each.first_reply for each in found.policies] == [5400, DEFAULT.policies[0].first_reply]
        assert found.policies[0].when.plans == ("scale", "pro")
        assert found.policies[0].when.topics == (1,)
        assert (found.calendars[1].country, found.calendars[1].region) == ("DE", "BE")
        assert metrics.stale(session, found) == 1
    jobs.measure(runtime)
    page = browser.get("/support/settings").text
    assert "still being measured" not in page
    assert "Policy &#39;Bugs&#39; added" in page
    for path in ("policies/2", "calendars/2", "policies/new", "calendars/new"):
        assert browser.get(f"/support/settings/{path}").status_code == 200
    assert "1 h 30 min" in browser.get("/support/settings/policies/2").text
    assert 'name="topics" value="1" checked' in browser.get("/support/settings/policies/2").text
    assert "#api-keys" in page
    assert browser.post("/support/settings/policies/1", data=policy | {"version": "0"}).status_code == 412
    browser.post("/support/settings/policies/1/raise")
    browser.post("/support/settings/policies/2/remove")
    browser.post("/support/settings/calendars/2/remove")
    with runtime.database.session() as session:
        found = rules.current(session)
        assert (len(found.policies), len(found.calendars), found.version) == (1, 1, 5)


def test_topics_are_added_moved_and_merged_on_their_pages(number: int, signed_in_client: Browsers) -> None:
    browser = signed_in_client("admin")
    assert browser.post("/support/settings/topics", data={"name": "Auth", "aliases": "login"}).status_code == 302
    assert browser.post("/support/settings/topics", data={"name": "auth"}).status_code == 409
    browser.post("/support/settings/topics/1", data={"name": "Keys", "parent": "2", "aliases": "key"})
    page = browser.get("/support/settings/topics").text
    assert "#auth/keys" in page
    assert "api-keys, key" in page
    assert browser.get("/support/settings/topics/1").status_code == 200
    browser.post("/support/settings/topics/1/merge", data={"into": "2"})
    browser.post("/support/settings/topics/2/archive")
    page = browser.get("/support/settings/topics").text
    assert "#auth/keys" not in page
    assert "archived" in page
    browser.post("/support/settings/topics/2/restore")


def test_who_may_not_manage_changes_nothing(signed_in_client: Browsers) -> None:
    browser = signed_in_client("support")
    for path in ("settings/asking", "settings/policies/new", "settings/calendars/1", "settings/topics"):
        assert browser.post(f"/support/{path}", data={"name": "X"}).status_code == 403


def test_a_customer_rates_by_a_link_without_signing_in(
    runtime: Runtime, number: int, client: FlaskClient, signed_in_client: Browsers
) -> None:
    with runtime.database.session() as session:
        token = csat.make_link(session, number, who=SYSTEM, now=runtime.clock.now())
    for _ in range(2):  # opening changes nothing
        assert "Very good" in client.get(f"/support/rate/{token}").text
    assert client.post(f"/support/rate/{token}", data={"score": "9"}).status_code == 422
    answer = client.post(f"/support/rate/{token}", data={"score": "5"}, follow_redirects=True)
    assert "Would you like to say why?" in answer.text
    assert client.post(f"/support/rate/{token}", data={"score": "1"}).status_code == 404
    assert client.post(f"/support/rate/{token}/comment", data={"comment": "Quick"}).status_code == 200
    assert client.get(f"/support/rate/{token}").status_code == 404
    assert client.get("/support/rate/forged").status_code == 404
    with runtime.database.session() as session:
        assert service.get(session, number).csat == 5
    assert signed_in_client("support").post(f"/support/{number}/rating-link").status_code == 409


def test_how_customers_are_asked_is_a_setting(runtime: Runtime, signed_in_client: Browsers) -> None:
    browser, wanted = signed_in_client("admin"), {"after_minutes": "30", "quiet_days": "7"}
    assert browser.post("/support/settings/asking", data=wanted).status_code == 302
    with runtime.database.session() as session:
        assert asking.asking(session) == asking.Asking(on=False, after_minutes=30, quiet_days=7)
    assert browser.post("/support/settings/asking", data=wanted | {"quiet_days": "x"}).status_code == 422


@pytest.mark.parametrize(
    ("typed", "seconds"), [("4 h", 14400), ("90min", 5400), ("1 h 30 min", 5400), ("1.5h", 5400), ("", None)]
)
def test_targets_are_typed_as_people_say_them(typed: str, seconds: int | None) -> None:
    assert target_of(typed) == seconds
    assert target_of(target_words(seconds)) == seconds


@pytest.mark.parametrize("typed", ["9", "25 - 26", "9:61 - 10", "12 - 9", "9-12, 11-13", "9-12; 13-17"])
def test_hours_that_are_none_are_refused(typed: str) -> None:
    with pytest.raises(ValueError, match="."):
        openings_of(typed)


def test_hours_are_typed_as_people_say_them() -> None:
    wanted: Any = ((540, 750), (810, 1440))
    assert openings_of("9 - 12:30, 13:30 to 24:00") == wanted


def test_solving_asks_the_customer_by_mail(runtime: Runtime, number: int) -> None:
    asked = select(Delivery.payload).where(Delivery.channel == "mail")
    with runtime.database.session() as session:
        assert session.scalars(select(Task.kind).where(Task.kind == asking.ASK)).all() == [asking.ASK]
    post = Module(name="post", title="Post", senders={"mail": "trackside.jobs.outbox:console"})
    with_mail = replace(runtime, registry=Registry((*runtime.registry.modules, post)))
    for _ in range(2):
        jobs.ask(with_mail, number)
    with runtime.database.session() as session:
        (payload,) = session.scalars(asked).all()
        token = payload["text"].partition(jobs.RATE_PATH)[2].split()[0]
        assert payload["to"] == "dev@customer.example"
        assert csat.find(session, token, runtime.clock.now()).interaction_id == number
