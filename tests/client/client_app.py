"""A Flask application under the client, for gunicorn: `gunicorn client_app:app`."""

import os
import time
from collections.abc import Iterator

from flask import Flask, Response, abort, request

from trackside_client.usage import UsageWSGI

app = Flask("client_app")
app.logger.disabled = True


@app.get("/orders/<int:number>")
def order(number: int) -> str:
    return str(os.getpid())


@app.post("/orders")
def make() -> str:
    abort(503)


@app.get("/broken")
def broken() -> str:
    raise RuntimeError("no such luck")


@app.get("/stream")
def stream() -> Response:
    def parts() -> Iterator[str]:
        for part in "abc":
            time.sleep(0.1)
            yield part

    return Response(parts())


app.wsgi_app = UsageWSGI(app.wsgi_app, user=lambda _: request.args.get("user"), flush_seconds=0.2)  # type: ignore[method-assign]
