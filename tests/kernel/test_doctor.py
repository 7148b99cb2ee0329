"""The doctor sees what is wrong and says what to do."""

from datetime import timedelta

import redis
from sqlalchemy import text

from trackside.doctor import Finding, examine
from trackside.jobs.models import Task
from trackside.jobs.tasks import enqueue
from trackside.module import Check, Module
from trackside.registry import Registry
from trackside.runtime import Runtime


def findings(runtime: Runtime) -> dict[str, Finding]:
    return {finding.name: finding for finding in examine(runtime)}


def test_a_healthy_installation_has_no_problem(runtime: Runtime):
    assert [f for f in findings(runtime).values() if f.state == "problem" and f.name != "disk"] == []


def test_missing_migrations_are_a_problem_with_the_command_to_run(runtime: Runtime):
    with runtime.database.engine.begin() as connection:
        connection.execute(text("delete from alembic_version"))
    found = findings(runtime)["migrations"]
    assert found.state == "problem"
    assert "trackside db upgrade" in found.fix


def test_an_evicting_redis_is_a_problem(runtime: Runtime, redis_client: "redis.Redis[bytes]"):
    redis_client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        assert findings(runtime)["redis eviction"].state == "problem"
    finally:
        redis_client.config_set("maxmemory-policy", "noeviction")


def test_redis_without_an_append_only_file_is_a_warning(runtime: Runtime, redis_client: "redis.Redis[bytes]"):
    was = redis_client.config_get("appendonly")["appendonly"]
    redis_client.config_set("appendonly", "no")
    try:
        assert findings(runtime)["redis persistence"].state == "warning"
    finally:
        redis_client.config_set("appendonly", was)


def test_a_database_that_is_away_is_a_finding_and_not_a_crash(runtime: Runtime, settings):
    from dataclasses import replace

    from trackside.runtime import build_runtime

    away = build_runtime(replace(settings, database_url="postgresql+psycopg://x@127.0.0.1:9/none"), runtime.registry)
    found = findings(away)
    assert found["database"].state == found["migrations"].state == "problem"
    assert found["redis"].state == "ok"


def broken(_runtime: Runtime) -> Finding:
    raise OSError("no such device")


def test_a_module_adds_checks_and_a_failing_one_is_a_finding(runtime: Runtime):
    from dataclasses import replace

    check = Check("extra", f"{__name__}:broken")
    extra = Module(name="extra", title="Extra", checks=(check,))
    import sys

    sys.modules.setdefault(__name__, sys.modules[__name__])
    changed = replace(runtime, registry=Registry((*runtime.registry.modules, extra)))
    assert findings(changed)["extra"].message == "no such device"


def test_a_queue_whose_tasks_wait_while_nobody_works_on_them_is_a_problem(runtime: Runtime):
    with runtime.database.session() as session:
        task = enqueue(session, "webhooks.push", {"endpoint_id": 1})
    assert findings(runtime)["workers"].state == "ok"
    with runtime.database.session() as session:
        session.get_one(Task, task).not_before -= timedelta(minutes=11)
    found = findings(runtime)["workers"]
    assert (found.state, "webhooks" in found.message) == ("problem", True)
    assert "trackside worker webhooks" in found.fix
