"""Flags to test with."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import func, select
from werkzeug.exceptions import NotFound
from werkzeug.test import Client

from trackside.auth import keyring
from trackside.auth.audit import Actor
from trackside.customers.models import User
from trackside.places import Places
from trackside.runtime import Runtime
from trackside.serve import Lane
from trackside_modules.flags import service
from trackside_modules.flags.exposures import jobs
from trackside_modules.flags.exposures.models import Exposure, ExposureDay
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


@pytest.fixture
def lane(runtime: Runtime) -> Client:
    """Ask the lane alone: Flask takes a second to make, and answers no flags."""
    keys = keyring.build(runtime)
    keys.begin()
    return Client(Lane(runtime, keys, NotFound(), Places(8)))


@pytest.fixture
def demand(runtime: Runtime) -> Callable[..., None]:
    """Let changes in production take a second member's approval, from when it is called."""

    def make(*, demanded: bool = True) -> None:
        with runtime.database.session() as session:
            service.demand_approval(session, 1, demanded=demanded, who=WHO, now=runtime.clock.now())

    return make


@pytest.fixture
def counted(runtime: Runtime) -> Callable[[], tuple[int, set[str]]]:
    """Return the evaluations counted, and the users who were given something."""

    def made() -> tuple[int, set[str]]:
        jobs.fold(runtime)
        with runtime.database.session() as session:
            total = session.scalar(select(func.sum(ExposureDay.evaluations))) or 0
            names = session.scalars(select(User.external_id).join(Exposure, Exposure.user_id == User.id))
            return int(total), {str(each) for each in names}

    return made
