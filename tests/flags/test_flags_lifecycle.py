"""Steps by the clock, second members, promoting, archiving, going stale, forgetting the erased."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from trackside.auth.audit import SYSTEM, Actor
from trackside.auth.models import ApiKey, Member
from trackside.clock import FrozenClock
from trackside.customers import erase as erasing
from trackside.customers import service as customers
from trackside.customers.kinds import USER
from trackside.errors import Conflict, InputError, NotAllowed, StaleVersion
from trackside.events import FlagChanged
from trackside.ports import Segments
from trackside.runtime import Runtime
from trackside_modules.flags import jobs, ruleset, service, shape
from trackside_modules.flags.exposures.models import ExposureDay
from trackside_modules.flags.models import Change, Flag, FlagsEnvironment, Request, State
from trackside_modules.flags.queries import comparing, history, listing, staleness
from trackside_modules.flags.service import edits, requests

Flags = Callable[..., Flag]
Changes = Callable[..., State]
DAY = timedelta(days=1)
ON = {"split": [["on", 100_000]], "rollout": 100_000}


def version(runtime: Runtime, env_id: int = 1) -> int:
    with runtime.database.session() as session:
        return session.get_one(FlagsEnvironment, env_id).version


def config(runtime: Runtime, key: str, env_id: int = 1) -> dict[str, Any]:
    with runtime.database.session() as session:
        return session.get_one(State, (env_id, service.get(session, key).id)).config


@pytest.fixture
def two(member: Callable[..., Member]) -> tuple[Actor, Actor]:
    """Two members."""
    ada, grace = member("developer"), member("developer")
    return Actor("Ada", member_id=ada.id), Actor("Grace", member_id=grace.id)


def test_a_step_is_marked_once_when_it_has_become_true(
    flag: Flags, change: Changes, runtime: Runtime, clock: FrozenClock
) -> None:
    flag("f")
    steps = edits.even_steps(0, 100_000, 3, DAY, now=clock.now() + DAY)
    change("f", edits.both(edits.switch(on=True), edits.ramp(steps, now=clock.now())))
    heard: list[FlagChanged] = []
    runtime.events.subscribe(FlagChanged, heard.append)
    before = version(runtime)
    jobs.mark_steps(runtime)
    assert (version(runtime), heard) == (before, [])
    clock.advance(2 * DAY + timedelta(minutes=1))
    jobs.mark_steps(runtime)
    jobs.mark_steps(runtime)
    with runtime.database.session() as session:
        marked = session.scalars(select(Change).where(Change.what == "step").order_by(Change.id)).all()
        assert [each.at for each in marked] == [steps[0][0], steps[1][0]]
        assert service.diff_of(marked[1]) == [{"path": "serve.rollout", "old": 33_333, "new": 66_666}]
        found = history.between(session, 1, clock.now() - 5 * DAY, clock.now())
        assert [each.what for each in found] == ["edited", "step", "step"]
    assert (version(runtime), [it.what for it in heard]) == (before + 1, ["step", "step"])


def test_a_scheduled_switch_is_marked_too(flag: Flags, change: Changes, runtime: Runtime, clock: FrozenClock) -> None:
    flag("f")
    change("f", edits.switch_at(clock.now() + DAY, on=True))
    clock.advance(DAY)
    jobs.mark_steps(runtime)
    with runtime.database.session() as session:
        last = session.scalars(select(Change).order_by(Change.id.desc())).first()
        assert last is not None
        assert (last.what, last.after) == ("step", {"enabled": True})


def test_an_explicit_rollout_ends_a_ramp(flag: Flags, change: Changes, runtime: Runtime, clock: FrozenClock) -> None:
    flag("f")
    change("f", edits.ramp([(clock.now() + DAY, 50_000)], now=clock.now()))
    change("f", edits.rollout(10_000))
    assert config(runtime, "f")["serve"] == {"rollout": 10_000, "split": [["on", 100_000]]}


def test_new_weights_move_no_more_users_than_they_must(flag: Flags, change: Changes, runtime: Runtime) -> None:
    flag("f", type="string", variants={"a": "a", "b": "b", "c": "c"})
    change("f", edits.split({"a": 30_000, "b": 30_000, "c": 40_000}))
    change("f", edits.split({"a": 40_000, "b": 30_000, "c": 30_000}))
    assert config(runtime, "f")["serve"]["split"] == [["a", 30_000], ["b", 30_000], ["c", 30_000], ["a", 10_000]]
    before = version(runtime)
    change("f", edits.split({"a": 40_000, "b": 30_000, "c": 30_000}))
    assert version(runtime) == before


def test_a_change_is_approved_by_another_member_and_applied(
    flag: Flags, change: Changes, demand: Callable[[], None], runtime: Runtime, two: tuple[Actor, Actor]
) -> None:
    flag("f")
    demand()
    ada, grace = two
    now = runtime.clock.now()
    with pytest.raises(service.ApprovalNeeded, match="production"):
        change("f", {"enabled": True})
    with runtime.database.session() as session:
        number = requests.propose(session, 1, "f", {"enabled": True}, who=ada, now=now, reason="launch").id
    assert config(runtime, "f")["enabled"] is False
    with runtime.database.session() as session:
        with pytest.raises(Conflict, match="is open"):
            requests.apply(session, number, who=grace, now=now)
        with pytest.raises(NotAllowed, match="yourself"):
            requests.approve(session, number, who=ada, now=now)
        with pytest.raises(NotAllowed, match="Only a member"):
            requests.approve(session, number, who=SYSTEM, now=now)
        requests.approve(session, number, who=grace, now=now, note="looks right")
        requests.apply(session, number, who=ada, now=now)
    assert config(runtime, "f")["enabled"] is True
    with runtime.database.session() as session:
        last = session.scalars(select(Change).order_by(Change.id.desc())).first()
        assert last is not None
        assert (last.request_id, last.who, last.reason) == (number, "Ada", "launch")


def test_nobody_approves_what_their_own_key_proposed(
    flag: Flags,
    runtime: Runtime,
    clock: FrozenClock,
    demand: Callable[..., None],
    two: tuple[Actor, Actor],
    api_key: Any,
) -> None:
    (ada, grace), now = two, clock.now()
    flag("f")
    demand()
    api_key("admin", scopes=["flags:write"])
    with runtime.database.session() as session:
        key = session.scalars(select(ApiKey).order_by(ApiKey.id.desc()).limit(1)).one()
        key.created_by = ada.member_id
        program = Actor("key ci", key_id=key.id)
        number = requests.propose(session, 1, "f", {"enabled": True}, who=program, now=now, reason="launch").id
    with runtime.database.session() as session:
        with pytest.raises(NotAllowed, match="yourself"):
            requests.approve(session, number, who=ada, now=now)
        assert requests.approve(session, number, who=grace, now=now).status == "approved"


def test_a_request_is_stale_once_the_flag_has_moved_on(
    flag: Flags, change: Changes, runtime: Runtime, two: tuple[Actor, Actor]
) -> None:
    flag("f")
    ada, grace = two
    now = runtime.clock.now()
    with runtime.database.session() as session:
        number = requests.propose(session, 1, "f", {"enabled": True}, who=ada, now=now, reason="launch").id
    change("f", edits.rollout(500))
    with runtime.database.session() as session:
        assert session.get_one(Request, number).status == "stale"
        with pytest.raises(StaleVersion, match="proposed again"):
            requests.approve(session, number, who=grace, now=now)


def test_a_proposal_that_makes_no_sense_or_nothing_is_refused(flag: Flags, runtime: Runtime) -> None:
    flag("f")
    how: dict[str, Any] = {"who": Actor("Ada"), "now": runtime.clock.now()}
    with runtime.database.session() as session:
        with pytest.raises(InputError, match="off"):
            requests.propose(session, 1, "f", {"off": "nope"}, reason="x", **how)
        with pytest.raises(Conflict, match="nothing"):
            requests.propose(session, 1, "f", {"enabled": False}, reason="x", **how)
        with pytest.raises(InputError, match="reason"):
            requests.propose(session, 1, "f", {"enabled": True}, reason=" ", **how)
        assert session.scalar(select(func.count()).select_from(Request)) == 0


def test_variants_cannot_be_changed_around_the_approval(
    flag: Flags, demand: Callable[[], None], runtime: Runtime, two: tuple[Actor, Actor]
) -> None:
    flag("f", type="string", variants={"a": "1", "off": ""})
    demand()
    ada, grace = two
    now = runtime.clock.now()
    values = {"variants": {"a": "2", "off": ""}}
    with runtime.database.session() as session:
        with pytest.raises(service.ApprovalNeeded):
            service.edit(session, "f", values, who=ada, now=now)
        service.edit(session, "f", {"name": "Better"}, who=ada, now=now)
        number = requests.propose_definition(session, "f", values, who=ada, now=now, reason="two").id
        requests.approve(session, number, who=grace, now=now)
        requests.apply(session, number, who=ada, now=now)
        assert service.get(session, "f").variants == values["variants"]


def test_what_is_promoted_is_what_works_there_now(
    flag: Flags, change: Changes, runtime: Runtime, clock: FrozenClock
) -> None:
    flag("f")
    steps = edits.even_steps(0, 100_000, 2, DAY, now=clock.now())
    change("f", edits.both(edits.switch(on=True), edits.ramp(steps, now=clock.now())), env_id=2)
    with runtime.database.session() as session:
        assert [each.key for each in comparing.compare(session, 1, 2)] == ["f"]
        service.promote(session, "f", source=2, target=1, who=SYSTEM, now=clock.now())
    made = config(runtime, "f")
    assert (made["enabled"], made["serve"]) == (True, {"rollout": 50_000, "split": [["on", 100_000]]})


def test_a_prerequisite_cannot_be_archived_and_who_needs_it_is_named(
    flag: Flags, change: Changes, runtime: Runtime
) -> None:
    flag("base")
    flag("top")
    change("top", {"prerequisites": [{"flag": "base", "variants": ["on"]}]}, env_id=2)
    with runtime.database.session() as session, pytest.raises(Conflict, match="prerequisite of top"):
        service.archive(session, "base", who=SYSTEM, now=runtime.clock.now())


def test_circles_are_refused_and_the_way_round_is_told(flag: Flags, change: Changes) -> None:
    for key in ("a", "b", "c"):
        flag(key)
    change("a", {"prerequisites": [{"flag": "b", "variants": ["on"]}]})
    change("b", {"prerequisites": [{"flag": "c", "variants": ["on"]}]})
    with pytest.raises(InputError, match="circle"):
        change("c", {"prerequisites": [{"flag": "a", "variants": ["on"]}]})


def test_a_variant_that_another_flag_needs_must_stay(flag: Flags, change: Changes, runtime: Runtime) -> None:
    flag("base", type="string", variants={"new": "n", "old": "o", "off": ""})
    flag("top")
    change("top", {"prerequisites": [{"flag": "base", "variants": ["old"]}]})
    with runtime.database.session() as session, pytest.raises(InputError, match="top: prerequisites"):
        service.edit(session, "base", {"variants": {"new": "n", "off": ""}}, who=SYSTEM, now=runtime.clock.now())


def test_an_archived_flag_is_in_no_ruleset_and_comes_back_off(flag: Flags, runtime: Runtime) -> None:
    flag("f", template="ops")
    now = runtime.clock.now()
    with runtime.database.session() as session:
        service.archive(session, "f", who=SYSTEM, now=now)
        assert ruleset.flags(session, 1) == {}
        with pytest.raises(Conflict, match="archived"):
            service.change(session, 1, "f", {"enabled": False}, who=SYSTEM, now=now)
        service.restore(session, "f", who=SYSTEM, now=now)
        assert ruleset.flags(session, 1)["f"]["enabled"] is False


def test_a_segment_that_some_module_provides_may_be_named(flag: Flags, change: Changes, runtime: Runtime) -> None:
    flag("f")
    rule = {"when": [{"op": "segment", "values": ["vip"]}], "serve": ON}
    with pytest.raises(InputError, match="no segment"):
        change("f", {"rules": [rule]})

    class Provider:
        def named(self, session: Any, env_id: int) -> dict[str, Any]:
            return {"vip": {"env": env_id}}

    runtime.ports.provide(Segments, Provider)
    change("f", {"rules": [rule]})
    with runtime.database.session() as session:
        assert ruleset.segments(session, 1) == {"vip": {"env": 1}}


def test_stale_flags_are_told_with_their_evidence(
    flag: Flags, change: Changes, runtime: Runtime, clock: FrozenClock
) -> None:
    flag("full")
    change("full", {"enabled": True})
    flag("switch", template="ops")
    flag("late", expected_end=clock.now() + DAY)
    number = flag("split").id
    change("split", {"enabled": True, "serve": {**ON, "rollout": 50_000}})
    with runtime.database.session() as session:
        asked = {"day": clock.now().date(), "evaluations": 1, "last_at": clock.now()}
        session.add(ExposureDay(env_id=1, flag_id=number, variant="on", **asked))
    clock.advance(40 * DAY)
    with runtime.database.session() as session:
        rows = listing.listed(session, listing.Filter())
        told = staleness.evidence(session, rows, now=clock.now())
        codes = {row.flag.key: {each.code for each in told[row.flag.id]} for row in rows}
        texts = {row.flag.key: [each.text for each in told[row.flag.id]] for row in rows}
    assert codes == {
        "full": {"constant", "never-asked"},
        "switch": {"never-asked"},
        "late": {"ended", "constant", "never-asked"},
        "split": {"unasked"},
    }
    assert "Everybody in Production gets on since 15 June 2026." in texts["full"]


@pytest.mark.parametrize(
    ("parts", "variant"),
    [
        ({}, "off"),
        ({"enabled": True}, "on"),
        ({"enabled": True, "serve": {**ON, "rollout": 99_999}}, None),
        ({"enabled": True, "serve": {**ON, "rollout": 0}}, "off"),
        ({"enabled": True, "overrides": [{"attribute": "account", "value": "a", "variant": "off"}]}, None),
    ],
)
def test_a_verdict_is_the_one_variant_that_everybody_gets(
    parts: dict[str, Any], variant: str | None, clock: FrozenClock
) -> None:
    assert shape.verdict(shape.base_config({"on": True, "off": False}) | parts, clock.now()) == variant


def test_whoever_is_erased_leaves_states_proposals_and_history(
    flag: Flags, change: Changes, runtime: Runtime, two: tuple[Actor, Actor]
) -> None:
    flag("f")
    now = runtime.clock.now()
    with runtime.database.session() as session:
        user = customers.create(session, USER, SYSTEM, "secret-user", {}, now=now)
        customers.create(session, USER, SYSTEM, "other", {}, now=now)
    change("f", edits.override("targetingKey", "secret-user", "on"))
    change("f", edits.override("targetingKey", "other", "on"))
    named = {"attribute": "targetingKey", "op": "in", "values": ["secret-user", "other"]}
    change("f", {"rules": [{"when": [named], "serve": ON}]})
    with runtime.database.session() as session:
        requests.propose(session, 1, "f", {"enabled": True}, who=two[0], now=now, reason="x")
    with runtime.database.session() as session:
        erasing.erase(session, session.merge(user), SYSTEM, now=now)
    found = config(runtime, "f")
    assert found["overrides"] == [{"attribute": "targetingKey", "value": "other", "variant": "on"}]
    assert found["rules"][0]["when"][0]["values"] == ["(erased)", "other"]
    with runtime.database.session() as session:
        for model in (Change, Request):
            for row in session.scalars(select(model)):
                assert "secret-user" not in f"{row.before} {row.after}"
        assert "other" in str(session.scalars(select(Change.after).order_by(Change.id.desc())).first())


def test_the_demos_flags_can_be_taken_away_as_if_they_had_never_been(flag: Flags, runtime: Runtime) -> None:
    made = flag("f")
    with runtime.database.session() as session:
        service.purge(session, [made.id])
        assert session.scalar(select(func.count()).select_from(Change)) == 0
