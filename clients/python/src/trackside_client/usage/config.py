"""What the middleware is told: by arguments first, then by the environment."""

import math
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trackside_client._transport import notes
from trackside_client._transport.address import is_plain, may_be_key

_OFF = {"0", "off", "no", "false"}


@dataclass(frozen=True)
class Config:
    """Where to report, as whom, and how often.

    Every field of the first block can be given as an argument to the middleware, or as the variable named beside it.
    """

    url: str  # TRACKSIDE_URL: the server's address, such as https://trackside.example.com
    api_key: str  # TRACKSIDE_API_KEY: of kind `ingest` or `server`
    service: str = "unknown_service"  # TRACKSIDE_SERVICE, else OTEL_SERVICE_NAME
    version: str = ""  # TRACKSIDE_SERVICE_VERSION
    flush_seconds: float = 5.0  # TRACKSIDE_FLUSH_SECONDS, 0.1 to 60
    spool: str = ""  # TRACKSIDE_SPOOL: a folder for what waits; "off" keeps it in memory; default: in the temp folder
    user_header: str = ""  # TRACKSIDE_USER_HEADER: a request header that names the user
    account_header: str = ""  # TRACKSIDE_ACCOUNT_HEADER: one that names the account
    stack_traces: bool = False  # TRACKSIDE_STACK_TRACES: send the stack of an exception with it

    def folder(self) -> Path | None:
        """Return the folder to spool in, or None where it is switched off."""
        if self.spool.lower() in _OFF:
            return None
        return Path(self.spool) if self.spool else Path(tempfile.gettempdir()) / f"trackside-spool-{_user()}"


def read(given: Mapping[str, object], environ: Mapping[str, str] = os.environ) -> Config | None:
    """Return the configuration; None, with the reason in the log, where nothing can be reported with it."""
    names = {
        "url": ("TRACKSIDE_URL",),
        "api_key": ("TRACKSIDE_API_KEY",),
        "service": ("TRACKSIDE_SERVICE", "OTEL_SERVICE_NAME"),
        "version": ("TRACKSIDE_SERVICE_VERSION",),
        "flush_seconds": ("TRACKSIDE_FLUSH_SECONDS",),
        "spool": ("TRACKSIDE_SPOOL",),
        "user_header": ("TRACKSIDE_USER_HEADER",),
        "account_header": ("TRACKSIDE_ACCOUNT_HEADER",),
        "stack_traces": ("TRACKSIDE_STACK_TRACES",),
    }
    found: dict[str, str] = {}
    for field, variables in names.items():
        values = [given.get(field), *(environ.get(name) for name in variables)]
        found[field] = next((str(value).strip() for value in values if value not in (None, "")), "")
    for name in sorted(set(given) - set(names)):
        notes.once(f"argument {name}", "there is no argument %r; it is left out", name)
    if reason := _refusal(found["url"], found["api_key"]):
        notes.once("config", "usage is not reported: %s", reason)
        return None
    return Config(
        found["url"].rstrip("/"),
        found["api_key"],
        found["service"] or "unknown_service",
        found["version"],
        _seconds(found["flush_seconds"]),
        found["spool"],
        found["user_header"],
        found["account_header"],
        bool(found["stack_traces"]) and found["stack_traces"].lower() not in _OFF,
    )


def _refusal(url: str, key: str) -> str:
    if not url or not key:
        return "set TRACKSIDE_URL and TRACKSIDE_API_KEY, or give `url` and `api_key`"
    if not is_plain(url):
        return "TRACKSIDE_URL must be a plain http:// or https:// address"
    if not may_be_key(key):
        return "TRACKSIDE_API_KEY holds characters that no key has"
    return ""


def _seconds(text: str) -> float:
    try:
        seconds = float(text or 5.0)
    except ValueError:
        seconds = math.nan
    if not 0.1 <= seconds <= 60:
        notes.once("flush_seconds", "TRACKSIDE_FLUSH_SECONDS must be a number from 0.1 to 60; 5 is used")
        return 5.0
    return seconds


def _user() -> str:
    return str(os.geteuid()) if hasattr(os, "geteuid") else "user"
