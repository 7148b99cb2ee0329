"""The contract between the kernel and a module: everything a module may add, on one page.

A module is a `Module` value in its `module.py`, the only file the registry loads. Code is named by reference
(`"package.module:attribute"`) and loaded when first needed, so that a worker never imports a page and a page never
imports a worker. Built-in modules are the tuple `trackside.registry.BUILTIN`; others come by the entry point
`trackside.modules`. docs/writing-a-module.md walks through it with an example.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from importlib import import_module
from typing import Any, Literal

Ref = str
"""Code by name: `"package.module:attribute"`."""

ROLES = ("owner", "admin", "developer", "support", "viewer")
"""The roles of members, the most powerful first. An owner may do everything."""


def resolve(ref: Ref) -> Any:
    """Return what `ref` names.

    Raises ImportError or AttributeError where there is no such thing: a mistake in a manifest.
    """
    module, _, attribute = ref.partition(":")
    return getattr(import_module(module), attribute)


@dataclass(frozen=True, slots=True)
class Permission:
    """Something a member may be allowed to do, and the roles that may (owners always may)."""

    name: str
    """`<module>.<verb>`, e.g. `customers.edit`."""
    title: str
    """What it allows, in a member's words: `Edit and merge accounts and users`."""
    roles: frozenset[str]


@dataclass(frozen=True, slots=True)
class NavItem:
    """An entry of the sidebar, shown to members with `permission`."""

    label: str
    endpoint: str
    icon: str
    """The id of a symbol in static/icons.svg."""
    permission: str
    group: Literal["work", "settings"] = "work"
    order: int = 100
    count: Ref | None = None
    """A statement whose one number says how many things wait for action; 0 shows nothing. It may hold the parameters
    `member` (the id of who is signed in) and `now`. Those of all entries are asked as one."""
    rest: bool = False
    """Whether it stands for all pages of its blueprint that have no entry of their own; one that is alone does so."""


@dataclass(frozen=True, slots=True)
class Shortcut:
    """What one begins by a single key from any page: its form opens in a dialog, without script as a page."""

    key: str
    """One lower-case letter, not taken by the frame (see static/js/keyboard.js)."""
    label: str
    """`Log an interaction`."""
    endpoint: str
    """Answers the form's page, and its part alone to a request with `HX-Request` (see static/js/quick.js)."""
    icon: str
    permission: str


@dataclass(frozen=True, slots=True)
class Job:
    """A kind of work done by a worker. The function takes `(Runtime, **args)`, is idempotent and gets ids, not rows."""

    kind: str
    """`<module>.<verb>`, e.g. `usage.fold`."""
    function: Ref
    queue: str = "default"
    timeout: timedelta = timedelta(minutes=5)
    max_attempts: int = 5


@dataclass(frozen=True, slots=True)
class Tick:
    """A job rung on a schedule; each tick is claimed once, however many schedulers run."""

    name: str
    kind: str
    every: timedelta
    durable: bool = True
    """False: no task row is written, the bell is only rung; for jobs whose own tables say what is to be done."""


@dataclass(frozen=True, slots=True)
class WebhookType:
    """Something that other programs can be told when it happens (see `trackside.webhooks`)."""

    type: str
    """`<module>.<thing>.<what happened>`, e.g. `support.interaction.solved`; other people's programs depend on it."""
    title: str
    """`An interaction was solved`."""
    data: Ref
    """`(Runtime, Session, ref) -> Mapping | None`: what is told, made of the published ids; None: it is gone."""
    scope: str = ""
    """What a key has to carry to have it told: the scope that reads the same."""


@dataclass(frozen=True, slots=True)
class LaneRoute:
    """A hot, stateless route answered in front of Flask (see `trackside.lane`)."""

    method: str
    path: str
    """Exact, or ending in `/` to take every path below it."""
    handler: Ref
    """`(Runtime) -> Callable[[LaneRequest], LaneResponse]`: called once per process."""
    kinds: frozenset[str]
    """Kinds of API key that may call it."""
    errors: Ref = "trackside.lane:problem"
    """`(LaneRequest, TracksideError) -> LaneResponse`: errors in the protocol's own form."""
    scope: str | None = None
    """What an admin key must carry besides."""
    slow: bool = False
    """It reads large bodies or waits for a server: it gets a share of the threads (see `trackside.places`)."""
    cors: bool = False
    """Whether pages of other sites may call it from a browser: preflights are answered, answers may be read."""


@dataclass(frozen=True, slots=True)
class StreamRoute:
    """A channel of server-sent events that `trackside stream` serves to browsers with a signed ticket."""

    name: str
    """Goes into the ticket, e.g. `usage`."""
    channel: Ref
    """`(env_id: int) -> str`: the Redis channel whose messages are passed on."""
    permission: str
    path: str | None = None
    """An address of its own, besides `/stream/NAME`, open to other sites' pages and to programs."""
    kinds: frozenset[str] = frozenset()
    """Kinds of API key that open it; browsers, which cannot send headers, get a ticket for their key."""
    feed: Ref | None = None
    """`(Runtime) -> Feed` (see `trackside.stream.feed`): what is told in place of the messages themselves."""
    insiders: frozenset[str] = frozenset()
    """Those of `kinds` that hear the whole of a feed's news; everybody else is told what everybody may know."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The user or account a context card is about."""

    kind: Literal["user", "account"]
    id: int
    env_id: int


@dataclass(frozen=True, slots=True)
class ContextCard:
    """What a module knows of a user or account, shown on their page and frozen into interactions."""

    name: str
    title: str
    subjects: frozenset[str]
    """Of `user`, `account`."""
    permission: str
    load: Ref
    """`(Runtime, Session, Subject) -> Mapping | None`: plain values only (it is stored as JSON too); None: no card."""
    template: str
    """Renders the mapping, as `card`."""
    order: int = 100


@dataclass(frozen=True, slots=True)
class Panel:
    """A part of the Overview page."""

    name: str
    title: str
    permission: str
    load: Ref
    """`(Runtime, Session, env_id: int) -> Mapping | None`; None: no panel."""
    template: str
    """Renders the mapping, as `panel`."""
    order: int = 100


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that changed at a moment: the thin vertical line that every time chart draws."""

    at: datetime
    kind: str
    """Chooses the glyph: `flag`, `version`, `incident`, `release`, `member`."""
    title: str
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """A line of the first-minute checklist, ticked by itself once it is done."""

    name: str
    title: str
    done: Ref
    """A statement whose one value says whether it is. Those of all steps are asked as one."""
    endpoint: str
    command: str | None = None
    """A line to copy; `{base_url}` and `{env}` are filled in."""
    order: int = 100


@dataclass(frozen=True, slots=True)
class Check:
    """A line of `trackside doctor`."""

    name: str
    run: Ref
    """`(Runtime) -> Finding` (see `trackside.doctor`)."""


@dataclass(frozen=True, slots=True)
class Demo:
    """What a module adds to the demo workspace, and takes away again."""

    clear: Ref
    """`(Runtime, Session) -> None`: removes all that the demo made, and nothing else."""
    seed: Ref | None = None
    """`(Runtime, Session) -> None`, deterministic and safe to repeat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """A module's manifest: who it is and everything it adds."""

    name: str
    """Lower case, the prefix of its tables, permissions, jobs and endpoints."""
    title: str
    version: str = "1"
    models: str | None = None
    """Module with its tables, imported where migrations and mappers need them all."""
    migrations: str | None = None
    """Package whose folder holds the module's own line of migrations; built-in modules share `migrations/versions`."""
    blueprints: tuple[Ref, ...] = ()
    """Flask blueprints: pages."""
    uploads: Mapping[str, int] = field(default_factory=dict)
    """Paths of pages that take large files of who is signed in, with the most bytes: these are received on disk."""
    api: tuple[Ref, ...] = ()
    """`trackside.api.Api` values: management routes under `/api/v1`."""
    lane: tuple[LaneRoute, ...] = ()
    streams: tuple[StreamRoute, ...] = ()
    commands: Mapping[str, Ref] = field(default_factory=dict)
    """`trackside <name>`: click commands or groups."""
    nav: tuple[NavItem, ...] = ()
    shortcuts: tuple[Shortcut, ...] = ()
    permissions: tuple[Permission, ...] = ()
    scopes: Mapping[str, str] = field(default_factory=dict)
    """Scopes an admin key can carry, with what each allows: `{"customers:read": "Read accounts and users"}`."""
    jobs: tuple[Job, ...] = ()
    ticks: tuple[Tick, ...] = ()
    cards: tuple[ContextCard, ...] = ()
    panels: tuple[Panel, ...] = ()
    marks: Ref | None = None
    """`(Runtime, Session, env_id, start, end) -> list[Mark]`: what changed in `[start, end)`."""
    palette: Ref | None = None
    """`(Runtime, Session, env_id, text) -> list[PaletteHit]` (see `trackside.web.palette`): found by Ctrl/Cmd-K."""
    gauges: Ref | None = None
    """`(Runtime, Session) -> list[Gauge]` (see `trackside.metrics`): for /metrics, and /readyz where behind."""
    readiness: Ref | None = None
    """`(Runtime) -> Mapping[str, str]`: parts for /readyz, asked without PostgreSQL: `{"flags": "stale"}`."""
    stands_alone: Ref | None = None
    """`(Settings) -> bool`: whether it can serve from its snapshot, so that web starts with PostgreSQL away."""
    steps: tuple[Step, ...] = ()
    checks: tuple[Check, ...] = ()
    subscribes: Mapping[type[Any], Ref] = field(default_factory=dict)
    """`{event type: "(Runtime, event) -> None"}`, called after the commit that made the event true."""
    provides: Mapping[type[Any], Ref] = field(default_factory=dict)
    """`{port: "(Runtime) -> provider"}`."""
    senders: Mapping[str, Ref] = field(default_factory=dict)
    """`{channel: "(Runtime) -> Sender"}`: ways to the outside, for the outbox (see `trackside.jobs.outbox`)."""
    webhooks: tuple[WebhookType, ...] = ()
    """What other programs can be told when it happens."""
    demo: Demo | None = None
