"""Making a flag: off in every environment, unless its template says otherwise."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from secrets import token_hex
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from trackside.auth.audit import Actor
from trackside.errors import Conflict, InputError
from trackside_modules.flags import shape
from trackside_modules.flags.models import Flag
from trackside_modules.flags.service.fields import checked
from trackside_modules.flags.service.work import Work

MOST_FLAGS = 5000


@dataclass(frozen=True, slots=True)
class Template:
    """What a flag begins as."""

    name: str
    title: str
    about: str
    kind: str
    type: str = "boolean"
    variants: Mapping[str, Any] = field(default_factory=lambda: {"on": True, "off": False})
    config: Mapping[str, Any] = field(default_factory=dict)
    """What differs from `shape.base_config`."""
    rollout: int = shape.WHOLE
    days: int | None = None
    """After how many it should be gone."""


_HALVES = [["control", shape.WHOLE // 2], ["treatment", shape.WHOLE // 2]]
TEMPLATES = {
    each.name: each
    for each in (
        Template(
            "release",
            "Release",
            "Show something new to a few, then to more, then to all; then take the flag out.",
            "release",
            rollout=0,
            days=60,
        ),
        Template(
            "experiment",
            "Experiment",
            "Two variants, half of the users each: see which does better.",
            "experiment",
            type="string",
            variants={"control": "control", "treatment": "treatment"},
            config={"off": "control", "serve": {"rollout": shape.WHOLE, "split": _HALVES}},
            days=30,
        ),
        Template(
            "ops",
            "Kill switch",
            "On from the start; switch it off when something behind it is in trouble.",
            "ops",
            config={"enabled": True},
        ),
        Template(
            "permission",
            "Permission",
            "For the accounts that may: nobody until a rule lets them in, and all users of an account alike.",
            "permission",
            config={"by": shape.ACCOUNT},
            rollout=0,
        ),
    )
}
PLAIN = Template("", "Flag", "Off everywhere; once on, on for everybody.", "release")


def create(
    session: Session, key: str, *, who: Actor, now: datetime, template: str = "", reason: str = "", **given: Any
) -> Flag:
    """Make the flag `key`; `given` are other fields (see `fields.checked`), which go before the template's.

    Raises InputError for wrong values, Conflict where there is a flag of that key or there are too many.
    """
    model = template_named(template)
    key = shape.checked_key(key)
    values = {"name": key, "type": model.type, "kind": model.kind} | _end(model, now) | given
    if "variants" not in values and values["type"] == model.type:
        values["variants"] = dict(model.variants)
    made = checked(session, {"variants": {}, **values})
    with Work.on(session, who, reason, now=now) as work:
        _must_be_new(session, key)
        flag = Flag(key=key, salt=token_hex(8), version=1, created_at=now, created_by=who.name, updated_at=now, **made)
        configs = {env_id: _config(flag, model, off=row.demands_approval) for env_id, row in work.environments.items()}
        try:
            work.begin(flag, configs)
        except IntegrityError as error:
            raise Conflict(f"There is a flag {key!r} already.") from error
    return flag


def template_named(name: str) -> Template:
    """Return a template; '' is a plain flag; raises InputError, naming those there are."""
    found = TEMPLATES.get(name) if name else PLAIN
    if found is None:
        message = f"Choose one of {', '.join(TEMPLATES)}."
        raise InputError(f"template: {message}", {"template": message})
    return found


def _end(model: Template, now: datetime) -> dict[str, Any]:
    return {"expected_end": now + timedelta(days=model.days)} if model.days else {}


def _config(flag: Flag, model: Template, *, off: bool) -> shape.Config:
    own = flag.variants == dict(model.variants)
    config = shape.base_config(flag.variants, rollout=model.rollout)
    config |= {name: value for name, value in model.config.items() if own or name not in {"off", "serve"}}
    return config | {"enabled": False} if off else config


def _must_be_new(session: Session, key: str) -> None:
    found = session.scalar(select(Flag).where(Flag.key == key))
    if found is not None:
        state = "archived: restore it" if found.archived_at else "there: change it"
        raise Conflict(f"There is a flag {key!r} already, and it is {state}, or choose another key.")
    if (session.scalar(select(func.count()).select_from(Flag)) or 0) >= MOST_FLAGS:
        raise Conflict(f"There are {MOST_FLAGS:,} flags, which is the most.")
