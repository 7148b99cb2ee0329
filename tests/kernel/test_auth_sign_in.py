"""Signing in, staying signed in, and being out."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient

from trackside.auth import links, people
from trackside.auth.audit import SYSTEM
from trackside.auth.models import Member
from trackside.clock import FrozenClock
from trackside.runtime import Runtime
from trackside.testing.auth import PASSWORD

Members = Callable[..., Member]
Browsers = Callable[..., FlaskClient]


def token_in(page: str) -> str:
    found = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)
    assert found, page
    return found[1]


def sign_in(client: FlaskClient, email: str, password: str = PASSWORD, **more: str):  # type: ignore[no-untyped-def]
    token = token_in(client.get("/sign-in").text)
    return client.post("/sign-in", data={"csrf_token": token, "email": email, "password": password, **more})


def cookie(client: FlaskClient) -> str:
    found = client.get_cookie("trackside_session")
    assert found is not None
    return found.value


def test_a_member_signs_in_and_out_and_the_old_cookie_is_dead(app: Flask, client: FlaskClient, member: Members) -> None:
    ada = member("viewer")
    assert sign_in(client, ada.email.upper()).status_code == 302
    page = client.get("/profile")
    assert page.status_code == 200
    assert ada.email in page.text
    stolen = cookie(client)
    client.post("/sign-out", data={"csrf_token": token_in(page.text)})
    assert client.get("/profile").status_code == 302
    thief = app.test_client()
    thief.set_cookie("trackside_session", stolen)
    assert thief.get("/profile").status_code == 302


def test_signing_in_gives_a_new_session(client: FlaskClient, member: Members) -> None:
    ada = member("viewer")
    sign_in(client, ada.email)
    first = cookie(client)
    with client.session_transaction() as held:
        held_token = held["_user_id"]
    client.post("/sign-out", data={"csrf_token": token_in(client.get("/profile").text)})
    sign_in(client, ada.email)
    with client.session_transaction() as held:
        assert held["_user_id"] != held_token
    assert cookie(client) != first


@pytest.mark.parametrize("email", ["nobody@example.com", "not an address", "a\x00b@example.com", "x" * 300])
def test_an_unknown_member_reads_the_same_as_a_wrong_password(client: FlaskClient, member: Members, email: str) -> None:
    ada = member("viewer")
    wrong = sign_in(client, ada.email, "wrong password")
    unknown = sign_in(client, email, "wrong password")
    assert wrong.status_code == unknown.status_code == 422
    clean = [re.sub(r'value="[^"]*"', "", page.text) for page in (wrong, unknown)]
    assert clean[0] == clean[1]
    assert "do not go together" in clean[0]


def test_an_idle_session_ends(signed_in_client: Browsers, clock: FrozenClock) -> None:
    browser = signed_in_client("viewer")
    clock.advance(timedelta(hours=11, minutes=59))
    assert browser.get("/profile").status_code == 200
    clock.advance(timedelta(hours=12))
    assert browser.get("/profile").status_code == 302


def test_a_session_in_use_ends_after_a_week(signed_in_client: Browsers, clock: FrozenClock) -> None:
    browser = signed_in_client("viewer")
    for _ in range(7 * 24 // 8):
        assert browser.get("/profile").status_code == 200
        clock.advance(timedelta(hours=8))
    assert browser.get("/profile").status_code == 302


def test_a_disabled_member_is_out_at_once(
    runtime: Runtime, clock: FrozenClock, member: Members, signed_in_client: Browsers, client: FlaskClient
) -> None:
    ada = member("admin")
    browser = signed_in_client(who=ada)
    with runtime.database.session() as session:
        people.disable(session, SYSTEM, clock.now(), people.member_by_id(session, ada.id))
    assert browser.get("/profile").status_code == 302


@pytest.mark.parametrize("target", ["//evil.example", "/\\evil.example", "https://evil.example", "/\t/evil.example"])
def test_signing_in_leads_to_our_own_site_only(client: FlaskClient, member: Members, target: str) -> None:
    answer = sign_in(client, member("viewer").email, next=target)
    assert answer.status_code == 302
    assert "evil" not in answer.headers["Location"]


def test_signing_in_leads_back_to_the_page_one_came_from(client: FlaskClient, member: Members) -> None:
    sent = client.get("/profile?tab=1")
    assert sent.headers["Location"] == "/sign-in?next=/profile?tab%3D1"
    assert sign_in(client, member("viewer").email, next="/profile?tab=1").headers["Location"] == "/profile?tab=1"


def test_the_first_link_makes_the_owner_and_works_once(runtime: Runtime, client: FlaskClient) -> None:
    path = links.first_sign_in_link(runtime).removeprefix("http://localhost")
    page = client.get(path)
    assert client.get(path).status_code == 200
    form = {"email": "Ada@Example.com", "name": "Ada", "password": PASSWORD, "csrf_token": token_in(page.text)}
    assert client.post(path, data=form).headers["Location"] == "/"
    assert "ada@example.com" in client.get("/profile").text
    assert client.get(path).status_code == 404


def test_the_demo_link_signs_in_by_one_click(runtime: Runtime, client: FlaskClient) -> None:
    path = links.first_sign_in_link(runtime, demo=True).removeprefix("http://localhost")
    token = token_in(client.get(path).text)
    assert client.post(path, data={"csrf_token": token}).status_code == 302
    assert "No password yet" in client.get("/profile").text
