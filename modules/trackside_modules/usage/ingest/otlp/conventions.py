"""OpenTelemetry's names for HTTP server requests, old and new, brought to one subject.

| | new | old |
|---|---|---|
| metric | `http.server.request.duration`, s | `http.server.duration`, ms |
| method | `http.request.method` | `http.method` |
| route | `http.route` | `http.route`, else `http.target` (OTel's Flask puts the rule there) |
| status | `http.response.status_code` | `http.status_code` |
"""

from dataclasses import dataclass

from trackside.customers import identity
from trackside_modules.usage.ingest.batch import Release, Subject
from trackside_modules.usage.ingest.otlp.points import Attributes, Scalar
from trackside_modules.usage.ingest.paths import clean, template
from trackside_modules.usage.models.names import UNMATCHED

NEW, OLD = "http.server.request.duration", "http.server.duration"
_DEFAULT_UNITS = {NEW: "s", OLD: "ms"}
_UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY"})
_NAME_LENGTH = 120

USER_ATTRIBUTES = ("trackside.user", "apitally.consumer.identifier", "user.id", "enduser.id", "enduser.pseudo.id")
ACCOUNT_ATTRIBUTE = "trackside.account"


@dataclass(frozen=True, slots=True)
class Naming:
    """Which attributes name the user (the first present wins) and the account."""

    user: tuple[str, ...] = USER_ATTRIBUTES
    account: str = ACCOUNT_ATTRIBUTE


def seconds_in(metric: str, unit: str) -> float | None:
    """Return the seconds in a metric's unit, the convention's own where it is not told; None for an unknown one."""
    return _UNITS.get(unit or _DEFAULT_UNITS[metric])


def release(resource: Attributes) -> Release | None:
    """Return which version of which service a resource is; None where it does not tell its version."""
    version = clean(text_of(resource.get("service.version")), _NAME_LENGTH)
    return Release(service_of(resource), version) if version else None


def service_of(resource: Attributes) -> str:
    """Return the name of the service."""
    return clean(text_of(resource.get("service.name")), _NAME_LENGTH) or "unknown_service"


def subject(
    attributes: Attributes, resource: Attributes, naming: Naming, *, of_span: bool = False
) -> tuple[Subject, bool]:
    """Return what a point or a span is about, and whether its user id had to be left out as unusable.

    A point with an account and no user is taken as the account's own: its user has the account's id.
    """
    account, bad_account = _identity(attributes, resource, (naming.account,))
    user, bad_user = _identity(attributes, resource, naming.user)
    made = Subject(
        service_of(resource),
        method_of(text_of(_first(attributes, "http.request.method", "http.method"))),
        _route(attributes, target=not of_span),
        _status(_first(attributes, "http.response.status_code", "http.status_code")),
        user or account,
        account,
    )
    return made, bad_user or bad_account


def _first(attributes: Attributes, *names: str) -> Scalar | None:
    for name in names:
        if (value := attributes.get(name)) is not None:
            return value
    return None


def text_of(value: Scalar | None) -> str:
    """Return text or a whole number as text, nothing for any other value."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def _identity(attributes: Attributes, resource: Attributes, names: tuple[str, ...]) -> tuple[str, bool]:
    """Return the first id named, and whether it was there but unusable: too long, or with characters no id has."""
    for name in names:
        for place in (attributes, resource):
            if found := text_of(place.get(name)).strip():
                usable = identity.clean(found)
                return usable or "", usable is None
    return "", False


def method_of(method: str) -> str:
    """Return an HTTP method in capitals, `_OTHER` for what is none."""
    method = method.upper()
    return method if method in METHODS else "_OTHER"


def _route(attributes: Attributes, *, target: bool) -> str:
    """Return the route's template, never with a query string or ids; requests that matched none share one name.

    On metrics OTel's Flask puts the rule into `http.target`; on spans that is the path that was asked for.
    """
    if named := text_of(attributes.get("http.route")):
        return template(named, trusted=True) or UNMATCHED
    return (template(text_of(attributes.get("http.target"))) if target else "") or UNMATCHED


def _status(value: Scalar | None) -> int:
    """Return the response's status, 0 where it is unknown or impossible."""
    text = text_of(value)
    status = int(text) if text.isdecimal() and len(text) == 3 else 0
    return status if 100 <= status <= 599 else 0
