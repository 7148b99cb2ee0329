"""One interaction: the conversation, what is written to it, and what is known of its customer, then and now."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from flask import redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from trackside.customers.models import Account, User
from trackside.db import db
from trackside.web.policy import allowed, require
from trackside_modules.support import service, words
from trackside_modules.support.models import Interaction, Link, Macro
from trackside_modules.support.queries import threads
from trackside_modules.support.queries.threads import Thread
from trackside_modules.support.web.asking import text
from trackside_modules.support.web.base import (
    VIEW,
    WORK,
    Trial,
    blueprint,
    now,
    open_interaction,
    thread_url,
    whole,
)
from trackside_modules.support.web.context import Card, Context, context_of
from trackside_modules.support.web.desk import Desk, desk_around, similar_rows
from trackside_modules.support.web.due import Due, dues_of
from trackside_modules.support.web.entries import Entry, entries
from trackside_modules.support.web.mailed import Mailed, mailed
from trackside_modules.support.web.properties import Property, properties
from trackside_modules.support.web.snoozing import snoozes


@dataclass(frozen=True, slots=True)
class Named:
    """A user or an account, as a link."""

    name: str
    about: str
    url: str


@dataclass(frozen=True, slots=True)
class Others:
    """How many other interactions there are with the same customer."""

    open: int
    all: int
    url: str


@dataclass(frozen=True, slots=True)
class Linked:
    """A link, ready to draw."""

    kind: str
    ref: str
    label: str
    url: str
    icon: str
    outside: bool
    shipped: bool
    told: bool


@dataclass(frozen=True, slots=True)
class Page:
    """All that a thread's page shows besides its list."""

    number: int
    workable: bool
    entries: list[Entry]
    seen: int
    """The version that a refused form was based on: what is newer is marked."""
    own: int
    """The number in the thread of what the member wrote there last; 0: nothing yet."""
    props: list[Property]
    customer: Named | None
    account: Named | None
    others: Others | None
    links: list[Linked]
    context: Context
    live: bool
    macros: list[Macro]
    following: int | None
    snoozes: list[tuple[str, str, str]]
    placeholder: str
    dues: list[Due] = field(default_factory=list)
    mailed: Mapping[int, Mailed] = field(default_factory=dict)
    """How messages of ours stand as mails, by their number in the thread."""

    def url(self, what: str = "") -> str:
        """Return the address of the thread, or of what is done to it, within the list one came from."""
        if not what:
            return thread_url(self.number)
        path, _, query = thread_url(self.number).partition("?")
        return f"{path}/{what}" + (f"?{query}" if query else "")

    @property
    def untold(self) -> list[Linked]:
        """Return the links whose work was delivered, and the customer not told."""
        return [each for each in self.links if each.shipped and not each.told]

    @property
    def cards(self) -> list[Card]:
        """Return the context cards, drawn."""
        return self.context.cards


@blueprint.get("/<int:number>")
@require(VIEW)
def show(number: int) -> ResponseReturnValue:
    """Show an interaction within the list it was opened from; one that was merged leads to where it goes on."""
    it = open_interaction(number)
    if "since" in request.args:
        return _since(it, whole(text("since"), "since"))
    if "mail" in request.args:
        return _mail(it, whole(text("mail"), "mail"))
    if text("part") == "similar":
        return render_template("support/_alike.html", rows=similar_rows(db.session(), it))
    if it.merged_into is not None:
        return redirect(
            url_for("support.show", number=service.standing(db.session(), number), _anchor=f"from-{number}-1")
        )
    return show_page(it)


def _since(it: Interaction, version: int | None) -> str:
    """Return what happened to an interaction since a version, in a line; nothing where nothing did."""
    if version is None or it.version <= version:
        return ""
    happened = [each for each in service.history_of(db.session(), it.id) if each.seq > version]
    return render_template("support/_since.html", it=it, count=len(happened), last=happened[-1])


def _mail(it: Interaction, seq: int | None) -> str:
    """Return how a message stands as a mail; nothing where nothing is known."""
    mail = mailed(db.session(), it, service.history_of(db.session(), it.id)).get(seq or 0)
    return render_template("support/_mailed.html", it=it, mail=mail, workable=allowed(WORK)) if mail else ""


@blueprint.get("/<int:number>/context")
@require(VIEW)
def context(number: int) -> ResponseReturnValue:
    """Show what was known of the customer then beside what is known now."""
    it = open_interaction(number)
    session = db.session()
    return render_template(
        "support/context.html",
        it=it,
        then=context_of(session, it, live=False),
        now=context_of(session, it, live=True),
        back=thread_url(number),
    )


def show_page(it: Interaction, trial: Trial | None = None) -> str:
    """Return the page of an interaction, with what came of a form that was refused."""
    session, trial = db.session(), trial or Trial()
    desk, thread = desk_around(session, it), threads.thread(session, it.id)
    live = request.args.get("context") == "now"
    seen = int(trial.values.get("version") or it.version) if trial.stale else it.version
    page = Page(
        number=it.id,
        workable=allowed(WORK) and not it.erased and it.merged_into is None,
        entries=entries(session, thread, now(), url_for("support.index")),
        seen=seen,
        own=_own(it, thread),
        props=properties(session, it),
        customer=_user(session, it),
        account=_account(session, it),
        others=_others(session, it),
        links=[_linked(each) for each in thread.links],
        context=context_of(session, it, live=live),
        live=live,
        macros=_macros(session),
        following=_following(desk, it),
        dues=dues_of(session, it.id),
        mailed=mailed(session, it, [each.event for each in thread.entries if each.number == it.id]),
        snoozes=snoozes(now()),
        placeholder=_placeholder(session, it),
    )
    if page.untold and not trial.values:
        trial = Trial({"body": _news(session, it, page.untold)})
    return render_template("support/show.html", it=it, page=page, desk=desk, trial=trial)


def _news(session: Session, it: Interaction, untold: list[Linked]) -> str:
    """Return a draft that tells the customer what was delivered."""
    user = session.get(User, it.user_id) if it.user_id else None
    name = user.name.split(" ")[0] if user and user.name else "there"
    what = " and ".join(each.url if each.outside else each.label for each in untold)
    return f"Hello {name},\n\ngood news: what you wrote to us about is done ({what}). Does it work for you now?\n"


def _own(it: Interaction, thread: Thread) -> int:
    """Return the number of the last message or note that the signed-in member wrote; 0 where there is none."""
    mine = (each.event for each in thread.entries if each.number == it.id and each.event.member_id == current_user.id)
    return max((each.seq for each in mine if each.kind == "note" or each.data.get("side") == "staff"), default=0)


def _following(desk: Desk, it: Interaction) -> int | None:
    """Return which interaction comes after this one in the list; at its end the one before."""
    numbers = [row.number for row in desk.rows]
    if it.id not in numbers:
        return numbers[0] if numbers else None
    place = numbers.index(it.id)
    return next(iter(numbers[place + 1 :]), numbers[place - 1] if place else None)


def _macros(session: Session) -> list[Macro]:
    from trackside_modules.support.web.writing import macros_of

    return macros_of(session) if allowed(WORK) else []


def _placeholder(session: Session, it: Interaction) -> str:
    user = session.get(User, it.user_id) if it.user_id else None
    first = user.label.split(" ")[0] if user else "the customer"
    return f"Write to {first}, or note something for the team…"


def _user(session: Session, it: Interaction) -> Named | None:
    user = session.get(User, it.user_id) if it.user_id else None
    if user is None:
        return None
    about = user.email if user.email and user.email != user.label else user.external_id or ""
    return Named(user.label, about, url_for("users.show", row_id=user.id))


def _account(session: Session, it: Interaction) -> Named | None:
    account = session.get(Account, it.account_id) if it.account_id else None
    if account is None:
        return None
    return Named(account.label, account.plan, url_for("accounts.show", row_id=account.id))


def _others(session: Session, it: Interaction) -> Others | None:
    if it.user_id is None and it.account_id is None:
        return None
    same = Interaction.account_id == it.account_id if it.account_id else Interaction.user_id == it.user_id
    active = func.count().filter(Interaction.status.in_(words.ACTIVE), Interaction.id != it.id)
    found = session.execute(select(active, func.count()).where(same, Interaction.merged_into.is_(None))).one()
    asked = _search_of(session, it)
    return Others(int(found[0]), int(found[1]), url_for("support.index", q=asked)) if asked else None


def _search_of(session: Session, it: Interaction) -> str:
    account = session.get(Account, it.account_id) if it.account_id else None
    user = session.get(User, it.user_id) if it.user_id else None
    if account and account.external_id:
        return f"account:{account.external_id}"
    return f"user:{user.external_id}" if user and user.external_id else ""


def _linked(link: Link) -> Linked:
    if link.kind == "interaction":
        label, url, icon = words.ref(int(link.ref)), url_for("support.show", number=int(link.ref)), "support"
    elif link.kind == "flag":
        # the flags' own page finds it by its key; without that module the search of everything does
        label, url, icon = link.ref, url_for("palette.search", q=link.ref), "flags"
    else:
        label, url, icon = link.title or link.ref.split("//", 1)[-1], link.ref, "external"
    shipped, told = link.shipped_at is not None, link.told_at is not None
    return Linked(link.kind, link.ref, label, url, icon, link.kind == "url", shipped, told)
