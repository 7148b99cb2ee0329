"""The jobs page and `trackside jobs`."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient
from sqlalchemy import func, update

from trackside import cli, jobs
from trackside.embedded.valkey import Valkey
from trackside.jobs.models import Task
from trackside.jobs.queries import COUNT_FAILED
from trackside.registry import Registry
from trackside.runtime import Runtime
from trackside.testing import probe


@pytest.fixture
def registry() -> Registry:
    return probe.registry()


@pytest.fixture
def failed(runtime: Runtime) -> int:
    """Return the id of a task that has failed for good."""
    with runtime.database.session() as session:
        task_id = jobs.enqueue(session, "probe.broken", {})
        values = {"state": "failed", "attempts": 2, "error": "ValueError in probe.py", "finished_at": func.now()}
        session.execute(update(Task).where(Task.id == task_id).values(**values))
    return task_id


@pytest.fixture
def run(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Run `trackside jobs ...` and return its result."""
    monkeypatch.setattr("trackside.jobs.cli.runtime", lambda: runtime)
    return lambda *words: CliRunner().invoke(cli.trackside, ["jobs", *words])


def state(runtime: Runtime, task_id: int) -> str:
    with runtime.database.session() as session:
        return session.get_one(Task, task_id).state


def test_the_page_shows_a_failure_with_its_reason(
    signed_in_client: Callable[..., FlaskClient], runtime: Runtime, failed: int
) -> None:
    page = signed_in_client("developer").get("/jobs").text
    assert "ValueError in probe.py" in page
    assert f"/jobs/{failed}/retry" not in page, "a developer may look only"
    with runtime.database.session() as session:
        assert session.scalar(COUNT_FAILED) == 1


def test_an_admin_retries_a_failed_task(
    signed_in_client: Callable[..., FlaskClient], runtime: Runtime, failed: int
) -> None:
    admin = signed_in_client("admin")
    assert f"/jobs/{failed}/retry" in admin.get("/jobs").text
    assert admin.post(f"/jobs/{failed}/retry").status_code == 302
    assert state(runtime, failed) == "waiting"
    assert admin.post(f"/jobs/{failed}/retry").status_code == 409


def test_an_admin_discards_a_failed_task(
    signed_in_client: Callable[..., FlaskClient], runtime: Runtime, failed: int
) -> None:
    assert signed_in_client("admin").post(f"/jobs/{failed}/discard").status_code == 302
    assert state(runtime, failed) == "discarded"


@pytest.mark.parametrize("role", ["developer", "support", "viewer"])
def test_who_may_not_manage_jobs_changes_nothing(
    signed_in_client: Callable[..., FlaskClient], runtime: Runtime, failed: int, role: str
) -> None:
    assert signed_in_client(role).post(f"/jobs/{failed}/retry").status_code == 403
    assert state(runtime, failed) == "failed"


def test_htmx_gets_the_live_part_alone(signed_in_client: Callable[..., FlaskClient]) -> None:
    part = signed_in_client().get("/jobs", headers={"HX-Request": "true"}).text
    assert 'id="jobs"' in part
    assert "<html" not in part


def test_the_page_says_that_redis_is_away(
    signed_in_client: Callable[..., FlaskClient], valkey: Valkey, failed: int
) -> None:
    valkey.stop()
    try:
        answer = signed_in_client("admin").get("/jobs")
    finally:
        valkey.start()
    assert answer.status_code == 200
    assert "Redis does not answer" in answer.text
    assert "ValueError in probe.py" in answer.text


@pytest.mark.parametrize("task_id", [10**6, 2**70])
def test_a_task_that_is_not_there_is_a_404(signed_in_client: Callable[..., FlaskClient], task_id: int) -> None:
    browser = signed_in_client("admin")
    assert browser.get(f"/jobs/{task_id}").status_code == 404
    assert browser.post(f"/jobs/{task_id}/retry").status_code == 404


def test_a_task_has_a_page(signed_in_client: Callable[..., FlaskClient], failed: int) -> None:
    assert "ValueError in probe.py" in signed_in_client("admin").get(f"/jobs/{failed}").text


def test_commands_list_show_retry_and_discard(run: Callable[..., Any], runtime: Runtime, failed: int) -> None:
    listed = json.loads(run("list", "--state", "failed", "--json").stdout)
    assert [(row["id"], row["error"]) for row in listed] == [(failed, "ValueError in probe.py")]
    assert json.loads(run("show", str(failed), "--json").stdout)["state"] == "failed"
    assert run("retry", str(failed)).exit_code == 0
    assert state(runtime, failed) == "waiting"
    assert run("discard", str(failed)).exit_code == 0
    assert state(runtime, failed) == "discarded"


def test_a_command_on_a_missing_task_exits_3_and_changes_nothing(
    run: Callable[..., Any], runtime: Runtime, failed: int
) -> None:
    answer = run("retry", str(failed), "999999")
    assert answer.exit_code == 3
    assert "There is no task 999999" in answer.output
    assert state(runtime, failed) == "failed"


def test_commands_show_queues_and_the_schedule(run: Callable[..., Any]) -> None:
    queues = json.loads(run("queues", "--json").stdout)
    assert {"default", "chimes"} <= {row["name"] for row in queues}
    assert all(row["workers"] == 0 for row in queues)
    ticks = {row["name"]: row for row in json.loads(run("schedule", "--json").stdout)}
    assert ticks["probe.hourly"] == {
        "name": "probe.hourly", "kind": "probe.effect", "every_seconds": 3600, "last": None,
        "next": "2026-06-15T12:00:00Z",
    }  # fmt: skip
    for command in ("queues", "schedule", "list"):
        assert run(command).exit_code == 0
