"""`trackside up`: PostgreSQL, Valkey and every process of Trackside, started in order, kept running, stopped in order.

    data folder held -> PostgreSQL -> Valkey -> migrations, first rows -> web, stream, workers, schedule, demo -> READY

Nothing is made before the folder and both ports are known to be free. What ends by itself is started again after a
growing delay. On Linux whatever we started dies with us, killed too; elsewhere the next start ends what was left.
"""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from trackside.embedded.children import Child, stop_all
from trackside.embedded.folder import DataFolder
from trackside.embedded.postgres import Postgres
from trackside.embedded.process import tail
from trackside.embedded.valkey import Valkey
from trackside.errors import StartError, cause_of
from trackside.process import check_port, reachable, url_of

STARTED = "UP_STARTED_AT"
"""Variable in which `bin/up` says when it began (Unix time), so that the seconds shown are those that one waited."""
STOP_WITHIN = 8.0
"""Seconds for all of Trackside's processes to stop; the servers need one more."""
READY_WITHIN = 180.0
Say = Callable[[str], None]


@dataclass(frozen=True)
class Options:
    """What `trackside up` was asked for."""

    host: str
    port: int
    data: Path
    demo: bool
    restore: Path | None = None
    """A backup to begin with, in a folder that has no database yet."""

    @property
    def url(self) -> str:
        """Where browsers on this machine reach it."""
        return url_of(reachable(self.host), self.port)


@dataclass
class Supervisor:
    """One run of `trackside up`."""

    options: Options
    say: Say
    show: Say
    """Prints a line for scripts: READY, the link."""
    children: list[Child] = field(default_factory=list)
    _servers: list[Postgres | Valkey] = field(default_factory=list)
    _retry_server: float = 0.0
    _stopping: bool = False

    def run(self) -> None:
        """Start everything, keep it running until SIGINT or SIGTERM, stop everything."""
        self._folder = DataFolder(self.options.data)
        self._folder.refuse_if_held()
        check_port(self.options.host, self.options.port)
        check_port(self.options.host, self.options.port + 1)
        self._folder.hold(self.options.url)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        try:
            self._start()
            self._watch()
        finally:
            self._stop()

    def _start(self) -> None:
        self._configure()
        if self._stopping:
            return
        link = self._prepare()
        self._spawn_all()
        self._await_ready()
        if not self._stopping:
            self.say("ready")
            self.show(f"READY {self.options.url}")
            self.show(f"Sign in (once, within 24 hours): {link}")
            self.say(f"logs are in {self._folder.path / 'log'}; Ctrl-C stops everything")

    def _configure(self) -> None:
        """Start the servers that no setting names, and put every setting where children and commands find it."""
        data = self._folder.path
        found = {"TRACKSIDE_DATA": str(data)}
        if not _is_set("SECRET_KEY"):
            found["TRACKSIDE_SECRET_KEY"] = self._folder.secret_key()
        if not _is_set("DATABASE_URL"):
            found["TRACKSIDE_DATABASE_URL"] = self._serve("PostgreSQL", Postgres(data))
        if not _is_set("REDIS_URL"):
            found["TRACKSIDE_REDIS_URL"] = self._serve("Valkey", Valkey(data))
        if not _is_set("BASE_URL"):
            found["TRACKSIDE_BASE_URL"] = self.options.url
        os.environ.update(found)
        from trackside.settings import load_settings

        settings = load_settings()
        self._folder.write_run_file(
            {
                "secret_key": settings.secret_key,
                "database_url": settings.database_url,
                "redis_url": settings.redis_url,
                "base_url": settings.base_url,
                "stream_url": settings.stream_url,
            }
        )

    def _serve(self, name: str, server: Postgres | Valkey) -> str:
        fresh = not server.folder.exists()
        self.say(f"{'creating and starting' if fresh else 'starting'} {name}")
        self._servers.append(server)
        return server.start()

    def _prepare(self) -> str:
        """Migrate, make the first rows, and return the owner's sign-in link; loads what children will need."""
        from sqlalchemy.exc import OperationalError

        from trackside import migrate
        from trackside.auth.links import first_sign_in_link
        from trackside.backup import restore
        from trackside.demo import workspace as demo
        from trackside.jobs.bells import queues
        from trackside.runtime import build_runtime
        from trackside.settings import load_settings
        from trackside.workspace import seed_workspace

        runtime = build_runtime(load_settings())
        try:
            if self.options.restore:
                self.say(f"restoring {self.options.restore}")
                restore(runtime, self.options.restore)
            if migrate.current(runtime.database.engine) != migrate.head():
                self.say("migrating the database")
                migrate.upgrade(runtime.database.engine)
            with runtime.database.session() as session:
                seed_workspace(session)
                if self.options.demo and demo.is_wanted(session):
                    self.say("seeding the demo workspace")
                    demo.seed(runtime, session)
            link = first_sign_in_link(runtime, demo=self.options.demo)
        except OperationalError as error:
            raise StartError(
                f"PostgreSQL is not reachable ({cause_of(error)}): start it, or unset DATABASE_URL."
            ) from error
        finally:
            runtime.close()
        self._queues = queues(runtime)
        return link

    def _spawn_all(self) -> None:
        host, port = self.options.host, str(self.options.port)
        web = ("web", "--host", host, "--port", port)
        stream = ("stream", "--host", host, "--port", str(self.options.port + 1))
        rest = "schedule and the demo" if self.options.demo else "schedule"
        self.say(f"starting web, stream, {len(self._queues)} workers, {rest}")
        self._add("web", web, grace=4)
        self._add("stream", stream, grace=3)
        for queue in self._queues:
            self._add(f"worker-{queue}", ("worker", queue), grace=3)
        self._add("schedule", ("schedule",), grace=3)
        if self.options.demo:
            self._add("demo", ("demo", "run"), grace=4)
        _load_for_children()
        for child in self.children:
            child.start()

    def _add(self, name: str, arguments: tuple[str, ...], grace: float) -> None:
        log = self._folder.path / "log" / f"{name}.log"
        self.children.append(Child(name, arguments, log, grace, before_exec=self._folder.let_go))

    def _await_ready(self) -> None:
        """Wait until web and stream answer; raise StartError with the log's end where one of them does not."""
        deadline = time.monotonic() + READY_WITHIN
        waiting = {"web": self.options.port, "stream": self.options.port + 1}
        host = reachable(self.options.host)
        while waiting and not self._stopping:
            self._step()
            waiting = {name: port for name, port in waiting.items() if not _answers(host, port)}
            if waiting and time.monotonic() > deadline:
                name = next(iter(waiting))
                log = self._folder.path / "log" / f"{name}.log"
                raise StartError(f"{name} did not answer within {READY_WITHIN:.0f} s. The end of {log}:\n{tail(log)}")
            if waiting:
                time.sleep(0.05)

    def _watch(self) -> None:
        while not self._stopping:
            self._step()
            time.sleep(0.1)

    def _step(self) -> None:
        """Start again what has ended."""
        now = time.monotonic()
        if now >= self._retry_server:
            self._revive_servers(now)
        for child in self.children:
            code = child.poll()
            if code is not None:
                wait = child.plan_restart(code)
                if code:
                    when = f"in {wait:.1f} s"
                    self.say(f"{child.name} ended with {_reason(code)}; starting it again {when} (see {child.log})")
            elif not child.pid and now >= child.due:
                child.start()

    def _revive_servers(self, now: float) -> None:
        for server in self._servers:
            try:
                if server.restart_if_dead():
                    self.say(f"{type(server).__name__} had ended and runs again")
            except StartError as error:
                self._retry_server = now + 2
                self.say(f"{type(server).__name__} does not start: {error.message}")

    def _on_signal(self, number: int, _frame: object) -> None:
        if self._stopping:  # asked twice: no more manners
            for child in self.children:
                child.signal(signal.SIGKILL)
        self._stopping = True

    def _stop(self) -> None:
        """Stop in the order in which nothing is lost: who makes work, who does it, who serves, the servers."""
        self._stopping = True
        if self.children:
            self.say("stopping")
        deadline = time.monotonic() + STOP_WITHIN
        makers = [each for each in self.children if each.name in {"demo", "schedule"}]
        workers = [each for each in self.children if each.name.startswith("worker-")]
        for group in (makers, workers, [each for each in self.children if each not in makers + workers]):
            stop_all(group, deadline)
        for server in reversed(self._servers):
            server.stop(3)
        self._folder.remove_run_file()
        if self.children:
            self.say("stopped")


def _is_set(name: str) -> bool:
    """Return whether the environment has setting `name`, in any of its spellings."""
    names = [f"TRACKSIDE_{name}", *([name] if name in {"DATABASE_URL", "REDIS_URL"} else [])]
    return any(os.environ.get(each) or os.environ.get(f"{each}_FILE") for each in names)


def _load_for_children() -> None:
    """Import what the children need, once, before they are forked."""
    import gc
    from importlib import import_module

    for name in ("granian", "trackside.app", "trackside.serve", "trackside.stream.app", "trackside.jobs.worker"):
        import_module(name)
    gc.collect()
    gc.freeze()


def _answers(host: str, port: int) -> bool:
    connection = HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _reason(code: int) -> str:
    return f"exit code {code}" if code > 0 else signal.Signals(-code).name
