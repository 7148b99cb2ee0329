"""Texts that are made to be slow to draw, and files that cannot be kept: nothing typed is lost."""

import io
from collections.abc import Callable

from flask.testing import FlaskClient

from trackside.auth.audit import COMMAND_LINE
from trackside.runtime import Runtime
from trackside_modules.support import service
from trackside_modules.support.attachments import folder_of
from trackside_modules.support.markdown import MOST, as_it_is, render
from trackside_modules.support.web.entries import MOST_DRAWN


def test_a_message_that_would_take_long_to_draw_is_shown_as_it_is() -> None:
    """What takes longer with each character is not drawn without end."""
    assert render("![" * (MOST // 2)).startswith("<p>")
    assert render("![" * MOST) == as_it_is("![" * MOST)


def test_of_a_long_thread_the_latest_is_drawn_and_the_rest_is_shown_as_it_is(
    desk: FlaskClient, logged: Callable[..., int], runtime: Runtime
) -> None:
    """A hundred slow mails would hold up the page for minutes, each time that somebody opens it."""
    number = logged()
    long = "**bold** " * (MOST // 9)
    with runtime.database.session() as session:
        for at in range(MOST_DRAWN // MOST + 3):
            service.note(session, number, f"n{at} {long[: MOST - 10]}", who=COMMAND_LINE, now=runtime.clock.now())
    page = desk.get(f"/support/{number}").text
    assert "<pre>n0 **bold**" in page
    assert "<pre>n2 **bold**" in page
    assert "n6 <strong>bold</strong>" in page


def test_a_file_that_cannot_be_kept_is_said_and_the_words_stay(
    desk: FlaskClient, logged: Callable[..., int], runtime: Runtime
) -> None:
    """A full disk was answered 500, and the reply was gone."""
    number = logged()
    blocked = folder_of(runtime.settings)
    blocked.parent.mkdir(parents=True, exist_ok=True)
    blocked.write_bytes(b"no folder")
    try:
        data = {
            "mode": "reply",
            "body": "a long answer",
            "version": "2",
            "do": "send",
            "files": [(io.BytesIO(b"x"), "a.log")],
        }
        answer = desk.post(f"/support/{number}/write", data=data)
    finally:
        blocked.unlink()
    assert answer.status_code == 503
    assert "a.log could not be kept" in answer.text
    assert "a long answer" in answer.text
