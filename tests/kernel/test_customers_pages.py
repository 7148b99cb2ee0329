"""Accounts and users as members see and change them."""

from collections.abc import Callable
from io import BytesIO

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from trackside.auth.audit import SYSTEM
from trackside.clock import FrozenClock
from trackside.customers import service
from trackside.customers.kinds import ACCOUNT, USER
from trackside.customers.models import Account, User
from trackside.runtime import Runtime

SignIn = Callable[..., FlaskClient]
NASTY = "<script>alert(1)</script>{{7*7}}\"'>"


@pytest.fixture
def browser(signed_in_client: SignIn) -> FlaskClient:
    """Give a browser of an admin."""
    return signed_in_client("admin")


def make(runtime: Runtime, external_id: str, account: str = "", **values: str) -> int:
    """Make a user, and its account where one is named; return the user's number."""
    now = runtime.clock.now()
    with runtime.database.session() as session:
        if account and not session.scalar(select(Account).where(Account.external_id == account)):
            service.create(session, ACCOUNT, SYSTEM, account, {"name": account.title()}, now=now)
        row = service.create(session, USER, SYSTEM, external_id, {**values, "account": account}, now=now)
        return row.id


@pytest.mark.parametrize("path", ["/users/", "/accounts/"])
def test_an_empty_list_says_what_to_do(browser: FlaskClient, path: str) -> None:
    answer = browser.get(path)
    assert answer.status_code == 200
    assert "trackside customers import" in answer.text


def test_a_list_finds_by_part_of_anything(browser: FlaskClient, runtime: Runtime) -> None:
    make(runtime, "u-1", "acme", name="Ada Lovelace", email="ada@example.com")
    make(runtime, "u-2", name="Grace 100%", email="grace@example.com")
    for text in ("LOVE", "da@ex", "u-1"):
        shown = browser.get(f"/users/?q={text}").text
        assert "Ada Lovelace" in shown
        assert "Grace" not in shown
    assert "Grace" in browser.get("/users/?q=100%25").text
    assert "Ada" not in browser.get("/users/?q=100%25").text, "a per cent sign is a letter like any other"
    assert "No user matches" in browser.get("/users/?q=nobody").text


def test_a_change_from_another_site_is_refused(browser: FlaskClient, runtime: Runtime) -> None:
    number = make(runtime, "ada")
    browser.application.config["WTF_CSRF_ENABLED"] = True
    assert browser.get("/users/").status_code == 200
    for path in ("new", "import", f"{number}/edit", f"{number}/merge", f"{number}/erase"):
        assert browser.post(f"/users/{path}", data={"confirm": "ada"}).status_code == 400, path


def test_every_sort_goes_through_all_rows_once(browser: FlaskClient, runtime: Runtime, session: Session) -> None:
    from trackside.customers.queries import Filter, listed

    for number in range(7):
        make(runtime, f"u{number}", name=f"N{number % 3}", email=f"e{number % 2}@x.com")
    for key in ("seen", "first", "created", "name", "id", "email"):
        for sort in (key, f"-{key}"):
            seen: list[int] = []
            cursor: str | None = ""
            while cursor is not None:
                page = listed(session, USER, Filter(sort=sort, cursor=cursor), 2)
                seen += [row.id for row in page.rows]
                cursor = page.next
            assert len(seen) == len(set(seen)) == 7, sort


@pytest.mark.parametrize(
    "query",
    [
        "cursor=abc",
        "cursor=WyItc2VlbiIsIjEiLDFd",
        "cursor=%C3%A9",
        "sort=id;drop table account",
        "sort=name) --",
        "source=' or 1=1 --",
        "account=1 or 1=1",
        "account=99999999999999999999",
        "q=a&q=b",
        "q=%00",
        "plan=%00",
    ],
)
def test_what_no_list_has_is_refused(browser: FlaskClient, query: str) -> None:
    assert browser.get(f"/users/?{query}").status_code == 422
    assert browser.get(f"/users/export.csv?{query}").status_code == 422


@pytest.mark.parametrize("text", ["' or 1=1 --", "%", "_", "\\", "\ud800", "أحمد", "x" * 5000, "{{7*7}}"])
def test_any_search_text_is_only_text(browser: FlaskClient, runtime: Runtime, text: str) -> None:
    make(runtime, "ada")
    answer = browser.get("/users/", query_string={"q": text.encode("utf-8", "surrogatepass")})
    assert answer.status_code == 200
    assert ">ada<" not in answer.text


def test_markup_in_names_is_inert(browser: FlaskClient, runtime: Runtime) -> None:
    number = make(runtime, NASTY, name=NASTY)
    for path in ("/users/", f"/users/{number}", f"/users/{number}/edit", f"/users/{number}/merge?q=x"):
        shown = browser.get(path).text
        assert "<script>alert" not in shown
        assert "{{7*7}}" in shown
    assert browser.get(f"/users/{number}/erase").status_code == 200


def test_a_member_creates_and_edits_a_user(browser: FlaskClient, runtime: Runtime) -> None:
    make(runtime, "first", "acme")
    made = browser.post("/users/new", data={"external_id": " ada ", "name": "Ada", "account": "acme"})
    assert made.status_code == 302
    page = made.location
    assert "acme" in browser.get(page).text.casefold()
    saved = browser.post(
        f"{page}/edit", data={"name": "Countess", "email": "a@b.c", "attributes": "segment: nobility", "version": "1"}
    )
    assert saved.status_code == 302
    shown = browser.get(page).text
    assert "Countess" in shown
    assert "nobility" in shown


def test_the_second_of_two_edits_is_told(browser: FlaskClient, runtime: Runtime) -> None:
    number = make(runtime, "ada", name="Ada")
    assert browser.post(f"/users/{number}/edit", data={"name": "B", "version": "1"}).status_code == 302
    late = browser.post(f"/users/{number}/edit", data={"name": "C", "version": "1"})
    assert late.status_code == 412
    assert "Someone changed this meanwhile" in late.text


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"external_id": ""}, "empty"),
        ({"external_id": "x" * 201}, "longer than 200"),
        ({"external_id": "a\x00b"}, "control"),
        ({"external_id": "a\u202eb"}, "control"),
        ({"external_id": "x", "email": "nobody"}, "not an email"),
        ({"external_id": "x", "account": "ghost"}, "create it first"),
        ({"external_id": "x", "attributes": "no colon"}, "no colon"),
        ({"external_id": "x", "attributes": "a: " + "b" * 1001}, "1000"),
        ({"external_id": "x", "id": "7"}, ""),
        ({"external_id": "x", "merged_into": "7"}, ""),
        ({"external_id": "x", "source": "demo"}, ""),
    ],
)
def test_wrong_values_are_refused_with_the_reason(browser: FlaskClient, data: dict[str, str], words: str) -> None:
    answer = browser.post("/users/new", data=data)
    assert answer.status_code == 422
    assert words in answer.text


def test_an_id_cannot_be_made_twice(browser: FlaskClient, runtime: Runtime) -> None:
    make(runtime, "ada")
    answer = browser.post("/users/new", data={"external_id": "ada"})
    assert answer.status_code == 409
    assert "exists already" in answer.text


def test_a_merge_shows_what_moves_and_leads_on(browser: FlaskClient, runtime: Runtime) -> None:
    old, new = make(runtime, "old", "acme", email="old@x.y"), make(runtime, "new", name="New")
    assert "new" in browser.get(f"/users/{old}/merge?q=new").text
    preview = browser.get(f"/users/{old}/merge?target={new}").text
    assert "old@x.y" in preview
    assert "Acme" in preview
    assert browser.post(f"/users/{old}/merge", data={"target": str(new)}).status_code == 302
    assert browser.get(f"/users/{old}").location == f"/users/{new}"
    shown = browser.get(f"/users/{new}").text
    assert "Also known as" in shown
    assert "old@x.y" in shown
    assert browser.post(f"/users/{old}/merge", data={"target": str(new)}).status_code == 409
    assert browser.post(f"/users/{new}/merge", data={"target": str(new)}).status_code == 422


def test_erasing_takes_the_typed_id(browser: FlaskClient, runtime: Runtime) -> None:
    number = make(runtime, "ada", name="Ada Lovelace")
    assert browser.post(f"/users/{number}/erase", data={"confirm": "bob"}).status_code == 422
    assert browser.post(f"/users/{number}/erase", data={"confirm": "ada"}).status_code == 302
    assert "Ada Lovelace" not in browser.get("/users/").text.partition("<main")[2].partition("toast")[0]
    shown = browser.get(f"/users/{number}")
    assert shown.status_code == 200
    assert "Lovelace" not in shown.text
    assert browser.get(f"/users/{number}/edit").status_code == 409


def test_roles_see_only_what_is_theirs(signed_in_client: SignIn, runtime: Runtime) -> None:
    number = make(runtime, "ada")
    viewer, support = signed_in_client("viewer"), signed_in_client("support")
    assert viewer.get(f"/users/{number}").status_code == 200
    assert "/edit" not in viewer.get(f"/users/{number}").text
    for path in ("new", f"{number}/edit", f"{number}/merge", f"{number}/erase", "import", "export.csv"):
        assert viewer.get(f"/users/{path}").status_code == 403, path
    assert support.post(f"/users/{number}/erase", data={"confirm": "ada"}).status_code == 403
    assert support.get(f"/users/{number}/edit").status_code == 200


@pytest.mark.parametrize("number", [0, 7, 1 << 62, 1 << 63, 1 << 70])
def test_an_unknown_number_is_not_found(browser: FlaskClient, number: int) -> None:
    assert browser.get(f"/users/{number}").status_code == 404


def test_a_broken_card_spoils_only_itself(
    browser: FlaskClient, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trackside.customers.cards import LoadedCard
    from trackside.customers.web import pages
    from trackside.module import ContextCard

    number = make(runtime, "ada")
    card = ContextCard("x", "Broken card", frozenset({"user"}), "customers.view", "no.such:thing", "none.html")
    monkeypatch.setattr(pages, "load_cards", lambda *_: [LoadedCard(card, None), LoadedCard(card, {"a": 1})])
    shown = browser.get(f"/users/{number}")
    assert shown.status_code == 200
    assert shown.text.count("could not be loaded") == 2


def upload(browser: FlaskClient, content: bytes, path: str = "/users/import") -> str:
    """Upload a file; return the address of its preview."""
    answer = browser.post(path, data={"file": (BytesIO(content), "list.csv")})
    assert answer.status_code == 302, answer.text
    return str(answer.location)


def test_a_file_is_previewed_then_imported(browser: FlaskClient, session: Session) -> None:
    page = upload(browser, b"id;E-Mail;Company;Tier\nada;ada@x.y;acme;gold\nbob;nope;acme;\n;x@y.z;;\n")
    shown = browser.get(page).text
    assert "not an email address" in shown
    assert "Import 1 user" in shown
    assert session.scalar(select(User.id).where(User.external_id == "ada")) is None, "a preview changes nothing"
    columns = {"c0": "external_id", "c1": "email", "c2": "account", "c3": "attribute"}
    moved = browser.post(page, data={**columns, "do": "check"})
    assert "c2=account" in moved.location
    done = browser.post(page, data={**columns, "do": "import"})
    assert done.status_code == 302
    ada = session.scalars(select(User).where(User.external_id == "ada")).one()
    assert (ada.email, ada.account and ada.account.external_id, ada.attributes) == ("ada@x.y", "acme", {"Tier": "gold"})
    assert browser.get(page).status_code == 404, "an imported file is gone"


def test_a_large_file_is_taken_and_a_larger_one_refused(browser: FlaskClient) -> None:
    rows = b"id,name\n" + b"".join(b"user-%d,%s\n" % (n, b"x" * 150) for n in range(10_000))
    assert len(rows) > 1 << 20
    assert browser.get(upload(browser, rows)).status_code == 200
    answer = browser.post("/users/import", data={"file": (BytesIO(b"x" * (18 << 20)), "big.csv")})
    assert answer.status_code == 413


@pytest.mark.parametrize("content", [b"", b"\n\n", b"id,name\n", b"\x00\x01\x02\xff", b'id,name\na,"b\n'])
def test_a_file_that_is_none_is_told(browser: FlaskClient, content: bytes) -> None:
    assert browser.post("/users/import", data={"file": (BytesIO(content), "x.csv")}).status_code == 422


def test_a_wrong_choice_of_columns_is_told(browser: FlaskClient) -> None:
    page = upload(browser, b"id,name\nada,Ada\n")
    assert "Choose the one column" in browser.get(f"{page}?c0=name&c1=name").text
    assert "does not fit" in browser.get(f"{page}?c0=erased_at").text
    assert browser.post(page, data={"c0": "name", "c1": "name", "do": "import"}).status_code == 422
    assert browser.post(page, data={"c0": "external_id", "c9": "x", "do": "import"}).status_code == 422


def test_an_upload_is_seen_by_its_member_alone(browser: FlaskClient, signed_in_client: SignIn) -> None:
    page = upload(browser, b"id\nada\n")
    assert signed_in_client("admin").get(page).status_code == 404


def test_an_export_holds_what_is_shown_and_runs_nothing(browser: FlaskClient, runtime: Runtime) -> None:
    make(runtime, "=cmd|' /C calc'!A0", name="@SUM(1+1)")
    make(runtime, "plain", name="Other")
    answer = browser.get("/users/export.csv?q=SUM")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="trackside-users.csv"'
    lines = answer.text.splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("'=cmd")
    assert ",'@SUM(1+1)," in lines[1]
    exported = browser.get("/users/export.json").json
    assert exported is not None
    assert {row["external_id"] for row in exported} == {"=cmd|' /C calc'!A0", "plain"}
    assert browser.get("/users/export.xml").status_code == 404


def test_a_page_of_a_thousand_rows_shows_fifty(browser: FlaskClient, clock: FrozenClock, runtime: Runtime) -> None:
    rows = b"id,name,account\n" + b"".join(b"u%d,Name %d,a%d\n" % (n, n, n % 40) for n in range(1000))
    page = upload(browser, rows)
    browser.post(page, data={"c0": "external_id", "c1": "name", "c2": "account", "do": "import"})
    answer = browser.get("/users/?q=name&sort=name")
    assert answer.text.count('<th scope="row">') == 50
    assert browser.get("/accounts/?sort=-name").text.count('<th scope="row">') == 40


def test_the_palette_finds_customers(browser: FlaskClient, runtime: Runtime) -> None:
    number = make(runtime, "ada-1", "acme", name="Ada")
    shown = browser.get("/-/palette?q=ada").text
    assert f"/users/{number}" in shown
    assert "Acme" in browser.get("/-/palette?q=acm").text
