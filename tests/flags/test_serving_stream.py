"""The stream of flags: who may hear it, what it tells, and how one comes back."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy import select
from werkzeug.test import Client

from trackside.auth.audit import COMMAND_LINE
from trackside.auth.keys import revoke
from trackside.auth.models import ApiKey
from trackside.runtime import Runtime
from trackside.settings import Settings
from trackside.stream import app as streams
from trackside.stream import ticket as tickets
from trackside.stream.app import StreamApp
from trackside_modules.flags.serving import feed

PATH = "/v1/flags/stream"


class Visit:
    """One request to the stream: what was sent to it, and a way to go."""

    def __init__(self, app: StreamApp, query: str = "", method: str = "GET", **headers: str) -> None:
        given = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        self.scope = {
            "type": "http",
            "method": method,
            "path": PATH,
            "query_string": query.encode(),
            "headers": given,
        }
        self.app, self.status, self.body, self.headers = app, 0, b"", dict[bytes, bytes]()
        self._gone = asyncio.Event()
        self.task = asyncio.create_task(app(self.scope, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])
        else:
            self.body += message["body"]

    @property
    def mark(self) -> str:
        return self.body.split(b"id: ")[1].split(b"\n")[0].decode()

    async def leave(self) -> None:
        self._gone.set()
        await self.task


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(8):
        while not condition():
            await asyncio.sleep(0.01)


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    # In a thread of its own: a browser that an earlier test left open keeps a loop running in this one.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, test()).result()


@pytest.fixture
def make(runtime: Runtime, settings: Settings, flag: Any) -> Callable[..., StreamApp]:
    flag("checkout")

    def made(**changed: str) -> StreamApp:
        routes = {route.name: route for route in runtime.registry.each(lambda m: m.streams)}
        return StreamApp(replace(settings, **changed), routes, runtime)  # type: ignore[arg-type]

    return made


@pytest.fixture
def bulk(lane: Client) -> Callable[[str], str]:
    """Ask for all flags as a page of another site does; return the query of the stream's URL."""

    def made(key: str) -> str:
        answer = lane.post("/ofrep/v1/evaluate/flags", data="{}", headers={"X-API-Key": key}).json
        (stream,) = answer["eventStreams"]  # type: ignore[index]
        assert (stream["type"], stream["inactivityDelaySec"]) == ("sse", 120)
        assert key not in stream["url"]
        assert urlsplit(stream["url"]).path == PATH
        return urlsplit(stream["url"]).query

    return made


@pytest.mark.parametrize("kind", ["server", "client"])
def test_a_key_opens_it_and_is_told_at_once_and_after_each_change(
    make: Any, api_key: Any, change: Any, lane: Client, kind: str
) -> None:
    key, server = str(api_key(kind)), str(api_key("server"))

    async def test() -> None:
        visit = Visit(make(), authorization=f"Bearer {key}")
        await until(lambda: b"refetchEvaluation" in visit.body)
        assert visit.status == 200
        assert visit.headers[b"content-type"] == b"text/event-stream"
        before = visit.body
        await asyncio.to_thread(change, "checkout", {"enabled": True})
        await until(lambda: visit.body.count(b"refetchEvaluation") == 2)
        etag = lane.get("/v1/flags/ruleset", headers={"X-API-Key": server}).headers["ETag"].strip('"')
        assert etag.encode() in visit.body[len(before) :]
        assert b'"lastModified":' in visit.body
        await visit.leave()

    run(test)


def test_a_page_of_another_site_hears_what_it_does_not_know(make: Any, api_key: Any, change: Any, bulk: Any) -> None:
    async def test() -> None:
        app, query = make(), bulk(str(api_key("client")))
        visit = Visit(app, query, origin="https://shop.example")
        await until(lambda: b"id: " in visit.body)
        assert visit.headers[b"access-control-allow-origin"] == b"*"
        await asyncio.sleep(0.1)
        assert b"data:" not in visit.body
        await asyncio.to_thread(change, "checkout", {"enabled": True})
        await until(lambda: b"refetchEvaluation" in visit.body)
        late = Visit(app, query)
        await until(lambda: b"refetchEvaluation" in late.body)
        await visit.leave()
        await late.leave()

    run(test)


def test_the_mark_opens_it_again_when_the_ticket_is_over(
    make: Any, api_key: Any, change: Any, bulk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        app, query = make(), bulk(str(api_key("client")))
        first = Visit(app, query)
        await until(lambda: b"id: " in first.body)
        await first.leave()
        monkeypatch.setattr(tickets, "LIFETIME", -1)
        refused = Visit(app, query)
        await refused.task
        assert refused.status == 401
        await asyncio.to_thread(change, "checkout", {"enabled": True})
        again = Visit(app, query, last_event_id=first.mark)
        await until(lambda: b"refetchEvaluation" in again.body)
        forged = Visit(app, query, last_event_id=first.mark[:-2] + "xx")
        await forged.task
        assert forged.status == 401
        await again.leave()

    run(test)


def test_a_server_key_is_told_what_has_changed_and_nobody_else(
    make: Any, api_key: Any, bulk: Any, flag: Any, change: Any, lane: Client
) -> None:
    flag("other")
    server, client = str(api_key("server")), str(api_key("client"))

    def ruleset() -> tuple[str, Any]:
        answer = lane.get("/v1/flags/ruleset", headers={"X-API-Key": server})
        return answer.headers["ETag"].strip('"'), answer.json

    async def test() -> None:
        app = make()
        visits = [Visit(app, x_api_key=server), Visit(app, x_api_key=client), Visit(app, bulk(server))]
        await until(lambda: all(b"id: " in visit.body for visit in visits))
        since, before = ruleset()
        await asyncio.to_thread(change, "checkout", {"enabled": True})
        await until(lambda: all(visit.body.endswith(b"}\n\n") for visit in visits))
        await until(lambda: b'"change"' in visits[0].body)
        etag, after = ruleset()
        told = json.loads(visits[0].body.rpartition(b"data: ")[2])
        assert (told["etag"], told["change"]["since"], told["change"]["gone"]) == (etag, since, [])
        assert set(told["change"]["flags"]) == {"checkout"}
        merged = {**before, "version": told["change"]["version"], "flags": before["flags"] | told["change"]["flags"]}
        assert merged == after
        for visit in visits[1:]:
            await until(lambda it=visit: etag.encode() in it.body)
            assert b"change" not in visit.body
        back = Visit(app, last_event_id=visits[0].mark)
        await until(lambda: b"id: " in back.body)
        await asyncio.to_thread(change, "checkout", {"enabled": False})
        await until(lambda: b"refetchEvaluation" in back.body)
        assert b"change" not in back.body
        for visit in (*visits, back):
            await visit.leave()

    run(test)


def test_a_change_that_is_too_large_is_only_announced(
    make: Any, api_key: Any, change: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "MOST", 10)
    key = str(api_key("server"))

    async def test() -> None:
        visit = Visit(make(), x_api_key=key)
        await until(lambda: visit.body.count(b"refetchEvaluation") == 1)
        await asyncio.to_thread(change, "checkout", {"enabled": True})
        await until(lambda: visit.body.count(b"refetchEvaluation") == 2)
        assert b"change" not in visit.body
        await visit.leave()

    run(test)


def test_a_revoked_key_ends_its_streams(make: Any, api_key: Any, bulk: Any, runtime: Runtime) -> None:
    async def test() -> None:
        app, key = make(), str(api_key("client"))
        query = bulk(key)
        visits = [Visit(app, query), Visit(app, x_api_key=key)]
        await until(lambda: all(b"retry" in visit.body for visit in visits))
        with runtime.database.session() as session:
            found = session.scalars(select(ApiKey).order_by(ApiKey.id.desc())).first()
            assert found is not None
            revoke(session, COMMAND_LINE, runtime.clock.now(), found)
        await until(lambda: all(visit.task.done() for visit in visits))
        for visit in (Visit(app, query), Visit(app, x_api_key=key)):
            await visit.task
            assert visit.status == 401

    run(test)


def test_who_may_not_hear_it_is_told(make: Any, api_key: Any, settings: Settings) -> None:
    ingest, client = str(api_key("ingest")), str(api_key("client"))
    page = tickets.signed(settings, tickets.Ticket("usage", 1))

    async def test() -> None:
        app = make()
        for visit, status in (
            (Visit(app), 401),
            (Visit(app, "ticket=forged"), 401),
            (Visit(app, f"ticket={page}"), 403),
            (Visit(app, x_api_key=ingest), 403),
            (Visit(app, f"key={client}", x_api_key=client), 401),
            (Visit(app, method="POST"), 404),
            (Visit(app, method="OPTIONS", origin="https://shop.example"), 204),
        ):
            await visit.task
            assert visit.status == status
            assert visit.headers[b"access-control-allow-origin"] == b"*"

    run(test)


def test_a_change_is_heard_also_while_redis_is_away(
    make: Any, api_key: Any, change: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "LOOK", 0.05)
    key = str(api_key("server"))

    async def test() -> None:
        visit = Visit(make(redis_pubsub_url="redis://127.0.0.1:1"), x_api_key=key)
        await until(lambda: b"refetchEvaluation" in visit.body)
        await asyncio.to_thread(change, "checkout", {"enabled": True})
        await until(lambda: visit.body.count(b"refetchEvaluation") == 2)
        await visit.leave()

    run(test)
