"""Making flags, changing them, and what is kept of it."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import Any

import pytest
import redis
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError

from trackside.auth.audit import SYSTEM, Actor
from trackside.auth.models import AuditEntry
from trackside.errors import Conflict, InputError, NotFound, StaleVersion
from trackside.events import FlagChanged
from trackside.runtime import Runtime
from trackside.workspace import Environment
from trackside_modules.flags import ruleset, service
from trackside_modules.flags.events import channel
from trackside_modules.flags.models import Change, Flag, FlagsEnvironment, State

Flags = Callable[..., Flag]
Changes = Callable[..., State]


def document(runtime: Runtime, env_id: int = 1) -> dict[str, Any]:
    with runtime.database.session() as session:
        found: dict[str, Any] = json.loads(ruleset.build(session, env_id).body)
        return found


def test_a_new_flag_is_off_in_every_environment(flag: Flags, runtime: Runtime) -> None:
    flag("team/checkout")
    for env_id in (1, 2):
        made = document(runtime, env_id)["flags"]["team/checkout"]
        assert (made["enabled"], made["off"], made["variants"]) == (False, "off", {"on": True, "off": False})
        assert made["serve"] == {"rollout": 100_000, "split": [["on", 100_000]]}


@pytest.mark.parametrize(
    ("template", "enabled", "rollout", "by", "type_"),
    [
        ("release", False, 0, "targetingKey", "boolean"),
        ("experiment", False, 100_000, "targetingKey", "string"),
        ("ops", True, 100_000, "targetingKey", "boolean"),
        ("permission", False, 0, "account", "boolean"),
    ],
)
def test_a_template_decides_how_a_flag_begins(
    flag: Flags, runtime: Runtime, template: str, enabled: bool, rollout: int, by: str, type_: str
) -> None:
    assert flag("f", template=template).kind == template
    made = document(runtime)["flags"]["f"]
    assert (made["enabled"], made["serve"]["rollout"], made["by"], made["type"]) == (enabled, rollout, by, type_)


@pytest.mark.parametrize("key", ["", "a b", "ü", "a" * 201, "../x", "a//b", "/a", "a/", "a/./b", "x:y", "a\0"])
def test_keys_that_no_program_could_use_are_refused(flag: Flags, key: str) -> None:
    with pytest.raises(InputError) as caught:
        flag(key)
    assert "key" in caught.value.fields


def test_a_key_is_taken_once(flag: Flags) -> None:
    flag("f")
    with pytest.raises(Conflict, match="already"):
        flag("f")


def test_a_change_is_kept_with_who_why_and_what_it_was(flag: Flags, change: Changes, runtime: Runtime) -> None:
    flag("f")
    who = Actor("Grace", member_id=None)
    assert change("f", {"enabled": True}, who=who, reason="let us  see").version == 2
    with runtime.database.session() as session:
        last = session.scalars(select(Change).order_by(Change.id.desc())).first()
        assert last is not None
        assert last.before is not None
        assert last.after is not None
        assert (last.what, last.who, last.reason, last.version, last.env_id) == ("edited", "Grace", "let us see", 2, 1)
        assert (last.before["enabled"], last.after["enabled"]) == (False, True)
        entry = session.scalars(select(AuditEntry).order_by(AuditEntry.id.desc())).first()
        assert entry is not None
        assert (entry.action, entry.object_name, entry.changes["fields"]) == ("flag.edited", "f", "enabled")


def test_a_change_of_nothing_changes_nothing(flag: Flags, change: Changes, runtime: Runtime) -> None:
    flag("f")
    before = document(runtime)
    assert change("f", {"enabled": False}).version == 1
    assert document(runtime) == before


def test_an_edit_of_an_old_version_is_refused_and_told(flag: Flags, change: Changes) -> None:
    flag("f")
    change("f", {"enabled": True}, if_version=1)
    with pytest.raises(StaleVersion, match="version 2, and your change is based on 1"):
        change("f", {"enabled": False}, if_version=1)


def test_changes_bump_only_their_environment_and_are_published(
    flag: Flags, change: Changes, runtime: Runtime, redis_client: redis.Redis
) -> None:
    flag("f")
    heard: list[FlagChanged] = []
    runtime.events.subscribe(FlagChanged, heard.append)
    listener = redis_client.pubsub(ignore_subscribe_messages=True)
    listener.subscribe(channel(1))
    listener.get_message(timeout=60)
    before = [document(runtime, env_id)["version"] for env_id in (1, 2)]
    change("f", {"enabled": True})
    assert [document(runtime, env_id)["version"] for env_id in (1, 2)] == [before[0] + 1, before[1]]
    assert [(it.env_id, it.key, it.what, it.version) for it in heard] == [(1, "f", "edited", before[0] + 1)]
    message = listener.get_message(timeout=60)
    assert message is not None
    assert int(message["data"]) == before[0] + 1


def test_the_etag_is_the_hash_of_what_is_handed_out(flag: Flags, runtime: Runtime) -> None:
    flag("f")
    with runtime.database.session() as session:
        built = ruleset.build(session, 1)
        assert built.etag == sha256(built.body).hexdigest() == session.get_one(FlagsEnvironment, 1).etag


def test_a_new_environment_begins_with_every_flag_off(flag: Flags, runtime: Runtime) -> None:
    flag("f", template="ops")
    with runtime.database.session() as session:
        session.add(Environment(slug="preview", name="Preview", position=2))
    flag("g")
    with runtime.database.session() as session:
        env_id = session.scalar(select(Environment.id).where(Environment.slug == "preview"))
        assert env_id is not None
    made = document(runtime, env_id)
    assert made["environment"] == "preview"
    assert {key: each["enabled"] for key, each in made["flags"].items()} == {"f": False, "g": False}


def test_the_history_cannot_be_rewritten(flag: Flags, runtime: Runtime) -> None:
    flag("f")
    for statement in ("delete from flags_change", "update flags_change set who = 'x'", "truncate flags_change"):
        with pytest.raises(DBAPIError, match="insert-only"), runtime.database.session() as session:
            session.execute(text(statement))


def test_two_edits_at_once_leave_one_of_them_stale(flag: Flags, runtime: Runtime) -> None:
    flag("f")
    ready = threading.Barrier(2)

    def edit(rollout: int) -> bool:
        ready.wait()
        try:
            with runtime.database.session() as session:
                serve = {"rollout": rollout, "split": [["on", 100_000]]}
                now = runtime.clock.now()
                service.change(session, 1, "f", {"serve": serve}, who=SYSTEM, now=now, if_version=1)
        except StaleVersion:
            return False
        return True

    with ThreadPoolExecutor(2) as threads:
        assert sorted(threads.map(edit, (1000, 2000))) == [False, True]


def test_versions_follow_each_other_however_many_edit(flag: Flags, runtime: Runtime) -> None:
    keys = [flag(f"f{number}").key for number in range(6)]
    seen: list[int] = []
    runtime.events.subscribe(FlagChanged, lambda event: seen.append(event.version) if event.env_id == 1 else None)
    before = document(runtime)["version"]

    def edit(key: str) -> None:
        for enabled in (True, False, True):
            with runtime.database.session() as session:
                service.change(session, 1, key, {"enabled": enabled}, who=SYSTEM, now=runtime.clock.now())

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(edit, keys))
    assert sorted(seen) == list(range(before + 1, before + 19))
    with runtime.database.session() as session:
        assert session.scalar(select(func.count()).select_from(Change).where(Change.what == "edited")) == 18


def test_an_unknown_flag_is_not_found(change: Changes) -> None:
    with pytest.raises(NotFound, match="no flag 'nope'"):
        change("nope", {"enabled": True})


def test_a_field_that_no_state_has_is_refused(flag: Flags, change: Changes) -> None:
    flag("f")
    with pytest.raises(InputError, match="salt"):
        change("f", {"salt": "other"})
