"""The fixtures: real PostgreSQL and Valkey on unix sockets, private to this run, and what is built on them.

| fixture | scope | what |
|---|---|---|
| `postgres`, `valkey` | session | the throw-away servers |
| `database_url` | test | a fresh migrated database of its own (about 50 ms): for what commits |
| `empty_database_url` | test | one with nothing in it, for migrations |
| `session` | test | a SQLAlchemy session whose every commit is undone at the end: for services and queries |
| `redis_url`, `redis_client` | test | the run's Valkey, emptied |
| `clock` | test | a frozen clock, at noon of Monday 15 June 2026 UTC |
| `browser`, `browser_path` | session | Chromium under Playwright, or a skip with the reason |
| `page` | test | a fresh browser context, 1440 x 900, that only reaches this machine |
| `settings`, `registry`, `runtime`, `app`, `client` | test | Trackside on `database_url` and `redis_url` |
| `member`, `signed_in_client`, `api_key` | test | staff of any role, keys of any kind: `trackside.testing.auth` |
"""

import gc
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache, partial
from importlib.metadata import entry_points
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis
import structlog
from flask import Flask
from flask.testing import FlaskClient
from playwright.sync_api import Browser, Page, sync_playwright
from sqlalchemy import Engine, create_engine
from sqlalchemy.dialects import registry as dialects
from sqlalchemy.orm import Session

from trackside import migrate
from trackside.app import create_app
from trackside.clock import FrozenClock
from trackside.db import Database
from trackside.embedded.postgres import Postgres
from trackside.embedded.valkey import Valkey
from trackside.events import EventBus
from trackside.registry import Registry, load_registry
from trackside.runtime import Runtime, build_runtime
from trackside.settings import Settings, load_settings
from trackside.testing import browser as chromium
from trackside.testing.auth import api_key, member, signed_in_client  # noqa: F401 - fixtures
from trackside.testing.compiled import STATEMENTS, CompiledRule, OneDialect, TemplateCache
from trackside.testing.servers import TEMPLATE, Databases, session_folder
from trackside.workspace import seed_workspace


@pytest.fixture(scope="session", autouse=True)
def compiled_once() -> Iterator[None]:
    """Make templates, routes and SQL once a run, not once an app: with an app for each test it was most of a page's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Flask, "jinja_options", {**Flask.jinja_options, "bytecode_cache": TemplateCache()})
        patch.setattr(Flask, "url_rule_class", CompiledRule)
        patch.setitem(dialects.impls, "postgresql.psycopg", lambda: OneDialect)
        kept = partial(create_engine, execution_options={"compiled_cache": STATEMENTS})
        patch.setattr("trackside.db.create_engine", kept)
        # what is installed does not change while tests run
        patch.setattr("trackside.registry.entry_points", cache(entry_points))
        yield


@pytest.fixture(scope="session", autouse=True)
def settled_memory() -> Iterator[None]:
    """Look for garbage seldom, and not among what is there by now: it was a fifth of what a page's test took."""
    usual = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 5, 10)  # an app and its first page are some 100,000 objects
    yield
    gc.set_threshold(*usual)
    gc.unfreeze()


@pytest.fixture(scope="session", autouse=True)
def plain_tracebacks() -> None:
    """Log failures as Python shows them: drawn with each frame's variables, one took seconds."""
    structlog.configure(
        processors=[
            structlog.stdlib.add_log_level,
            structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
        ]
    )


@pytest.fixture(scope="session")
def servers_folder() -> Iterator[Path]:
    """Folder of this run's servers."""
    with session_folder(small=True) as folder:
        yield folder


@pytest.fixture(scope="session")
def postgres(servers_folder: Path) -> Iterator[Postgres]:
    """Run a throw-away PostgreSQL server."""
    server = Postgres(servers_folder, throwaway=True)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def valkey(servers_folder: Path) -> Iterator[Valkey]:
    """Run a throw-away Valkey server."""
    server = Valkey(servers_folder, throwaway=True)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def databases(postgres: Postgres) -> Iterator[Databases]:
    """Make databases on the throw-away server."""
    made = Databases(postgres)
    yield made
    made.close()


@pytest.fixture(scope="session")
def template_database(databases: Databases) -> str:
    """Migrate and seed a database once, for the others to be copied from."""
    databases.create_named(TEMPLATE)
    database = Database(databases.url(TEMPLATE), EventBus())
    migrate.upgrade(database.engine)
    with database.session() as session:
        seed_workspace(session)
    database.dispose()
    return TEMPLATE


@pytest.fixture
def database_url(databases: Databases, template_database: str) -> Iterator[str]:
    """Address of a migrated database of the test's own."""
    name = databases.create(template_database)
    yield databases.url(name)
    databases.drop(name)


@pytest.fixture
def empty_database_url(databases: Databases) -> Iterator[str]:
    """Address of an empty database of the test's own."""
    name = databases.create()
    yield databases.url(name)
    databases.drop(name)


@pytest.fixture(scope="session")
def shared_engine(databases: Databases, template_database: str) -> Iterator[Engine]:
    """Connect to a migrated database in which nothing is ever committed."""
    name = databases.create(template_database)
    engine = create_engine(databases.url(name))
    yield engine
    engine.dispose()


@pytest.fixture
def session(request: pytest.FixtureRequest) -> Iterator[Session]:
    """Yield a session: of the test's own database where it asks for one, else of one where nothing stays."""
    if "database_url" in request.fixturenames:
        runtime = request.getfixturevalue("runtime")
        with runtime.database.sessions() as made:
            runtime.events.attach(made)
            yield made
        return
    engine: Engine = request.getfixturevalue("shared_engine")
    with engine.connect() as connection:
        transaction = connection.begin()
        with Session(connection, join_transaction_mode="create_savepoint", expire_on_commit=False) as made:
            yield made
        transaction.rollback()


@pytest.fixture
def redis_client(valkey: Valkey) -> Iterator[redis.Redis]:
    """Give a client of the session's Valkey, emptied."""
    client = redis.Redis.from_url(valkey.url())
    client.flushall()
    yield client
    client.close()


@pytest.fixture
def redis_url(valkey: Valkey, redis_client: redis.Redis) -> str:
    """Give the address of the session's Valkey, emptied."""
    return valkey.url()


@pytest.fixture
def clock() -> FrozenClock:
    """Give a clock that stands still; `clock.advance(...)` moves it."""
    return FrozenClock(datetime(2026, 6, 15, 12, tzinfo=UTC))


@pytest.fixture
def settings(database_url: str, redis_url: str, tmp_path: Path) -> Settings:
    """Give settings of the test's own servers; nothing of the environment is read."""
    return load_settings(
        {},
        secret_key="Zk3vQ9tW7mX1bR5nJ8cL2dF6hS4gA0pYxEuT",  # noqa: S106 - signs nothing outside tests
        database_url=database_url,
        redis_url=redis_url,
        base_url="http://localhost",
        data=tmp_path / "data",
    )


@pytest.fixture
def registry(settings: Settings) -> Registry:
    """Give the built-in modules and those installed by entry point."""
    return load_registry(settings.disabled_modules)


@pytest.fixture
def runtime(settings: Settings, registry: Registry, clock: FrozenClock) -> Iterator[Runtime]:
    """Give a runtime on the test's own servers, its clock frozen."""
    made = build_runtime(settings, registry, clock)
    yield made
    made.close()


@pytest.fixture
def app(settings: Settings, runtime: Runtime) -> Flask:
    """Give the Flask app of `runtime`."""
    made = create_app(settings, runtime=runtime)
    made.testing = True
    return made


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """Give a browser of sorts, not signed in."""
    return app.test_client()


@pytest.fixture(scope="session")
def found_browser(pytestconfig: pytest.Config) -> chromium.Chromium:
    """Find a browser, or fetch one under `--fetch-browser`; skip with the reason where neither works."""
    found = chromium.find()
    if found:
        return found
    if reason := chromium.why_none():
        pytest.skip(reason)
    if not pytestconfig.getoption("--fetch-browser"):
        pytest.skip("no Chromium or Chrome found; `bin/test` fetches one, or install one")
    try:
        return chromium.fetch()
    except (OSError, RuntimeError) as error:
        pytest.skip(f"no Chromium or Chrome found, and none could be fetched: {error}")


@pytest.fixture(scope="session")
def browser_path(found_browser: chromium.Chromium) -> Path:
    """Path of the browser's binary."""
    return found_browser.path


@pytest.fixture(scope="session")
def browser(found_browser: chromium.Chromium) -> Iterator[Browser]:
    """Run the browser under Playwright."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=found_browser.path,
            chromium_sandbox=False,
            args=list(chromium.ARGUMENTS),
            env={**os.environ, **found_browser.environment},
        )
        yield running
        running.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """Open a fresh context; a request that would leave this machine fails."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.route(lambda url: urlsplit(url).hostname not in {"127.0.0.1", "localhost"}, lambda route: route.abort())
    context.set_default_timeout(180_000)
    yield context.new_page()
    context.close()
