"""The command palette: one box that finds pages, customers and whatever modules know.

Ctrl/Cmd-K opens it over any page; without JavaScript the same answers stand on `/-/palette`.
"""

from dataclasses import dataclass

from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue

from trackside.ask import ask
from trackside.db import db
from trackside.web import nav
from trackside.web.current import current_runtime
from trackside.web.environments import current_environment
from trackside.web.policy import signed_in

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
    runtime, env_id = current_runtime(), current_environment().id
    for module in runtime.registry.modules:
        if module.palette:
            found += ask(module.palette, runtime, db.session(), env_id, text, otherwise=[])
    return found[:LIMIT]
