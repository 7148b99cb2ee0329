"""Cells that tables of usage have in every row; written here, since a macro takes ten times as long for each."""

from markupsafe import Markup, escape

from trackside.web.format import ABSENT, delta, number, percent
from trackside.web.look import icon
from trackside_modules.usage.web.base import blueprint

_ZERO = Markup('<span class="muted">0</span>')
_NOTHING = Markup(f'<span class="muted">{ABSENT}</span>')  # noqa: S704 - a dash


@blueprint.app_template_global("usage_share")
def share(ratio: float | None, bad: bool = False) -> Markup:
    """Return a share that is bad when above nothing: absent where there were no calls, quiet where it is zero."""
    if ratio is None:
        return _NOTHING
    kind = "muted" if not ratio else "bad" if bad else ""
    words = escape(percent(ratio))
    return Markup(f'<span class="{kind}">{words}</span>') if kind else words  # noqa: S704 - escaped


@blueprint.app_template_global("usage_count")
def count(value: int) -> str:
    """Return a count, quiet where it is zero."""
    return number(value) if value else _ZERO


@blueprint.app_template_global("usage_change")
def change(now: float, before: float | None) -> Markup:
    """Return a change against the period before: neutral, since more calls are neither good nor bad."""
    it = None if before is None else delta(now, before)
    if it is None:
        return _NOTHING
    arrow = icon(f"arrow-{it.direction}", it.direction, "s") if it.direction in ("up", "down") else ""
    return Markup(f'<span class="delta nowrap">{arrow}{it.text}</span>')  # noqa: S704 - an icon and a number
