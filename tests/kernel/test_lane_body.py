"""Reading bodies: whole, bounded, and refused in the right way."""

import gzip
import io
import tracemalloc
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackside.body import UnsupportedEncoding, read_body
from trackside.errors import BadRequest, TooLarge


def request(body: bytes, encoding: str = "", *, chunked: bool = False, length: int | None = None) -> dict[str, Any]:
    size = {"HTTP_TRANSFER_ENCODING": "chunked"} if chunked else {"CONTENT_LENGTH": str(length or len(body))}
    return {"wsgi.input": io.BytesIO(body), "HTTP_CONTENT_ENCODING": encoding, **size}


@given(st.binary(max_size=300), st.booleans(), st.booleans())
def test_a_body_arrives_as_it_was_sent(body: bytes, zipped: bool, chunked: bool) -> None:
    sent = gzip.compress(body) if zipped else body
    assert read_body(request(sent, "gzip" if zipped else "", chunked=chunked), 500) == body


@given(st.binary(min_size=1, max_size=300), st.integers(1, 400), st.booleans())
def test_the_limit_holds_before_and_after_decompression(body: bytes, limit: int, chunked: bool) -> None:
    sent = gzip.compress(body)
    if max(len(body), len(sent)) <= limit:
        assert read_body(request(sent, "gzip", chunked=chunked), limit) == body
    else:
        with pytest.raises(TooLarge):
            read_body(request(sent, "gzip", chunked=chunked), limit)


def test_a_bomb_is_refused_with_memory_flat() -> None:
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(200)) + packer.flush()
    tracemalloc.start()
    with pytest.raises(TooLarge):
        read_body(request(bomb, "gzip", chunked=True), 1 << 20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20


def test_gzip_of_several_members_is_one_body() -> None:
    assert read_body(request(gzip.compress(b"a") + gzip.compress(b"b"), "gzip"), 100) == b"ab"


@pytest.mark.parametrize(
    ("environ", "error"),
    [
        (request(b"abc", length=9), BadRequest),
        (request(gzip.compress(b"abc")[:-4], "gzip"), BadRequest),
        (request(b"no gzip", "gzip"), BadRequest),
        (request(b"", "gzip"), BadRequest),
        (request(b"abc", "deflate"), UnsupportedEncoding),
        (request(b"abc", "gzip, gzip"), UnsupportedEncoding),
        (request(b"abc", "br"), UnsupportedEncoding),
        ({**request(b"abc"), "CONTENT_LENGTH": "-1"}, BadRequest),
        ({**request(b"abc"), "CONTENT_LENGTH": "٣"}, BadRequest),
        (request(b"abc", length=10**12), TooLarge),
    ],
)
def test_what_cannot_be_read_is_refused(environ: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        read_body(environ, 1000)


def test_gzip_can_be_switched_off() -> None:
    with pytest.raises(UnsupportedEncoding):
        read_body(request(gzip.compress(b"a"), "gzip"), 100, gzip=False)


def test_no_length_and_no_chunks_is_an_empty_body() -> None:
    assert read_body({"wsgi.input": io.BytesIO(b"")}, 100) == b""
