"""Webhooks in the management API. They belong to the workspace: a key of any environment sees them all."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from trackside.api import Api, Call, Id, Input, Name, Page, Paged
from trackside.auth.audit import key_actor
from trackside.errors import Conflict, NotAllowed
from trackside.net import network_of
from trackside.text import clean_line
from trackside.webhooks import queries, service
from trackside.webhooks.models import EVERYTHING, STATES, Delivery, Endpoint
from trackside.webhooks.sending import types_of
from trackside.webhooks.service import Wanted

api = Api("webhooks", title="Webhooks")
READ, WRITE = "webhooks:read", "webhooks:write"
_ONE = "/webhooks/{webhook_id}"

Url = Annotated[str, Meta(min_length=1, max_length=2000, description="https:// and a public address")]
Types = Annotated[list[str], Meta(min_length=1, max_length=200, description="What it is told; `*`: everything")]


class WebhookOut(msgspec.Struct):
    """An endpoint."""

    id: int
    name: str
    url: str
    types: list[str]
    created_at: datetime
    paused_at: datetime | None
    paused_why: str | None
    """`member`, `failing` for days, or `gone` (it answered 410)."""
    failing_since: datetime | None
    failures: int
    """In a row."""
    delivered_at: datetime | None
    old_until: datetime | None
    """Until when messages are signed with the secret before, too."""
    version: int
    secret: str | None = None
    """In the answer that makes it, and never again."""

    @classmethod
    def of(cls, row: Endpoint, secret: str | None = None) -> "WebhookOut":
        """Return `row` as the API shows it."""
        own = {name: getattr(row, name) for name in cls.__struct_fields__ if name != "secret"}
        return cls(**own, secret=secret)


class WebhookNew(Input):
    """An endpoint to add."""

    name: Name
    url: Url
    types: Types


class WebhookEdit(Input):
    """What changes; fields that are not sent stay as they are."""

    name: Name | UnsetType = UNSET
    url: Url | UnsetType = UNSET
    types: Types | UnsetType = UNSET
    paused: bool | UnsetType = UNSET


class DeliveryOut(msgspec.Struct):
    """Something that an endpoint was told."""

    id: int
    """The order in which things happened."""
    message_id: str
    type: str
    happened_at: datetime
    state: str
    attempts: int
    next_at: datetime | None
    """When it is tried next; null once that is over."""
    tried_at: datetime | None
    took_ms: int | None
    status: int | None
    answer: str | None

    @classmethod
    def of(cls, row: Delivery) -> "DeliveryOut":
        """Return `row` as the API shows it."""
        own = {name: getattr(row, name) for name in cls.__struct_fields__ if name != "next_at"}
        return cls(**own, next_at=row.next_at if row.state == "waiting" else None)


class DeliveryQuery(Paged):
    """Which deliveries."""

    state: Annotated[str, Meta(max_length=20, description=f"One of {', '.join(STATES)}; empty: all")] = ""


_AT = datetime.fromisoformat("2026-11-22T14:03:00Z")
_HOOK = WebhookOut(
    3, "Data warehouse", "https://hooks.example.com/trackside", ["*"], _AT, None, None, None, 0, _AT, None, 1
)
_DELIVERY = DeliveryOut(
    512, "msg_2f0c...", "support.interaction.solved", _AT, "delivered", 1, None, _AT, 84, 200, '{"ok": true}'
)
_NEW = {"name": "Data warehouse", "url": "https://hooks.example.com/trackside", "types": ["*"]}


@api.get("/webhooks", scope=READ, example=[_HOOK])
def list_webhooks(call: Call) -> list[WebhookOut]:
    """List the webhooks."""
    return [WebhookOut.of(each) for each in queries.endpoints(call.session)]


@api.post("/webhooks", scope=WRITE, status=201, errors=(Conflict,), example=_HOOK, sends=_NEW)
def create_webhook(call: Call, body: WebhookNew) -> WebhookOut:
    """Add a webhook. Its secret is in this answer, and never shown again."""
    wanted = _checked(call, Wanted(body.name, body.url, body.types))
    key = call.runtime.settings.secret_key
    made, secret = service.add(call.session, wanted, key, who=key_actor(call.key), now=call.runtime.clock.now())
    return call.tagged(WebhookOut.of(made, secret), made.version)


@api.get(_ONE, scope=READ, edits=True, example=_HOOK)
def get_webhook(call: Call, webhook_id: Id) -> WebhookOut:
    """Get a webhook."""
    found = service.get(call.session, webhook_id)
    return call.tagged(WebhookOut.of(found), found.version)


@api.patch(_ONE, scope=WRITE, edits=True, errors=(Conflict,), example=_HOOK, sends={"paused": True})
def edit_webhook(call: Call, webhook_id: Id, body: WebhookEdit) -> WebhookOut:
    """Change a webhook, pause or resume it; what happens while it is paused waits for a week at most."""
    if body.url is not UNSET:
        # a name may take its time: nobody waits for the row meanwhile
        network_of(call.runtime.settings).check(clean_line(body.url, "url", longest=service.LONGEST_URL))
    found = service.get(call.session, webhook_id, lock=True)
    call.if_match(found.version)
    how: dict[str, Any] = {"who": key_actor(call.key), "now": call.runtime.clock.now()}
    given = {name: value for name in ("name", "url", "types") if (value := getattr(body, name)) is not UNSET}
    if given:
        kept = {"name": found.name, "url": found.url, "types": found.types}
        wanted = _allowed(call, Wanted(**kept | given)).cleaned(types_of(call.runtime))
        found = service.edit(call.session, webhook_id, wanted, **how)
    if body.paused is not UNSET:
        found = (service.pause if body.paused else service.resume)(call.session, webhook_id, **how)
    return call.tagged(WebhookOut.of(found), found.version)


@api.delete(_ONE, scope=WRITE, edits=True)
def delete_webhook(call: Call, webhook_id: Id) -> None:
    """Remove a webhook, with what it was told."""
    call.if_match(service.get(call.session, webhook_id, lock=True).version)
    service.remove(call.session, webhook_id, who=key_actor(call.key), now=call.runtime.clock.now())


@api.post(f"{_ONE}:rotate", scope=WRITE, edits=True, example=_HOOK)
def rotate_webhook(call: Call, webhook_id: Id) -> WebhookOut:
    """Make another secret, shown in this answer alone; for 24 hours the one before is signed with too."""
    call.if_match(service.get(call.session, webhook_id, lock=True).version)
    key, now = call.runtime.settings.secret_key, call.runtime.clock.now()
    found, secret = service.rotate(call.session, webhook_id, key, who=key_actor(call.key), now=now)
    return call.tagged(WebhookOut.of(found, secret), found.version)


@api.post(f"{_ONE}:test", scope=WRITE, status=202, example=_DELIVERY)
def try_webhook(call: Call, webhook_id: Id) -> DeliveryOut:
    """Send a test, once; what became of it is in the list of deliveries."""
    return DeliveryOut.of(service.try_out(call.session, webhook_id, now=call.runtime.clock.now()))


@api.get(f"{_ONE}/deliveries", scope=READ, example=Page([_DELIVERY]))
def list_deliveries(call: Call, webhook_id: Id, query: DeliveryQuery) -> Page[DeliveryOut]:
    """List what a webhook was told, the newest first; kept for a month."""
    service.get(call.session, webhook_id)
    after = call.after(query)
    found = queries.deliveries(
        call.session, webhook_id, state=query.state, before=after[0] if after else None, limit=query.limit + 1
    )
    return call.page(query, found, DeliveryOut.of, key=lambda row: [row.id])


@api.post(f"{_ONE}/deliveries/{{delivery_id}}:send", scope=WRITE, status=202, errors=(Conflict,), example=_DELIVERY)
def send_delivery_again(call: Call, webhook_id: Id, delivery_id: Id) -> DeliveryOut:
    """Send something again, under the same `webhook-id`."""
    return DeliveryOut.of(service.again(call.session, webhook_id, delivery_id, now=call.runtime.clock.now()))


def _checked(call: Call, wanted: Wanted) -> Wanted:
    return _allowed(call, wanted).checked(network_of(call.runtime.settings), types_of(call.runtime))


def _allowed(call: Call, wanted: Wanted) -> Wanted:
    known = types_of(call.runtime)
    told = known if EVERYTHING in wanted.types else wanted.types
    needed = {known[each].scope for each in told if each in known} - {"", *call.key.scopes}
    if needed:
        named = ", ".join(sorted(needed))
        raise NotAllowed(f"Whoever is told this can read it, and this key does not carry {named}.")
    return wanted
