"""Flags in the management API: keys with slashes, versions, isolation of environments."""

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from trackside.clock import FrozenClock
from trackside_modules.flags.models import Flag

Flags = Callable[..., Flag]
Ask = Callable[..., TestResponse]
KEY = "team/checkout"


@pytest.fixture
def ask(client: FlaskClient, api_key: Callable[..., str]) -> Ask:
    """Ask the API with an admin key of production: `ask("GET", "/flags")`."""
    keys: dict[str, str] = {}

    def send(method: str, path: str, body: Any = None, *, env: str = "production", **headers: str) -> TestResponse:
        if env not in keys:
            keys[env] = api_key("admin", env=env, scopes=["flags:read", "flags:write"])
        sent = {"Authorization": f"Bearer {keys[env]}"} | {n.replace("_", "-"): v for n, v in headers.items()}
        return client.open(f"/api/v1{path}", method=method, json=body, headers=sent)

    return send


def test_a_key_with_slashes_is_found_by_every_route(flag: Flags, ask: Ask) -> None:
    flag(KEY)
    assert ask("GET", f"/flags/{KEY}").json["key"] == KEY
    assert ask("GET", f"/flags/{KEY}:history").json["items"][0]["what"] == "created"
    assert ask("POST", f"/flags/{KEY}:archive", {}).json["archived_at"]
    assert ask("POST", f"/flags/{KEY}:restore", {}).json["archived_at"] is None
    assert ask("GET", "/flags/team").status_code == 404


def test_a_flag_is_made_listed_and_edited(ask: Ask) -> None:
    made = ask("POST", "/flags", {"key": KEY, "name": "Checkout", "tags": ["shop"], "state": {"enabled": True}})
    assert (made.status_code, made.json["state"]["enabled"], made.json["type"]) == (201, True, "boolean")
    assert [each["key"] for each in ask("GET", "/flags?tag=shop&q=check").json["items"]] == [KEY]
    assert ask("GET", "/flags?tag=other").json["items"] == []
    serve = {"split": [["on", 100_000]], "rollout": 25_000}
    body = {"name": "New checkout", "state": {"serve": serve}, "reason": "a quarter"}
    edited = ask("PATCH", f"/flags/{KEY}", body, If_Match=made.headers["ETag"])
    assert (edited.json["name"], edited.json["state"]["serve"]["rollout"]) == ("New checkout", 25_000)
    newest = ask("GET", f"/flags/{KEY}:history").json["items"][0]
    assert newest["diff"] == [{"path": "serve.rollout", "old": 100_000, "new": 25_000}]
    assert newest["reason"] == "a quarter"


def test_an_edit_of_an_old_version_is_412_and_changes_nothing(flag: Flags, ask: Ask) -> None:
    flag(KEY)
    old = ask("GET", f"/flags/{KEY}").headers["ETag"]
    assert ask("PATCH", f"/flags/{KEY}", {"state": {"enabled": True}}, If_Match=old).status_code == 200
    answer = ask("PATCH", f"/flags/{KEY}", {"state": {"enabled": False}}, If_Match=old)
    assert (answer.status_code, answer.json["code"]) == (412, "stale")
    assert "repeat your change" in answer.json["title"] + answer.json["detail"]
    assert ask("GET", f"/flags/{KEY}").json["state"]["enabled"] is True


SERVE = {"split": [["on", 100_000]]}


def when(**condition: Any) -> dict[str, Any]:
    return {"rules": [{"when": [condition], "serve": SERVE}]}


@pytest.mark.parametrize(
    ("state", "path"),
    [
        (when(attribute="plan", op="almost", values=["x"]), "rules[0].when[0].op"),
        (when(op="segment", values=["vip"]), "rules[0].when[0].values[0]"),
        (when(attribute="a", op="matches", values=["("]), "rules[0].when[0].values[0]"),
        ({"serve": {"split": [["on", 60_000], ["off", 30_000]]}}, "serve.split"),
        ({"serve": {"split": [["maybe", 100_000]]}}, "serve.split[0][0]"),
        ({"serve": {**SERVE, "rollout": 100_001}}, "serve.rollout"),
        ({"prerequisites": [{"flag": "other", "variants": ["on"]}]}, "prerequisites[0].flag"),
        ({"prerequisites": [{"flag": KEY, "variants": ["on"]}]}, "prerequisites"),
        ({"overrides": [{"attribute": "plan", "value": "x", "variant": "on"}]}, "overrides[0].attribute"),
        ({"off": "nothing"}, "off"),
        ({"schedule": [{"at": "tomorrow", "enabled": True}]}, "schedule[0].at"),
        ({"schedule": [{"at": "0001-01-01T00:00:00Z", "enabled": True}]}, "schedule[0].at"),
        ({"serve": {**SERVE, "steps": [{"at": "9999-12-31T23:59:59Z", "rollout": 1}]}}, "serve.steps[0].at"),
    ],
)
def test_what_makes_no_sense_is_422_named_and_changes_nothing(flag: Flags, ask: Ask, state: Any, path: str) -> None:
    flag(KEY)
    before = ask("GET", f"/flags/{KEY}").json
    answer = ask("PATCH", f"/flags/{KEY}", {"name": "Other", "state": state})
    assert answer.status_code == 422
    assert path in answer.json["errors"], answer.json
    assert ask("GET", f"/flags/{KEY}").json == before


def test_a_circle_of_flags_is_refused_with_the_way_round(flag: Flags, ask: Ask) -> None:
    for key in ("a", "b", "c"):
        flag(key)
    needs = {
        key: {"state": {"prerequisites": [{"flag": other, "variants": ["on"]}]}} for key, other in ("ab", "bc", "ca")
    }
    assert [ask("PATCH", f"/flags/{key}", needs[key]).status_code for key in "ab"] == [200, 200]
    answer = ask("PATCH", "/flags/c", needs["c"])
    assert answer.status_code == 422
    assert all(key in str(answer.json["errors"]["prerequisites"]) for key in "abc")
    assert ask("GET", "/flags/c").json["state"]["prerequisites"] == []


@pytest.mark.parametrize(
    "key", ["", "a b", "ü", "x" * 201, "../x", "a//b", "/a", "a/", "...", "a:archive", "a\0", "a\n"]
)
def test_a_key_outside_the_set_is_422(ask: Ask, key: str) -> None:
    answer = ask("POST", "/flags", {"key": key})
    assert (answer.status_code, list(answer.json["errors"])) == (422, ["key"])
    applied = ask("POST", "/flags:apply", {"format": "trackside.flags/1", "flags": {key: {}}})
    assert applied.status_code == 422
    assert ask("GET", "/flags").json["items"] == []


@pytest.mark.parametrize(
    ("context", "status"),
    [
        ({f"a{n}": n for n in range(10_000)}, 422),
        ({"a": "x" * 1_000_000}, 422),
        ({"a": {"b": [0] * 10_000}}, 422),
        ([], 422),
        ({"targetingKey": 42}, 200),
    ],
)
def test_a_context_that_no_evaluation_takes_is_not_explained(flag: Flags, ask: Ask, context: Any, status: int) -> None:
    flag(KEY)
    answer = ask("POST", f"/flags/{KEY}:explain", {"context": context})
    assert answer.status_code == status
    assert status == 200 or any(name.startswith("context") for name in answer.json["errors"])


def test_what_is_no_flag_or_archived_is_not_explained(flag: Flags, ask: Ask) -> None:
    flag(KEY)
    assert ask("POST", "/flags/nothing:explain", {}).status_code == 404
    ask("POST", f"/flags/{KEY}:archive", {})
    assert ask("POST", f"/flags/{KEY}:explain", {}).status_code == 404


@pytest.mark.parametrize("kind", ["client", "server", "ingest"])
def test_keys_that_evaluate_see_no_rule_and_change_nothing(
    flag: Flags, client: FlaskClient, api_key: Callable[..., str], kind: str
) -> None:
    flag(KEY)
    asked = (
        [("GET", "/flags"), ("POST", "/flags")]
        + [("GET", f"/flags/{KEY}{verb}") for verb in ("", ":history")]
        + [("POST", f"/flags/{KEY}{verb}") for verb in (":explain", ":archive", ":ramp", ":propose", ":revert")]
        + [("PATCH", f"/flags/{KEY}"), ("GET", "/flags:export"), ("POST", "/flags:apply"), ("GET", "/flag-requests")]
    )
    headers = {"Authorization": f"Bearer {api_key(kind)}"}
    for method, path in asked:
        answer = client.open(f"/api/v1{path}", method=method, json={}, headers=headers)
        assert answer.status_code == 403, f"{method} {path}"
        assert "off" not in answer.json


def test_a_key_sees_and_changes_its_own_environment_alone(flag: Flags, ask: Ask) -> None:
    flag(KEY)
    ask("PATCH", f"/flags/{KEY}", {"state": {"enabled": True}}, env="staging")
    assert ask("GET", f"/flags/{KEY}").json["state"]["enabled"] is False
    assert set(ask("GET", "/flags:export").json["flags"][KEY]["environments"]) == {"production"}
    body = {"flags": {KEY: {"environments": {"staging": {"enabled": False}}}}}
    answer = ask("POST", "/flags:apply", body)
    assert answer.status_code == 422
    assert f"flags.{KEY}.environments.staging" in answer.json["errors"]


def test_a_ramp_grows_by_even_steps_the_first_now(flag: Flags, ask: Ask, clock: FrozenClock) -> None:
    flag(KEY, template="release")
    made = ask("POST", f"/flags/{KEY}:ramp", {"to": 100_000, "count": 4, "every": 86400}).json["state"]["serve"]
    assert [each["rollout"] for each in made["steps"]] == [25_000, 50_000, 75_000, 100_000]
    assert made["steps"][0]["at"] == "2026-06-15T12:00:00Z"
    assert made["steps"][3]["at"] == "2026-06-18T12:00:00Z"


def test_an_override_is_set_and_taken_back(flag: Flags, ask: Ask) -> None:
    flag(KEY)
    made = ask("PUT", f"/flags/{KEY}:override", {"value": "u_42", "variant": "on"})
    assert made.json["state"]["overrides"] == [{"attribute": "targetingKey", "value": "u_42", "variant": "on"}]
    assert ask("PUT", f"/flags/{KEY}:override", {"value": "u_42", "variant": "nope"}).status_code == 422
    assert ask("PUT", f"/flags/{KEY}:override", {"value": "u_42", "variant": None}).json["state"]["overrides"] == []


def test_one_call_goes_back_to_any_version(flag: Flags, ask: Ask) -> None:
    flag(KEY)
    ask("PATCH", f"/flags/{KEY}", {"state": {"enabled": True}})
    ask("PATCH", f"/flags/{KEY}", {"state": {"enabled": False, "off": "on"}})
    back = ask("POST", f"/flags/{KEY}:revert", {"version": 2}).json
    assert (back["state"]["enabled"], back["state"]["off"], back["state_version"]) == (True, "off", 4)
    assert ask("POST", f"/flags/{KEY}:revert", {"version": 9}).status_code == 404
    ask("PATCH", f"/flags/{KEY}", {"name": "Other", "tags": ["x"]})
    assert ask("POST", f"/flags/{KEY}:revert", {"version": 1, "of": "flag"}).json["name"] == KEY


def test_an_explanation_tells_who_gets_what(flag: Flags, ask: Ask) -> None:
    flag(KEY, template="ops")
    told = ask("POST", f"/flags/{KEY}:explain", {"context": {"targetingKey": "u_42"}}).json
    assert told["result"]["variant"] == "on"
    assert ask("POST", f"/flags/{KEY}:explain", {"context": {str(n): n for n in range(600)}}).status_code == 422


def test_where_approval_is_due_a_key_can_only_propose(flag: Flags, ask: Ask, demand: Callable[[], None]) -> None:
    flag(KEY)
    demand()
    answer = ask("PATCH", f"/flags/{KEY}", {"state": {"enabled": True}})
    assert (answer.status_code, answer.json["code"]) == (409, "approval-needed")
    made = ask("POST", f"/flags/{KEY}:propose", {"state": {"enabled": True}, "reason": "now"})
    assert (made.status_code, made.json["status"]) == (201, "open")
    number = made.json["id"]
    assert ask("POST", f"/flag-requests/{number}:apply").status_code == 409
    assert ask("GET", f"/flag-requests/{number}", env="staging").status_code == 404
    assert ask("GET", "/flag-requests?status=open").json["items"][0]["key"] == KEY
    assert ask("POST", f"/flag-requests/{number}:withdraw").json["status"] == "withdrawn"


def test_lists_go_on_where_the_page_before_ended(flag: Flags, ask: Ask) -> None:
    keys = [flag(f"f{number}").key for number in range(5)]
    first = ask("GET", "/flags?limit=3").json
    rest = ask("GET", f"/flags?limit=3&cursor={first['next']}").json
    assert [each["key"] for each in first["items"] + rest["items"]] == keys
    assert rest["next"] is None


def test_fixed_fields_cannot_be_sent(flag: Flags, ask: Ask) -> None:
    flag(KEY)
    for field in ("salt", "type", "key", "id", "version"):
        assert ask("PATCH", f"/flags/{KEY}", {field: "x"}).status_code == 422


def test_a_reader_changes_nothing(flag: Flags, client: FlaskClient, api_key: Callable[..., str]) -> None:
    flag(KEY)
    headers = {"Authorization": f"Bearer {api_key('admin', scopes=['flags:read'])}"}
    assert client.patch(f"/api/v1/flags/{KEY}", json={}, headers=headers).status_code == 403
    assert client.get(f"/api/v1/flags/{KEY}", headers=headers).status_code == 200
