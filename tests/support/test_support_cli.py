"""The support log from the shell."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import text

from trackside import cli
from trackside.runtime import Runtime

Run = Callable[..., Result]


@pytest.fixture
def run(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `trackside support ...`."""
    cli.runtime.cache_clear()
    monkeypatch.setattr("trackside_modules.support.cli.runtime", lambda: runtime)

    def command(*arguments: str, code: int = 0) -> Result:
        result = CliRunner().invoke(cli.trackside, ["support", *arguments])
        assert result.exit_code == code, result.output
        return result

    return command


def test_a_mail_is_taken_from_a_pipe_once(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "mail.eml"
    path.write_bytes(b"From: dev@customer.example\r\nMessage-ID: <one@customer.example>\r\n\r\nIt fails.")
    assert "is kept" in run("receive", str(path)).stdout
    assert "kept already" in run("receive", str(path)).stdout


def test_an_interaction_is_logged_answered_and_found_from_the_shell(run: Run) -> None:
    made = json.loads(
        run("log", "dev@customer.example 401 after key rotation !high bug -- Since noon.", "--json").stdout
    )
    ref = made["ref"]

    assert made["said"] == ["dev@customer.example is new here: they were added to the users."]
    assert f"{ref} is waiting for the customer." in run("reply", ref, "Rotate it again.").stdout
    assert f"{ref} is solved." in run("set", ref, "--status", "solved", "--priority", "low").stdout
    run("note", ref.lower(), "Told them by phone too.")
    told = run("show", str(made["number"])).stdout
    assert "Since noon." in told
    assert "note: Told them by phone too." in told
    assert ref in run("list", "status:solved", "rotation").stdout
    misspelt = run("list", "rotaton")
    assert ref in misspelt.stdout
    assert "Shown is what has: rotation" in misspelt.stderr
    assert [each["ref"] for each in json.loads(run("list", "kind:bug", "--json").stdout)] == [ref]


def test_what_is_not_understood_says_what_to_do_and_logs_nothing(run: Run) -> None:
    refused = run("log", "everything is slow #nothing", code=1)

    assert "Say who it was" in refused.output
    assert "Nothing found." in run("list").stdout
    assert "write SUP-123 or 123" in run("show", "one", code=2).output
    assert "Say what to change" in run("set", "1", code=2).output
    assert "There is no interaction SUP-1" in run("show", "1", code=3).output


def test_everything_made_of_events_is_made_anew(run: Run, runtime: Runtime) -> None:
    ref = json.loads(run("log", "dev@customer.example 401 after rotation", "--json").stdout)["ref"]
    with runtime.database.session() as session:
        session.execute(text("delete from support_interaction"))
        session.execute(text("delete from support_search"))
    assert json.loads(run("rebuild", "--json").stdout) == {"interactions": 1}
    assert ref in run("list", "rotation").stdout
