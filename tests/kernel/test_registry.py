"""The registry refuses modules that do not fit together, and says why."""

from collections.abc import Callable

import pytest

from trackside import registry
from trackside.errors import StartError
from trackside.module import Job, Module, NavItem, Permission, Tick
from trackside.registry import Registry, load_registry

VIEW = Permission("extra.view", "See extras", frozenset({"viewer"}))


@pytest.fixture
def load_with(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Registry]:
    def load(*modules: Module):
        for number, module in enumerate(modules):
            monkeypatch.setattr(registry, f"_test_{number}", module, raising=False)
        refs = tuple(f"trackside.registry:_test_{number}" for number in range(len(modules)))
        monkeypatch.setattr(registry, "BUILTIN", refs)
        return load_registry()

    return load


def test_two_modules_of_one_name_are_refused(load_with):
    with pytest.raises(StartError, match="module 'extra' is declared twice"):
        load_with(Module(name="extra", title="A"), Module(name="extra", title="B"))


def test_a_permission_nobody_declares_is_refused(load_with):
    item = NavItem("Extra", "extra.index", "usage", "extra.view")
    with pytest.raises(StartError, match=r"'extra\.view', which no module declares"):
        load_with(Module(name="extra", title="Extra", nav=(item,)))


def test_a_role_that_does_not_exist_is_refused(load_with):
    wrong = Permission("extra.view", "See extras", frozenset({"boss"}))
    with pytest.raises(StartError, match="role 'boss'"):
        load_with(Module(name="extra", title="Extra", permissions=(wrong,)))


def test_a_tick_of_an_unknown_job_is_refused(load_with):
    from datetime import timedelta

    tick = Tick("extra.sweep", "extra.sweep", timedelta(minutes=1))
    with pytest.raises(StartError, match="schedules the job"):
        load_with(Module(name="extra", title="Extra", ticks=(tick,)))


def test_modules_that_fit_are_kept_in_order(load_with):
    job = Job("extra.sweep", "extra.jobs:sweep")
    found = load_with(
        Module(name="extra", title="Extra", permissions=(VIEW,), jobs=(job,)), Module(name="z", title="Z")
    )
    assert [m.name for m in found.modules][-2:] == ["extra", "z"]
    assert job in list(found.each(lambda m: m.jobs))


def test_a_module_can_be_switched_off():
    assert load_registry(frozenset({"usage"})).find("usage") is None
