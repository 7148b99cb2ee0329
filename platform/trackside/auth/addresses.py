"""Where a request comes from: the connection, or what trusted proxies say of it."""

from collections.abc import Mapping
from typing import Any


def client_address(environ: Mapping[str, Any], trusted_proxies: int) -> str:
    """Return the address of the caller; X-Forwarded-For counts only where proxies are trusted, from its end."""
    peer = str(environ.get("REMOTE_ADDR") or "")
    forwarded = environ.get("HTTP_X_FORWARDED_FOR")
    if not trusted_proxies or not forwarded:
        return peer
    hops = [hop.strip() for hop in str(forwarded).split(",")]
    return hops[-trusted_proxies] if len(hops) >= trusted_proxies else peer
