"""Settings of topics: the tree with what each is used for, other words for them, merging and archiving."""

from collections.abc import Callable

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import func, select
from wtforms import Form, SelectField, StringField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # newer than its stubs
from wtforms.validators import Optional

from trackside.db import db
from trackside.errors import Conflict, InputError
from trackside.text import whole_number
from trackside.web.policy import require
from trackside_modules.support.models import Interaction, Topic, TopicAlias
from trackside_modules.support.service import topics as service
from trackside_modules.support.web.base import MANAGE, VIEW, blueprint, how


class TopicForm(Form):
    """A topic."""

    name = StringField("Name")
    parent = SelectField("Below", validate_choice=False)
    aliases = StringField(
        "Other words for it", validators=[Optional()], description="Understood in a line as #word; parted by commas."
    )


@blueprint.get("/settings/topics")
@require(VIEW)
def topics() -> ResponseReturnValue:
    """List all topics."""
    return _topics(TopicForm())


@blueprint.post("/settings/topics")
@require(MANAGE)
def add_topic() -> ResponseReturnValue:
    """Add a topic."""
    form = TopicForm(request.form)

    def save() -> Topic:
        return service.create(
            db.session(), form.name.data or "", parent_id=_parent(form), aliases=_aliases(form), **how()
        )

    return _saved(form, save, lambda: _topics(form))


@blueprint.get("/settings/topics/<int:topic_id>")
@require(VIEW)
def topic(topic_id: int) -> ResponseReturnValue:
    """Show a topic's form."""
    found = service.get(db.session(), topic_id)
    data = {"name": found.name, "parent": str(found.parent_id or ""), "aliases": ", ".join(_words(topic_id))}
    return _topic(found, TopicForm(data=data))


@blueprint.post("/settings/topics/<int:topic_id>")
@require(MANAGE)
def save_topic(topic_id: int) -> ResponseReturnValue:
    """Rename or move a topic, and change its other words."""
    form, session = TopicForm(request.form), db.session()
    known = service.get(session, topic_id)

    def save() -> Topic:
        service.set_aliases(session, known, _aliases(form))
        return service.change(session, topic_id, name=form.name.data or "", parent_id=_parent(form), **how())

    return _saved(form, save, lambda: _topic(service.get(db.session(), topic_id), form))


@blueprint.post("/settings/topics/<int:topic_id>/merge")
@require(MANAGE)
def merge_topic(topic_id: int) -> ResponseReturnValue:
    """Let another topic stand for this one."""
    into = whole_number(request.form.get("into", ""))

    def merge() -> Topic:
        if into is None:
            raise InputError("Choose the topic to merge into.", {"into": "Choose one."})
        return service.merge(db.session(), topic_id, into, **how())

    return _acted(topic_id, merge, "Merged: interactions and words of both are one topic's now.")


@blueprint.post("/settings/topics/<int:topic_id>/archive")
@blueprint.post("/settings/topics/<int:topic_id>/restore", endpoint="restore_topic")
@require(MANAGE)
def archive_topic(topic_id: int) -> ResponseReturnValue:
    """Offer a topic no more, or again."""
    archived = request.path.endswith("/archive")
    words = "It is offered no more; interactions keep it." if archived else "It is offered again."
    return _acted(topic_id, lambda: service.archive(db.session(), topic_id, archived=archived, **how()), words)


def _saved(form: TopicForm, save: Callable[[], Topic], page: Callable[[], str]) -> ResponseReturnValue:
    try:
        found = save()
    except (InputError, Conflict) as error:
        db.session().rollback()
        problems = error.fields if isinstance(error, InputError) else {"name": error.message}
        for name, problem in problems.items():
            field = form[name if name in form else "name"]
            field.errors = [*field.errors, problem]
        return page(), error.status
    db.session().commit()
    flash(f"{found.name} is saved.", "success")
    return redirect(url_for("support.topics"))


def _acted(topic_id: int, act: Callable[[], Topic], words: str) -> ResponseReturnValue:
    try:
        act()
    except (InputError, Conflict) as error:
        db.session().rollback()
        flash(error.message, "error")
        return redirect(url_for("support.topic", topic_id=topic_id))
    db.session().commit()
    flash(words, "success")
    return redirect(url_for("support.topics"))


def _topics(form: TopicForm) -> str:
    session = db.session()
    standing = func.coalesce(Topic.merged_into, Topic.id)
    counted = (
        select(standing, func.count())
        .select_from(Interaction)
        .join(Topic, Topic.id == Interaction.topic_id)
        .where(Interaction.merged_into.is_(None), Interaction.status != "spam")
        .group_by(standing)
    )
    words: dict[int, list[str]] = {}
    for alias in session.scalars(select(TopicAlias).order_by(TopicAlias.alias)):
        words.setdefault(alias.topic_id, []).append(alias.alias)
    every = _every()
    form.parent.choices = _choices(every)
    counts = dict(session.execute(counted).all())
    return render_template("support/topics.html", form=form, topics=every, counts=counts, words_of=words)


def _topic(found: Topic, form: TopicForm) -> str:
    others = [each for each in _every() if not f"{each.path}/".startswith(f"{found.path}/")]
    form.parent.choices = _choices(others)
    return render_template("support/topic.html", form=form, topic=found, others=others)


def _every() -> list[Topic]:
    return list(db.session().scalars(select(Topic).where(Topic.merged_into.is_(None)).order_by(Topic.path)))


def _choices(every: list[Topic]) -> list[SelectChoice]:
    offered = [SelectChoice(str(each.id), each.path) for each in every if each.archived_at is None]
    return [SelectChoice("", "Nothing: it is at the top"), *offered]


def _words(topic_id: int) -> list[str]:
    query = select(TopicAlias.alias).where(TopicAlias.topic_id == topic_id).order_by(TopicAlias.alias)
    return list(db.session().scalars(query))


def _parent(form: TopicForm) -> int | None:
    raw = form.parent.data or ""
    if not raw:
        return None
    if (found := whole_number(raw)) is None:
        raise InputError("Choose from the list.", {"parent": "Choose from the list."})
    return found


def _aliases(form: TopicForm) -> list[str]:
    return [each for each in (form.aliases.data or "").split(",") if each.strip()]
