"""What a request is counted under: templates as they are, paths without ids, queries and people."""

import re
import string
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackside_modules.usage.ingest.paths import LONGEST, UNWANTED, template


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        ("/users/123", "/users/{id}"),
        ("/users/123/orders/9", "/users/{id}/orders/{id}"),
        ("/users/ann@example.com", "/users/{id}"),
        ("/users/ann%40example.com/mail", "/users/{id}/mail"),
        ("/users/3f2504e0-4f89-41d3-9a0c-0305e82c3301", "/users/{id}"),
        ("/files/d41d8cd98f00b204e9800998ecf8427e.png", "/files/{id}.png"),
        ("/commits/da39a3ee5e6b4b0d3255bfef95601890afd80709", "/commits/{id}"),
        ("/commits/da39a3e/files", "/commits/{id}/files"),
        ("/avatars/42.png", "/avatars/{id}.png"),
        ("/customers/cus_9s6XKzkNRiz8i3", "/customers/{id}"),
        ("/charges/ch_3Mmlx2LkdIwHu7ix0", "/charges/{id}"),
        ("/short/V1StGXR8_Z5jdHi6B-myT", "/short/{id}"),
        ("/jobs/01ARZ3NDEKTSV4RRFFQ69G5FAV", "/jobs/{id}"),
        ("/t/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N", "/t/{id}"),
        ("/orders/ORD-12345", "/orders/{id}"),
        ("/calls/+4915112345678", "/calls/{id}"),
        ("/hosts/192.168.1.17", "/hosts/{id}"),
        ("/hosts/2001:db8::1", "/hosts/{id}"),
        ("/reports/2026-11-22", "/reports/{id}"),
        ("/wizard/step-2", "/wizard/step-{id}"),
        ("/search/ann smith", "/search/{id}"),
        ("/@ann", "/{id}"),
        ("/users/7:activate", "/users/{id}:activate"),
        ("https://ann:secret@example.com:8080/users/7?token=x", "/users/{id}"),
        ("/login;jsessionid=0123ABC/next?x=1", "/login/next"),
        ("/a?b=c#d", "/a"),
        ("/a#d?b=c", "/a"),
        ("//a///b", "/a/b"),
        ("/a\x00\u202eb\n", "/ab"),
        ("?q=1", ""),
        ("", ""),
    ],
)
def test_a_path_is_counted_without_what_is_personal(raw: str, kept: str) -> None:
    assert template(raw) == kept


@pytest.mark.parametrize(
    "route",
    [
        "/",
        "/users/{id}",
        "/users/<int:user_id>/posts",
        "users/<int:pk>/",
        "/users/:id/files/*",
        "/users/[id]",
        "/docs/[...slug]",
        "/files/{path:path}",
        "/users/{id:[0-9]{4}}",
        "/2015-03-31/functions/{name}/invocations",
        "/{id}/errors/404",
        "/files/{id}.png",
        "/api/v1/orders",
        "/api/v1.2/orders",
        "/1.0/orders",
        "/oauth2/token",
        "/.well-known/openid-configuration",
        "/robots.txt",
        "/rpc/getUserProfileInformation",
        "/shop.v1.OrderService/PlaceOrder",
        "/notifications/unsubscribe-from-everything",
        "/api/k8s/mp3/h264",
        "/用户/列表",
        "(unmatched)",
        "(other)",
    ],
)
def test_a_template_stays_as_it_is(route: str) -> None:
    assert template(route) == route


def test_who_vouches_for_a_template_keeps_short_numbers_but_no_ids() -> None:
    assert template("/errors/404", trusted=True) == "/errors/404"
    assert template("/2015-03-31/functions", trusted=True) == "/2015-03-31/functions"
    assert template("/users/ann@example.com/81726354?x=y", trusted=True) == "/users/{id}/{id}"


def test_named_groups_of_django_are_placeholders() -> None:
    assert template(r"^users/(?P<pk>[0-9]+)/$") == "users/{pk}/"
    assert template(r"^users/(?P<slug>[-\w]+(?:x|y)*)/feed\.?$") == "users/{slug}/feed."


def test_long_and_deep_paths_are_cut_at_a_slash() -> None:
    long = template("/word" * 400)
    assert long.endswith("/…")
    assert template("/" + "word" * 400) == "/{id}"
    assert len(template("/" + "wörd" * 400)) <= LONGEST


_WORDS = st.sampled_from(["users", "orders", "v1", "search", "{id}", "oauth2", "files"])
_SECRETS = st.one_of(
    st.uuids().map(str),
    st.integers(10_000, 10**18).map(str),
    st.binary(min_size=16, max_size=32).map(bytes.hex).filter(lambda it: any(map(str.isdigit, it))),
    st.tuples(st.text(string.ascii_lowercase, min_size=1), st.text(string.ascii_lowercase, min_size=1)).map("@x.".join),
    st.just(uuid.UUID(int=0).hex),
)


@given(st.lists(_WORDS, max_size=4), _SECRETS, st.lists(_WORDS, max_size=4), st.booleans())
def test_an_id_never_survives_wherever_it_stands(
    before: list[str], secret: str, after: list[str], trusted: bool
) -> None:
    made = template("/" + "/".join([*before, secret, *after]), trusted=trusted)
    assert made == "/" + "/".join([*before, "{id}", *after])


@given(st.text(), st.booleans())
def test_any_text_becomes_something_clean_and_stays_it(text: str, trusted: bool) -> None:
    made = template(text, trusted=trusted)
    assert template(made, trusted=trusted) == made
    assert len(made) <= LONGEST
    assert not UNWANTED.search(made)
    assert not re.search(r"[?#]", made)


@given(st.text("/ab1:{}<>[]()*@%.;-_?#P&=^$\\é 7", max_size=60), st.booleans())
def test_the_template_of_an_odd_path_is_a_template(text: str, trusted: bool) -> None:
    made = template(text, trusted=trusted)
    assert template(made, trusted=trusted) == made
    assert not re.search(r"[?#%]", made)


@given(st.text(string.ascii_letters, min_size=1), st.text(min_size=1))
def test_a_query_is_never_kept(path: str, query: str) -> None:
    assert template(f"/{path}?{query}") == template(f"/{path}")


def test_a_million_ids_are_one_endpoint() -> None:
    assert {template(f"/users/{number}/orders/{number * 7}") for number in range(2000)} == {"/users/{id}/orders/{id}"}
