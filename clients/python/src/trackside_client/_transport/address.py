"""What an address and a key must look like before anything is sent there."""

from urllib.parse import urlsplit


def is_plain(url: str) -> bool:
    """Tell whether a URL is a plain http or https address: without query, fragment or user."""
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        return is_address and not (parts.query or parts.fragment or parts.username)
    except ValueError:
        return False


def may_be_key(key: str) -> bool:
    """Tell whether a text holds only characters that keys have."""
    return key.isascii() and key.isprintable() and " " not in key
