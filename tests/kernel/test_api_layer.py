"""The API layer: what handlers get, what callers are told."""

import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Annotated, Any

import msgspec
import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from trackside.api import Api, Call, Id, Input, Moment, Name, Page, Paged, cursors
from trackside.app import create_app
from trackside.auth.principal import KeyPrincipal
from trackside.errors import InputError, NotAuthenticated, NotFound, StartError
from trackside.module import Module
from trackside.registry import Registry
from trackside.runtime import Runtime
from trackside.settings import Settings

api = Api("things", title="Things")


class ThingOut(msgspec.Struct):
    """A thing."""

    id: int
    name: str


class ThingIn(Input):
    """What a thing is made of."""

    name: Name
    weight: Annotated[int, Meta(ge=0)] = 0
    since: Moment | None = None
    tags: list[str] = msgspec.field(default_factory=list)
    share: float = 0.0


class ThingQuery(Paged):
    """Filters."""

    search: Annotated[str, Meta(max_length=20)] = ""
    tag: list[str] = msgspec.field(default_factory=list)


@api.get("/things", scope="things:read")
def list_things(call: Call, query: ThingQuery) -> Page[ThingOut]:
    """List things."""
    after = call.after(query)
    start = after[0] + 1 if after else 1
    rows = range(start, min(start + query.limit + 1, 8))
    return call.page(query, list(rows), lambda n: ThingOut(n, f"{query.search}{n}"), key=lambda n: [n])


@api.get("/things/{thing_id}", scope="things:read", edits=True)
def get_thing(call: Call, thing_id: Id) -> ThingOut:
    """Return one thing."""
    if thing_id > 7:
        raise NotFound
    return call.tagged(ThingOut(thing_id, "thing"), 1)


@api.post("/things", scope="things:write", status=201, sends=ThingIn("hammer"))
def make_thing(call: Call, body: ThingIn) -> ThingOut:
    """Make a thing."""
    return ThingOut(8, body.name)


@api.patch("/things/{thing_id}", scope="things:read", edits=True)
def edit_thing(call: Call, thing_id: Id, body: ThingIn) -> ThingOut:
    """Edit a thing."""
    call.if_match(1)
    return call.tagged(ThingOut(thing_id, body.name), 2)


@api.delete("/things/{thing_id}", scope="things:read")
def remove_thing(call: Call, thing_id: Id) -> None:
    """Remove a thing."""


class Ring:
    def authenticate(self, environ: dict[str, Any]) -> KeyPrincipal:
        given = environ.get("HTTP_X_API_KEY", "")
        if not given:
            raise NotAuthenticated
        kind, _, env = given.partition("-")
        return KeyPrincipal(1, int(env or 1), kind, frozenset({"things:read"}), "test")


@pytest.fixture
def http(settings: Settings, runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    fixture = types.ModuleType("api_fixture")
    fixture.api = api  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "api_fixture", fixture)
    fixture.ring = lambda _runtime: Ring()  # type: ignore[attr-defined]
    monkeypatch.setattr("trackside.api.blueprint.KEYRING", "api_fixture:ring")
    scopes = {"things:read": "Read things", "things:write": "Make things"}
    module = Module(name="things", title="Things", api=("api_fixture:api",), scopes=scopes)
    registry = Registry((*runtime.registry.modules, module))
    app = create_app(settings, runtime=replace(runtime, registry=registry))
    client = app.test_client()
    client.environ_base["HTTP_X_API_KEY"] = "admin"
    return client


Problem = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def refused(http: FlaskClient) -> Iterator[Problem]:
    def call(method: str, path: str, **options: Any) -> tuple[int, dict[str, Any]]:
        answer = http.open("/api/v1" + path, method=method, **options)
        assert answer.content_type == "application/problem+json"
        problem: dict[str, Any] = answer.json
        assert problem["status"] == answer.status_code
        return answer.status_code, problem

    return call


def test_pages_follow_each_other_by_cursor(http: FlaskClient) -> None:
    seen: list[int] = []
    cursor = ""
    while True:
        answer = http.get("/api/v1/things", query_string={"limit": 3, "cursor": cursor}).json
        seen += [item["id"] for item in answer["items"]]
        cursor = answer["next"]
        if cursor is None:
            break
    assert seen == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("query", ["search=x", "search=&tag=b"])
def test_a_cursor_of_other_filters_is_refused(http: FlaskClient, refused: Problem, query: str) -> None:
    cursor = http.get("/api/v1/things?limit=1").json["next"]
    assert refused("GET", f"/things?{query}&cursor={cursor}")[0] == 422


def test_a_cursor_of_another_environment_is_refused(http: FlaskClient, refused: Problem) -> None:
    cursor = http.get("/api/v1/things?limit=1").json["next"]
    assert refused("GET", f"/things?cursor={cursor}", headers={"X-API-Key": "admin-2"})[0] == 422


@given(st.text(max_size=60))
def test_a_forged_cursor_is_refused(forged: str) -> None:
    with pytest.raises(InputError):
        cursors.unseal("secret", "list", forged)


@given(st.lists(st.one_of(st.text(), st.integers(-(2**63), 2**63 - 1), st.none(), st.booleans())))
def test_a_cursor_gives_back_its_key_and_only_to_its_list(key: list[Any]) -> None:
    sealed = cursors.seal("secret", "list", key)
    assert cursors.unseal("secret", "list", sealed) == key
    with pytest.raises(InputError):
        cursors.unseal("secret", "other list", sealed)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=1&limit=9999", "limit"),
        ("limit=9999", "limit"),
        ("limit=0", "limit"),
        ("limit=1e3", "limit"),
        ("limit=" + "9" * 5000, "limit"),
        ("unknown=1", "unknown"),
        ("search=%00", "search"),
        ("search=" + "x" * 21, "search"),
        ("cursor=forged", "cursor"),
    ],
)
def test_wrong_query_parameters_are_named(refused: Problem, query: str, field: str) -> None:
    status, problem = refused("GET", f"/things?{query}")
    assert status == 422
    assert field in problem["errors"]


def test_a_list_parameter_may_be_repeated(http: FlaskClient) -> None:
    assert http.get("/api/v1/things?tag=a&tag=b").status_code == 200


@pytest.mark.parametrize("given", ["x", "0", "-1", str(2**63), str(2**70), "%00", "1.5", "9" * 5000])
def test_an_id_that_is_none_is_refused(refused: Problem, given: str) -> None:
    assert refused("GET", f"/things/{given}")[0] == 422


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b'{"name": NaN}', 400),
        (b'{"name": "a"} x', 400),
        (b"[" * 100_000, 422),
        (b'{"name": ' + b"[" * 100_000, 422),
        (b'{"name": "a", "tags": ' + b"[" * 100_000, 422),
        (b'{"extra": ' + b"[" * 100_000, 422),
        (b"[]", 422),
        (b'{"name": "a", "env_id": 2}', 422),
        (b'{"name": "a", "name": "b"}', 422),
        (b'{"name": "a\\u0000"}', 422),
        (b'{"name": "a", "tags": ["\\u0000"]}', 422),
        (b'{"name": "a", "tags": ["\\ud800"]}', 400),
        ('{"name": "a\u202eb"}'.encode(), 422),
        (b'{"name": "a", "weight": 1180591620717411303424}', 422),
        (b'{"name": "a", "weight": ' + b"9" * 5000 + b"}", 422),
        (b'{"name": "a", "share": 1e400}', 422),
        (b'{"name": "a", "since": "99999-01-01T00:00:00Z"}', 422),
        (b'{"name": "a", "since": "0001-01-01T00:00:00Z"}', 422),
        (b'{"name": "a", "since": "2026-01-01T00:00:00"}', 422),
        (b'{"name": ""}', 422),
        (b'{"name": "' + b"x" * (1 << 20) + b'"}', 413),
    ],
)
def test_a_bad_body_is_refused(refused: Problem, body: bytes, status: int) -> None:
    got, _ = refused("PATCH", "/things/1", data=body, content_type="application/json")
    assert got in {400, 422} if status in {400, 422} else got == status


def test_arabic_and_hebrew_names_are_fine(http: FlaskClient) -> None:
    answer = http.patch("/api/v1/things/1", json={"name": "شركة עברית"})
    assert answer.json["name"] == "شركة עברית"


def test_another_content_type_is_415(refused: Problem) -> None:
    assert refused("PATCH", "/things/1", data=b"name=a", content_type="text/plain")[0] == 415


def test_an_edit_of_an_old_version_is_412(http: FlaskClient, refused: Problem) -> None:
    tag = http.get("/api/v1/things/1").headers["ETag"]
    edited = http.patch("/api/v1/things/1", json={"name": "b"}, headers={"If-Match": tag})
    assert edited.status_code == 200
    stale = {"If-Match": edited.headers["ETag"]}
    assert refused("PATCH", "/things/1", json={"name": "c"}, headers=stale)[0] == 412


def test_nothing_to_say_is_204(http: FlaskClient) -> None:
    answer = http.delete("/api/v1/things/1")
    assert (answer.status_code, answer.data) == (204, b"")


def test_no_key_is_401_another_kind_and_a_missing_scope_are_403(refused: Problem) -> None:
    assert refused("GET", "/things", headers={"X-API-Key": ""})[0] == 401
    assert refused("GET", "/things", headers={"X-API-Key": "server"})[0] == 403
    assert refused("POST", "/things", json={"name": "a"})[0] == 403


def test_unknown_paths_and_methods_are_problems(refused: Problem) -> None:
    assert refused("GET", "/nothing")[0] == 404
    assert refused("PUT", "/things")[0] == 405


def test_whoami_and_environments_take_any_admin_key(http: FlaskClient) -> None:
    assert http.get("/api/v1/whoami").json["scopes"] == ["things:read"]
    assert [each["slug"] for each in http.get("/api/v1/environments").json["items"]] == ["production", "staging"]


def test_the_description_has_every_operation_and_the_page_too(http: FlaskClient) -> None:
    described = http.get("/api/v1/openapi.json").json
    assert set(described["paths"]["/api/v1/things/{thing_id}"]) == {"get", "patch", "delete"}
    patch = described["paths"]["/api/v1/things/{thing_id}"]["patch"]
    assert set(patch["responses"]) == {"200", "400", "401", "403", "404", "412", "413", "415", "422", "429", "503"}
    page = http.get("/api/v1/docs").text
    assert "/api/v1/things/{thing_id}" in page
    assert "curl -X POST" in page


def test_an_undeclared_scope_does_not_start(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    from trackside.api.blueprint import operations

    fixture = types.ModuleType("api_fixture")
    fixture.api = api  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "api_fixture", fixture)
    module = Module(name="things", title="Things", api=("api_fixture:api",))
    with pytest.raises(StartError, match="things:read"):
        operations(replace(runtime, registry=Registry((module,))))
