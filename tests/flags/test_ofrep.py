"""OFREP as real providers ask it, traps included, through the lane as `trackside web` builds it."""

import json
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from redis.connection import AbstractConnection
from werkzeug.test import Client, TestResponse

from trackside_modules.flags.serving.context import LIMIT

ALL = "/ofrep/v1/evaluate/flags"
Ask = Callable[..., TestResponse]


@pytest.fixture
def web(lane: Client) -> Client:
    return lane


@pytest.fixture
def ask(web: Client, api_key: Any) -> Ask:
    """Evaluate: `ask("checkout", {"targetingKey": "u_1"})`; without a key all flags."""
    keys = {kind: api_key(kind) for kind in ("server", "client", "ingest")}

    def made(key: str | None = None, context: Any = None, *, kind: str = "server", **more: Any) -> TestResponse:
        data = more.pop("data", json.dumps({} if context is None else {"context": context}))
        headers = {"X-API-Key": keys[kind], "Content-Type": "application/json"} | more.pop("headers", {})
        return web.post(ALL if key is None else f"{ALL}/{key}", data=data, headers=headers, **more)

    return made


@pytest.fixture
def checkout(flag: Any, change: Any) -> None:
    """Make a flag that is on for a quarter of the users."""
    flag("checkout", variants={"on": True, "off": False})
    change("checkout", {"enabled": True, "serve": {"rollout": 25_000, "split": [["on", 100_000]]}})


def test_a_flag_is_answered_with_all_that_providers_read(ask: Ask, flag: Any, change: Any) -> None:
    flag("banner", type="string", variants={"red": "#f00", "off": ""})
    change("banner", {"enabled": True})
    answer = ask("banner", {"targetingKey": "u_1"})
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json == {"key": "banner", "value": "#f00", "variant": "red", "reason": "STATIC", "metadata": {}}


def test_a_key_with_a_slash_works(ask: Ask, flag: Any) -> None:
    flag("team/checkout")
    assert ask("team/checkout").json["key"] == "team/checkout"  # type: ignore[index]
    assert ask("team%2Fcheckout").json["key"] == "team/checkout"  # type: ignore[index]


def test_the_same_request_is_answered_by_the_flag_as_it_is_now(
    ask: Ask, checkout: None, change: Any, clock: Any
) -> None:
    asked = [{"targetingKey": f"u_{number}"} for number in range(40)]
    first = [ask("checkout", each).data for each in asked]
    assert 0 < sum(b'"value":true' in each for each in first) < 40
    assert [ask("checkout", each).data for each in asked] == first
    change("checkout", {"serve": {"rollout": 100_000, "split": [["on", 100_000]]}})
    assert all(b'"value":true' in ask("checkout", each).data for each in asked)
    at = (clock.now() + timedelta(hours=1)).isoformat()
    change("checkout", {"schedule": [{"at": at, "enabled": False}]})
    assert all(b'"value":true' in ask("checkout", each).data for each in asked)
    clock.advance(timedelta(hours=2))
    assert all(b'"value":false' in ask("checkout", each).data for each in asked)


@pytest.mark.parametrize("body", ["{}", "", '{"context": {}}', '{"context": null}', '{"other": 1}'])
def test_no_context_is_answered(ask: Ask, flag: Any, body: str) -> None:
    flag("checkout")
    assert ask("checkout", data=body).status_code == 200


def test_numbers_keep_their_point(ask: Ask, flag: Any, change: Any) -> None:
    flag("ratio", type="number", variants={"one": 1, "half": 0.5, "off": 0})
    flag("size", type="number", variants={"ten": 10, "off": 0})
    for key in ("ratio", "size"):
        change(key, {"enabled": True})
    assert b'"value":1.0' in ask("ratio").data
    assert b'"value":10,' in ask("size").data


def test_an_unknown_flag_is_404(ask: Ask) -> None:
    answer = ask("nothing")
    assert (answer.status_code, answer.json["errorCode"]) == (404, "FLAG_NOT_FOUND")  # type: ignore[index]
    assert answer.json["key"] == "nothing"  # type: ignore[index]
    assert answer.json["errorDetails"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("{", "PARSE_ERROR"),
        ("\xff", "PARSE_ERROR"),
        ('{"context":{"a":1,"a":2}}', "PARSE_ERROR"),
        ('{"context":{"a":' + "[" * 50_000 + "]" * 50_000 + "}}", "PARSE_ERROR"),
        ("[]", "INVALID_CONTEXT"),
        ('{"context":[]}', "INVALID_CONTEXT"),
        ('{"context":{"targetingKey":42}}', "INVALID_CONTEXT"),
        (json.dumps({"context": {f"a{n}": n for n in range(10_000)}}), "INVALID_CONTEXT"),
        ('{"context":{}}', "TARGETING_KEY_MISSING"),
        ('{"context":{"targetingKey":""}}', "TARGETING_KEY_MISSING"),
    ],
)
def test_what_cannot_be_evaluated_is_400_and_says_why(ask: Ask, checkout: None, body: str, code: str) -> None:
    answer = ask("checkout", data=body)
    assert answer.status_code in {400, 413}
    assert answer.json["errorCode"] == code  # type: ignore[index]
    assert answer.json["key"] == "checkout"  # type: ignore[index]
    assert answer.json["errorDetails"]  # type: ignore[index]


def test_a_context_of_a_megabyte_is_refused(ask: Ask, checkout: None) -> None:
    answer = ask("checkout", {"text": "x" * 1_000_000})
    assert (answer.status_code, answer.json["errorCode"]) == (413, "INVALID_CONTEXT")  # type: ignore[index]
    assert ask("checkout", {"targetingKey": "u", "text": "x" * (LIMIT // 4)}).status_code == 200


def test_only_server_and_client_keys_evaluate(ask: Ask, web: Client, checkout: None) -> None:
    assert ask("checkout", {"targetingKey": "u"}, kind="client").status_code == 200
    assert ask("checkout", kind="ingest").status_code == 403
    nobody = web.post(f"{ALL}/checkout", data="{}")
    assert nobody.status_code == 401
    assert nobody.json["errorDetails"]  # type: ignore[index]


def test_all_flags_come_at_once_also_those_that_fail(ask: Ask, checkout: None, flag: Any) -> None:
    flag("banner")
    answer = ask(None, {})
    found = {each["key"]: each for each in answer.json["flags"]}  # type: ignore[index]
    assert found["banner"]["value"] is False
    assert found["checkout"]["errorCode"] == "TARGETING_KEY_MISSING"
    assert answer.json["metadata"]["version"] >= 1  # type: ignore[index]


def test_the_etag_of_all_flags_is_of_rules_and_context(ask: Ask, checkout: None, change: Any) -> None:
    first = ask(None, {"targetingKey": "u", "plan": "pro"})
    known = {"If-None-Match": first.headers["ETag"]}
    same = ask(None, {"targetingKey": "u", "plan": "pro"}, headers=known)
    assert (same.status_code, same.data, same.headers["ETag"]) == (304, b"", first.headers["ETag"])
    assert ask(None, {"targetingKey": "u", "plan": "free"}, headers=known).status_code == 200
    change("checkout", {"enabled": False})
    assert ask(None, {"targetingKey": "u", "plan": "pro"}, headers=known).status_code == 200


def test_the_etag_changes_when_a_schedule_does_something(ask: Ask, checkout: None, change: Any, clock: Any) -> None:
    at = (clock.now() + timedelta(hours=1)).isoformat()
    change("checkout", {"schedule": [{"at": at, "enabled": False}]})
    first = ask(None, {"targetingKey": "u"})
    clock.advance(timedelta(hours=2))
    later = ask(None, {"targetingKey": "u"}, headers={"If-None-Match": first.headers["ETag"]})
    assert later.status_code == 200
    assert later.json["flags"][0]["reason"] == "DISABLED"  # type: ignore[index]


def test_a_browser_of_another_site_may_ask(web: Client, ask: Ask, checkout: None) -> None:
    preflight = web.options(f"{ALL}/checkout", headers={"Origin": "https://shop.example"})
    assert preflight.status_code == 204
    assert preflight.headers["Access-Control-Allow-Origin"] == "*"
    for name in ("If-None-Match", "Authorization", "X-API-Key", "Content-Type"):
        assert name in preflight.headers["Access-Control-Allow-Headers"]
    for kind, status in (("client", 200), ("ingest", 403)):
        answer = ask("checkout", {"targetingKey": "u"}, kind=kind, headers={"Origin": "https://shop.example"})
        assert answer.status_code == status
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "ETag, Retry-After" in answer.headers["Access-Control-Expose-Headers"]
    assert web.options("/v1/flags/ruleset").status_code == 405


def test_the_ruleset_is_for_servers_and_has_an_etag(web: Client, api_key: Any, checkout: None) -> None:
    def get(kind: str, **headers: str) -> TestResponse:
        return web.get("/v1/flags/ruleset", headers={"Authorization": f"Bearer {keys[kind]}", **headers})

    keys = {kind: api_key(kind) for kind in ("server", "client")}
    answer = get("server")
    assert answer.json["flags"]["checkout"]["serve"]["rollout"] == 25_000  # type: ignore[index]
    assert get("server", **{"If-None-Match": answer.headers["ETag"]}).status_code == 304
    assert get("client").status_code == 403


def test_a_client_key_is_told_nothing_of_the_rules(ask: Ask, web: Client, flag: Any, change: Any, api_key: Any) -> None:
    flag("checkout")
    when = [{"attribute": "hush_plan", "op": "in", "values": ["hush_pro"], "negate": False}]
    serve = {"rollout": 31_000, "split": [["on", 100_000]]}
    rule = {"id": "hush_rule", "name": "hush name", "when": when, "serve": serve}
    given = [{"attribute": "targetingKey", "value": "hush_user", "variant": "on"}]
    change("checkout", {"enabled": True, "rules": [rule], "overrides": given, "serve": serve})
    for context in ({}, {"targetingKey": "u"}, {"hush_plan": "hush_pro"}, {"targetingKey": 1}, {"hush_plan": {}}, []):
        for key in ("checkout", None):
            said = ask(key, context, kind="client").text
            assert "hush" not in said
            assert "31" not in said.partition('"eventStreams"')[0]
    headers = {"X-API-Key": api_key("client")}
    assert "hush" not in web.get("/v1/flags/ruleset", headers=headers).text
    sent = {"exposures": [{"flag": "checkout", "variant": "nope"}, {"flag": "other", "variant": "on"}, {"flag": 1}]}
    assert "hush" not in web.post("/v1/flags/exposures", json=sent, headers=headers).text


def test_a_key_evaluates_in_its_own_environment(web: Client, flag: Any, change: Any, api_key: Any) -> None:
    flag("checkout")
    change("checkout", {"enabled": True})
    headers = {"X-API-Key": api_key("server", env="staging")}
    assert web.post(f"{ALL}/checkout", data="{}", headers=headers).json["reason"] == "DISABLED"  # type: ignore[index]
    document = web.get("/v1/flags/ruleset", headers=headers).json
    assert (document["environment"], document["flags"]["checkout"]["enabled"]) == ("staging", False)  # type: ignore[index]


def test_no_check_waits_for_a_server(
    ask: Ask, web: Client, checkout: None, api_key: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = {"X-API-Key": api_key("server")}
    etags = [
        ask(None, {}, kind="client").headers["ETag"],
        web.get("/v1/flags/ruleset", headers=headers).headers["ETag"],
    ]
    here, asked = threading.get_ident(), []

    def watch(where: type, name: str) -> None:
        real = getattr(where, name)

        def seen(self: Any, *args: Any, **more: Any) -> Any:
            if threading.get_ident() == here:
                asked.append(args)
            return real(self, *args, **more)

        monkeypatch.setattr(where, name, seen)

    watch(psycopg.Cursor, "execute")
    watch(AbstractConnection, "send_packed_command")
    statuses = [ask(key, {"targetingKey": "u"}, kind="client").status_code for key in ("checkout", "nothing", None)]
    statuses.append(ask(None, {}, kind="client", headers={"If-None-Match": etags[0]}).status_code)
    known = headers | {"If-None-Match": etags[1]}
    statuses += [web.get("/v1/flags/ruleset", headers=each).status_code for each in (headers, known)]
    assert statuses == [200, 404, 200, 304, 200, 304]
    assert asked == []
