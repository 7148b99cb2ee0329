"""How programs ask for a flag, in each language."""

from flask import render_template
from flask.typing import ResponseReturnValue

from trackside.web.current import current_runtime
from trackside.web.policy import require
from trackside_modules.flags.shape import as_served
from trackside_modules.flags.snippets import snippets
from trackside_modules.flags.web.base import VIEW, blueprint, choice, open_page


@blueprint.get("/<int:flag_id>/code")
@require(VIEW)
def code(flag_id: int) -> ResponseReturnValue:
    """Show how a program asks for this flag."""
    page, base_url = open_page(flag_id), current_runtime().settings.base_url
    off = as_served(page.flag.type, page.flag.variants, page.state.config["off"])
    found = snippets(page.flag.key, page.flag.type, off, base_url, {"targetingKey": "u_42", "account": "acme"})
    chosen = choice("lang", [each.name for each in found], found[0].name)
    shown = next(each for each in found if each.name == chosen)
    return render_template("flags/code.html", page=page, snippets=found, shown=shown)
