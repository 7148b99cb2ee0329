"""The support log in the API: logging by a line or by fields, answering, and versions."""

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

Ask = Callable[..., TestResponse]
AT = "/support/interactions"


@pytest.fixture
def ask(client: FlaskClient, api_key: Callable[..., str]) -> Ask:
    """Ask the API with an admin key: `ask("GET", "/support/interactions")`."""
    key = api_key("admin", scopes=["support:read", "support:write"])

    def send(method: str, path: str, body: Any = None, **headers: str) -> TestResponse:
        sent = {"Authorization": f"Bearer {key}"} | {n.replace("_", "-"): v for n, v in headers.items()}
        return client.open(f"/api/v1{path}", method=method, json=body, headers=sent)

    return send


def test_a_line_is_enough(ask: Ask) -> None:
    made = ask("POST", AT, {"line": "dev@customer.example 401 after key rotation !high bug -- Since noon."})

    assert made.status_code == 201
    assert (made.json["subject"], made.json["kind"], made.json["priority"]) == (
        "401 after key rotation",
        "bug",
        "high",
    )
    assert made.json["said"] == ["dev@customer.example is new here: they were added to the users."]
    events = ask("GET", f"{AT}/{made.json['number']}/events").json
    assert [(each["kind"], each["data"].get("body")) for each in events] == [
        ("created", None),
        ("message", "Since noon."),
    ]


def test_a_line_that_is_not_understood_is_refused_with_what_to_do(ask: Ask) -> None:
    answer = ask("POST", AT, {"line": "everything is slow #nothing"})

    assert answer.status_code == 422
    assert "Say who it was" in answer.json["errors"]["line"]
    assert "no topic #nothing" in answer.json["errors"]["line"]


def test_fields_do_the_same_and_an_external_ref_is_logged_once(ask: Ask) -> None:
    sent = {"subject": "Invoice", "user": "u_42", "account": "acme", "source": "phone", "external_ref": "7"}

    assert ask("POST", AT, sent).json["account"] == "acme"
    assert ask("POST", AT, sent).status_code == 409
    assert ask("POST", AT, {**sent, "line": "u_42 x"}).status_code == 422
    assert ask("POST", AT, {"subject": "Nobody"}).status_code == 422


def test_a_reply_to_an_older_state_is_refused_and_nothing_is_sent(ask: Ask) -> None:
    number = ask("POST", AT, {"line": "u_1@customer.example x -- Help."}).json["number"]
    old = ask("GET", f"{AT}/{number}").headers["ETag"]
    ask("POST", f"{AT}/{number}:receive", {"body": "And now 500s."})

    refused = ask("POST", f"{AT}/{number}:reply", {"body": "Rotate the key."}, If_Match=old)

    assert refused.status_code == 412
    assert ask("GET", f"{AT}/{number}").json["first_reply_at"] is None
    now = ask("GET", f"{AT}/{number}").headers["ETag"]
    sent = ask("POST", f"{AT}/{number}:reply", {"body": "Rotate the key.", "then": "solved"}, If_Match=now)
    assert (sent.status_code, sent.json["status"]) == (200, "solved")
    back = ask("POST", f"{AT}/{number}:receive", {"body": "Not yet."})
    assert (back.json["status"], back.json["reopens"]) == ("open", 1)


def test_fields_are_edited_in_one_piece(ask: Ask, member: Callable[..., Any]) -> None:
    member("support", email="ada@staff.example")
    number = ask("POST", AT, {"line": "u_1@customer.example x"}).json["number"]

    edited = ask(
        "PATCH", f"{AT}/{number}", {"status": "waiting_dev", "assignee": "ada@staff.example", "add_tags": ["vip"]}
    )

    assert (edited.json["status"], edited.json["tags"], edited.status_code) == ("waiting_dev", ["vip"], 200)
    refused = ask("PATCH", f"{AT}/{number}", {"subject": "Changed", "status": "gone"})
    assert refused.status_code == 422
    assert ask("GET", f"{AT}/{number}").json["subject"] == "x"


def test_a_list_is_searched_and_paged(ask: Ask) -> None:
    for number in range(5):
        ask("POST", AT, {"line": f"u_1@customer.example timeout {number}"})
    ask("POST", AT, {"line": "u_2@customer.example invoice billing"})

    first = ask("GET", f"{AT}?q=timeout&limit=3").json
    second = ask("GET", f"{AT}?q=timeout&limit=3&cursor={first['next']}").json

    assert len(first["items"]) == 3
    assert len(second["items"]) == 2
    assert second["next"] is None
    assert ask("GET", f"{AT}?q=kind:billing").json["items"][0]["user"] == "u_2@customer.example"
    assert ask("GET", f"{AT}?q=kind:nothing").status_code == 422
    assert ask("GET", f"{AT}?cursor=forged").status_code == 422


def test_what_is_merged_goes_on_in_the_other(ask: Ask) -> None:
    one = ask("POST", AT, {"line": "u_1@customer.example one"}).json["number"]
    two = ask("POST", AT, {"line": "u_1@customer.example two"}).json["number"]

    assert ask("POST", f"{AT}/{one}:merge", {"into": two}).json["number"] == two
    assert ask("GET", f"{AT}/{one}").json["merged_into"] == two
    assert ask("POST", f"{AT}/{one}:note", {"body": "x"}).status_code == 409
    assert ask("GET", f"{AT}/999999999").status_code == 404


def test_a_line_came_by_the_api_unless_it_says_otherwise(ask: Ask) -> None:
    line = "dev@customer.example 401 after key rotation"
    assert ask("POST", AT, {"line": line}).json["channel"] == "api"
    assert ask("POST", AT, {"line": f"{line} ~phone"}).json["channel"] == "phone"
    assert ask("POST", AT, {"line": line, "channel": "chat"}).json["channel"] == "chat"


def test_misspelt_words_find_what_the_page_finds(ask: Ask) -> None:
    for subject in ("401 after key rotation", "key rotation again", "Invoice"):
        ask("POST", AT, {"subject": subject, "user": "dev@customer.example"})

    first = ask("GET", f"{AT}?q=rotaton&limit=1").json
    assert (first["corrected"], len(first["items"])) == ("rotation", 1)
    second = ask("GET", f"{AT}?q=rotaton&limit=1&cursor={first['next']}").json
    assert {first["items"][0]["subject"], second["items"][0]["subject"]} == {
        "401 after key rotation",
        "key rotation again",
    }
    assert second["next"] is None
    assert ask("GET", f"{AT}?q=rotation").json["corrected"] is None
    ordered = ask("GET", f"{AT}?q=rotaton&sort=newest&limit=1").json
    assert (ordered["corrected"], ordered["items"][0]["subject"]) == ("rotation", "key rotation again")
    assert len(ask("GET", f"{AT}?q=rotaton&sort=newest&limit=1&cursor={ordered['next']}").json["items"]) == 1
    assert len(ask("GET", f"{AT}?q=dev@custmer.example").json["items"]) == 3
