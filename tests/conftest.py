"""What holds for all tests, and how they are spread over processes."""

import os
from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# How quick this machine is just now is no fact about Trackside: no example has a time limit.
settings.register_profile("trackside", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("trackside")

WHOLE = ("tests/e2e/", "tests/crash/")
"""Tests of a whole Trackside: they come first, since they last longest, one after the other in one process."""
LONG = (
    "tests/flags/test_exposures_crash.py",
    "tests/kernel/test_contracts.py",
    "tests/kernel/test_example_module.py",
    "tests/kernel/test_jobs_worker.py",
    "tests/kernel/test_up.py",
    "tests/usage/test_usage_history.py",
    "tests/usage/test_usage_memory.py",
)
"""Files of half a minute and more come next: one of them at the end would be waited for by all other processes."""
FEW = 3
"""So many files are done before a second process would be ready."""
MOST = 4
"""Processes at most: the whole Trackside takes as long whatever the others do."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda each: (not each.nodeid.startswith(WHOLE), not each.nodeid.startswith(LONG)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Answer `-n auto`: a process a core, each with servers of its own; just ours for a few files or a single core."""
    files = {each.partition("::")[0] for each in config.args}
    if len(files) <= FEW and all(each.endswith(".py") for each in files):
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MOST) if cores > 1 else 0


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give each file to one process, in the order of collection, and all that is of the whole Trackside to one."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "whole" if nodeid.startswith(WHOLE) else nodeid.partition("::")[0]

    config.option.loadscopereorder = False
    return ByFile(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """Escape what UTF-8 cannot say: such text is sent by tests, logged, and then shown by another process."""
    return escaped((yield))


def escaped(value: Any) -> Any:
    """Return `value` with all its texts such that they can be sent."""
    match value:
        case str():
            return value.encode("utf-8", "backslashreplace").decode()
        case dict():
            return {key: escaped(each) for key, each in value.items()}
        case list() | tuple():
            return type(value)(map(escaped, value))
    return value
