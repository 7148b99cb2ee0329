"""`trackside webhooks`: from adding an endpoint to sending something again, by the shell alone."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from click.testing import CliRunner, Result

from trackside import cli
from trackside.runtime import Runtime
from trackside.settings import Settings

Run = Callable[..., Result]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Let this machine be called, as an operator may."""
    return replace(settings, outbound_networks=("127.0.0.0/8",))


@pytest.fixture
def run(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr("trackside.webhooks.cli.runtime", lambda: runtime)

    def command(*arguments: str, code: int = 0) -> Result:
        made = CliRunner().invoke(cli.trackside, ["webhooks", *arguments])
        assert made.exit_code == code, made.output
        return made

    return command


def test_a_webhook_is_set_up_and_looked_after_from_the_shell(run: Run) -> None:
    assert "support.interaction.solved" in run("types").stdout
    assert "There are no webhooks." in run("list").stdout
    at = "http://127.0.0.1:9999/hook?token=t0ps3cret"
    made = json.loads(run("add", at, "--name", "CI", "--json").stdout)
    number = str(made["id"])

    assert made["types"] == ["*"]
    assert made["secret"].startswith("whsec_")
    assert "t0ps3cret" not in run("list").stdout
    assert run("rotate", number).stdout.splitlines()[-1] != made["secret"]
    assert "paused" in run("pause", number).stdout
    assert "working" in run("resume", number).stdout
    changed = json.loads(run("set", number, "--type", "support.interaction.rated", "--json").stdout)
    assert (changed["types"], changed["name"]) == (["support.interaction.rated"], "CI")
    assert "on its way" in run("test", number).stdout
    told = json.loads(run("deliveries", number, "--json").stdout)
    assert [each["type"] for each in told] == ["trackside.test"]
    assert "on its way again" in run("resend", number, str(told[0]["id"])).stdout
    run("remove", number)
    run("pause", number, code=3)


def test_what_is_wrong_is_said_in_a_line(run: Run) -> None:
    assert "not an address of the public internet" in run("add", "http://10.0.0.1/", "--name", "x", code=1).output
    assert "There is no event" in run("add", "http://127.0.0.1/", "--name", "x", "--type", "no", code=1).output
