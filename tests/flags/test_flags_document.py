"""Flags as a document, and the commands: an export applies anywhere, and the same again changes nothing."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unicodedata import normalize

import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, func, select
from sqlalchemy.orm import Session

from trackside import cli
from trackside.auth.audit import SYSTEM
from trackside.clock import SystemClock
from trackside.errors import BadRequest, InputError
from trackside.runtime import Runtime
from trackside_modules.flags import document as document_format
from trackside_modules.flags import ruleset, service, shape, yaml_text
from trackside_modules.flags.models import Change, Flag
from trackside_modules.flags.queries import exporting

Run = Callable[..., Result]
Flags = Callable[..., Flag]
NOW = SystemClock().now()
KEYS = st.from_regex(r"[A-Za-z0-9_-]{1,8}(/[a-z]{1,4})?", fullmatch=True)
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=12)
MOMENTS = st.integers(1, 28).map(lambda day: f"2027-02-{day:02}T00:00:00Z")


@st.composite
def flags(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(shape.TYPES))
    values = {
        "boolean": st.booleans(),
        "string": TEXTS,
        "number": st.integers(-1000, 1000) | st.floats(-5, 5),
        "json": st.recursive(st.none() | st.booleans() | TEXTS, lambda of: st.lists(of, max_size=2), max_leaves=4),
    }[kind]
    variants = draw(st.dictionaries(st.sampled_from(["on", "off", "yes", "a", "1e3", "null"]), values, min_size=2))
    names = st.sampled_from(sorted(variants))
    first = draw(st.integers(0, 100_000))
    serves = st.builds(
        lambda pair, rollout: {"rollout": rollout, "split": [[pair[0], first], [pair[1], 100_000 - first]]},
        st.permutations(sorted(variants)),
        st.integers(0, 100_000),
    )
    when = st.builds(lambda text: {"attribute": "plan", "op": "in", "values": [text]}, TEXTS)
    config = {
        "enabled": draw(st.booleans()),
        "off": draw(names),
        "by": draw(st.sampled_from(["targetingKey", "account", "device"])),
        "overrides": [{"attribute": "account", "value": draw(TEXTS), "variant": draw(names)}],
        "prerequisites": [],
        "rules": [{"id": "r1", "name": draw(TEXTS), "when": [draw(when)], "serve": draw(serves)}],
        "serve": draw(serves),
        "schedule": draw(st.lists(MOMENTS, max_size=1).map(lambda ats: [{"at": at, "enabled": True} for at in ats])),
    }
    return {
        "name": normalize("NFC", draw(TEXTS)),  # as it is kept
        "type": kind,
        "kind": draw(st.sampled_from(shape.KINDS)),
        "salt": draw(st.from_regex(r"[0-9a-f]{16}", fullmatch=True)),
        "variants": variants,
        "tags": sorted(draw(st.sets(st.sampled_from(["shop", "no", "1.5", "2026-01-01"])))),
        "expected_end": draw(st.none() | MOMENTS),
        "metadata": {"ticket": draw(TEXTS)},
        "archived": False,
        "environments": {"production": config, "staging": {**config, "enabled": False}},
    }


def apply(session: Session, document: Any, **how: Any) -> list[Any]:
    return service.apply(session, document, who=SYSTEM, now=NOW, **how)


@given(document=st.dictionaries(KEYS, flags(), min_size=1, max_size=3))
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_what_is_exported_applies_and_the_same_again_changes_nothing(document: Any, session: Session) -> None:
    with session.begin_nested() as savepoint:
        given_ = {"format": "trackside.flags/1", "flags": document}
        tried = apply(session, given_, dry=True)
        done = apply(session, given_)
        assert [(it.key, it.environment, it.what) for it in tried] == [(it.key, it.environment, it.what) for it in done]
        session.expire_all()
        exported = exporting.export(session)
        for key, flag in document.items():
            assert {name: exported["flags"][key][name] for name in flag} == flag
        text = yaml_text.dump(exported)
        assert yaml_text.load(text) == exported
        assert yaml_text.load(json.dumps(exported)) == exported
        assert apply(session, yaml_text.load(text)) == []
        before = ruleset.build(session, 1)
        session.expire_all()
        assert ruleset.build(session, 1) == before
        savepoint.rollback()


def _statements(session: Session, count: int, prefix: str) -> int:
    """Return how many statements it takes to import `count` new flags."""
    states = {"production": {"enabled": True, "overrides": []}}
    entries = {f"{prefix}-{number}": {"environments": states} for number in range(count)}
    seen: list[str] = []

    def hear(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    engine = session.get_bind()
    event.listen(engine, "before_cursor_execute", hear)
    try:
        steps = apply(session, {"format": document_format.FORMAT, "flags": entries})
    finally:
        event.remove(engine, "before_cursor_execute", hear)
    assert {step.key for step in steps} == set(entries)
    return len(seen)


def test_many_flags_take_no_more_statements_than_few(session: Session) -> None:
    _statements(session, 1, "first")
    assert _statements(session, 60, "many") <= _statements(session, 3, "few") + 3
    history = select(func.count()).select_from(Change).where(Change.what == "created")
    assert session.scalar(history) == 64 * 3  # of the flag, and of its state in both environments


@pytest.fixture
def run(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `trackside flags ...`."""
    cli.runtime.cache_clear()
    for name in ("changing", "documents", "reading"):
        monkeypatch.setattr(f"trackside_modules.flags.cli.{name}.runtime", lambda: runtime)

    def command(*arguments: str, code: int = 0, sent: str = "") -> Result:
        result = CliRunner().invoke(cli.trackside, ["flags", *arguments], input=sent)
        assert result.exit_code == code, result.output
        return result

    return command


def test_a_flag_is_made_rolled_out_and_explained_from_the_shell(run: Run) -> None:
    run("create", "team/checkout", "--tag", "shop")
    said = run("set", "team/checkout", "--rollout", "25", "--reason", "a quarter").stdout
    assert "on for 25%" in said
    made = json.loads(run("show", "team/checkout", "--json").stdout)
    assert made["environments"]["production"]["serve"]["rollout"] == 25_000
    assert made["environments"]["staging"]["enabled"] is False
    run("set", "team/checkout", "--user", "u_42", "--variant", "on")
    told = json.loads(run("explain", "team/checkout", "--user", "u_42", "--json").stdout)
    assert told["result"]["variant"] == "on"
    assert "team/checkout" in run("list").stdout
    assert json.loads(run("list", "--json").stdout)[0]["states"]["staging"] == "off"


def test_a_ramp_begins_now(run: Run) -> None:
    run("create", "f")
    said = run("ramp", "f", "--to", "100", "--steps", "4", "--every", "1d").stdout
    assert "on for 25%, ramping to 100% by 2026-06-18" in said


def test_a_dry_run_shows_the_diff_and_changes_nothing(run: Run, tmp_path: Path) -> None:
    run("create", "f")
    before = run("export").stdout
    file = tmp_path / "flags.yaml"
    file.write_text("format: trackside.flags/1\nflags:\n  f:\n    environments:\n      production: {enabled: true}\n")
    said = run("apply", str(file), "--dry-run").stdout
    assert "f in production: applied\n  enabled: false -> true\n1 flag would change." in said
    assert run("export").stdout == before
    run("apply", str(file))
    assert run("apply", str(file)).stdout == "Nothing to change.\n"
    assert json.loads(run("compare", "production", "staging", "--json", code=1).stdout)[0]["key"] == "f"


def test_an_export_brings_its_flags_back_as_they_were(run: Run, flag: Flags, runtime: Runtime) -> None:
    made = flag("f", template="experiment")
    document = run("export").stdout
    with runtime.database.session() as session:
        service.purge(session, [made.id])
    run("import", "-", sent=document)
    assert run("export").stdout == document


@pytest.mark.parametrize(
    ("flags_", "path"),
    [
        ({"a b": {}}, "flags.a b"),
        ({"f": {"variants": 1}}, "flags.f.variants"),
        ({"f": {"colour": "red"}}, "flags.f.colour"),
        ({"f": {"environments": {"mars": {}}}}, "flags.f.environments.mars"),
        ({"f": {"environments": {"production": {"speed": 1}}}}, "flags.f.environments.production.speed"),
        ({"f": {"owner": "nobody@example.com"}}, "flags.f.owner"),
        ({"old": {"salt": "another"}}, "flags.old.salt"),
        ({"old": {"type": "string"}}, "flags.old.type"),
        ({"f": {"expected_end": "soon"}}, "flags.f.expected_end"),
    ],
)
def test_a_wrong_document_is_refused_where_it_is_wrong_and_nothing_changes(
    runtime: Runtime, flag: Flags, flags_: Any, path: str
) -> None:
    flag("old")
    given_ = {"format": "trackside.flags/1", "flags": {"good": {}, **flags_}}
    with runtime.database.session() as session:
        with pytest.raises(InputError) as caught:
            apply(session, given_)
        assert path in caught.value.fields
        assert set(exporting.export(session)["flags"]) == {"old"}


@pytest.mark.parametrize(
    "text", ["{", "a: *x", "a: 1\na: 2", "1: x", "- &a [*a]", "!!python/object:os.system {}", '{"a": 1, "a": 2}']
)
def test_text_that_is_no_document_is_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        yaml_text.load(text)


def test_yamls_traps_are_off() -> None:
    assert yaml_text.load("on: off\nend: 2026-01-01\nyes: true") == {"on": "off", "end": "2026-01-01", "yes": True}


def test_pruning_archives_what_the_document_does_not_name(run: Run, flag: Flags) -> None:
    flag("keep")
    flag("gone")
    run("apply", "-", "--prune", sent="format: trackside.flags/1\nflags: {keep: {}}\n")
    assert [each["key"] for each in json.loads(run("list", "--archived", "--json").stdout)] == ["gone"]
    run("archive", "gone", "--restore")
    assert len(json.loads(run("list", "--json").stdout)) == 2


def test_exit_codes_tell_what_went_wrong(run: Run, flag: Flags) -> None:
    flag("f")
    run("show", "nope", code=3)
    run("set", "f", code=1)
    run("set", "f", "--on", "--if-version", "7", code=1)
    run("set", "f", "--rollout", "101", code=2)
    run("approval", "production", "--demand")
    run("set", "f", "--on", code=1)
    run("set", "f", "--on", "--without-approval")


def test_an_export_of_unleash_is_shown_then_brought_in_and_what_is_refused_is_named(run: Run, tmp_path: Path) -> None:
    chance = [{"name": "gradualRolloutRandom", "parameters": {"percentage": "30"}}]
    features = [{"name": "checkout", "enabled": True, "strategies": []}, {"name": "dice", "strategies": chance}]
    file = tmp_path / "unleash.json"
    file.write_text(json.dumps({"version": 2, "features": features}))
    said = run("import", "--from", "unleash", str(file), "--dry-run", code=3).stdout
    assert "refused: dice: chance decides" in said
    assert "1 flag would change." in said
    assert run("list").stdout == ""
    told = json.loads(run("import", "--from", "unleash", str(file), "--json", code=3).stdout)
    assert [it["feature"] for it in told["refused"]] == ["dice"]
    assert json.loads(run("explain", "checkout", "--user", "u_1", "--json").stdout)["result"]["value"] is True
