"""Read a request's body without trusting it: bytes are counted as they come, before and after decompression.

Memory stays within the limit whatever is sent: a gzip bomb is left at the first byte over it. What a WSGI server does
not tell apart is a chunked body whose sender went away: it looks complete. A length, a gzip trailer or a closing brace
each reveal it; ADR 0061 says which routes rely on which.
"""

import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any, Protocol

from trackside.errors import BadRequest, InputError, TooLarge

CHUNK = 64 * 1024
STEP = 1 << 20
"""Bytes unpacked at once: 64 KiB of zeros would otherwise become 64 MiB, several times over, in one call."""
LARGE = 1 << 20
"""Bytes over which a body is a large one: few of those are taken at once where memory counts."""
_FIGURES = 4
"""Of the length of a body that is read at once: less than 10 kB."""
_GZIP = 16 + zlib.MAX_WBITS


class UnsupportedEncoding(InputError):
    """The Content-Encoding is none that is taken here."""

    status = 415
    code = "unsupported-encoding"
    title = "This content encoding is not taken here"


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Meter:
    """Refuses what is over the limit, and tells once that a body is a large one."""

    def __init__(self, limit: int, on_large: Callable[[], object] | None) -> None:
        self.limit = limit
        self._on_large = on_large

    def count(self, size: int) -> None:
        """Take note that the body has `size` bytes so far, before or after decompression."""
        if size > self.limit:
            raise _too_large(self.limit)
        if size > LARGE and self._on_large:
            self._on_large()
            self._on_large = None


def read_body(
    environ: Mapping[str, Any], limit: int, *, gzip: bool = True, on_large: Callable[[], object] | None = None
) -> bytes:
    """Return the whole body, decompressed where it says `Content-Encoding: gzip` and `gzip` is allowed.

    Args:
        environ: WSGI's; `wsgi.input` ends with the body (`wsgi.input_terminated`).
        limit: bytes taken, before and after decompression.
        gzip: whether compressed bodies are taken.
        on_large: called once, before more than `LARGE` bytes are kept; what it raises ends the reading.

    Raises TooLarge (413) over the limit, BadRequest (400) where the body is cut short or no gzip, UnsupportedEncoding
    (415) for any other encoding.

    """
    declared = environ.get("CONTENT_LENGTH", "")
    if declared.isdecimal() and len(declared) <= _FIGURES and "HTTP_CONTENT_ENCODING" not in environ:
        # the usual: little, and all of it there
        size = int(declared)
        if size <= limit:
            whole: bytes = environ["wsgi.input"].read(size) if size else b""
            if len(whole) == size:
                return whole
            return whole + _plain(environ["wsgi.input"], size - len(whole), _Meter(limit, on_large))
    length = _declared(environ)
    meter = _Meter(limit, on_large)
    meter.count(length or 0)
    encoding = environ.get("HTTP_CONTENT_ENCODING", "").strip().lower()
    if encoding in {"", "identity"}:
        return _plain(environ["wsgi.input"], length, meter)
    if encoding in {"gzip", "x-gzip"} and gzip:
        return _gunzip(environ["wsgi.input"], length, meter)
    takes = "gzip or no encoding" if gzip else "no encoding"
    raise UnsupportedEncoding(f"The Content-Encoding {encoding[:40]!r} is not taken: send {takes}.")


def receive_on_disk(environ: Mapping[str, Any], limit: int) -> IO[bytes]:
    """Return the whole body in a file that goes away when it is closed; raises as `read_body` does."""
    length = _declared(environ)
    meter = _Meter(limit, None)
    meter.count(length or 0)
    file = tempfile.TemporaryFile()  # noqa: SIM115 - whoever asked closes it
    try:
        for part in _parts(environ["wsgi.input"], length, meter):
            file.write(part)
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return file


def _declared(environ: Mapping[str, Any]) -> int | None:
    raw = environ.get("CONTENT_LENGTH")
    if not raw:
        # without a length a body can only come in chunks; without either there is none
        return None if "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower() else 0
    if not (raw.isascii() and raw.isdigit()):
        raise BadRequest("The Content-Length is not a number.")
    return int(raw)


def _plain(source: _Readable, length: int | None, meter: _Meter) -> bytes:
    # one growing block, which goes back to the system: small parts of 64 MiB stay with each thread that ever read them
    made = bytearray()
    for part in _parts(source, length, meter):
        made += part
    return bytes(made)


def _gunzip(source: _Readable, length: int | None, meter: _Meter) -> bytes:
    unpacker = zlib.decompressobj(_GZIP)
    made = bytearray()
    for part in _parts(source, length, meter):
        unpacker = _feed(unpacker, part, made, meter)
    if not unpacker.eof:
        raise BadRequest("The gzip body is cut short: send the request again.")
    return bytes(made)


def _parts(source: _Readable, length: int | None, meter: _Meter) -> Iterator[bytes]:
    """Yield the body as it comes; raises BadRequest where it ends before its length."""
    received = 0
    while length is None or received < length:
        part = source.read(CHUNK if length is None else min(CHUNK, length - received))
        if not part:
            break
        received += len(part)
        meter.count(received)
        yield part
    if length is not None and received < length:
        raise BadRequest(f"The body ended after {received} of {length} bytes: send the request again.")


def _feed(unpacker: "zlib._Decompress", part: bytes, made: bytearray, meter: _Meter) -> "zlib._Decompress":
    """Decompress `part` into `made`, never past the limit; a gzip file may have several members in a row."""
    while part:
        if unpacker.eof:
            unpacker = zlib.decompressobj(_GZIP)
        try:
            # one byte over the limit is enough to know; the rest of a bomb is never unpacked
            made += unpacker.decompress(part, min(STEP, meter.limit + 1 - len(made)))
        except zlib.error as error:
            raise BadRequest("The body is not gzip, though its Content-Encoding says so.") from error
        meter.count(len(made))
        part = unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail
    return unpacker


def _too_large(limit: int) -> TooLarge:
    size = f"{limit >> 20} MiB" if limit >= 1 << 20 else f"{limit} bytes"
    return TooLarge(f"The body is larger than {size}, which is the most taken here: send less at once.")
