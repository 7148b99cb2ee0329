"""The demo API: rates, shipments, labels and tracking, with the quirks of a real one.

Tracking fails in bursts when a carrier is away, labels are slow to render, the bulk importer runs into its limit,
unknown keys are refused, and an old client still calls a version that has gone.
"""

import time
from collections import defaultdict
from collections.abc import Callable
from random import Random
from typing import Any

from flask import Flask, abort, g, request
from flask.typing import ResponseReturnValue

from trackside.demo.people import Person, people, token

OUTAGE_EVERY = 600.0
OUTAGE_LASTS = 40.0
"""Seconds: how often the carrier goes away, and for how long."""
CALLS_PER_SECOND = 3.0
"""What one key may do; above it, 429."""

FAILURES = {500: ("KeyError", "'events'"), 503: ("CarrierUnavailable", "carrier 7 did not answer within 30 s")}
"""Type and message of what fails, by status."""

MEDIAN_MS = {
    "rates": 34,
    "create_shipment": 58,
    "shipments": 26,
    "shipment": 14,
    "label": 620,
    "track": 19,
    "validate": 41,
    "delete_webhook": 11,
}
"""How long each endpoint takes, typically."""


class Allowance:
    """Lets each key make `CALLS_PER_SECOND`, with a burst of twice that."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._left: dict[str, tuple[float, float]] = defaultdict(lambda: (2 * CALLS_PER_SECOND, clock()))

    def take(self, who: str) -> bool:
        """Return whether `who` may call now."""
        left, then = self._left[who]
        now = self._clock()
        left = min(left + (now - then) * CALLS_PER_SECOND, 2 * CALLS_PER_SECOND)
        self._left[who] = (left - 1 if left >= 1 else left, now)
        return left >= 1


def create_api(
    seed: int = 1, *, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
) -> Flask:
    """Return the API; `seed` fixes its luck, `clock` (seconds) its outages, and `sleep` is how it takes its time."""
    app = Flask("shipping")
    luck = Random(seed)  # noqa: S311 - a demo's luck guards nothing
    callers = {token(person.external_id): person for person in people()}
    allowance = Allowance(clock)
    started = clock()

    @app.before_request
    def identify() -> None:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        caller: Person | None = callers.get(given)
        if caller is None:
            abort(401)
        g.caller = caller
        if not allowance.take(caller.external_id):
            abort(429)
        if request.url_rule is not None:
            sleep(MEDIAN_MS[request.url_rule.endpoint] / 1000 * luck.lognormvariate(0, 0.35))

    def carrier_answers() -> None:
        away = (clock() - started) % OUTAGE_EVERY >= OUTAGE_EVERY - OUTAGE_LASTS
        if luck.random() < (0.45 if away else 0.002):
            g.failure = FAILURES[503 if away else 500]
            abort(503 if away else 500)

    _shipping(app, luck)
    _aside(app, luck, carrier_answers)
    return app


def _shipping(app: Flask, luck: Random) -> None:
    @app.get("/v1/shipments")
    def shipments() -> ResponseReturnValue:
        return {"shipments": [], "next": None}

    @app.post("/v1/shipments")
    def create_shipment() -> ResponseReturnValue:
        if luck.random() < 0.03:
            abort(422)
        return {"id": luck.randrange(1_000_000)}, 201

    @app.get("/v1/shipments/<shipment_id>")
    def shipment(shipment_id: str) -> ResponseReturnValue:
        if shipment_id.endswith("0"):
            abort(404)
        return {"id": shipment_id, "state": "in transit"}

    @app.post("/v1/labels")
    def label() -> ResponseReturnValue:
        return {"pages": 1}, 201


def _aside(app: Flask, luck: Random, carrier_answers: Callable[[], None]) -> None:
    @app.get("/v1/rates")
    def rates() -> ResponseReturnValue:
        return {"rates": [{"carrier": "post", "cents": luck.randrange(390, 990)}]}

    @app.get("/v1/tracking/<code>")
    def track(code: str) -> ResponseReturnValue:
        carrier_answers()
        return {"code": code, "events": []}

    @app.post("/v1/addresses/validate")
    def validate() -> ResponseReturnValue:
        return {"valid": True}

    @app.delete("/v1/webhooks/<int:webhook_id>")
    def delete_webhook(webhook_id: int) -> tuple[Any, int]:
        return "", 204
