"""The documentation says all there is: settings, commands, permissions, scopes, manifest fields."""

import json
import re
from dataclasses import fields
from pathlib import Path

import pytest
from werkzeug.test import Client

from trackside import cli
from trackside.module import Module
from trackside.registry import load_registry
from trackside.serve import build
from trackside.settings import PREFIX, Settings

ROOT = Path(__file__).parents[1]
OPERATIONS = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
WRITING = (ROOT / "docs/writing-a-module.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")


def row(text: str, name: str) -> str | None:
    """Return the table row of `text` that begins with `name` in code."""
    return next((line for line in text.splitlines() if line.startswith(f"| `{name}`")), None)


@pytest.mark.parametrize("name", [PREFIX + each.name.upper() for each in fields(Settings)])
def test_every_setting_is_in_the_table(name: str):
    assert row(OPERATIONS, name), f"docs/operations.md has no row for {name}"


def test_the_table_of_settings_names_no_setting_that_is_gone():
    known = {PREFIX + each.name.upper() for each in fields(Settings)}
    assert set(re.findall(r"^\| `(TRACKSIDE_\w+)`", OPERATIONS, re.MULTILINE)) == known


def test_every_command_is_documented():
    missing = [name for name in cli.command_refs() if f"`trackside {name}`" not in OPERATIONS]
    assert missing == []


def test_every_permission_is_documented_with_its_words_and_roles():
    for permission in load_registry().each(lambda m: m.permissions):
        found = row(OPERATIONS, permission.name)
        assert found, f"docs/operations.md has no row for {permission.name}"
        assert permission.title in found
        assert all(role in found for role in permission.roles - {"owner"})


def test_every_scope_is_documented_with_its_words():
    for module in load_registry().modules:
        for scope, title in module.scopes.items():
            found = row(OPERATIONS, scope)
            assert found, f"docs/operations.md has no row for {scope}"
            assert title in found


@pytest.mark.parametrize("name", [each.name for each in fields(Module)])
def test_every_manifest_field_is_documented(name: str):
    assert row(WRITING, name), f"docs/writing-a-module.md has no row for {name}"


def test_every_link_to_a_file_leads_somewhere():
    for page in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")):
        for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"


def test_the_request_of_the_readme_is_accepted(runtime, api_key):
    command = README.split("<!-- test: curl -->")[1].split("```sh")[1].split("```")[0]
    body = command.split("<<JSON\n")[1].split("\nJSON")[0]
    body = body.replace("$(date +%s)", f"{int(runtime.clock.now().timestamp())}")
    json.loads(body)
    headers = {"Authorization": f"Bearer {api_key('ingest')}", "Content-Type": "application/json"}
    answer = Client(build(runtime)).post("/v1/events", data=body, headers=headers)
    assert (answer.status_code, answer.json) == (202, {"accepted": 1, "duplicate": False, "rejected": []})


def test_the_readme_names_the_test_command_that_ci_runs():
    assert "bin/test" in README
