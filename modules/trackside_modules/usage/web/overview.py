"""The Overview: what happens now and over a range, live."""

from typing import Any

from flask import render_template, request, url_for
from flask.typing import ResponseReturnValue

from trackside.ask import ask
from trackside.db import db
from trackside.runtime import Runtime
from trackside.stream.ticket import stream_url
from trackside.web.checklist import checklist
from trackside.web.current import current_runtime
from trackside.web.look import zone
from trackside.web.marks import marks
from trackside.web.policy import allowed, require
from trackside_modules.usage import queries
from trackside_modules.usage.queries import Scope
from trackside_modules.usage.reports.overview import overview as load_overview
from trackside_modules.usage.web.asked import ask_filters
from trackside_modules.usage.web.base import blueprint
from trackside_modules.usage.web.charts import rows_at


@blueprint.get("/")
@require("usage.view")
def overview() -> ResponseReturnValue:
    """Show what the API's users do, now and over a range."""
    runtime, session, asked = current_runtime(), db.session(), ask_filters()
    env, span = asked.env, asked.span
    shown: dict[str, Any] = {
        "asked": asked,
        "env": env,
        "stream": stream_url(runtime.settings, "usage", env.id),
        "live_src": url_for("usage.overview", **asked.kept),
    }
    if asked.services or queries.has_usage(session, env.id):
        changed = marks(runtime, session, env.id, span.start, span.end)
        shown["it"] = load_overview(
            runtime,
            session,
            Scope(env.id, asked.service),
            span,
            changed,
            compare=asked.compare,
            zone=zone(),
            url=rows_at(**asked.kept),
        )
    else:
        shown["it"] = None
    if "HX-Request" in request.headers:
        return render_template("usage/_overview.html", **shown)
    shown |= {"steps": checklist(), "panels": _panels(runtime, env.id), "base_url": runtime.settings.base_url}
    return render_template("usage/overview.html", **shown)


def _panels(runtime: Runtime, env_id: int) -> list[tuple[str, str, Any]]:
    """Return title, template and content of what other modules add to the page."""
    found: list[tuple[str, str, Any]] = []
    wanted = [panel for panel in runtime.registry.each(lambda m: m.panels) if allowed(panel.permission)]
    for panel in sorted(wanted, key=lambda each: each.order):
        content = ask(panel.load, runtime, db.session(), env_id, otherwise=None)
        if content is not None:
            found.append((panel.title, panel.template, content))
    return found
