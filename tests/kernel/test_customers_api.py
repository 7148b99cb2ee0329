"""Accounts and users as programs see and change them."""

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse


@pytest.fixture
def call(client: FlaskClient, api_key: Callable[..., str]) -> Callable[..., TestResponse]:
    """Give a function that calls the API with a key of both scopes."""
    key = api_key("admin", scopes=["customers:read", "customers:write"])

    def send(method: str, path: str, json: Any = None, **headers: str) -> TestResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return client.open(
            f"/api/v1{path}", method=method, json=json, headers={"Authorization": f"Bearer {key}", **named}
        )

    return send


Call = Callable[..., TestResponse]


def make(call: Call, path: str, **body: Any) -> Any:
    """Make something; return the answer's body."""
    answer = call("POST", path, body)
    assert answer.status_code == 201, answer.text
    return answer.json


def test_a_customer_is_made_read_and_edited(call: Call) -> None:
    make(call, "/accounts", external_id="acme", name="Acme", plan="gold")
    user = make(call, "/users", external_id="ada", account="acme", attributes={"role": "owner"})
    assert (user["account"], user["source"], user["attributes"]) == ("acme", "api", {"role": "owner"})
    edited = call("PATCH", f"/users/{user['id']}", {"name": "Ada"})
    assert (edited.json["name"], edited.json["account"]) == ("Ada", "acme")
    assert call("GET", f"/users/{user['id']}").json["name"] == "Ada"
    assert call("PATCH", f"/users/{user['id']}", {"account": ""}).json["account"] is None


def test_an_edit_of_an_older_version_is_refused(call: Call) -> None:
    path = f"/users/{make(call, '/users', external_id='ada')['id']}"
    tag = call("GET", path).headers["ETag"]
    assert call("PATCH", path, {"name": "A"}, If_Match=tag).status_code == 200
    assert call("PATCH", path, {"name": "B"}, If_Match=tag).status_code == 412
    assert call("DELETE", path, If_Match=tag).status_code == 412


def test_pages_follow_each_other_and_forged_cursors_do_not(call: Call) -> None:
    for number in range(5):
        make(call, "/users", external_id=f"u{number}")
    seen: list[str] = []
    cursor = ""
    while cursor is not None:
        page = call("GET", f"/users?limit=2&sort=id&cursor={cursor}").json
        seen += [row["external_id"] for row in page["items"]]
        cursor = page["next"]
    assert seen == [f"u{number}" for number in range(5)]
    good = call("GET", "/users?limit=2&sort=id").json["next"]
    for bad in ("abc", good[:-2] + "AA", good):
        assert call("GET", f"/users?limit=2&sort=-id&cursor={bad}").status_code == 422


@pytest.mark.parametrize("query", ["sort=evil", "source=evil", "limit=0", "limit=1&limit=2", "search=%00", "order=1"])
def test_what_no_list_has_is_refused(call: Call, query: str) -> None:
    assert call("GET", f"/users?{query}").status_code == 422
    assert call("GET", f"/accounts?{query}").status_code == 422


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"external_id": ""},
        {"external_id": "a\u202eb"},
        {"external_id": "x", "id": 7},
        {"external_id": "x", "erased_at": None},
        {"external_id": "x", "account": "ghost"},
        {"external_id": "x", "email": "nobody"},
        {"external_id": "x", "name": 7},
        {"external_id": "x", "name": "n" * 201},
        {"external_id": "x", "attributes": {"a": {"b": "c"}}},
    ],
)
def test_wrong_bodies_are_refused(call: Call, body: dict[str, Any]) -> None:
    answer = call("POST", "/users", body)
    assert answer.status_code == 422
    assert answer.content_type == "application/problem+json"


def test_a_merged_user_leads_to_the_other_and_an_erased_one_to_nobody(call: Call) -> None:
    old, new = (make(call, "/users", external_id=name)["id"] for name in ("old", "new"))
    assert call("POST", f"/users/{old}/merge", {"into": new}).json["external_id"] == "new"
    assert call("GET", f"/users/{old}").json["merged_into"] == new
    assert call("POST", f"/users/{old}/merge", {"into": new}).status_code == 409
    assert call("POST", f"/users/{new}/merge", {"into": new}).status_code == 422
    assert call("POST", f"/users/{new}/merge", {"into": 999}).status_code == 404
    assert call("DELETE", f"/users/{new}").json == {"users": 2}
    assert call("GET", f"/users/{new}").json["external_id"] is None
    assert call("POST", "/users", {"external_id": "old"}).status_code == 409


def test_reading_does_not_allow_writing(client: FlaskClient, api_key: Callable[..., str]) -> None:
    headers = {"Authorization": f"Bearer {api_key('admin', scopes=['customers:read'])}"}
    assert client.get("/api/v1/accounts", headers=headers).status_code == 200
    assert client.post("/api/v1/accounts", json={"external_id": "x"}, headers=headers).status_code == 403
