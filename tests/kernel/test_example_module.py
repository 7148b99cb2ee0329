"""The example of docs/writing-a-module.md works as an installed package, found by its entry point."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from trackside.settings import Settings

EXAMPLE = Path(__file__).parents[2] / "docs" / "example-module"
BUILD = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the example's wheel and install it into a folder of its own."""
    wheels, site = tmp_path_factory.mktemp("wheels"), tmp_path_factory.mktemp("site")
    command = [sys.executable, "-c", BUILD, str(wheels)]
    name = subprocess.run(command, cwd=EXAMPLE, capture_output=True, text=True, check=True).stdout.strip()
    zipfile.ZipFile(wheels / name.splitlines()[-1]).extractall(site)
    return site


@pytest.fixture
def run(installed: Path, settings: Settings, empty_database_url: str):
    """Run Python or `trackside` with the example installed, on an empty database."""
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("TRACKSIDE_")},
        "PYTHONPATH": str(installed),
        "TRACKSIDE_SECRET_KEY": settings.secret_key,
        "TRACKSIDE_DATA": str(settings.data),
        "DATABASE_URL": empty_database_url,
        "REDIS_URL": settings.redis_url,
    }

    def call(*command: str) -> str:
        done = subprocess.run(
            command, env=environ, capture_output=True, text=True, check=False, cwd=settings.data.parent
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return call


TRACKSIDE = (sys.executable, "-c", "from trackside.cli import main; main()")

LOOK = """
import json
from datetime import timedelta
from sqlalchemy import text
from trackside.app import create_app
from trackside.settings import load_settings
from trackside.web.marks import marks
app = create_app(load_settings())
runtime = app.extensions["trackside"]
with runtime.database.session() as session:
    now = runtime.clock.now()
    found = marks(runtime, session, 1, now - timedelta(hours=1), now + timedelta(hours=1))
    print(json.dumps([f"{m.kind}: {m.title}" for m in found]))
print(json.dumps([r.rule for r in app.url_map.iter_rules() if r.endpoint.startswith("releases.")]))
"""


def test_an_installed_module_brings_its_table_command_page_and_marks(run):
    assert "releases1" in run(*TRACKSIDE, "db", "upgrade")
    assert "2.4.0 is marked" in run(*TRACKSIDE, "releases", "record", "2.4.0")
    marks, rules = map(json.loads, run(sys.executable, "-c", LOOK).splitlines()[-2:])
    assert marks == ["release: Released 2.4.0"]
    assert "/releases/" in rules


def test_its_table_goes_again_when_it_is_taken_back(run):
    run(*TRACKSIDE, "db", "upgrade")
    run(*TRACKSIDE, "db", "downgrade", "releases@base")
    assert "releases1" not in run(sys.executable, "-c", STATUS)


STATUS = """
from trackside import migrate
from trackside.cli import runtime
print(migrate.current(runtime().database.engine))
"""
