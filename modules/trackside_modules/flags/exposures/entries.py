"""What a batch of exposures holds."""

from collections.abc import Iterable

import msgspec


class Entry(msgspec.Struct, array_like=True, frozen=True):
    """That a user was given variants, `count` times each, from `at` on (milliseconds since 1970)."""

    user: str | None
    """As the API knows them; None where nobody said."""
    account: str | None
    shown: tuple[str, ...]
    """Flags and their variants in turn: `("checkout", "on", "banner", "off")`."""
    at: int
    count: int


_DECODER = msgspec.msgpack.Decoder(list[Entry])


def pack(entries: Iterable[Entry]) -> bytes:
    """Return entries as a batch's body."""
    return msgspec.msgpack.encode(list(entries))


def unpack(body: bytes) -> list[Entry]:
    """Return the entries of a batch's body; raises msgspec.MsgspecError for anything else."""
    return _DECODER.decode(body)
