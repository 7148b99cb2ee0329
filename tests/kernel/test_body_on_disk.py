"""A large file is received on disk, whole or not at all."""

import io

import pytest

from trackside.body import receive_on_disk
from trackside.errors import BadRequest, TooLarge


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
