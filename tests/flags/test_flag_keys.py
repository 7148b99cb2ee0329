"""What keys may do to flags: everywhere by production's, decide by a second member's, and never by one's own."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import select
from werkzeug.test import Client, TestResponse

from trackside import cli
from trackside.auth.models import ApiKey, Member
from trackside.runtime import Runtime

Ask = Callable[..., TestResponse]
Keys = Callable[..., str]


@pytest.fixture
def key_of(api_key: Any, runtime: Runtime) -> Keys:
    """Make an admin key: `key_of(ada, "flags:write")`; of nobody where the member is None."""

    def make(member: Member | None, *scopes: str, env: str = "production") -> str:
        text: str = api_key("admin", env=env, scopes=["flags:read", *scopes])
        with runtime.database.session() as session:
            key = session.scalars(select(ApiKey).order_by(ApiKey.id.desc()).limit(1)).one()
            key.created_by = member.id if member else None
        return text

    return make


@pytest.fixture
def ask(client: Client) -> Ask:
    def send(key: str, method: str, path: str, body: Any = None) -> TestResponse:
        return client.open(f"/api/v1{path}", method=method, json=body, headers={"Authorization": f"Bearer {key}"})

    return send


EVERYWHERE = [
    ("POST", "/flags", {"key": "new"}),
    ("PATCH", "/flags/f", {"name": "Better"}),
    ("PATCH", "/flags/f", {"name": "Better", "state": {"enabled": True}}),
    ("POST", "/flags/f:archive", {}),
    ("POST", "/flags/f:restore", {}),
    ("POST", "/flags/f:revert", {"of": "flag", "version": 1}),
    ("POST", "/flags:apply", {"flags": {"new": {}}}),
    ("POST", "/flags:apply", {"flags": {"f": {"name": "Better"}}}),
    ("POST", "/flags:apply", {"flags": {}, "prune": True}),
    ("POST", "/flags:apply", {"flags": {"f": {"name": "Better"}}, "dry_run": True}),
]


@pytest.mark.parametrize(("method", "path", "body"), EVERYWHERE)
def test_a_key_of_staging_changes_nothing_that_holds_in_production(
    flag: Any, ask: Ask, key_of: Keys, method: str, path: str, body: Any
) -> None:
    flag("f")
    staging = key_of(None, "flags:write", env="staging")
    before = ask(staging, "GET", "/flags:export").json
    answer = ask(staging, method, path, body)
    assert answer.status_code == 403
    assert answer.json is not None
    assert "key of production, or one with the scope flags:define" in answer.json["detail"]
    assert ask(staging, "GET", "/flags:export").json == before


def test_a_key_of_staging_changes_states_there_and_with_the_scope_flags_too(flag: Any, ask: Ask, key_of: Keys) -> None:
    flag("f")
    staging = key_of(None, "flags:write", env="staging")
    assert ask(staging, "PATCH", "/flags/f", {"state": {"enabled": True}}).status_code == 200
    document = {"flags": {"f": {"environments": {"staging": {"enabled": False}}}}}
    assert ask(staging, "POST", "/flags:apply", document).status_code == 200
    definer = key_of(None, "flags:write", "flags:define", env="staging")
    assert ask(definer, "POST", "/flags", {"key": "new"}).status_code == 201
    assert ask(key_of(None, "flags:write"), "PATCH", "/flags/f", {"name": "Better"}).status_code == 200


@pytest.fixture
def proposed(flag: Any, demand: Any, ask: Ask, key_of: Keys, member: Any) -> tuple[Member, int]:
    """Have a key of Ada's propose a change; give her, and the request's number."""
    ada: Member = member("developer")
    flag("f")
    demand()
    answer = ask(key_of(ada, "flags:write"), "POST", "/flags/f:propose", {"state": {"enabled": True}, "reason": "now"})
    assert answer.json is not None
    return ada, answer.json["id"]


def test_a_second_members_key_decides_and_the_log_names_both(
    proposed: tuple[Member, int], ask: Ask, key_of: Keys, member: Any
) -> None:
    _, number = proposed
    grace = member("developer")
    key = key_of(grace, "flags:approve", "flags:write")
    done = ask(key, "POST", f"/flag-requests/{number}:approve", {"note": "looks right"})
    assert done.json is not None
    assert (done.status_code, done.json["status"], done.json["note"]) == (200, "approved", "looks right")
    assert done.json["decided_by"] == f"{grace.email} by key a admin key"
    assert ask(key, "POST", f"/flag-requests/{number}:apply").status_code == 200
    assert ask(key, "GET", "/flags/f").json["state"]["enabled"] is True  # type: ignore[index]


@pytest.mark.parametrize("what", ["approve", "refuse"])
def test_no_key_decides_on_what_its_maker_proposed(
    proposed: tuple[Member, int], ask: Ask, key_of: Keys, what: str
) -> None:
    ada, number = proposed
    answer = ask(key_of(ada, "flags:approve"), "POST", f"/flag-requests/{number}:{what}", {"note": "mine"})
    assert answer.status_code == 403
    assert "yourself" in answer.json["detail"]  # type: ignore[index]
    assert ask(key_of(ada), "GET", f"/flag-requests/{number}").json["status"] == "open"  # type: ignore[index]


def test_a_key_without_somebody_who_may_decides_nothing(
    proposed: tuple[Member, int], ask: Ask, key_of: Keys, member: Any, runtime: Runtime, clock: Any
) -> None:
    _, number = proposed
    gone = member("developer")
    with runtime.database.session() as session:
        session.get_one(Member, gone.id).disabled_at = clock.now()
    path = f"/flag-requests/{number}:approve"
    for key, why in (
        (key_of(None, "flags:approve"), "Nobody stands behind"),
        (key_of(member("viewer"), "flags:approve"), "is viewer"),
        (key_of(gone, "flags:approve"), "cannot sign in"),
        (key_of(member("developer"), "flags:write"), "lacks the scope flags:approve"),
    ):
        answer = ask(key, "POST", path, {})
        assert answer.status_code == 403
        assert why in answer.json["detail"]  # type: ignore[index]
    staging = key_of(member("developer"), "flags:approve", env="staging")
    assert ask(staging, "POST", path, {}).status_code == 404
    assert (
        ask(key_of(member("developer"), "flags:approve"), "POST", path[:-7] + "refuse", {"note": ""}).status_code == 422
    )


def test_requests_are_listed_and_decided_from_the_shell(
    proposed: tuple[Member, int], member: Any, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, number = proposed
    grace = member("developer")
    cli.runtime.cache_clear()
    monkeypatch.setattr("trackside_modules.flags.cli.requests.runtime", lambda: runtime)

    def run(*words: str) -> Any:
        return CliRunner().invoke(cli.trackside, ["flags", "requests", *words])

    assert [each["id"] for each in json.loads(run("list", "--json").output)] == [number]
    assert "enabled" in run("show", str(number)).output
    refused = run("approve", str(number), "--member", ada.email)
    assert refused.exit_code != 0
    assert "yourself" in refused.output
    done = json.loads(run("approve", str(number), "--member", grace.email, "--apply", "--json").output)
    assert (done["status"], done["decided_by"]) == ("applied", f"{grace.email} by command line")
    assert run("refuse", str(number), "--member", grace.email, "--note", "late").exit_code != 0
