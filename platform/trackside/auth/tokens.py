"""Random tokens: long enough that guessing is hopeless, stored only as their hash."""

import hashlib
import secrets

TOKEN_BYTES = 32


def new_token() -> str:
    """Return 256 random bits as text for a cookie or a link."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def digest(token: str) -> bytes:
    """Return the SHA-256 of `token`: enough for random tokens, and quick."""
    # Whatever a visitor sends is hashed, lone surrogates too: it then matches nothing.
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
