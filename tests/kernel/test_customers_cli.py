"""`trackside customers` does what the pages do."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from trackside import cli
from trackside.runtime import Runtime


@pytest.fixture
def call(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give a function that runs a command line."""
    import trackside.customers.cli as commands

    monkeypatch.setattr(commands, "runtime", lambda: runtime)

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(cli.trackside, ["customers", *arguments])

    return run


def test_a_file_goes_in_and_comes_out(call: Any, tmp_path: Path) -> None:
    file = tmp_path / "users.csv"
    file.write_text("id,name,company\nada,Ada,acme\nbob,Bob,acme\n")
    assert "2 would be created" in call("import", str(file), "--dry-run").output
    assert json.loads(call("list", "--json").output) == []
    assert "2 created" in call("import", str(file)).output
    assert [row["external_id"] for row in json.loads(call("list", "--sort", "id", "--json").output)] == ["ada", "bob"]
    assert json.loads(call("show", "ada", "--json").output)["account"] == "acme"
    assert call("export").output.splitlines()[0].startswith("external_id,")
    assert [row["external_id"] for row in json.loads(call("export", "--json", "--kind", "account").output)] == ["acme"]


def test_rows_left_out_are_an_exit_code(call: Any, tmp_path: Path) -> None:
    file = tmp_path / "users.csv"
    file.write_text("key,mail\nada,nope\n")
    result = call("import", str(file), "--column", "mail=email", "--json")
    assert result.exit_code == 1
    assert json.loads(result.output)["errors"][0]["line"] == 2
    assert call("import", str(file), "--column", "other=email").exit_code == 1
    assert call("import", str(tmp_path / "none.csv")).exit_code == 2


def test_users_are_merged_and_erased_from_the_shell(call: Any, tmp_path: Path) -> None:
    file = tmp_path / "users.csv"
    file.write_text("id\nold\nnew\n")
    call("import", str(file))
    assert json.loads(call("merge", "old", "new", "--json").output)["external_id"] == "new"
    assert json.loads(call("show", "old", "--json").output)["external_id"] == "new"
    assert call("erase", "new").exit_code == 1, "asks first, and takes no answer for no"
    assert json.loads(call("erase", "new", "--yes", "--json").output)["users"] == 2
    assert call("show", "old").exit_code == 3
    assert call("erase", "ghost", "--yes").exit_code == 3
