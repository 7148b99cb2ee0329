"""A link that is remembered is the link that Flask would make; a connection that died meanwhile is noticed."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from flask import Flask, g, url_for
from flask.testing import FlaskClient

from trackside.runtime import Runtime
from trackside.web.links import link

VALUES: list[dict[str, object]] = [
    {},
    {"q": "a b&c", "page": 1},
    {"q": None, "page": "1"},
    {"q": True},
    {"q": ["x", "y"]},
    {"at": datetime(2026, 1, 2, tzinfo=UTC)},
    {"q": 1.0},
]


@pytest.mark.parametrize("root", ["", "/below"])
@pytest.mark.parametrize("kept", [None, "staging"])
def test_a_remembered_link_is_the_one_that_flask_makes(app: Flask, root: str, kept: str | None) -> None:
    for _ in range(2):
        with app.test_request_context("/users", base_url=f"http://localhost{root}"):
            g.kept_environment = kept
            for values in VALUES:
                assert link("users.index", **values) == url_for("users.index", **values)
            assert link("users.show", row_id=3) == url_for("users.show", row_id=3)
            assert link("auth.sign_out") == url_for("auth.sign_out")


def test_a_whole_address_is_of_who_asks(app: Flask) -> None:
    for host in ("a.example", "b.example"):
        with app.test_request_context("/users", base_url=f"http://{host}"):
            for how in ({"_external": 1}, {"_scheme": "https"}):
                assert f"//{host}/" in link("users.index", **how)


def test_a_page_after_the_server_hung_up_is_answered(
    signed_in_client: Callable[..., FlaskClient], runtime: Runtime
) -> None:
    browser = signed_in_client("owner")
    assert browser.get("/users").status_code == 200
    with runtime.database.pool.connection() as other:
        other.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()"
            " and datname = current_database()"
        )
    assert browser.get("/users").status_code == 200
