"""The forms of accounts and users. What a value may be is ruled by `fields`; forms only carry texts."""

from collections.abc import Mapping
from typing import Any

from wtforms import Form, HiddenField, StringField, TextAreaField
from wtforms.fields import FileField

from trackside.customers.kinds import Customer, Kind
from trackside.customers.models import User
from trackside.errors import InputError

ATTRIBUTES_HELP = "One on a line, name and value parted by a colon: segment: enterprise"


class CustomerForm(Form):
    """What accounts and users have in common."""

    external_id = StringField("Id", description="As your API sends it. It cannot be changed later, only merged.")
    version = HiddenField()
    name = StringField("Name")
    attributes = TextAreaField("Attributes", description=ATTRIBUTES_HELP)


class AccountForm(CustomerForm):
    """An account's values."""

    plan = StringField("Plan")


class UserForm(CustomerForm):
    """A user's values."""

    email = StringField("Email")
    account = StringField("Account", description="The account's id, as your API sends it. Empty: none.")


class EraseForm(Form):
    """The typed confirmation of erasing."""

    confirm = StringField("Type the id to confirm")


class UploadForm(Form):
    """A file to import."""

    file = FileField("CSV file", description="UTF-8, UTF-16 or Windows-1252; commas, semicolons or tabs; up to 16 MB.")


def form_of(kind: Kind[Any]) -> type[AccountForm | UserForm]:
    """Return the form of `kind`."""
    return UserForm if kind.model is User else AccountForm


def filled(kind: Kind[Any], row: Customer) -> AccountForm | UserForm:
    """Return the form that shows `row` as it is."""
    values: dict[str, Any] = {"name": row.name, "version": str(row.version), "attributes": as_lines(row.attributes)}
    if isinstance(row, User):
        values |= {"email": row.email, "account": row.account.external_id if row.account else ""}
    else:
        values["plan"] = row.plan
    return form_of(kind)(data=values)


def values_of(kind: Kind[Any], form: Form) -> dict[str, Any]:
    """Return the values typed into `form`; raises InputError for attributes that cannot be read."""
    values: dict[str, Any] = {name: form[name].data or "" for name in kind.fields}
    values["attributes"] = from_lines(form["attributes"].data or "")
    return values


def show_errors(form: Form, problems: Mapping[str, str], message: str) -> None:
    """Put each of `problems` beside its field, and those without a field above the form."""
    rest = []
    for name, problem in problems.items():
        field = name.partition(".")[0]
        if field in form:
            form[field].errors = [*form[field].errors, _sentence(problem)]
        else:
            rest.append(f"{name}: {problem}")
    if rest or not problems:
        form.form_errors = [_sentence(each) for each in rest or [message]]


def as_lines(attributes: Mapping[str, Any]) -> str:
    """Return attributes as one edits them."""
    return "\n".join(f"{name}: {value}" for name, value in attributes.items())


def from_lines(text: str) -> dict[str, str]:
    """Return the attributes typed as lines; raises InputError, with its number, for a line without a colon."""
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        name, colon, value = line.partition(":")
        if not colon:
            problem = f"Line {number} has no colon: write name: value"
            raise InputError(problem, {"attributes": problem})
        found[name.strip()] = value.strip()
    return found


def _sentence(text: str) -> str:
    return f"This {text}." if text.startswith(("is ", "holds ")) else f"{text[:1].upper()}{text[1:]}".rstrip(".") + "."
