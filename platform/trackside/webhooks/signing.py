"""Secrets that are nowhere stored, and what is signed with them.

A secret is an HMAC of a random salt with the installation's own secret key: whoever reads the database or a backup
cannot sign. It is shown once, and a rotation takes another salt (ADR 0214).
"""

import hashlib
import hmac
import secrets
from base64 import b64encode
from collections.abc import Iterable
from datetime import datetime

from standardwebhooks.webhooks import Webhook


def new_salt() -> str:
    """Return a salt for a new secret."""
    return secrets.token_urlsafe(24)


def secret_of(key: str, salt: str, purpose: str = "webhook") -> str:
    """Return the secret that `salt` stands for in the installation whose secret key is `key`: `whsec_...`."""
    made = hmac.new(key.encode(), f"trackside.{purpose}:{salt}".encode(), hashlib.sha256).digest()
    return f"whsec_{b64encode(made).decode()}"


def headers(secrets_: Iterable[str], message_id: str, at: datetime, body: str) -> dict[str, str]:
    """Return the headers of Standard Webhooks, with a signature by each of `secrets_`."""
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(Webhook(each).sign(message_id, at, body) for each in secrets_),
    }
