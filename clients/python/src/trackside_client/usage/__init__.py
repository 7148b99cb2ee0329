"""Middleware that tells Trackside who called what, how it ended and how long it took: one line to add.

| framework | line |
|---|---|
| Flask, any WSGI | `app.wsgi_app = UsageWSGI(app.wsgi_app)` |
| FastAPI, Starlette | `app.add_middleware(UsageASGI)` |
| Django | `"trackside_client.usage.django.UsageMiddleware"` first in `MIDDLEWARE` |

Requests are summed in the process and sent every few seconds by a thread of its own; nothing here ever raises into the
application, and what cannot be delivered waits on disk.
"""

from trackside_client.usage.asgi import UsageASGI
from trackside_client.usage.reporter import flush
from trackside_client.usage.wsgi import UsageWSGI

__all__ = ["UsageASGI", "UsageWSGI", "flush"]
