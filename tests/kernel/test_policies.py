"""Every route of the url map: who gets in, who does not, and that no unsafe verb works without its token."""

from collections.abc import Callable, Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.routing import Map, Rule

from trackside.auth.models import Member
from trackside.auth.roles import permissions_of
from trackside.clock import FrozenClock
from trackside.module import ROLES
from trackside.registry import Registry
from trackside.runtime import Runtime
from trackside.web.policy import Policy, policy_of

Browsers = Callable[..., FlaskClient]
SAFE = {"GET", "HEAD", "OPTIONS"}


def routes(app: Flask) -> Iterator[tuple[str, str, Policy]]:
    """Yield (method, path, policy) of every route, its variables filled with something harmless."""
    for rule in app.url_map.iter_rules():
        policy = policy_of(app, rule.endpoint)
        assert policy is not None, f"{rule.rule} has no policy"
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            yield method, path_of(app.url_map, rule), policy


def path_of(urls: Map, rule: Rule) -> str:
    filled = dict.fromkeys(rule.arguments, 999999)
    adapter = urls.bind("localhost")
    try:
        return str(adapter.build(rule.endpoint, filled, method=next(iter(rule.methods or ()), None)))
    except Exception:
        return str(adapter.build(rule.endpoint, dict.fromkeys(rule.arguments, "x")))


def test_a_visitor_gets_in_nowhere_but_where_it_is_said(app: Flask, client: FlaskClient) -> None:
    app.config["WTF_CSRF_ENABLED"] = False
    for method, path, policy in routes(app):
        answer = client.open(path, method=method)
        if policy.public is not None:
            continue
        if policy.scope is not None:
            assert answer.status_code == 401, f"{method} {path}: {answer.status}"
            assert answer.content_type == "application/problem+json"
        else:
            assert answer.status_code == 302, f"{method} {path}: {answer.status}"
            assert answer.headers["Location"].startswith("/sign-in"), path


@pytest.mark.parametrize("role", ROLES)
def test_a_role_is_refused_what_it_lacks(app: Flask, registry: Registry, signed_in_client: Browsers, role: str) -> None:
    browser, has = signed_in_client(role), permissions_of(registry, role)
    tried = 0
    for method, path, policy in routes(app):
        if policy.permission and policy.permission not in has:
            answer = browser.open(path, method=method)
            assert answer.status_code == 403, f"{role} {method} {path}: {answer.status}"
            tried += 1
    assert tried > 0 or role in ("owner", "admin")


def test_an_owner_may_do_everything_that_is_declared(registry: Registry) -> None:
    declared = {each.name for each in registry.each(lambda module: module.permissions)}
    assert permissions_of(registry, "owner") == declared
    assert permissions_of(registry, "viewer") < permissions_of(registry, "admin") <= declared


def test_no_unsafe_verb_works_without_its_csrf_token(app: Flask, signed_in_client: Browsers) -> None:
    browser = signed_in_client("owner")
    app.config["WTF_CSRF_ENABLED"] = True
    tried = 0
    for method, path, policy in routes(app):
        if method not in SAFE and policy.scope is None and not path.startswith(("/v1/", "/ofrep/", "/hooks/")):
            answer = browser.open(path, method=method)
            assert answer.status_code == 400, f"{method} {path}: {answer.status}"
            assert "expired" in answer.text
            tried += 1
    assert tried > 10


def test_pages_cannot_be_framed_or_kept(client: FlaskClient) -> None:
    headers = client.get("/sign-in").headers
    policy = headers["Content-Security-Policy"]
    for part in ("default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"):
        assert part in policy
    assert "unsafe" not in policy
    assert headers["Cache-Control"] == "no-store"
    assert "HttpOnly" in headers["Set-Cookie"]
    assert "SameSite=Lax" in headers["Set-Cookie"]


def test_a_link_of_a_page_never_leads_elsewhere(signed_in_client: Browsers) -> None:
    browser = signed_in_client("owner")
    for path in ("/keys", "/audit"):
        answer = browser.get(path + "?_scheme=javascript&_external=1&_anchor=x&endpoint=evil&show=all&who=A")
        assert answer.status_code == 200
        assert "javascript:" not in answer.text


def test_a_member_is_loaded_by_one_query(
    app: Flask, runtime: Runtime, clock: FrozenClock, signed_in_client: Browsers, member: Callable[..., Member]
) -> None:
    from sqlalchemy import event

    browser = signed_in_client("viewer")
    seen: list[str] = []
    event.listen(runtime.database.engine, "before_cursor_execute", lambda *a: seen.append(a[2]))
    assert browser.post("/-/environment", data={"env": "staging"}).status_code == 302
    assert len([each for each in seen if "member_session" in each]) == 1


@pytest.mark.parametrize("path", ["/users", "/users/", "/keys", "/keys/", "/members/", "/jobs/"])
def test_a_slash_at_the_end_of_an_address_makes_no_difference(
    path: str, signed_in_client: Callable[..., FlaskClient]
) -> None:
    assert signed_in_client("owner").get(path).status_code == 200
