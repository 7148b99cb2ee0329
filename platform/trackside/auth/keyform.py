"""The form of an API key: `ts_<env>_<kind>_<id>_<secret>_<crc>`.

The beginning says what it is, so that people and secret scanners know one when they see it; the checksum at the end
tells a key that was cut off while copying from a wrong one, without asking anybody.

Apitally's SDKs take no write token but `apt_` and 24 letters and digits. An ingest key may have that form: the first 8
of them are its id, 95 bits are left as the secret.
"""

import re
import secrets
import string
import zlib
from dataclasses import dataclass

from trackside.auth.principal import KINDS

ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
ID_LENGTH = 10
SECRET_LENGTH = 43
"""Characters of base62: 256 bits."""
CRC_LENGTH = 6
LONGEST = 200
_KEY = re.compile(rf"ts_[a-z0-9-]+_(?:{'|'.join(KINDS)})_[0-9A-Za-z]+_[0-9A-Za-z]+_[0-9A-Za-z]{{{CRC_LENGTH}}}")
APITALLY, _APITALLY_ID, _APITALLY_SECRET = "apt_", 8, 16
_APITALLY_KEY = re.compile(rf"{APITALLY}[0-9A-Za-z]{{{_APITALLY_ID + _APITALLY_SECRET}}}")
_BEGIN = re.compile(
    rf"ts_[a-z0-9-]+_(?:{'|'.join(KINDS)})_[0-9A-Za-z]+_[0-9A-Za-z]+(?:_[0-9A-Za-z]*)?"
    rf"|\b{APITALLY}[0-9A-Za-z]{{{_APITALLY_ID + 4},}}"
)


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made: the one moment its text exists."""

    text: str
    public_id: str


def new_key(env: str, kind: str) -> NewKey:
    """Return a random key of `kind` for the environment with the slug `env`."""
    public_id = _random(ID_LENGTH)
    body = f"{head(env, kind, public_id)}_{_random(SECRET_LENGTH)}"
    return NewKey(f"{body}_{checksum(body)}", public_id)


def new_apitally_key() -> NewKey:
    """Return a random key in the form that Apitally's SDKs take."""
    public_id = APITALLY + _random(_APITALLY_ID)
    return NewKey(public_id + _random(_APITALLY_SECRET), public_id)


def head_of(text: str) -> str:
    """Return the part of a key's text before its secret, whatever its form."""
    if text.startswith(APITALLY):
        return text[: len(APITALLY) + _APITALLY_ID]
    return text.rsplit("_", 2)[0]


def head(env: str, kind: str, public_id: str) -> str:
    """Return the part of a key before its secret: it says which key it is, and may be shown."""
    return public_id if public_id.startswith(APITALLY) else f"ts_{env}_{kind}_{public_id}"


def checksum(body: str) -> str:
    """Return the CRC32 of all before it, in base62."""
    number, digits = zlib.crc32(body.encode()), ""
    for _ in range(CRC_LENGTH):
        number, digit = divmod(number, len(ALPHABET))
        digits = ALPHABET[digit] + digits
    return digits


def is_well_formed(text: str) -> bool:
    """Whether `text` is a key as we make them, copied whole."""
    if text.startswith(APITALLY):
        return _APITALLY_KEY.fullmatch(text) is not None
    if len(text) > LONGEST or not _KEY.fullmatch(text):
        return False
    body, _, crc = text.rpartition("_")
    return checksum(body) == crc


def holds_key(text: str) -> bool:
    """Whether there is a key, or most of one, inside `text`."""
    return ("ts_" in text or APITALLY in text) and _BEGIN.search(text) is not None


def _random(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))
