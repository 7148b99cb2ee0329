"""What all pages of flags share: the blueprint, the flag at hand with its state, the tabs of its pages."""

from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Any

from flask import Blueprint, request, url_for
from markupsafe import Markup
from sqlalchemy import select

from trackside.db import db
from trackside.errors import InputError, NotFound
from trackside.text import whole_number
from trackside.web import format as fmt
from trackside.web.current import current_runtime
from trackside.web.environments import all_environments, current_environment
from trackside.web.look import zone
from trackside.web.policy import allowed
from trackside.workspace import Environment
from trackside_modules.flags import words
from trackside_modules.flags.models import Flag, FlagsEnvironment, State
from trackside_modules.flags.queries.board import Standing, standing

VIEW, EDIT, APPROVE, MANAGE = "flags.view", "flags.edit", "flags.approve", "flags.manage"
LONGEST_TEXT = 200
MONTH = timedelta(days=30)

blueprint = Blueprint("flags", __name__, url_prefix="/flags", template_folder="../templates")

KINDS = {"release": "Release", "experiment": "Experiment", "ops": "Kill switch", "permission": "Permission"}
TABS: tuple[tuple[str, str], ...] = (
    ("Overview", "flags.show"),
    ("Targeting", "flags.targeting"),
    ("Who sees this?", "flags.who"),
    ("History", "flags.history"),
    ("Code", "flags.code"),
    ("Settings", "flags.settings"),
)


@dataclass(frozen=True, slots=True)
class Page:
    """A flag in the environment that a page shows."""

    flag: Flag
    state: State
    env: Environment
    now: datetime
    zone: tzinfo
    demands_approval: bool
    """Whether a change here takes a second member."""

    @property
    def standing(self) -> Standing:
        """Return how it stands now."""
        return standing(self.state.config, self.now)

    @property
    def lines(self) -> list[words.Line]:
        """Return the rules in words."""
        return words.describe(self.state.config, self.now, self.zone)

    @property
    def editable(self) -> bool:
        """Whether who looks at it may change it."""
        return self.flag.archived_at is None and allowed(EDIT)

    def said(self, after: Any) -> list[words.Said]:
        """Return what it would do to make `after` the config."""
        return words.changes(self.state.config, after, self.now, self.zone)


def open_page(flag_id: int) -> Page:
    """Return the flag of a page; raises NotFound."""
    session, env = db.session(), current_environment()
    flag = session.get(Flag, flag_id) if flag_id < 1 << 63 else None
    if flag is None:
        raise NotFound("There is no such flag.")
    return Page(flag, state_of(flag, env.id), env, current_runtime().clock.now(), zone(), demands_approval(env.id))


def state_of(flag: Flag, env_id: int) -> State:
    """Return a flag's state in an environment; raises NotFound for one that nobody has opened yet."""
    found = db.session().get(State, (env_id, flag.id))
    if found is None:
        raise NotFound("This flag is not in this environment yet: change any flag there, and it will be.")
    return found


def demands_approval(env_id: int) -> bool:
    """Whether a change in an environment takes a second member."""
    asked = select(FlagsEnvironment.demands_approval).where(FlagsEnvironment.env_id == env_id)
    return bool(db.session().scalar(asked))


@blueprint.app_template_global()
def flag_tabs(flag: Flag) -> list[tuple[str, str, Any]]:
    """Return the tabs of a flag's pages as `ui.tabs` takes them."""
    return [(label, url_for(endpoint, flag_id=flag.id), None) for label, endpoint in TABS]


@blueprint.app_template_global()
def flag_kind(kind: str) -> str:
    """Return what a kind of flag is called."""
    return KINDS.get(kind, kind)


@blueprint.app_template_global()
def flag_environments() -> list[Environment]:
    """Return all environments, in order."""
    return all_environments()


@blueprint.app_template_filter()
def age(at: datetime) -> Markup:
    """Return how old something is: `24 d`, or since which day where it is older than a month."""
    now = current_runtime().clock.now()
    said = fmt.relative(at, now, zone()).removesuffix(" ago")
    return fmt.time_tag(at, said if now - at < MONTH else f"since {said}", zone())


@blueprint.app_template_filter()
def day(at: datetime) -> Markup:
    """Return the day that a moment is on, with the exact moment on hover."""
    there = at.astimezone(zone())
    return fmt.time_tag(at, f"{there.day} {there:%b %Y}", zone())


def text(name: str) -> str:
    """Return a text of the URL, empty where it is not there; raises InputError where it cannot be searched for."""
    found = request.args.get(name, "").strip()
    if "\0" in found or len(found) > LONGEST_TEXT:
        message = f"must be a text of at most {LONGEST_TEXT} characters"
        raise InputError(f"The filter `{name}` {message}.", {name: message})
    return found


def choice(name: str, choices: Any, default: str = "") -> str:
    """Return one of `choices`; raises InputError, naming them, for anything else."""
    found = request.args.get(name) or default
    if found and found not in choices:
        message = f"choose one of {', '.join(choices)}"
        raise InputError(f"There is no {name} {found[:20]!r}: {message}.", {name: message})
    return found


def number(name: str, most: int = 10**9) -> int | None:
    """Return a whole number of the URL, None where there is none; raises InputError for anything else."""
    raw = request.args.get(name, "")
    if not raw:
        return None
    found = whole_number(raw)
    if found is None or found > most:
        raise InputError(f"The filter `{name}` must be a number.", {name: "must be a number"})
    return found
