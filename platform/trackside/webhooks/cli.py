"""`trackside webhooks`: set webhooks up and see what they were told, from the shell."""

from typing import Any

import click

from trackside.auth.audit import COMMAND_LINE
from trackside.cli import as_json, runtime, say
from trackside.net import network_of
from trackside.webhooks import queries, service
from trackside.webhooks.api import DeliveryOut, WebhookOut
from trackside.webhooks.models import EVERYTHING, STATES, Endpoint
from trackside.webhooks.sending import types_of
from trackside.webhooks.service import Wanted

_PAUSED = {"member": "paused", "failing": "paused: it failed for days", "gone": "paused: it answered 410"}
_types = click.option("--type", "types", multiple=True, metavar="TYPE", help="What it is told; again for more.")


@click.group()
def webhooks() -> None:
    """Tell other programs what happens."""


@webhooks.command("types")
@as_json
def types_(as_json: bool) -> None:
    """List what can be told."""
    known = sorted(types_of(runtime()).values(), key=lambda each: each.type)
    say(as_json, {it.type: it.title for it in known}, *(f"{it.type:<34} {it.title}" for it in known))


@webhooks.command("list")
@as_json
def list_(as_json: bool) -> None:
    """List the webhooks."""
    with runtime().database.session() as session:
        found = queries.endpoints(session)
        lines = [f"{it.id:<4} {it.name:<28} {service.host_of(it.url):<32} {_state(it)}" for it in found]
        say(as_json, [WebhookOut.of(it) for it in found], *(lines or ["There are no webhooks."]))


@webhooks.command()
@click.argument("url")
@click.option("--name", required=True)
@_types
@as_json
def add(url: str, name: str, types: tuple[str, ...], as_json: bool) -> None:
    """Tell URL what happens: everything, or each --type. Prints the secret, this once."""
    wanted = _checked(Wanted(name, url, types or (EVERYTHING,)))
    key = runtime().settings.secret_key
    with runtime().database.session() as session:
        made, secret = service.add(session, wanted, key, **_how())
        told = WebhookOut.of(made, secret)
    say(as_json, told, f"{told.name} is webhook {told.id}. Its secret, shown this once:", secret)


@webhooks.command("set")
@click.argument("webhook", type=int)
@click.option("--name", default=None)
@click.option("--url", default=None)
@_types
@as_json
def set_(webhook: int, name: str | None, url: str | None, types: tuple[str, ...], as_json: bool) -> None:
    """Change what is told to whom."""
    with runtime().database.session() as session:
        it = service.get(session, webhook)
        wanted = _checked(Wanted(name or it.name, url or it.url, types or it.types))
        _said(service.edit(session, webhook, wanted, **_how()), as_json)


@webhooks.command()
@click.argument("webhook", type=int)
@as_json
def rotate(webhook: int, as_json: bool) -> None:
    """Make another secret; for 24 hours messages are signed with the one before too."""
    with runtime().database.session() as session:
        found, secret = service.rotate(session, webhook, runtime().settings.secret_key, **_how())
        say(as_json, WebhookOut.of(found, secret), f"The new secret of {found.name}, shown this once:", secret)


@webhooks.command()
@click.argument("webhook", type=int)
@as_json
def pause(webhook: int, as_json: bool) -> None:
    """Send nothing more; what happens meanwhile waits, for a week at most."""
    with runtime().database.session() as session:
        _said(service.pause(session, webhook, **_how()), as_json)


@webhooks.command()
@click.argument("webhook", type=int)
@as_json
def resume(webhook: int, as_json: bool) -> None:
    """Go on, with what waits first."""
    with runtime().database.session() as session:
        _said(service.resume(session, webhook, **_how()), as_json)


@webhooks.command()
@click.argument("webhook", type=int)
def remove(webhook: int) -> None:
    """Take a webhook away, with what it was told."""
    with runtime().database.session() as session:
        service.remove(session, webhook, **_how())
    click.echo(f"Webhook {webhook} is removed.")


@webhooks.command("test")
@click.argument("webhook", type=int)
@as_json
def test_(webhook: int, as_json: bool) -> None:
    """Send a test; `deliveries` tells what became of it."""
    with runtime().database.session() as session:
        made = service.try_out(session, webhook, now=runtime().clock.now())
        say(as_json, DeliveryOut.of(made), f"A test is on its way as delivery {made.id}.")


@webhooks.command()
@click.argument("webhook", type=int)
@click.option("--state", type=click.Choice(STATES), default=None)
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@as_json
def deliveries(webhook: int, state: str | None, limit: int, as_json: bool) -> None:
    """List what a webhook was told, the newest first."""
    with runtime().database.session() as session:
        service.get(session, webhook)
        found = [DeliveryOut.of(it) for it in queries.deliveries(session, webhook, state=state or "", limit=limit)]
    say(as_json, found, *(map(_line, found) if found else ["Nothing yet."]))


@webhooks.command()
@click.argument("webhook", type=int)
@click.argument("delivery", type=int)
@as_json
def resend(webhook: int, delivery: int, as_json: bool) -> None:
    """Send something again, under the same webhook-id."""
    with runtime().database.session() as session:
        found = service.again(session, webhook, delivery, now=runtime().clock.now())
        say(as_json, DeliveryOut.of(found), f"Delivery {found.id} is on its way again.")


def _how() -> dict[str, Any]:
    return {"who": COMMAND_LINE, "now": runtime().clock.now()}


def _checked(wanted: Wanted) -> Wanted:
    return wanted.checked(network_of(runtime().settings), types_of(runtime()))


def _said(it: Endpoint, as_json: bool) -> None:
    say(as_json, WebhookOut.of(it), f"{it.name}: {_state(it)}")


def _state(it: Endpoint) -> str:
    if it.paused_at is not None:
        return _PAUSED.get(it.paused_why or "", "paused")
    return f"failing since {it.failing_since:%Y-%m-%d %H:%M}" if it.failing_since else "working"


def _line(it: DeliveryOut) -> str:
    status = it.status if it.status is not None else "-"
    return f"{it.id:<8} {it.happened_at:%Y-%m-%d %H:%M} {it.type:<34} {it.state:<10} {status:<4} {it.answer or ''}"
