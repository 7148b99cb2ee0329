"""The command palette: one box that finds pages, customers and whatever modules know.

Ctrl/Cmd-K opens it over any page; without JavaScript the same answers stand on `/-/palette`.
"""

from dataclasses import dataclass

import structlog
from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue

from trackside.db import db
from trackside.module import resolve
from trackside.runtime import Runtime
from trackside.web import nav
from trackside.web.current import current_runtime
from trackside.web.environments import current_environment
from trackside.web.policy import signed_in

log = structlog.get_logger(__name__)
blueprint = Blueprint("palette", __name__)
LIMIT = 12
LONGEST = 200


@dataclass(frozen=True, slots=True)
class PaletteHit:
    """One thing found: where it leads and how it is shown."""

    title: str
    url: str
    icon: str
    subtitle: str = ""


@blueprint.get("/-/palette")
@signed_in
def search() -> ResponseReturnValue:
    """Show what `q` finds: the list alone for the dialog, a page of its own otherwise."""
    text = request.args.get("q", "").strip()[:LONGEST]
    partial = "HX-Request" in request.headers or request.args.get("partial") == "1"
    template = "palette/_hits.html" if partial else "palette/page.html"
    return render_template(template, q=text, hits=find(text))


def find(text: str) -> list[PaletteHit]:
    """Return the pages whose name holds `text`, then what the modules find; at most `LIMIT`."""
    wanted = text.casefold()
    found = [PaletteHit(e.label, e.url, e.icon, "Page") for e in nav.entries() if wanted in e.label.casefold()]
    if not wanted or "\0" in text:
        return found[:LIMIT]
    runtime = current_runtime()
    for module in runtime.registry.modules:
        if module.palette:
            found += _ask(runtime, module.name, module.palette, text)
    return found[:LIMIT]


def _ask(runtime: Runtime, name: str, ref: str, text: str) -> list[PaletteHit]:
    try:
        with db.session().begin_nested():
            hits: list[PaletteHit] = resolve(ref)(runtime, db.session(), current_environment().id, text)
    except Exception:
        # one module's search must not silence the others
        log.exception("palette.module_failed", module=name)
        return []
    return hits
