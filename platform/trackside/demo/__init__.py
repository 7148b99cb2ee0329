"""The demo: a small shipping API with the OpenTelemetry SDK, its customers, and traffic that calls it over HTTP.

`trackside up` starts it beside everything else so that pages move from the first minute; `trackside demo clear` removes
every trace of it. Nothing here is imported by the rest of Trackside, and the demo reaches Trackside only from outside:
its requests are counted because it posts OTLP with a key, as any other API does.
"""

SERVICE = "shipping-api"
"""The `service.name` of everything the demo sends; its usage is told from other usage by it."""

ENVIRONMENT = "production"
"""Slug of the environment the demo's key belongs to."""

COUNT_FILE = "demo-count.json"
"""In the data folder: what the traffic generator has sent, exactly (see `trackside.demo.count`)."""
