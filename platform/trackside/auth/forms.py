"""Forms of the auth pages. What they say is checked again by the services, which know the rules."""

from collections.abc import Iterable, Mapping
from typing import Any

from flask_wtf import FlaskForm
from wtforms import BooleanField, Field, PasswordField, SelectField, SelectMultipleField, StringField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # newer than its stubs
from wtforms.validators import InputRequired, Length, Optional

from trackside.auth.passwords import LONGEST, SHORTEST
from trackside.errors import InputError, TracksideError

EXPIRIES = {"": "Never", "30": "In 30 days", "90": "In 90 days", "365": "In a year"}
"""Days, and how they are called."""
NEEDED = "This cannot be empty."


def choices(pairs: Iterable[tuple[str, str]]) -> list[Any]:
    """Return (value, words) pairs as what a select field takes."""
    return [SelectChoice(value, words) for value, words in pairs]


class SignInForm(FlaskForm):  # type: ignore[misc]
    """Address and password."""

    email = StringField("E-mail", [InputRequired(NEEDED), Length(max=320)])
    password = PasswordField("Password", [InputRequired(NEEDED), Length(max=LONGEST)])


class NewPasswordForm(FlaskForm):  # type: ignore[misc]
    """A password, chosen by whoever came by a link."""

    password = PasswordField(
        "New password",
        [InputRequired(NEEDED), Length(max=LONGEST)],
        description=f"{SHORTEST} characters or more; a few random words are easy to remember.",
    )


class WelcomeForm(NewPasswordForm):
    """Name and password of who accepts an invitation."""

    name = StringField("Your name", [InputRequired(NEEDED), Length(max=100)])


class OwnerForm(WelcomeForm):
    """Address, name and password of the first owner."""

    email = StringField("E-mail", [InputRequired(NEEDED), Length(max=320)], description="You sign in with it.")


class ProfileForm(FlaskForm):  # type: ignore[misc]
    """What a member says about themselves."""

    name = StringField("Name", [InputRequired(NEEDED), Length(max=100)])
    time_zone = SelectField("Time zone", description="Times on pages are shown in it.")


class AccessForm(FlaskForm):  # type: ignore[misc]
    """What one signs in with; the password in force allows the change."""

    email = StringField("E-mail", [InputRequired(NEEDED), Length(max=320)])
    current = PasswordField("Current password", [Length(max=LONGEST)])
    password = PasswordField(
        "New password",
        [Optional(), Length(max=LONGEST)],
        description=f"{SHORTEST} characters or more. Leave it empty to keep the one you have.",
    )


class InviteForm(FlaskForm):  # type: ignore[misc]
    """Whom to invite, as what."""

    email = StringField("E-mail", [InputRequired(NEEDED), Length(max=320)])
    role = SelectField("Role")


class KeyForm(FlaskForm):  # type: ignore[misc]
    """A new API key."""

    name = StringField(
        "Name", [InputRequired(NEEDED), Length(max=100)], description="What will use it, so that you know it again."
    )
    env = SelectField("Environment")
    kind = SelectField("Kind")
    expires = SelectField("Expires", choices=choices(EXPIRIES.items()))
    apitally = BooleanField(
        "For an Apitally SDK", description="An ingest key in the form that Apitally's SDKs take as their write token."
    )
    scopes = SelectMultipleField("Scopes", description="What an admin key may do. Other kinds have none.")


def show_error(form: FlaskForm, error: TracksideError) -> None:
    """Put what a service refused beside the fields it is about, or above the form."""
    fields: Mapping[str, str] = error.fields if isinstance(error, InputError) else {}
    rest = True
    for name, problem in fields.items():
        field: Field | None = form._fields.get(name)
        if field is not None:
            field.errors = [*field.errors, problem]
            rest = False
    if rest:
        form.form_errors.append(error.message)
