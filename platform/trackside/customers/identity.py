"""What an account's or user's id may look like, and the hash that outlives it.

An id is taken as it is, without spaces at its ends. One that is empty, longer than 200 characters, or holds control
characters, lone surrogates or bidirectional controls is refused and counts as the unknown user: cutting it instead
would silently make one person of two. Letters of every script are fine.
"""

import re

MAX_LENGTH = 200

# C0 and C1 controls, line and paragraph separators; bidi embeddings, overrides, isolates and marks; surrogates; BOM
_FORBIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)

SALT_KEY = "customers.tombstone_salt"
"""The workspace fact that holds the tombstones' salt: without it the hashes of guessed ids could be prepared."""


def forbidden(text: str) -> bool:
    """Whether `text` holds a character that no id, name or email of ours may have."""
    return _FORBIDDEN.search(text) is not None


def refusal(external_id: str) -> str | None:
    """Return why `external_id` cannot be an id, or None where it can."""
    stripped = external_id.strip()
    if not stripped:
        return "it is empty"
    if len(stripped) > MAX_LENGTH:
        return f"it is longer than {MAX_LENGTH} characters"
    if forbidden(stripped):
        return "it holds control or text-direction characters"
    return None


def clean(external_id: str) -> str | None:
    """Return `external_id` as it is stored, or None where it is refused (see `refusal`)."""
    return None if refusal(external_id) else external_id.strip()
