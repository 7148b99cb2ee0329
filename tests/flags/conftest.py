"""Flags to test with."""

from collections.abc import Callable
from typing import Any

import pytest

from trackside.auth.audit import Actor
from trackside.runtime import Runtime
from trackside_modules.flags import service
from trackside_modules.flags.models import Flag, State

WHO = Actor("Ada")


@pytest.fixture
def flag(runtime: Runtime) -> Callable[..., Flag]:
    """Make flags: `flag("checkout", template="ops")`."""

    def make(key: str = "checkout", **given: Any) -> Flag:
        with runtime.database.session() as session:
            return service.create(session, key, who=WHO, now=runtime.clock.now(), **given)

    return make


@pytest.fixture
def change(runtime: Runtime) -> Callable[..., State]:
    """Change states: `change("checkout", {"enabled": True}, env_id=2)`."""

    def make(key: str, edit: Any, *, env_id: int = 1, **given: Any) -> State:
        with runtime.database.session() as session:
            given = {"who": WHO, "now": runtime.clock.now(), **given}
            return service.change(session, env_id, key, edit, **given)

    return make
