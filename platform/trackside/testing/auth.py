"""Fixtures of members and keys, for tests of every area.

| fixture | what |
|---|---|
| `member` | `member("developer")`: a member of that role, with the password `PASSWORD` |
| `signed_in_client` | `signed_in_client("developer")`: a browser signed in as one |
| `api_key` | `api_key("server", env="staging")`: the text of a new key |
"""

from collections.abc import Callable, Collection
from itertools import count

import pytest
from argon2 import PasswordHasher
from flask import Flask
from flask.testing import FlaskClient

from trackside.auth import keys, people, sessions
from trackside.auth.audit import SYSTEM
from trackside.auth.models import Member
from trackside.runtime import Runtime
from trackside.workspace import environment_by_slug

PASSWORD = "correct horse battery staple"  # noqa: S105 - opens nothing outside tests
# As weak as argon2 goes, so that a hundred members cost nothing; signing in replaces it by a strong one.
_hash = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)


@pytest.fixture
def member(runtime: Runtime) -> Callable[..., Member]:
    """Make members: `member("viewer")`."""
    numbers = count(1)

    def make(role: str = "viewer", email: str = "") -> Member:
        address = email or f"{role}{next(numbers)}@example.com"
        with runtime.database.session() as session:
            made = people.create_member(session, SYSTEM, runtime.clock.now(), address, role, name=f"A {role}")
            made.password_hash = _hash
        return made

    return make


@pytest.fixture
def signed_in_client(app: Flask, runtime: Runtime, member: Callable[..., Member]) -> Callable[..., FlaskClient]:
    """Make browsers that are signed in: `signed_in_client("admin")`; CSRF is not asked of them."""
    app.config["WTF_CSRF_ENABLED"] = False

    def make(role: str = "owner", who: Member | None = None) -> FlaskClient:
        member_ = who or member(role)
        with runtime.database.session() as session:
            now = runtime.clock.now()
            token = sessions.open_session(session, member_, now, user_agent="tests", address="127.0.0.1")
        browser = app.test_client()
        with browser.session_transaction() as cookie:
            cookie["_user_id"] = token
            cookie["_fresh"] = True
        return browser

    return make


@pytest.fixture
def api_key(runtime: Runtime) -> Callable[..., str]:
    """Make keys: `api_key("admin", env="production", scopes=["customers:read"])` returns the text of one."""

    def make(kind: str = "server", env: str = "production", scopes: Collection[str] = (), **more: object) -> str:
        with runtime.database.session() as session:
            where = environment_by_slug(session, env)
            given = {"kind": kind, "name": f"a {kind} key", "scopes": scopes, "known_scopes": scopes, **more}
            return keys.create_key(session, SYSTEM, runtime.clock.now(), where, **given)[1]  # type: ignore[arg-type]

    return make
