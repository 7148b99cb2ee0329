"""Read a request's body with a limit that holds before and after decompression, in flat memory."""

import zlib
from typing import Protocol

LIMIT = 64 * 1024 * 1024
_PIECE = 64 * 1024


class Readable(Protocol):
    """What `wsgi.input` is."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes, none at the end."""


class TooLarge(Exception):
    """The body, as sent or as decompressed, is over the limit."""


class Undecodable(Exception):
    """The body is not what its Content-Encoding says, or that is not one we know."""

    def __init__(self, message: str, *, unknown: bool = False) -> None:
        super().__init__(message)
        self.unknown = unknown


def read(stream: Readable, encoding: str, limit: int = LIMIT) -> bytes:
    """Return the decompressed body.

    Never holds more than `limit` bytes and one piece, whatever a small body would grow to.

    Raises:
        TooLarge: more than `limit` bytes came, or came out.
        Undecodable: the encoding is neither gzip nor identity, or the gzip data is damaged or ends early.

    """
    match encoding.strip().lower():
        case "" | "identity":
            return _plain(stream, limit)
        case "gzip" | "x-gzip":
            return _gunzip(stream, limit)
        case _:
            raise Undecodable("this Content-Encoding is not understood: send gzip, or none", unknown=True)


def _plain(stream: Readable, limit: int) -> bytes:
    body = bytearray()
    while piece := stream.read(_PIECE):
        body += piece
        if len(body) > limit:
            raise TooLarge
    return bytes(body)


def _gunzip(stream: Readable, limit: int) -> bytes:
    body = bytearray()
    taken = 0
    member = zlib.decompressobj(wbits=31)
    while piece := stream.read(_PIECE):
        taken += len(piece)
        while piece:
            if member.eof:
                member = zlib.decompressobj(wbits=31)
            try:
                body += member.decompress(piece, min(_PIECE, limit + 1 - len(body)))
            except zlib.error as error:
                raise Undecodable("the body says it is gzip but cannot be decompressed") from error
            if max(len(body), taken) > limit:
                raise TooLarge
            piece = member.unused_data if member.eof else member.unconsumed_tail
    if taken and not member.eof:
        raise Undecodable("the gzip body ends early")
    return bytes(body)
