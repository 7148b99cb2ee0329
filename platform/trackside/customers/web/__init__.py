"""The pages of accounts and users: the same views for both, each under its own blueprint."""

from collections.abc import Callable
from functools import partial, update_wrapper
from typing import Any

from flask import Blueprint, request

from trackside.customers.kinds import ACCOUNT, USER, Kind
from trackside.customers.sheets import MAX_BYTES
from trackside.customers.web import changes, imports, pages
from trackside.web.policy import require

VIEW, EDIT, ERASE, EXPORT = "customers.view", "customers.edit", "customers.erase", "customers.export"

_ROUTES: tuple[tuple[str, str, str, Callable[..., Any], str], ...] = (
    ("GET", "/", "index", pages.index, VIEW),
    ("GET", "/<int:row_id>", "show", pages.show, VIEW),
    ("GET", "/export.<suffix>", "export", pages.export, EXPORT),
    ("GET", "/new", "new", changes.new, EDIT),
    ("POST", "/new", "create", changes.create, EDIT),
    ("GET", "/<int:row_id>/edit", "edit", changes.edit, EDIT),
    ("POST", "/<int:row_id>/edit", "save", changes.save, EDIT),
    ("GET", "/<int:row_id>/merge", "merge", changes.merge, EDIT),
    ("POST", "/<int:row_id>/merge", "merge_now", changes.merge_now, EDIT),
    ("GET", "/<int:row_id>/erase", "erase", changes.erase, ERASE),
    ("POST", "/<int:row_id>/erase", "erase_now", changes.erase_now, ERASE),
    ("GET", "/import", "upload", imports.upload, EDIT),
    ("POST", "/import", "take", imports.take, EDIT),
    ("GET", "/import/<int:upload_id>", "preview", imports.preview, EDIT),
    ("POST", "/import/<int:upload_id>", "run", imports.run, EDIT),
)


def _build(kind: Kind[Any]) -> Blueprint:
    blueprint = Blueprint(kind.plural, __name__, url_prefix=f"/{kind.plural}")
    for method, path, name, view, permission in _ROUTES:
        # the wrapper gives it a name, which Flask-WTF asks for
        bound = update_wrapper(partial(view, kind), view)
        blueprint.add_url_rule(path, name, require(permission)(bound), methods=[method])

    @blueprint.url_value_preprocessor
    def take_files(endpoint: str | None, values: dict[str, Any] | None) -> None:
        # before anything reads the form: a customer list is larger than what other pages take
        if endpoint == f"{kind.plural}.take":
            request.max_content_length = MAX_BYTES + (1 << 16)

    return blueprint


accounts = _build(ACCOUNT)
users = _build(USER)
