"""The form of a rate limit: texts and choices, from and to what the service takes."""

from typing import Any

from wtforms import Form, HiddenField, RadioField, SelectField, StringField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # newer than its stubs
from wtforms.validators import Optional

from trackside.errors import InputError
from trackside.text import whole_number
from trackside_modules.usage.models.quota import UsageQuota

UNITS = (("604800", "weeks"), ("86400", "days"), ("3600", "hours"), ("60", "minutes"), ("1", "seconds"))
_MOST_DIGITS = 15


def _choices(*pairs: tuple[str, str]) -> list[Any]:
    return [SelectChoice(value, words) for value, words in pairs]


class LimitForm(Form):
    """What is allowed, and how it is counted."""

    version = HiddenField()
    kind = RadioField(
        "How it is counted",
        choices=_choices(
            ("window", "Fixed windows: all of it is there again at the next hour or day (UTC)"),
            ("gcra", "A steady rate: units come back one by one, after a burst (GCRA)"),
        ),
        default="window",
    )
    amount = StringField("Limit", description="Units of cost; a check costs 1 unless it says otherwise.")
    every = StringField("Per", default="1")
    unit = SelectField("Unit of time", choices=_choices(*UNITS), default="3600")
    burst = StringField(
        "At once", validators=[Optional()], description="The burst of a steady rate; windows have none."
    )
    shared_by = RadioField(
        "Whose count it is",
        choices=_choices(("account", "Shared by all users of an account"), ("user", "Each user's own")),
        default="account",
    )
    counts = RadioField(
        "What counts",
        choices=_choices(
            ("checks", "Checks: your gateway asks before each call, and may be refused"),
            ("requests", "Requests: what usage counts by itself; nothing is refused"),
        ),
        default="checks",
    )


class NewLimitForm(LimitForm):
    """The same, with whom it is for, which cannot be changed later."""

    policy = StringField("Policy", description="The name your gateway asks about: a to z, 0 to 9, dot, _ and -.")
    scope = SelectField(
        "For",
        choices=_choices(("default", "Everyone"), ("plan", "A plan"), ("account", "One account"), ("user", "One user")),
        description="The most specific limit of a policy counts, alone.",
    )
    whom = StringField(
        "Which one",
        validators=[Optional()],
        description="The plan's name, or the id that your API uses. Not for everyone.",
    )


OWN = ("kind", "amount", "every", "unit", "burst", "shared_by", "counts")
NEW = ("policy", "scope", "whom")


def filled(row: UsageQuota) -> LimitForm:
    """Return the form that shows a limit as it is."""
    size = next(int(unit) for unit, _ in UNITS if row.seconds % int(unit) == 0)
    return LimitForm(
        data={
            "version": str(row.version),
            "kind": row.kind,
            "amount": str(row.amount),
            "every": str(row.seconds // size),
            "unit": str(size),
            "burst": str(row.burst or ""),
            "shared_by": row.shared_by,
            "counts": row.counts,
        }
    )


def values_of(form: LimitForm) -> dict[str, Any]:
    """Return what was typed as the service takes it; what is no number stays None, and is refused there."""
    every, unit = _whole(form.every.data), _whole(form.unit.data)
    values: dict[str, Any] = {
        "kind": form.kind.data,
        "shared_by": form.shared_by.data,
        "counts": form.counts.data,
        "amount": _whole(form.amount.data),
        "seconds": every * unit if every and unit and str(unit) in dict(UNITS) else None,
        "burst": _whole(form.burst.data) if form.kind.data == "gcra" else 0,
    }
    if isinstance(form, NewLimitForm):
        scope = form.scope.data
        values |= {"policy": (form.policy.data or "").strip(), "scope": scope}
        whom = (form.whom.data or "").strip()
        if scope == "default" and whom:
            problem = "A limit for everyone has none: leave this empty."
            raise InputError(f"whom: {problem}", {"whom": problem})
        values[str(scope)] = whom
    return values


def show_errors(form: LimitForm, error: InputError) -> None:
    """Put each problem beside its field, and those without one above the form."""
    places = {"seconds": "every", "plan": "whom", "account": "whom", "user": "whom"}
    rest = []
    for name, problem in error.fields.items():
        field = places.get(name, name)
        if field in form:
            form[field].errors = [*form[field].errors, problem]
        else:
            rest.append(problem)
    if rest or not error.fields:
        form.form_errors = rest or [error.message]


def _whole(text: str | None) -> int | None:
    """Return a whole number as people type it (`10,000`), None for anything else."""
    return whole_number((text or "").strip().replace(",", "").replace(" ", ""), _MOST_DIGITS)
