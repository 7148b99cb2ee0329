"""Real clients against a running server: the OFREP providers for Python, node and browsers, and our own."""

import json
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode
from openfeature.provider import AbstractProvider
from openfeature.provider.no_op_provider import NoOpProvider
from sqlalchemy import select
from werkzeug.exceptions import NotFound

from trackside.auth import keyring
from trackside.clock import SystemClock
from trackside.customers.models import User
from trackside.places import Places
from trackside.registry import Registry
from trackside.runtime import Runtime, build_runtime
from trackside.serve import Lane
from trackside.settings import Settings
from trackside_client.flags import Flags
from trackside_client.openfeature import TracksideProvider
from trackside_modules.flags import service
from trackside_modules.flags.exposures import jobs
from trackside_modules.flags.exposures.models import Exposure, ExposureDay
from trackside_modules.flags.shape import as_served
from trackside_modules.flags.snippets import snippets

SCRIPT = Path(__file__).parent / "ofrep_clients.mjs"
PACKAGES = (
    "@openfeature/core@1",
    "@openfeature/server-sdk@1",
    "@openfeature/web-sdk@1",
    "@openfeature/ofrep-provider@0",
    "@openfeature/ofrep-web-provider@0",
)


@dataclass
class Site:
    """A running server and its keys."""

    runtime: Runtime
    url: str
    server: str
    client: str


@pytest.fixture
def all_types(flag: Callable[..., Any], change: Callable[..., Any]) -> None:
    """Make a flag of each type, and some that ask for a context."""
    whole = 100_000
    flag("team/checkout", variants={"on": True, "off": False})
    flag("colour", type="string", variants={"red": "red", "none": ""})
    flag("ratio", type="number", variants={"half": 0.5, "whole": 1})
    flag("limit", type="number", variants={"few": 25, "none": 0})
    flag("theme", type="json", variants={"dark": {"size": [1, 2]}, "plain": {}})
    for key in ("team/checkout", "colour", "ratio", "limit", "theme"):
        change(key, {"enabled": True})
    flag("pro", variants={"on": True, "off": False})
    when = [{"attribute": "plan", "op": "in", "values": ["pro"]}]
    rule = {"id": "r1", "name": "Pro", "when": when, "serve": {"rollout": whole, "split": [["on", whole]]}}
    change("pro", {"enabled": True, "rules": [rule], "serve": {"rollout": 0, "split": [["on", whole]]}})
    flag("half", variants={"on": True, "off": False})
    change("half", {"enabled": True, "serve": {"rollout": 50_000, "split": [["on", whole]]}})


@pytest.fixture
def site(settings: Settings, registry: Registry, api_key: Callable[..., str], all_types: None) -> Iterator[Site]:
    """Serve the lane at a port, on the machine's own clock."""
    runtime = build_runtime(settings, registry, SystemClock())
    server_key, client_key = str(api_key("server")), str(api_key("client"))
    keys = keyring.build(runtime)
    keys.begin()

    class Server(ThreadingMixIn, WSGIServer):
        daemon_threads = True

    class Quiet(WSGIRequestHandler):
        def log_message(self, *args: Any) -> None:
            pass

    listening = make_server("127.0.0.1", 0, Lane(runtime, keys, NotFound(), Places(8)), Server, Quiet)
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield Site(runtime, f"http://127.0.0.1:{listening.server_port}", server_key, client_key)
    listening.shutdown()
    thread.join()
    listening.server_close()
    runtime.close()


@pytest.fixture
def provided() -> Iterator[Callable[[AbstractProvider], OpenFeatureClient]]:
    """Give OpenFeature a provider, and take it away at the end."""

    def provide(provider: AbstractProvider) -> OpenFeatureClient:
        api.set_provider_and_wait(provider)
        return api.get_client()

    yield provide
    api.shutdown()
    api.clear_providers()


def providers(site: Site) -> list[AbstractProvider]:
    """Return the real OFREP provider with both kinds of keys, and ours in each mode."""
    own: dict[str, Any] = {"stream_url": "off", "flush_seconds": 60}
    return [
        OFREPProvider(site.url, headers_factory=lambda: {"Authorization": f"Bearer {site.server}"}),
        OFREPProvider(site.url, headers_factory=lambda: {"X-API-Key": site.client}),
        TracksideProvider(site.url, site.server, **own),
        TracksideProvider(site.url, site.client, **own),
    ]


@pytest.mark.parametrize("which", range(4), ids=["ofrep-server-key", "ofrep-client-key", "local", "remote"])
def test_every_type_default_and_error_is_the_same_whoever_asks(site: Site, provided: Any, which: int) -> None:
    client = provided(providers(site)[which])
    assert client.get_boolean_value("team/checkout", False) is True
    assert client.get_string_value("colour", "blue") == "red"
    assert repr(client.get_float_value("ratio", 1.0)) == "0.5"
    assert repr(client.get_integer_value("limit", 1)) == "25"
    assert client.get_object_value("theme", {}) == {"size": [1, 2]}
    pro, free = (EvaluationContext("u_1", {"plan": plan}) for plan in ("pro", "free"))
    assert client.get_boolean_value("pro", False, pro) is True
    found = client.get_boolean_details("pro", True, free)
    assert (found.value, found.variant, found.error_code) == (False, "off", None)
    errors = {
        "nope": ErrorCode.FLAG_NOT_FOUND,
        "colour": ErrorCode.TYPE_MISMATCH,
        "half": ErrorCode.TARGETING_KEY_MISSING,
    }
    for key, code in errors.items():
        wrong = client.get_boolean_details(key, True)
        assert (wrong.value, wrong.error_code) == (True, code)


@pytest.mark.parametrize("language", ["python", "openfeature-python"])
def test_the_snippets_of_every_type_run_as_they_are(site: Site, provided: Any, language: str) -> None:
    served = {"team/checkout": True, "colour": "red", "ratio": 0.5, "limit": 25, "theme": {"size": [1, 2]}}
    provided(NoOpProvider())  # so that what the snippet sets is taken away again
    with site.runtime.database.session() as session:
        for key, value in served.items():
            flag = service.get(session, key)
            off = as_served(flag.type, flag.variants, next(reversed(flag.variants)))
            code = next(it.code for it in snippets(key, flag.type, off, site.url, {}) if it.name == language)
            ran: dict[str, Any] = {}
            exec(code.replace("YOUR_SERVER_KEY", site.server), ran)
            if "flags" in ran:
                ran["flags"].close()
            assert repr(ran["value"]) == repr(value), code


def test_a_refused_key_leaves_the_defaults(site: Site, provided: Any) -> None:
    for made in (OFREPProvider(site.url, headers_factory=dict), TracksideProvider(site.url, f"{site.server}x")):
        assert provided(made).get_boolean_details("team/checkout", False).value is False


def test_what_is_evaluated_here_is_counted_there(site: Site) -> None:
    with Flags(site.url, site.server, stream_url="off") as flags:
        for user in ("u_1", "u_2", "u_1"):
            assert flags.boolean("team/checkout", False, user=user, account="acme")
        flags.flush()
        flags.boolean("team/checkout", False, user="u_1", account="acme")
    jobs.fold(site.runtime)
    with site.runtime.database.session() as session:
        assert [it.evaluations for it in session.scalars(select(ExposureDay))] == [4]
        names = dict(session.execute(select(User.id, User.external_id)).all())
        assert {names[it.user_id] for it in session.scalars(select(Exposure))} == {"u_1", "u_2"}


def test_a_toggle_reaches_a_client_that_polls(site: Site, change: Any) -> None:
    with Flags(site.url, site.server, stream_url="off", poll_seconds=0.05) as flags:
        assert flags.boolean("team/checkout", False) is True
        change("team/checkout", {"enabled": False})
        ends = time.monotonic() + 20
        while flags.boolean("team/checkout", False) and time.monotonic() < ends:
            time.sleep(0.01)
        assert flags.boolean("team/checkout", True) is False


@pytest.fixture(scope="session")
def node_modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the JavaScript providers into a temporary folder; skip where that does not work."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("node and npm are not installed")
    if int(subprocess.check_output([node, "--version"], text=True).lstrip("v").partition(".")[0]) < 20:
        pytest.skip("the JavaScript providers need node 20 or newer")
    folder = tmp_path_factory.mktemp("ofrep")
    (folder / "package.json").write_text("{}")
    command = [npm, "install", "--no-audit", "--no-fund", "--prefer-offline", "--ignore-scripts", *PACKAGES]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip("the JavaScript providers could not be installed within a minute")
    if done.returncode != 0:
        pytest.skip(f"the JavaScript providers cannot be installed: {done.stderr[-200:]}")
    return folder


def test_the_javascript_providers_work(site: Site, node_modules: Path) -> None:
    command = ["node", str(SCRIPT), str(node_modules), site.url, site.client]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    values = {"boolean": True, "string": "red", "ratio": 0.5, "limit": 25, "json": {"size": [1, 2]}, "pro": True}
    for sdk in ("server", "web"):
        assert {name: said[sdk][name]["value"] for name in values} == values, sdk
        assert said[sdk]["boolean"]["variant"] == "on"
        # an ETag over the configuration alone would have left the pro plan's answer
        assert (said[sdk]["free"]["value"], said[sdk]["free"].get("errorCode")) == (False, None)
        assert (said[sdk]["unknown"]["value"], said[sdk]["unknown"]["errorCode"]) == (True, "FLAG_NOT_FOUND")
        assert (said[sdk]["mismatch"]["value"], said[sdk]["mismatch"]["errorCode"]) == (True, "TYPE_MISMATCH")
    assert (said["server"]["userless"]["value"], said["server"]["userless"]["errorCode"]) == (
        True,
        "TARGETING_KEY_MISSING",
    )
    assert said["web"]["statuses"][:2] == [200, 200]
    assert said["web"]["again"] in ([304], [])
