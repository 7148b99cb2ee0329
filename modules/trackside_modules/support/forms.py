"""The full form of an interaction. What a value may be is ruled by the service; the form only carries texts."""

from collections.abc import Iterable, Mapping
from datetime import datetime, tzinfo
from typing import Any

from wtforms import Form, HiddenField, MultipleFileField, RadioField, SelectField, StringField, TextAreaField
from wtforms.fields import DateTimeLocalField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # newer than its stubs
from wtforms.validators import Optional as MayBeEmpty

from trackside.errors import InputError
from trackside.text import whole_number
from trackside_modules.support import words
from trackside_modules.support.drafts import Draft


def offered(pairs: Iterable[tuple[str, str]]) -> list[SelectChoice]:
    """Return values with their words as WTForms offers them."""
    return [SelectChoice(value, label) for value, label in pairs]


class InteractionForm(Form):
    """Who, what, and whatever else is known."""

    opened = HiddenField()
    user = StringField("Who", description="An e-mail address, or the id that your API uses. Who is new is added.")
    account = StringField("Account", [MayBeEmpty()], description="Its id; empty: the user's.")
    subject = StringField("What")
    body = TextAreaField("Message", [MayBeEmpty()], description="What was said, in Markdown.")
    direction = RadioField("Who began", choices=offered(words.DIRECTIONS.items()), default="in")
    channel = SelectField("By", choices=offered(words.CHANNELS.items()), default="email")
    kind = SelectField("Kind", choices=offered(words.KINDS.items()), default="question")
    topic = SelectField("Topic", validate_choice=False)
    priority = SelectField("Priority", choices=offered(words.PRIORITIES.items()), default="normal")
    assignee = SelectField("Assignee", validate_choice=False)
    tags = StringField("Tags", [MayBeEmpty()], description="Words with a space between.")
    links = StringField("Link", [MayBeEmpty()], description="A tracker's address, flag:new-auth or SUP-12.")
    occurred_at = DateTimeLocalField("When", [MayBeEmpty()], format=["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"])
    note = TextAreaField("Note for the team", [MayBeEmpty()])
    files = MultipleFileField("Files", [MayBeEmpty()])


def draft_of(form: InteractionForm, *, zone: tzinfo, **more: Any) -> Draft:
    """Return what a form says, with `more` that is known besides; raises InputError by field."""
    if not form.validate():
        raise InputError(
            "Some of this is not right yet.",
            {str(name): str(said[0]) for name, said in form.errors.items() if name and isinstance(said, list)},
        )
    at: datetime | None = form.occurred_at.data
    return Draft(
        subject=form.subject.data or "",
        body=form.body.data or "",
        user=form.user.data or "",
        account=form.account.data or "",
        kind=form.kind.data,
        topic_id=number_in(form.topic.data, "topic"),
        channel=form.channel.data,
        direction=form.direction.data,
        priority=form.priority.data,
        assignee_id=number_in(form.assignee.data, "assignee"),
        tags=tuple(each.lstrip("#+") for each in (form.tags.data or "").replace(",", " ").split()),
        note=form.note.data or "",
        occurred_at=at.replace(tzinfo=zone) if at else None,
        **more,
    )


def number_in(text: str | None, field: str) -> int | None:
    """Return the number a choice stands for, None where nothing is chosen; raises InputError for what is none."""
    if not text:
        return None
    if (found := whole_number(text)) is None:
        raise InputError(f"{field}: choose one of the list.", {field: "Choose one of the list."})
    return found


def show_problems(form: InteractionForm, problems: Mapping[str, str]) -> None:
    """Put what the service refused beside the fields; what has no field stands above the form."""
    names = {"topic_id": "topic", "assignee_id": "assignee", "ref": "links"}
    for name, what in problems.items():
        place = names.get(name, name)
        if place in form:
            form[place].errors = [what]
        else:
            form.form_errors.append(what)
