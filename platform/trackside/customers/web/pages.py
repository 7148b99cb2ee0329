"""Looking at accounts and users: the lists, a page each, the export."""

from typing import Any

import structlog
from flask import redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from markupsafe import Markup

from trackside.customers import queries, service
from trackside.customers.cards import LoadedCard, load_cards
from trackside.customers.exporting import FORMATS
from trackside.customers.kinds import ACCOUNT, USER, Customer, Kind
from trackside.customers.models import SOURCES, Account
from trackside.customers.queries import Filter
from trackside.db import db
from trackside.errors import InputError, NotFound
from trackside.module import Subject
from trackside.text import whole_number
from trackside.web.current import current_runtime
from trackside.web.downloads import download
from trackside.web.environments import current_environment
from trackside.web.policy import allowed

log = structlog.get_logger(__name__)
SOURCE_WORDS = {"usage": "Telemetry", "import": "Import", "manual": "By hand", "api": "API", "demo": "Demo"}
LONGEST = 200
USERS_SHOWN = 10


def index(kind: Kind[Any]) -> ResponseReturnValue:
    """List accounts or users."""
    session = db.session()
    wanted = asked_filter(kind)
    page = queries.listed(session, kind, wanted)
    counts = queries.user_counts(session, [row.id for row in page.rows]) if kind is ACCOUNT else {}
    account = service.get(session, ACCOUNT, wanted.account_id) if wanted.account_id is not None else None
    return render_template(
        "customers/list.html",
        kind=kind,
        page=page,
        filter=wanted,
        counts=counts,
        account=account,
        plans=queries.plans(session),
        sources=SOURCE_WORDS,
    )


def show(kind: Kind[Any], row_id: int) -> ResponseReturnValue:
    """Show one account or user, with what every module knows of it."""
    session = db.session()
    row = service.get(session, kind, row_id)
    if row.merged_into is not None and row.erased_at is None:
        return redirect(url_for(".show", row_id=row.merged_into))
    users = queries.listed(session, USER, Filter(account_id=row.id), USERS_SHOWN) if isinstance(row, Account) else None
    return render_template(
        "customers/show.html",
        kind=kind,
        row=row,
        aliases=queries.aliases(session, row),
        users=users,
        count=queries.user_counts(session, [row.id]).get(row.id, 0) if kind is ACCOUNT else None,
        cards=_cards(kind, row),
        sources=SOURCE_WORDS,
    )


def export(kind: Kind[Any], suffix: str) -> ResponseReturnValue:
    """Send all that the list's filter shows, as CSV or JSON."""
    if suffix not in FORMATS:
        raise NotFound("Exports are .csv or .json.")
    return download(f"trackside-{kind.plural}.{suffix}", FORMATS[suffix](db.session(), kind, asked_filter(kind)))


def asked_filter(kind: Kind[Any]) -> Filter:
    """Return the filter in the URL; raises InputError for what it cannot be."""
    account = one("account")
    account_id = whole_number(account)
    if account and account_id is None:
        raise InputError("account is not the number of an account", {"account": "is not a number"})
    if one("source") not in ("", *SOURCES):
        raise InputError("There is no such source", {"source": f"choose one of {', '.join(SOURCES)}"})
    return Filter(
        q=one("q").strip()[:LONGEST],
        account_id=account_id if kind is USER else None,
        plan=one("plan"),
        source=one("source"),
        sort=one("sort") or "-seen",
        cursor=one("cursor"),
    )


def one(name: str) -> str:
    """Return the query parameter `name`, or nothing; raises InputError where it is there twice or holds a NUL."""
    values = request.args.getlist(name)
    if len(values) > 1:
        raise InputError(f"{name} is in the address {len(values)} times: give it once", {name: "is given twice"})
    if values and "\0" in values[0]:
        raise InputError(f"{name} holds a character that cannot be", {name: "holds a NUL character"})
    return values[0] if values else ""


def _cards(kind: Kind[Any], row: Customer) -> list[tuple[str, Markup | None]]:
    """Return the title and the drawn body of each context card; None for one that failed."""
    subject = Subject("user" if kind is USER else "account", row.id, current_environment().id)
    loaded = load_cards(current_runtime(), db.session(), subject, allowed)
    return [(each.card.title, _drawn(each)) for each in loaded]


def _drawn(loaded: LoadedCard) -> Markup | None:
    if loaded.values is None:
        return None
    try:
        return Markup(render_template(loaded.card.template, card=loaded.values))  # noqa: S704 - escaped by its template
    except Exception:
        # a module's broken template must not take the page with it
        log.exception("card.draw_failed", card=loaded.card.name)
        return None
