"""The desk around a page: the views with their counts, the list with its search, where each row leads.

The list's filter lives in the address (`view`, `q`, `sort`, `cursor`), and goes along to a thread and back.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from flask import request, url_for
from flask_login import current_user
from markupsafe import Markup, escape
from sqlalchemy import select
from sqlalchemy.orm import Session

from trackside.api import cursors
from trackside.db import db
from trackside.errors import NotFound
from trackside.web import format as fmt
from trackside.web.current import current_runtime
from trackside.web.look import zone
from trackside.web.policy import allowed
from trackside_modules.support import words
from trackside_modules.support.models import Interaction
from trackside_modules.support.queries import board, lists, search
from trackside_modules.support.queries.asked import ordered
from trackside_modules.support.queries.chips import Asked, ask
from trackside_modules.support.queries.filters import Filter
from trackside_modules.support.queries.lists import Row as Listed
from trackside_modules.support.queries.search import Part
from trackside_modules.support.queries.similar import similar
from trackside_modules.support.web.asking import text
from trackside_modules.support.web.base import MANAGE, WORK, Pairs, now
from trackside_modules.support.web.due import next_dues
from trackside_modules.support.web.properties import members
from trackside_modules.support.web.snoozing import choices

FEW = 6
PAGE = 50
DEFAULT = "unassigned"
KEPT = ("view", "q", "sort", "cursor")
"""What goes along from a list to its threads."""
ICONS = {
    "mine": "person",
    "unassigned": "inbox",
    "open": "support",
    "customer": "st-waiting_customer",
    "dev": "code",
    "loop": "refresh",
    "snoozed": "clock",
    "solved": "check",
    "all": "table",
}
TITLES = {"customer": "Their turn", "dev": "With development"}
"""What a view is called where there is little room."""
DUE = frozenset({"mine", "unassigned", "loop"})
"""Views whose count asks for something to be done."""
EMPTY = {
    "unassigned": ("Nothing is unassigned", "Whatever comes in stands here until somebody takes it."),
    "mine": ("Nothing waits for you", "What is assigned to you, and is your turn, stands here."),
    "open": ("Nobody waits for us", "Every customer has an answer."),
    "loop": ("Every loop is closed", "When work ships that customers wait for, they stand here until they are told."),
    "snoozed": ("Nothing is snoozed", "What comes back later stands here until then."),
}
_MARKS = str.maketrans("", "", "`*#>")


@dataclass(frozen=True, slots=True)
class View:
    """A view in the first pane."""

    label: str
    title: str
    url: str
    icon: str
    count: str
    due: bool
    """Whether what it counts waits for the reader."""
    current: bool


@dataclass(frozen=True, slots=True)
class Row:
    """An interaction in a list, ready to draw."""

    number: int
    ref: str
    url: str
    subject: str | Markup
    excerpt: str
    status: str
    priority: str
    who: str
    topic: str
    assignee: str
    age: Markup
    waiting: bool
    current: bool = False
    due: Any = None
    found: Markup | None = None
    """Where a search's words stand."""


@dataclass(frozen=True, slots=True)
class Chip:
    """A part of a search, with the address without it."""

    text: str
    without: str
    wrong: bool = False


@dataclass(frozen=True, slots=True)
class Desk:
    """The panes beside a thread."""

    title: str
    view: str
    q: str
    sort: str
    """As it was chosen; empty: the view's own."""
    own_sort: str
    whole_query: str
    """What the view and the search ask for together, as it is typed."""
    chips: list[Chip]
    problems: list[str]
    corrected: str
    """What was searched for instead of a misspelt word."""
    partly: bool
    """Whether a phrase was looked for among the newest alone that hold its words."""
    groups: list[tuple[str, list[View]]]
    rows: list[Row]
    next: str | None
    any: bool
    """Whether there is any interaction at all."""
    saved: board.View | None
    """The saved view that is shown, where it may be taken away."""
    bulk: list[tuple[str, Pairs]]
    more: list[tuple[str, str, str]]

    @property
    def workable(self) -> bool:
        """Whether who looks at it may change interactions."""
        return allowed(WORK)

    @property
    def orders(self) -> Pairs:
        """Return the orders that a view can have."""
        return [(name, each.title) for name, each in lists.SORTS.items()]

    @property
    def sorts(self) -> Pairs:
        """Return the orders to choose from; the view's own needs no name."""
        return [("" if name == self.own_sort else name, title) for name, title in self.orders]

    @property
    def ranked(self) -> bool:
        """Whether the best hits come first, so that there is no order to choose."""
        return bool(self.q) and not self.sort

    @property
    def index_url(self) -> str:
        """Return where a search is sent."""
        return url_for("support.index")

    @property
    def index_here(self) -> str:
        """Return the address of the list alone."""
        return url_for("support.index") + _query()

    @property
    def here(self) -> str:
        """Return where one comes back to after doing something to the list."""
        return request.full_path.rstrip("?") if request.method == "GET" else self.index_here

    @property
    def done(self) -> tuple[str, str]:
        """Return what is said where a view is empty."""
        return EMPTY.get(self.view, ("Nothing here", "No interaction is in this view at the moment."))


@dataclass(frozen=True, slots=True)
class _List:
    """What a view and a search found."""

    rows: list[Row]
    asked: Asked
    next: str | None = None
    corrected: str = ""
    partly: bool = False


def desk_of(session: Session, view: str = "") -> Desk:
    """Return the desk that the address describes; raises NotFound for a view that the member does not see.

    `view` is what is shown where the address names neither a view nor a search.
    """
    q, sort, me = text("q"), text("sort"), int(current_user.id)
    key = text("view") or ("all" if q else view or DEFAULT)
    views = board.views(session, me, now=now())
    one = next((each for each in views if each.key == key), None)
    if one is None:
        raise NotFound("There is no such view; it may have been taken away.")
    typed = " ".join(filter(None, (one.query, q)))
    found = _found(session, one, typed, sort, searching=bool(q))
    theirs = one.member_id is not None or allowed(MANAGE)
    return Desk(
        title="Search" if q and key == "all" else one.title,
        view=key if text("view") or not q else "",
        q=q,
        sort=sort,
        own_sort=one.sort,
        whole_query=_whole(typed, found),
        chips=_chips(q, found.asked),
        problems=found.asked.problems,
        corrected=found.corrected,
        partly=found.partly,
        groups=_groups(views, key, q),
        rows=found.rows,
        next=found.next,
        any=bool(found.rows) or session.scalar(select(Interaction.id).limit(1)) is not None,
        saved=one if one.saved_id is not None and theirs and allowed(WORK) else None,
        bulk=_bulk(session) if allowed(WORK) else [],
        more=[
            ("Reports", url_for("support.reports"), "chart"),
            ("Settings", url_for("support.levels"), "settings"),
        ],
    )


def desk_around(session: Session, it: Interaction) -> Desk:
    """Return the desk beside an interaction, whose row is marked where the list holds it."""
    made = desk_of(session, _view_of(it))
    return replace(made, rows=[replace(row, current=row.number == it.id) for row in made.rows])


def similar_rows(session: Session, it: Interaction, limit: int = FEW) -> list[Row]:
    """Return interactions like one."""
    return _rows([each.row for each in similar(session, it.subject, but=it.id, limit=limit)])


def same_customer_rows(session: Session, it: Interaction, limit: int = FEW) -> list[Row]:
    """Return what else the customer of an interaction came with of late."""
    if it.user_id is None:
        return []
    asked = Filter(user_ids=(it.user_id,))
    return [row for row in _rows(lists.page(session, asked, now=now(), limit=limit + 1).rows) if row.number != it.id]


def alike_rows(session: Session, subject: str, limit: int = 3) -> list[Row]:
    """Return interactions like what is being typed."""
    return _rows([each.row for each in similar(session, subject, limit=limit)])


def found_rows(session: Session, q: str, limit: int = 12) -> list[Row]:
    """Return what a search finds, the best first."""
    found = search.find(session, q, now=now(), member_id=current_user.id, limit=limit)
    return _rows([each.row for each in found.hits])


def _found(session: Session, one: board.View, typed: str, sort: str, *, searching: bool) -> _List:
    """Return a page of the list: by rank where words are searched for, else in an order."""
    me = int(current_user.id)
    asked = ask(session, typed, now=now(), member_id=me)
    if searching and asked.text and not sort and not asked.problems:
        return _ranked(session, typed, me)
    order = sort or one.sort
    secret, purpose = current_runtime().settings.secret_key, f"support.list|{me}|{order}|{typed}"
    cursor = text("cursor")
    after = cursors.unseal(secret, purpose, cursor) if cursor else None
    page = ordered(session, asked.filter, now=now(), sort=order, after=after, limit=PAGE)
    following = cursors.seal(secret, purpose, page.after) if page.after else None
    return _List(_rows(page.rows), asked, following, page.corrected)


def _whole(typed: str, found: _List) -> str:
    """Return what is asked for as it is exported and saved: with misspelt words as they were understood."""
    return " ".join([*map(str, found.asked.chips), found.corrected]) if found.corrected else typed


def _ranked(session: Session, typed: str, me: int) -> _List:
    secret, purpose, cursor = current_runtime().settings.secret_key, f"support.search|{me}|{typed}", text("cursor")
    offset = int(cursors.unseal(secret, purpose, cursor)[0] or 0) if cursor else 0
    found = search.find(session, typed, now=now(), member_id=me, limit=PAGE, offset=offset)
    rows = _rows([each.row for each in found.hits])
    marked = [
        replace(row, subject=_marked(hit.subject), found=_marked(hit.said), excerpt="")
        if hit.said
        else replace(row, subject=_marked(hit.subject))
        for row, hit in zip(rows, found.hits, strict=True)
    ]
    following = cursors.seal(secret, purpose, [offset + PAGE]) if found.more else None
    return _List(marked, found.asked, following, found.corrected, found.partly)


def _marked(parts: Sequence[Part]) -> Markup:
    """Return what was found, with what was looked for marked."""
    return Markup("").join(
        Markup("<mark>{}</mark>").format(each.text) if each.hit else escape(each.text.translate(_MARKS))
        for each in parts
    )


def _rows(found: Iterable[Listed]) -> list[Row]:
    # one address for all: url_for costs more than the rest of a row
    start, query = url_for("support.show", number=0).partition("0")[0], _query()
    moment, local, found = now(), zone(), list(found)
    dues = next_dues(db.session(), [each.id for each in found])
    return [
        Row(
            number=each.id,
            ref=it.ref,
            url=f"{start}{each.id}{query}",
            subject=it.subject,
            excerpt=it.excerpt.translate(_MARKS),
            status=it.status,
            priority=it.priority,
            who=" · ".join(filter(None, (each.user, each.account))) or "Nobody",
            topic=each.topic.rpartition("/")[2].replace("-", " "),
            assignee=each.assignee,
            age=fmt.time_tag(it.updated_at, fmt.relative(it.updated_at, moment, local).removesuffix(" ago"), local),
            waiting=it.waiting_since is not None,
            due=dues[each.id],
        )
        for each in found
        for it in (each.interaction,)
    ]


def _query() -> str:
    kept = {name: value for name in KEPT if (value := request.args.get(name))}
    return f"?{urlencode(kept)}" if kept else ""


def _view_of(it: Interaction) -> str:
    """Return the view that an interaction opened by its address alone is most likely in."""
    if it.assignee_id is not None and it.assignee_id == int(current_user.id) and it.status in words.ACTIVE:
        return "mine"
    if it.status in words.WAITING_FOR_US:
        return DEFAULT if it.assignee_id is None else "open"
    return {"waiting_customer": "customer", "waiting_dev": "dev", "solved": "solved", "closed": "solved"}.get(
        it.status, "all"
    )


def _chips(q: str, asked: Asked) -> list[Chip]:
    """Return the conditions of a search, each with the address of the search without it."""
    start, chips = url_for("support.index"), []
    for chip in map(str, asked.chips):
        if chip not in q:
            continue  # it comes from the view
        rest = {**request.args.to_dict(), "q": " ".join(q.replace(chip, " ", 1).split())}
        rest = {name: value for name, value in rest.items() if name in KEPT and name != "cursor" and value}
        wrong = any(problem.startswith(f"{chip}:") for problem in asked.problems)
        chips.append(Chip(chip, f"{start}?{urlencode(rest)}", wrong))
    return chips


def _groups(views: Iterable[board.View], current: str, q: str) -> list[tuple[str, list[View]]]:
    start = url_for("support.index")
    own: list[View] = []
    saved: list[View] = []
    for each in views:
        count = "" if not each.number else "999+" if each.number >= board.MOST else str(each.number)
        made = View(
            TITLES.get(each.key, each.title),
            each.title,
            f"{start}?view={each.key}",
            ICONS.get(each.key, "search"),
            count,
            each.key in DUE,
            each.key == current and not (q and current == "all"),
        )
        (saved if each.saved_id is not None else own).append(made)
    return [("Views", own), *([("Saved", saved)] if saved else [])]


def _bulk(session: Session) -> list[tuple[str, Pairs]]:
    return [
        ("Status", [(f"status:{name}", label) for name, label in words.STATUSES.items() if name != "new"]),
        ("Assign to", [("assign:", "Nobody"), *((f"assign:{name}", label) for name, label in members(session))]),
        ("Priority", [(f"priority:{name}", label) for name, label in words.PRIORITIES.items()]),
        ("Snooze", [(f"snooze:{name}", label) for name, (label, _) in choices(now()).items()]),
    ]
