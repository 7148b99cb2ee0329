"""Who may open a route: every view says so, and the app does not start while one is silent.

    @require("customers.edit")     members whose role has the permission
    @signed_in                     any member
    @public("why")                 everyone; the reason is kept for the reader and the test

API routes (`trackside.api`) carry a policy of their own: a scope.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from flask import Flask, abort, current_app, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from trackside.errors import NotAllowed, StartError
from trackside.web.current import current_runtime

View = TypeVar("View", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Policy:
    """What a view takes: nothing (`public` has the reason), a sign-in, a permission, or an API scope."""

    public: str | None = None
    permission: str | None = None
    scope: str | None = None


def require(permission: str) -> Callable[[View], View]:
    """Let only members with `permission` open the view."""
    return _with(Policy(permission=permission))


def signed_in(view: View) -> View:
    """Let any signed-in member open the view."""
    return _with(Policy())(view)


def public(reason: str) -> Callable[[View], View]:
    """Let everyone open the view; `reason` says why that is right."""
    return _with(Policy(public=reason))


def _with(policy: Policy) -> Callable[[View], View]:
    def mark(view: View) -> View:
        view.policy = policy  # type: ignore[attr-defined]
        return view

    return mark


def policy_of(app: Flask, endpoint: str) -> Policy | None:
    """Return the policy of the view behind `endpoint`, or None where it has none."""
    if endpoint == "static" or endpoint.endswith(".static"):
        return Policy(public="files that every page needs, the sign-in page too")
    found = getattr(app.view_functions.get(endpoint), "policy", None)
    return found if isinstance(found, Policy) else None


def check_policies(app: Flask) -> None:
    """Raise StartError when a route has no policy, or one that names an undeclared permission."""
    declared = {p.name for p in app.extensions["trackside"].registry.each(lambda m: m.permissions)}
    for rule in app.url_map.iter_rules():
        policy = policy_of(app, rule.endpoint)
        if policy is None:
            raise StartError(
                f"The route {rule.rule} ({rule.endpoint}) has no policy: add @require, @signed_in or @public"
            )
        if policy.permission and policy.permission not in declared:
            raise StartError(f"The route {rule.rule} requires {policy.permission!r}, which no module declares")


def allowed(permission: str) -> bool:
    """Whether the signed-in member has `permission`; False for visitors."""
    return bool(current_user.is_authenticated and current_user.can(permission))


def enforce() -> ResponseReturnValue | None:
    """Before each request: let it pass, send the visitor to sign in, or refuse."""
    if request.endpoint is None:
        return None
    policy = policy_of(current_app, request.endpoint)
    if policy is None:
        abort(404)
    if policy.public is not None or policy.scope is not None:
        return None
    if not current_user.is_authenticated:
        here = request.full_path if request.query_string else request.path
        return redirect(url_for("auth.sign_in", next=here if request.method == "GET" else None))
    if policy.permission and not current_user.can(policy.permission):
        raise NotAllowed(_refusal(policy.permission))
    return None


def _refusal(permission: str) -> str:
    registry = current_runtime().registry
    found = next((p for p in registry.each(lambda m: m.permissions) if p.name == permission), None)
    what = found.title if found else permission
    return f"Your role ({current_user.role}) does not include: {what}. An admin can change your role under Members."
