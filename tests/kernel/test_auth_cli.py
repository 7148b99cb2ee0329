"""`trackside member` and `trackside key`, as scripts call them."""

import json
from collections.abc import Iterator

import pytest
from click.testing import CliRunner, Result

from trackside import cli
from trackside.auth import keyring
from trackside.errors import NotAuthenticated
from trackside.runtime import Runtime


@pytest.fixture
def command(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    monkeypatch.setattr("trackside.auth.cli.runtime", lambda: runtime)

    def run(*words: str, code: int = 0) -> Result:
        answer = CliRunner().invoke(cli.trackside, words)
        assert answer.exit_code == code, answer.output
        return answer

    return run  # type: ignore[return-value]


def test_a_key_is_made_listed_rotated_and_revoked(runtime: Runtime, command) -> None:  # type: ignore[no-untyped-def]
    ring = keyring.build(runtime)
    made = json.loads(
        command("key", "create", "--env", "production", "--kind", "server", "--name", "N", "--json").stdout
    )
    assert ring.authenticate({"HTTP_X_API_KEY": made["key"]}).name == "N"
    listed = command("key", "list", "--json").stdout
    assert [row["id"] for row in json.loads(listed)] == [made["id"]]
    assert made["key"].split("_")[4] not in listed
    newer = json.loads(command("key", "rotate", made["id"], "--json").stdout)
    for key in (made, newer):
        ring.authenticate({"HTTP_X_API_KEY": key["key"]})
        command("key", "revoke", key["id"])
        with pytest.raises(NotAuthenticated):
            ring.authenticate({"HTTP_X_API_KEY": key["key"]})


def test_members_are_made_changed_and_disabled(command) -> None:  # type: ignore[no-untyped-def]
    made = json.loads(command("member", "create", "Ada@Example.com", "--role", "owner", "--json").stdout)
    assert made["email"] == "ada@example.com"
    assert made["link"].startswith("http://localhost/link/")
    command("member", "create", "bob@example.com", "--role", "viewer")
    command("member", "role", "bob@example.com", "support")
    command("member", "disable", "bob@example.com")
    rows = {row["email"]: row for row in json.loads(command("member", "list", "--json").stdout)}
    assert (rows["bob@example.com"]["role"], rows["bob@example.com"]["disabled"]) == ("support", True)
    assert "/link/" in command("member", "reset", "ada@example.com").stdout


def test_exit_codes_tell_what_went_wrong(command) -> None:  # type: ignore[no-untyped-def]
    command("member", "create", "a@example.com", "--role", "owner")
    command("member", "create", "a@example.com", "--role", "owner", code=1)
    command("member", "disable", "a@example.com", code=1)
    command("member", "create", "b@example.com", "--role", "king", code=2)
    command("member", "reset", "nobody@example.com", code=3)
    command("key", "create", "--env", "nowhere", "--kind", "server", "--name", "x", code=3)
    command("key", "create", "--env", "production", "--kind", "admin", "--name", "x", code=1)
