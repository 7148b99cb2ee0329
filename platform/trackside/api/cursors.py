"""Cursors: where a page ended, signed, so that a forged or borrowed one is refused.

A cursor belongs to one list, one environment and one set of filters: used anywhere else it is as good as forged.
"""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Sequence
from hashlib import sha256

import msgspec

from trackside.errors import InputError

Key = Sequence[str | int | float | bool | None]
"""The sort values of the last row of a page, what decides what comes after it."""
_SIGNATURE = 16
_KEY = msgspec.json.Decoder(list[str | int | float | bool | None])


def seal(secret: str, purpose: str, key: Key) -> str:
    """Return `key` as a cursor that only `purpose` (list, environment, filters) accepts."""
    payload = msgspec.json.encode(list(key))
    return urlsafe_b64encode(_sign(secret, purpose, payload) + payload).decode().rstrip("=")


def unseal(secret: str, purpose: str, cursor: str) -> list[str | int | float | bool | None]:
    """Return the key in `cursor`; raises InputError where it was not made by `seal` for `purpose`."""
    try:
        raw = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
    except (Base64Error, ValueError):
        raw = b""
    signature, payload = raw[:_SIGNATURE], raw[_SIGNATURE:]
    if not hmac.compare_digest(signature, _sign(secret, purpose, payload)):
        message = "This cursor is not one of this list with these filters: start again without a cursor."
        raise InputError(message, {"cursor": message})
    return _KEY.decode(payload)


def _sign(secret: str, purpose: str, payload: bytes) -> bytes:
    # the purpose goes in by length, so that no two pairs of purpose and payload look alike
    text = purpose.encode()
    message = b"trackside cursor\0%d\0" % len(text) + text + payload
    return hmac.digest(secret.encode(), message, sha256)[:_SIGNATURE]
