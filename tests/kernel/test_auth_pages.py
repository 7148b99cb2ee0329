"""Members, keys and the audit log as people use them."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from trackside.auth import keyring, links, people
from trackside.auth.audit import SYSTEM, audit
from trackside.auth.models import AuditEntry, Member
from trackside.clock import FrozenClock
from trackside.errors import Conflict, NotAllowed, NotAuthenticated
from trackside.runtime import Runtime
from trackside.testing.auth import PASSWORD

Members = Callable[..., Member]
Browsers = Callable[..., FlaskClient]
LINK = re.compile(r"http://localhost(/link/[\w-]+)")
KEY = re.compile(r"ts_production_server_\w{10}_\w{43}_\w{6}")


def actions(runtime: Runtime) -> list[str]:
    with runtime.database.session() as session:
        return list(session.scalars(select(AuditEntry.action).order_by(AuditEntry.id)))


def path_in(page: str) -> str:
    found = LINK.search(page)
    assert found, page
    return found[1]


def test_a_colleague_is_invited_and_joins_once(
    runtime: Runtime, signed_in_client: Browsers, client: FlaskClient
) -> None:
    admin = signed_in_client("admin")
    path = path_in(admin.post("/members/invite", data={"email": "Grace@Example.com", "role": "support"}).text)
    assert "grace@example.com" in client.get(path).text
    joined = client.post(path, data={"name": "Grace", "password": PASSWORD})
    assert joined.status_code == 302
    assert "grace@example.com, support" in client.get("/profile").text
    assert client.post(path, data={"name": "Eve", "password": PASSWORD}).status_code == 404
    assert "invitation.made" in actions(runtime)


def test_an_invitation_ends_when_revoked_replaced_or_old(
    signed_in_client: Browsers, client: FlaskClient, clock: FrozenClock
) -> None:
    admin = signed_in_client("admin")
    first = path_in(admin.post("/members/invite", data={"email": "a@example.com", "role": "viewer"}).text)
    page = admin.get("/members").text
    again = re.search(r'action="(/members/invitations/\d+/resend)"', page)
    assert again
    second = path_in(admin.post(again[1]).text)
    assert client.get(first).status_code == 404
    assert client.get(second).status_code == 200
    revoke = re.search(r'action="(/members/invitations/\d+/revoke)"', admin.get("/members").text)
    assert revoke
    admin.post(revoke[1])
    assert client.get(second).status_code == 404
    third = path_in(admin.post("/members/invite", data={"email": "a@example.com", "role": "viewer"}).text)
    clock.advance(timedelta(days=7))
    assert client.get(third).status_code == 404


def test_a_reset_link_works_once_within_half_an_hour(
    runtime: Runtime, signed_in_client: Browsers, client: FlaskClient, member: Members, clock: FrozenClock
) -> None:
    ada = member("viewer")
    old_browser = signed_in_client(who=ada)
    admin = signed_in_client("admin")
    late = path_in(admin.post(f"/members/{ada.id}/reset").text)
    clock.advance(timedelta(minutes=30))
    assert client.get(late).status_code == 404
    path = path_in(admin.post(f"/members/{ada.id}/reset").text)
    assert client.post(path, data={"password": "short"}).status_code == 422
    assert client.post(path, data={"password": "another long password"}).status_code == 302
    assert client.get(path).status_code == 404
    assert old_browser.get("/profile").status_code == 302


def test_a_changed_role_ends_the_sessions_it_was_for(signed_in_client: Browsers, member: Members) -> None:
    ada = member("support")
    browser, admin = signed_in_client(who=ada), signed_in_client("admin")
    assert admin.post(f"/members/{ada.id}/role", data={"role": "viewer"}).status_code == 302
    assert browser.get("/profile").status_code == 302


def test_an_admin_does_not_touch_owners_nor_make_them(signed_in_client: Browsers, member: Members) -> None:
    owner, admin = member("owner"), signed_in_client("admin")
    for what, data in (("role", {"role": "viewer"}), ("disable", {}), ("reset", {})):
        assert admin.post(f"/members/{owner.id}/{what}", data=data).status_code == 403
    answer = admin.post("/members/invite", data={"email": "x@example.com", "role": "owner"})
    assert answer.status_code in (403, 422)
    viewer = member("viewer")
    assert admin.post(f"/members/{viewer.id}/role", data={"role": "owner"}).status_code == 403


def test_the_last_owner_stays(runtime: Runtime, member: Members, clock: FrozenClock) -> None:
    only = member("owner")
    with runtime.database.session() as session:
        found = people.member_by_id(session, only.id)
        with pytest.raises(Conflict, match="last owner"):
            people.disable(session, SYSTEM, clock.now(), found)
        with pytest.raises(Conflict, match="last owner"):
            people.set_role(session, SYSTEM, clock.now(), found, "viewer")
        with pytest.raises(NotAllowed):
            people.disable(session, SYSTEM, clock.now(), found, by="admin")


def test_role_and_id_cannot_be_slipped_into_ones_own_profile(
    runtime: Runtime, signed_in_client: Browsers, member: Members
) -> None:
    ada = member("viewer")
    data = {"name": "Ada", "time_zone": "Europe/Berlin", "role": "owner", "id": "1", "email": "x@y.z"}
    assert signed_in_client(who=ada).post("/profile", data=data).status_code == 302
    with runtime.database.session() as session:
        found = people.member_by_id(session, ada.id)
        assert (found.name, found.time_zone, found.role, found.email) == ("Ada", "Europe/Berlin", "viewer", ada.email)


@pytest.mark.parametrize("name", ["a\x00b", "a\u202eb", "a\nb", "x" * 101, "  "])
def test_names_that_hide_something_are_refused(signed_in_client: Browsers, name: str) -> None:
    assert signed_in_client("viewer").post("/profile", data={"name": name, "time_zone": "UTC"}).status_code == 422


@pytest.mark.parametrize("name", ["{{7*7}}", "<script>alert(1)</script>", "شركة", "חברה"])
def test_names_are_shown_as_they_are(signed_in_client: Browsers, name: str) -> None:
    browser = signed_in_client("owner")
    assert browser.post("/profile", data={"name": name, "time_zone": "UTC"}).status_code == 302
    page = browser.get("/members").text
    assert "<script>alert" not in page
    assert "{{7*7}}" in page or "{{" not in name


def test_a_new_password_takes_the_old_one_and_ends_other_sessions(signed_in_client: Browsers, member: Members) -> None:
    ada = member("viewer")
    here, there = signed_in_client(who=ada), signed_in_client(who=ada)
    data = {"email": ada.email, "current": "wrong", "password": "another long password"}
    assert here.post("/profile/access", data=data).status_code == 422
    assert here.post("/profile/access", data=data | {"current": PASSWORD}).status_code == 302
    assert here.get("/profile").status_code == 200
    assert there.get("/profile").status_code == 302


def test_one_session_or_all_are_ended_from_the_list(signed_in_client: Browsers, member: Members) -> None:
    ada, stranger = member("viewer"), signed_in_client("viewer")
    here, there, third = (signed_in_client(who=ada) for _ in range(3))
    end = re.findall(r'action="(/profile/sessions/\d+/end)"', here.get("/profile").text)
    assert len(end) == 2
    assert stranger.post(end[0]).status_code == 404
    assert here.post(end[0]).status_code == 302
    assert sorted(browser.get("/profile").status_code for browser in (there, third)) == [200, 302]
    here.post("/profile/sessions/end")
    assert {browser.get("/profile").status_code for browser in (here, there, third)} == {302}


def test_a_key_is_shown_once_and_ends_when_revoked(runtime: Runtime, signed_in_client: Browsers) -> None:
    developer, ring = signed_in_client("developer"), keyring.build(runtime)
    data = {"name": "checkout", "env": "production", "kind": "server", "expires": ""}
    made = KEY.search(developer.post("/keys/new", data=data).text)
    assert made
    key = {"HTTP_X_API_KEY": made[0]}
    assert ring.authenticate(key).name == "checkout"
    page = developer.get("/keys").text
    assert "checkout" in page
    assert not KEY.search(page)
    rotate = re.search(r'action="(/keys/\d+/rotate[^"]*)"', page)
    assert rotate
    newer = KEY.search(developer.post(rotate[1], data={"overlap": "24"}).text)
    assert newer
    ring.authenticate({"HTTP_X_API_KEY": newer[0]})
    for each in re.findall(r'action="(/keys/\d+/revoke[^"]*)"', developer.get("/keys").text):
        developer.post(each)
    for text_ in (made[0], newer[0]):
        with pytest.raises(NotAuthenticated):
            ring.authenticate({"HTTP_X_API_KEY": text_})


def test_a_developer_makes_no_admin_keys(signed_in_client: Browsers) -> None:
    data = {"name": "x", "env": "production", "kind": "admin"}
    assert signed_in_client("developer").post("/keys/new", data=data).status_code in (403, 422)


def test_another_environments_key_is_as_good_as_missing(
    runtime: Runtime, signed_in_client: Browsers, api_key: Callable[..., str]
) -> None:
    api_key("server", env="staging")
    with runtime.database.session() as session:
        key_id = session.scalar(text("select id from api_key"))
    owner = signed_in_client("owner")
    answers = [owner.post(f"/keys/{number}/revoke?env=production") for number in (key_id, 999_999)]
    assert [each.status_code for each in answers] == [404, 404]
    said = [re.findall(r"<h1.*?</h1>\s*<p>.*?</p>", each.text, re.S) for each in answers]
    assert said[0] == said[1] != []


def test_guessing_makes_one_wait_longer_each_time(client: FlaskClient, member: Members, clock: FrozenClock) -> None:
    client.application.config["WTF_CSRF_ENABLED"] = False
    ada = member("viewer")

    def guess(email: str = ada.email, password: str = "wrong") -> int:
        return client.post("/sign-in", data={"email": email, "password": password}).status_code

    for email in (ada.email, "nobody@example.com"):
        assert [guess(email) for _ in range(6)] == [422] * 5 + [429]
    clock.advance(timedelta(seconds=1))
    assert [guess(), guess()] == [422, 429]
    clock.advance(timedelta(seconds=1))
    assert guess() == 429
    clock.advance(timedelta(seconds=1))
    assert guess(password=PASSWORD) == 302


def test_an_address_is_slowed_down_over_many_accounts(client: FlaskClient) -> None:
    client.application.config["WTF_CSRF_ENABLED"] = False
    answers = [
        client.post("/sign-in", data={"email": f"{number}@example.com", "password": "x"}) for number in range(31)
    ]
    assert {each.status_code for each in answers[:30]} == {422}
    assert answers[30].status_code == 429
    assert int(answers[30].headers["Retry-After"]) >= 1


@pytest.mark.parametrize(
    "statement", ["update audit_entry set actor = 'x'", "delete from audit_entry", "truncate audit_entry"]
)
def test_the_audit_log_takes_inserts_only(
    runtime: Runtime, session: Session, clock: FrozenClock, statement: str
) -> None:
    audit(session, SYSTEM, "thing.done", "thing", 1, at=clock.now())
    session.commit()
    with pytest.raises(DBAPIError, match="insert-only|permission denied"):
        session.execute(text(statement))
    session.rollback()
    assert session.scalar(select(AuditEntry.actor)) == "Trackside"


def test_the_audit_log_is_filtered_paged_and_exported(
    runtime: Runtime, signed_in_client: Browsers, clock: FrozenClock
) -> None:
    with runtime.database.session() as session:
        for number in range(60):
            audit(session, SYSTEM, "thing.done", "thing", number, f"=thing {number}", at=clock.now())
    admin = signed_in_client("admin")
    page = admin.get("/audit?action=thing.done").text
    assert page.count("=thing ") == 50
    onward = re.search(r'href="([^"]*cursor=[^"]*)"', page)
    assert onward
    assert admin.get(onward[1].replace("&amp;", "&")).text.count("=thing ") == 10
    assert "=thing" not in admin.get("/audit?who=somebody").text
    export = admin.get("/audit/export.csv?object_id=7&object_kind=thing").text.splitlines()
    assert len(export) == 2
    assert ",'=thing 7," in export[1]


@pytest.mark.parametrize(
    "query", ["cursor=1", "cursor=forged.x", "since=99999-01-01", "since=x", "who=a&who=b", "who=%00"]
)
def test_a_forged_filter_of_the_audit_log_is_refused(signed_in_client: Browsers, query: str) -> None:
    assert signed_in_client("admin").get(f"/audit?{query}").status_code == 422


def test_sweeping_removes_what_is_over(runtime: Runtime, signed_in_client: Browsers, clock: FrozenClock) -> None:
    from trackside.auth import jobs

    browser = signed_in_client("viewer")
    links.first_sign_in_link(runtime)
    jobs.sweep(runtime)
    assert browser.get("/profile").status_code == 200
    clock.advance(timedelta(days=40))
    jobs.sweep(runtime)
    with runtime.database.session() as session:
        for table in ("member_session", "member_link"):
            assert session.scalar(text(f"select count(*) from {table}")) == 0
