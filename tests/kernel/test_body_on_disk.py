"""A large file is received on disk, whole or not at all."""

import io
from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient

from trackside.body import receive_on_disk
from trackside.errors import BadRequest, TooLarge
from trackside.pages import member_of


def sent(body: bytes, length: int | None = None) -> dict[str, object]:
    return {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body) if length is None else length)}


def test_what_was_sent_can_be_read_from_its_beginning() -> None:
    with receive_on_disk(sent(b"x" * 300_000), 300_000) as file:
        assert file.read() == b"x" * 300_000


def test_more_than_the_limit_and_less_than_was_said_are_refused() -> None:
    with pytest.raises(TooLarge):
        receive_on_disk(sent(b"x" * 11), 10)
    with pytest.raises(BadRequest):
        receive_on_disk(sent(b"x" * 5, length=9), 10)


def test_a_member_is_known_by_the_cookie_we_signed_and_nobody_by_any_other(
    app: Flask, client: FlaskClient, signed_in_client: Callable[..., FlaskClient]
) -> None:
    is_member, name = member_of(app), app.config["SESSION_COOKIE_NAME"]

    def cookie_of(browser: FlaskClient) -> str:
        cookie = browser.get_cookie(name)
        return cookie.value if cookie else ""

    signed_in = cookie_of(signed_in_client("viewer"))
    client.get("/sign-in")
    known = [is_member({"HTTP_COOKIE": f"{name}={each}"}) for each in (signed_in, cookie_of(client), "abc", "")]
    assert known == [True, False, False, False]
    assert not is_member({})
