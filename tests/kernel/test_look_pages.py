"""The frame, the components and the error pages, as the server sends them."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

import trackside
from trackside.app import create_app
from trackside.runtime import Runtime
from trackside.settings import Settings

HOME = Path(trackside.__file__).parent
TEMPLATES = sorted(HOME.glob("templates/**/*.html"))
SCRIPTS = sorted(HOME.glob("static/js/*.js"))
SYMBOLS = set(re.findall(r'<symbol id="([^"]+)"', (HOME / "static/icons.svg").read_text()))


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Give settings of development, where the patterns are."""
    return replace(settings, development=True)


@pytest.fixture
def patterns(client: FlaskClient) -> str:
    """Give the page that shows every component."""
    return client.get("/-/patterns").text


class Ids(HTMLParser):
    """Collects the ids of a page, and what refers to them."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.used: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the ids of one element."""
        given = {name: value or "" for name, value in attrs}
        if "id" in given:
            self.ids.append(given["id"])
        for name in ("aria-labelledby", "aria-describedby", "for", "popovertarget"):
            self.used |= set(given.get(name, "").split())


def test_the_patterns_are_for_development_only(settings: Settings, runtime: Runtime) -> None:
    app = create_app(
        replace(settings, development=False), runtime=replace(runtime, settings=replace(settings, development=False))
    )
    assert app.test_client().get("/-/patterns").status_code == 404


def test_every_reference_of_the_patterns_leads_to_an_id(patterns: str) -> None:
    page = Ids()
    page.feed(patterns)
    assert len(page.ids) == len(set(page.ids))
    assert page.used - set(page.ids) == set()


def test_every_icon_of_the_patterns_exists(patterns: str) -> None:
    assert set(re.findall(r'icons\.svg#([^"]+)"', patterns)) - SYMBOLS == set()


def test_names_are_written_as_text(patterns: str) -> None:
    assert "<script>alert(1)" not in patterns
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in patterns


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: str(path.relative_to(HOME / "templates")))
def test_templates_hold_no_inline_script_or_style(template: Path) -> None:
    """The content security policy would refuse them without a word."""
    text = template.read_text(encoding="utf-8")
    assert not re.search(r"\sstyle=|\son[a-z]+=|<style|<script(?![^>]*\ssrc=)|javascript:", text)


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: str(path.relative_to(HOME / "templates")))
def test_templates_name_only_icons_that_exist(template: Path) -> None:
    text = template.read_text(encoding="utf-8")
    assert set(re.findall(r'icon\("([a-z-]+)"', text)) - SYMBOLS - {"mark-"} - {"arrow-"} == set()


def test_every_script_and_sheet_of_a_page_is_served(client: FlaskClient, patterns: str) -> None:
    found = re.findall(r'(?:src|href)="(/-/assets/[^"#]+)', patterns)
    assert len(found) > 10
    for path in sorted(set(found)):
        assert client.get(path).status_code == 200, path


def test_browsers_keep_assets_until_they_change(settings: Settings, runtime: Runtime) -> None:
    deployed = replace(runtime, settings=replace(settings, development=False))
    client = create_app(deployed.settings, runtime=deployed).test_client()
    paths = re.findall(r'href="(/-/assets/[0-9a-f]{12}/css/tokens.css)"', client.get("/sign-in").text)
    assert len(paths) == 1
    assert "max-age=31536000" in client.get(paths[0]).headers["Cache-Control"]
    older = client.get("/-/assets/0123456789ab/css/tokens.css")
    assert (older.status_code, "max-age=0" in older.headers["Cache-Control"]) == (200, True)
    assert client.get("/-/assets/x/../../app.py").status_code == 404
    assert client.get("/-/assets/x/%2e%2e/app.py").status_code == 404


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_import_only_what_is_there(script: Path) -> None:
    for name in re.findall(r'from "\./([^"]+)"', script.read_text(encoding="utf-8")):
        assert (script.parent / name).exists()


def test_the_sheets_stay_small() -> None:
    lines = {sheet.stem: len(sheet.read_text().splitlines()) for sheet in HOME.glob("static/css/*.css")}
    assert lines.pop("desk") < 260, "what the support log's own pages load besides"
    assert lines.pop("reports") < 60, "likewise its reports and settings"
    assert sum(lines.values()) < 900


@pytest.mark.parametrize(
    ("cookie", "shown"), [("dark", "dark"), ("light", "light"), ('"><b>', "system"), ("", "system")]
)
def test_the_server_draws_the_chosen_theme(client: FlaskClient, cookie: str, shown: str) -> None:
    client.set_cookie("trackside_theme", cookie)
    assert f'<html lang="en" data-theme="{shown}">' in client.get("/-/patterns").text


@pytest.mark.parametrize("status", [400, 403, 404, 405, 409, 413, 422, 429, 500, 503])
def test_an_error_page_says_what_to_do(client: FlaskClient, status: int) -> None:
    response = client.get(f"/-/patterns/error/{status}")
    assert response.status_code == status
    assert f"Error {status}" in response.text
    assert "Traceback" not in response.text
    assert response.text.count("<h1") == 1


def test_an_error_page_needs_no_database(app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> None:
        raise ConnectionError("the database is away")

    monkeypatch.setattr("trackside.web.look.current_environment", away)
    monkeypatch.setattr("trackside.web.environments.current_environment", away)
    for status in (404, 403, 503):
        assert client.get(f"/-/patterns/error/{status}").status_code == status


def test_a_changed_sort_keeps_the_filter_and_drops_the_cursor(app: Flask) -> None:
    with app.test_request_context("/-/patterns?q=acme&cursor=abc&sort=name"):
        made = app.jinja_env.from_string('{{ url_with(sort="-requests") }}|{{ url_with(q=none) }}').render()
    assert made == "/-/patterns?q=acme&amp;sort=-requests|/-/patterns?sort=name"


def test_a_head_turns_its_own_order_round(app: Flask) -> None:
    columns = '[dict(label="Name", key="name"), dict(label="N", key="n", num=true)]'
    source = '{% call ui.table("T", ' + columns + ', "-n") %}{% endcall %}'
    with app.test_request_context("/-/patterns"):
        html = app.jinja_env.from_string(source).render()
    assert 'href="/-/patterns?sort=name"' in html
    assert 'aria-sort="descending"><a href="/-/patterns?sort=n"' in html


def test_the_links_of_a_tables_rows_are_those_that_url_for_builds(app: Flask) -> None:
    from flask import url_for

    from trackside.web.look import url_each, url_with, url_with_each

    with app.test_request_context("/users?q=a%26b&cursor=x"):
        kept = {"env": "production", "q": "a&b=7310582946017?", "gone": None}
        each, other = url_each("users.show", "row_id", env="staging"), url_each("users.index", "account", **kept)
        for number in (0, 7, 1 << 62):
            assert each(number) == url_for("users.show", row_id=number, env="staging")
            assert other(number) == url_for("users.index", account=number, **kept), "even where somebody asks for it"
            assert url_with_each("account")(number) == url_with(account=number)
        with pytest.raises(ValueError, match="invalid literal"):
            each("'><script>")  # type: ignore[arg-type]
