"""How a mail names its interaction so that nobody else can: a number with a signature, in ids and reply addresses."""

import hashlib
import hmac
import re
from base64 import b32encode

_BYTES = 10
_TAG = re.compile(r"\bsup-(\d{1,18})-([a-z2-7]{16})\b", re.IGNORECASE)
_ID = re.compile(r"<sup-(\d{1,18})\.\d{1,9}\.([a-z2-7]{16})@[^<>\s@]{1,255}>", re.IGNORECASE)
_REF = re.compile(r"\[SUP-(\d{1,18})\]", re.IGNORECASE)


def tag(secret: str, number: int) -> str:
    """Return the tag of the interaction `number` for an address: `sup-123-abc...`."""
    return f"sup-{number}-{_signature(secret, number)}"


def message_id(secret: str, number: int, seq: int, domain: str) -> str:
    """Return the Message-ID of our message `seq` in the interaction `number`: the same whenever it is asked."""
    return f"<sup-{number}.{seq}.{_signature(secret, number)}@{domain}>"


def signed(secret: str, text: str) -> int | None:
    """Return the number that a tag or a Message-ID of ours in `text` names, None where none has our signature."""
    for pattern in (_TAG, _ID):
        for found in pattern.finditer(text):
            number = int(found[1])
            if hmac.compare_digest(found[2].lower(), _signature(secret, number)):
                return number
    return None


def is_ours(secret: str, text: str) -> bool:
    """Whether `text` is a Message-ID that we gave."""
    found = _ID.fullmatch(text.strip())
    return found is not None and hmac.compare_digest(found[2].lower(), _signature(secret, int(found[1])))


def named(subject: str) -> int | None:
    """Return the number that a subject names as `[SUP-123]`: anybody may write that, so the sender must be known."""
    found = _REF.search(subject)
    return int(found[1]) if found else None


def _signature(secret: str, number: int) -> str:
    made = hmac.new(secret.encode(), b"support.mail:%d" % number, hashlib.sha256).digest()
    return b32encode(made[:_BYTES]).decode().lower()
