"""The desk without script: logged in a line, answered, changed, merged, split; and what is refused."""

import io
import re
from collections.abc import Callable

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from trackside.auth.audit import COMMAND_LINE
from trackside.auth.models import Member
from trackside.runtime import Runtime
from trackside_modules.support import service
from trackside_modules.support.history import Event
from trackside_modules.support.models import File, Interaction, Macro

LINE = "dev@customer.example 401 after key rotation !high bug -- the **old** key works"


def history(runtime: Runtime, number: int) -> list[Event]:
    with runtime.database.session() as session:
        return service.history_of(session, number)


def test_a_line_logs_an_interaction_and_says_who_is_new(
    desk: FlaskClient, now_of: Callable[[int], Interaction]
) -> None:
    page = desk.post("/support/new", data={"line": LINE, "opened": ""}, follow_redirects=True).text
    assert "SUP-1 is logged." in page
    assert "dev@customer.example is new here" in page
    assert "the <strong>old</strong> key works" in page
    it = now_of(1)
    assert (it.subject, it.kind, it.priority) == ("401 after key rotation", "bug", "high")


def test_the_time_from_open_to_saved_is_recorded(desk: FlaskClient, runtime: Runtime) -> None:
    opened = int(runtime.clock.now().timestamp() * 1000) - 7300
    desk.post("/support/new", data={"line": LINE, "opened": str(opened)})
    assert history(runtime, 1)[0].data["logged_ms"] == 7300


def test_a_line_that_cannot_be_logged_is_kept_and_says_why(desk: FlaskClient) -> None:
    answer = desk.post("/support/new", data={"line": "nobody is named #nowhere", "opened": ""})
    assert answer.status_code == 422
    assert 'value="nobody is named #nowhere"' in answer.text
    assert "There is no topic #nowhere" in answer.text


def test_the_preview_says_what_is_understood(desk: FlaskClient) -> None:
    text = desk.get("/support/new", query_string={"line": LINE, "part": "preview"}).text
    assert re.search(r"Who</dt><dd>dev@customer.example .*new", text)
    assert "Priority</dt><dd>High" in text


def test_a_thread_shows_what_was_said_beside_what_was_known(desk: FlaskClient, logged: Callable[..., int]) -> None:
    page = desk.get(f"/support/{logged()}").text
    assert "<h1" in page
    assert "frozen" in page
    assert "dev@customer.example" in page


def test_a_reply_makes_it_their_turn_and_a_note_does_not(
    desk: FlaskClient, logged: Callable[..., int], now_of: Callable[[int], Interaction]
) -> None:
    number = logged()
    desk.post(
        f"/support/{number}/write", data={"mode": "note", "body": "looks like staging", "version": "2", "do": "send"}
    )
    assert now_of(number).status == "new"
    desk.post(f"/support/{number}/write", data={"mode": "reply", "body": "Hello", "version": "3", "do": "send"})
    assert now_of(number).status == "waiting_customer"


def test_send_and_solve_goes_on_with_the_next(
    desk: FlaskClient, logged: Callable[..., int], now_of: Callable[[int], Interaction]
) -> None:
    number, other = logged(), logged("ops@customer.example another thing")
    data = {"mode": "reply", "body": "Done", "version": "2", "do": "solve", "next": str(other)}
    answer = desk.post(f"/support/{number}/write", data=data)
    assert answer.headers["Location"] == f"/support/{other}"
    assert now_of(number).status == "solved"


def test_a_send_is_refused_when_the_thread_changed_and_the_text_is_kept(
    desk: FlaskClient, logged: Callable[..., int], now_of: Callable[[int], Interaction]
) -> None:
    number = logged()
    desk.post(f"/support/{number}/write", data={"mode": "reply", "body": "first", "version": "2", "do": "send"})
    answer = desk.post(
        f"/support/{number}/write", data={"mode": "reply", "body": "second", "version": "2", "do": "send"}
    )
    assert answer.status_code == 412
    assert ">second</textarea>" in answer.text
    assert "since you opened it" in answer.text
    assert 'name="version" value="3"' in answer.text, "sent again, it is sent knowingly"
    assert now_of(number).messages == 2


def test_a_thread_tells_which_message_is_the_last_of_ones_own(
    desk: FlaskClient, logged: Callable[..., int], runtime: Runtime
) -> None:
    number = logged()
    assert 'data-own="0"' in desk.get(f"/support/{number}").text
    desk.post(f"/support/{number}/write", data={"mode": "note", "body": "mine", "version": "2", "do": "send"})
    with runtime.database.session() as session:
        service.receive(session, number, "Still?", now=runtime.clock.now())
        service.note(session, number, "a script's", who=COMMAND_LINE, now=runtime.clock.now())
    assert 'data-own="3"' in desk.get(f"/support/{number}").text


def test_whoever_writes_is_told_that_something_happened_meanwhile(
    desk: FlaskClient, logged: Callable[..., int]
) -> None:
    number = logged()
    assert desk.get(f"/support/{number}?since=2").text == ""
    desk.post(f"/support/{number}/write", data={"mode": "reply", "body": "first", "version": "2", "do": "send"})
    assert "a message came" in desk.get(f"/support/{number}?since=2").text


def test_an_empty_reply_is_refused_in_words(desk: FlaskClient, logged: Callable[..., int]) -> None:
    number = logged()
    answer = desk.post(f"/support/{number}/write", data={"mode": "reply", "body": " ", "version": "2", "do": "send"})
    assert answer.status_code == 422
    assert "Write something." in answer.text


def test_a_reply_can_be_looked_at_before_it_is_sent(desk: FlaskClient, logged: Callable[..., int]) -> None:
    number = logged()
    answer = desk.post(
        f"/support/{number}/write", data={"mode": "reply", "body": "**bold**", "version": "2", "do": "preview"}
    )
    assert "<strong>bold</strong>" in answer.text
    assert ">**bold**</textarea>" in answer.text


@pytest.mark.parametrize(
    ("name", "to", "field", "value"),
    [
        ("status", "waiting_dev", "status", "waiting_dev"),
        ("priority", "urgent", "priority", "urgent"),
        ("kind", "billing", "kind", "billing"),
        ("tags", "#keys, vip", "tags", ["keys", "vip"]),
    ],
)
def test_a_property_is_set_by_a_form_of_its_own(
    desk: FlaskClient,
    logged: Callable[..., int],
    now_of: Callable[[int], Interaction],
    name: str,
    to: str,
    field: str,
    value: object,
) -> None:
    number = logged()
    assert desk.post(f"/support/{number}/set", data={"name": name, "to": to}).status_code == 302
    assert getattr(now_of(number), field) == value


def test_a_property_that_does_not_exist_is_refused(desk: FlaskClient, logged: Callable[..., int]) -> None:
    assert desk.post(f"/support/{logged()}/set", data={"name": "user_id", "to": "1"}).status_code == 422


def test_merging_leads_readers_to_where_it_goes_on(desk: FlaskClient, logged: Callable[..., int]) -> None:
    number, into = logged(), logged("dev@customer.example 401 once more")
    assert "401 once more" in desk.get(f"/support/{number}/merge").text
    desk.post(f"/support/{number}/merge", data={"into": f"SUP-{into}", "version": "2"})
    assert desk.get(f"/support/{number}").headers["Location"].startswith(f"/support/{into}")


def test_merging_into_itself_is_refused(desk: FlaskClient, logged: Callable[..., int]) -> None:
    number = logged()
    assert desk.post(f"/support/{number}/merge", data={"into": str(number), "version": "2"}).status_code == 422


def test_messages_are_split_off(
    desk: FlaskClient, logged: Callable[..., int], now_of: Callable[[int], Interaction]
) -> None:
    number = logged()
    answer = desk.post(f"/support/{number}/split", data={"seq": ["2"], "subject": "The other matter"})
    made = int(answer.headers["Location"].rsplit("/", 1)[1])
    assert now_of(made).subject == "The other matter"
    assert "the <strong>old</strong> key works" in desk.get(f"/support/{made}").text


def test_links_are_made_and_taken_away(desk: FlaskClient, logged: Callable[..., int]) -> None:
    number = logged()
    desk.post(f"/support/{number}/link", data={"to": "https://tracker.example/412"})
    assert 'href="https://tracker.example/412"' in desk.get(f"/support/{number}").text
    assert desk.post(f"/support/{number}/link", data={"to": "javascript:alert(1)"}).status_code == 422
    desk.post(f"/support/{number}/unlink", data={"kind": "url", "ref": "https://tracker.example/412"})
    assert 'value="https://tracker.example/412"' not in desk.get(f"/support/{number}").text


def test_what_ships_comes_back_with_a_draft_and_sending_it_closes_the_loop(
    desk: FlaskClient, logged: Callable[..., int]
) -> None:
    number, ref = logged(), "https://tracker.example/412"
    desk.post(f"/support/{number}/link", data={"to": ref})
    assert f"SUP-{number}<" not in desk.get("/support/?view=loop").text
    desk.post(f"/support/{number}/ship", data={"kind": "url", "ref": ref})
    assert f"SUP-{number}<" in desk.get("/support/?view=loop").text
    page = desk.get(f"/support/{number}").text
    assert "good news: what you wrote to us about is done (https://tracker.example/412)" in page
    desk.post(f"/support/{number}/write", data={"mode": "reply", "body": "Good news", "do": "send", "told": "yes"})
    assert f"SUP-{number}<" not in desk.get("/support/?view=loop").text


def test_a_file_is_kept_as_a_download_whatever_it_says_it_is(
    desk: FlaskClient, logged: Callable[..., int], runtime: Runtime
) -> None:
    number = logged()
    evil = (io.BytesIO(b"<html><script>alert(1)</script></html>"), "../../evil.html\u202e", "image/png")
    data = {"mode": "reply", "body": "see", "version": "2", "do": "send", "files": [evil]}
    assert desk.post(f"/support/{number}/write", data=data).status_code == 302
    with runtime.database.session() as session:
        row = session.scalars(select(File)).one()
        assert row.name == "evil.html"
        assert row.type != "image/png"
    answer = desk.get(f"/support/files/{row.id}")
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert (runtime.settings.data / "files" / row.sha256[:2] / row.sha256).stat().st_mode & 0o077 == 0


def test_attachments_over_the_limit_are_refused(
    desk: FlaskClient, logged: Callable[..., int], runtime: Runtime
) -> None:
    number = logged()
    big = (io.BytesIO(b"x" * (50 << 20)), "big.bin")
    data = {"mode": "reply", "body": "see", "version": "2", "do": "send", "files": [big]}
    assert desk.post(f"/support/{number}/write", data=data).status_code == 413
    assert len(history(runtime, number)) == 2


def test_a_macro_is_filled_in_and_does_what_it_says_on_sending(
    desk: FlaskClient, logged: Callable[..., int], runtime: Runtime, now_of: Callable[[int], Interaction]
) -> None:
    number = logged()
    with runtime.database.session() as session:
        given = {
            "body": "About {{ref}}",
            "acts": {"status": "solved", "add_tags": ["keys"]},
            "created_at": runtime.clock.now(),
        }
        session.add(Macro(name="Keys", member_id=None, **given))
        session.flush()
        macro_id = str(session.scalar(select(Macro.id)))
    typed = {"mode": "reply", "body": "", "version": "2", "do": "macro", "macro_id": macro_id}
    assert f">About SUP-{number}</textarea>" in desk.post(f"/support/{number}/write", data=typed).text
    part = desk.post(f"/support/{number}/write", data=typed, headers={"HX-Request": "true"})
    assert part.text == f"About SUP-{number}"
    sent = {"mode": "reply", "body": "About it", "version": "2", "do": "send", "macro": macro_id}
    desk.post(f"/support/{number}/write", data=sent)
    assert (now_of(number).status, now_of(number).tags) == ("solved", ["keys"])


def test_another_members_own_macro_cannot_be_used(
    desk: FlaskClient, logged: Callable[..., int], runtime: Runtime, member: Callable[..., Member]
) -> None:
    number, other = logged(), member("support")
    with runtime.database.session() as session:
        session.add(Macro(name="Mine", member_id=other.id, body="secret", acts={}, created_at=runtime.clock.now()))
        session.flush()
        macro_id = session.scalar(select(Macro.id))
    typed = {"mode": "reply", "body": "", "version": "2", "do": "macro", "macro_id": str(macro_id)}
    assert desk.post(f"/support/{number}/write", data=typed).status_code == 404


def test_the_full_form_logs_what_it_says_and_keeps_what_is_wrong(
    desk: FlaskClient, now_of: Callable[[int], Interaction]
) -> None:
    given = {
        "opened": "",
        "user": "dev@customer.example",
        "subject": "From the form",
        "direction": "in",
        "channel": "phone",
    }
    given |= {"kind": "question", "priority": "normal", "topic": "", "assignee": "", "tags": "a b", "note": "for us"}
    answer = desk.post("/support/new/form", data=given)
    assert now_of(int(answer.headers["Location"].rsplit("/", 1)[1])).channel == "phone"
    wrong = desk.post("/support/new/form", data=given | {"user": "", "subject": "Kept all the same"})
    assert wrong.status_code == 422
    assert 'value="Kept all the same"' in wrong.text
    assert "Say who it was" in wrong.text


def test_viewers_read_and_change_nothing(
    signed_in_client: Callable[..., FlaskClient], logged: Callable[..., int]
) -> None:
    number, viewer = logged(), signed_in_client("viewer")
    page = viewer.get(f"/support/{number}").text
    assert "401 after key rotation" in page
    assert "data-composer" not in page
    assert viewer.post(f"/support/{number}/write", data={"body": "x"}).status_code == 403
    assert viewer.get("/support/new").status_code == 403


@pytest.mark.parametrize(
    "path", ["/support/999", "/support/99999999999999999999", "/support/files/1", "/support/999/merge"]
)
def test_what_is_not_there_is_not_found(desk: FlaskClient, path: str) -> None:
    assert desk.get(path).status_code == 404
