"""Merging an interaction into another, splitting messages off, and saying anew what it is and whom it is with."""

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from trackside.db import db
from trackside.errors import Conflict, InputError
from trackside.web.policy import require
from trackside_modules.support import service, words
from trackside_modules.support.models import Interaction
from trackside_modules.support.queries import threads
from trackside_modules.support.service import Named
from trackside_modules.support.web.asking import text
from trackside_modules.support.web.base import (
    WORK,
    Trial,
    blueprint,
    failed,
    how,
    now,
    open_interaction,
    posted,
    thread_url,
    whole,
)
from trackside_modules.support.web.desk import found_rows, same_customer_rows, similar_rows
from trackside_modules.support.web.entries import entries


@blueprint.get("/<int:number>/merge")
@require(WORK)
def merge(number: int) -> ResponseReturnValue:
    """Offer interactions to merge one into: those like it, or those that words find."""
    return _merge_page(open_interaction(number), Trial())


@blueprint.post("/<int:number>/merge")
@require(WORK)
def merge_save(number: int) -> ResponseReturnValue:
    """Let it go on in another."""
    fields = posted("into", "version")
    it = open_interaction(number)
    try:
        into = words.number_of(fields.get("into", ""))
        if into is None:
            raise InputError(
                "Choose one, or type its number: SUP-12.", {"into": "Choose one, or type its number: SUP-12."}
            )
        target = service.merge(db.session(), number, into, if_version=whole(fields.get("version", "")), **how())
    except (InputError, Conflict) as error:
        trial = failed(error, fields)
        return _merge_page(it, trial), trial.status
    db.session().commit()
    flash(f"{words.ref(number)} goes on here.", "success")
    return redirect(thread_url(target.id))


def _merge_page(it: Interaction, trial: Trial) -> str:
    session, q = db.session(), text("find")
    rows = found_rows(session, q) if q else [*same_customer_rows(session, it), *similar_rows(session, it)]
    rows = list({row.number: row for row in rows if row.number != it.id}.values())
    return render_template("support/merge.html", it=it, rows=rows, q=q, trial=trial, back=thread_url(it.id))


@blueprint.get("/<int:number>/split")
@require(WORK)
def split(number: int) -> ResponseReturnValue:
    """Offer the messages and notes that can go into an interaction of their own."""
    return _split_page(open_interaction(number), Trial())


@blueprint.post("/<int:number>/split")
@require(WORK)
def split_save(number: int) -> ResponseReturnValue:
    """Make a new interaction of the messages that were chosen."""
    it, subject = open_interaction(number), request.form.get("subject", "")
    try:
        seqs = [seq for each in request.form.getlist("seq") if (seq := whole(each, "seq"))]
        if not seqs:
            raise InputError("Choose what goes into the new one.", {"seq": "Choose what goes into the new one."})
        made = service.split(db.session(), number, seqs, subject, **how())
    except (InputError, Conflict) as error:
        trial = failed(error, {"subject": subject})
        return _split_page(it, trial), trial.status
    db.session().commit()
    flash(f"{made.ref} was split off {words.ref(number)}.", "success")
    return redirect(url_for("support.show", number=made.id))


def _split_page(it: Interaction, trial: Trial) -> str:
    session = db.session()
    found = entries(session, threads.thread(session, it.id), now(), url_for("support.index"))
    told = [each for each in found if each.body is not None and each.seq]
    return render_template("support/split.html", it=it, entries=told, trial=trial, back=thread_url(it.id))


@blueprint.get("/<int:number>/edit")
@require(WORK)
def edit(number: int) -> ResponseReturnValue:
    """Show its subject and customer to be edited."""
    return _edit_page(open_interaction(number), Trial())


@blueprint.post("/<int:number>/edit")
@require(WORK)
def edit_save(number: int) -> ResponseReturnValue:
    """Give it another subject, and say whom it is with."""
    fields, session = posted("subject", "user", "account"), db.session()
    it = open_interaction(number)
    try:
        service.rename(session, number, fields.get("subject", ""), **how())
        if any(fields.get(name, "").strip() for name in ("user", "account")):
            named = Named(user=fields.get("user", ""), account=fields.get("account", ""))
            service.set_customer(session, number, named, **how())
    except (InputError, Conflict) as error:
        trial = failed(error, fields)
        return _edit_page(it, trial), trial.status
    session.commit()
    return redirect(thread_url(number))


def _edit_page(it: Interaction, trial: Trial) -> str:
    from trackside.customers.models import Account, User

    session = db.session()
    user = session.get(User, it.user_id) if it.user_id else None
    account = session.get(Account, it.account_id) if it.account_id else None
    given = {
        "subject": it.subject,
        "user": (user.external_id if user else "") or "",
        "account": (account.external_id if account else "") or "",
        **trial.values,
    }
    return render_template("support/edit.html", it=it, given=given, trial=trial, back=thread_url(it.id))
