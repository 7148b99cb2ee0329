"""Logs: one JSON object a line on stdout, or a readable line for people; never personal data.

Every line of a request carries its id, which is also answered as `X-Request-Id`. Control characters are escaped, so
that nothing a caller sends can forge a line or colour a terminal. Keys that name people or secrets are dropped, and
e-mail and network addresses inside texts (such as a database error) are masked. The standard library's loggers come the
same way.
"""

import logging
import logging.config
import re
import sys
from collections.abc import Mapping, MutableMapping
from contextvars import ContextVar
from ipaddress import IPv6Address
from itertools import count
from secrets import token_hex
from typing import Any

import msgspec
import structlog

from trackside.settings import Settings

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
"""The id of the request at hand; empty outside of requests."""

_NAMES = (
    "account account_id address authorization body cookie email external_id headers host ip key login member member_id "
    "password path query query_string remote_addr secret session_id token url user user_agent user_id username"
)
PERSONAL = frozenset(_NAMES.split())
"""Keys that are never logged: who someone is, what they sent, and secrets. Routes are logged as their template."""

_SANE_ID = re.compile(r"[A-Za-z0-9_.-]{8,64}")
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_IPV4 = re.compile(r"(?<![\d.])(?!127\.|0\.0\.0\.0)\d{1,3}(?:\.\d{1,3}){3}(?![\d.])")
_IPV6 = re.compile(r"(?<![\w:])[0-9a-fA-F:]*:[0-9a-fA-F:]*:[0-9a-fA-F:]*(?![\w:])")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

Event = MutableMapping[str, Any]


class RequestIds:
    """Gives each request an id: the caller's where it is sane, else one of our own."""

    def __init__(self) -> None:
        self._prefix = f"{token_hex(6)}-"
        self._numbers = count(1)

    def take(self, environ: Mapping[str, Any]) -> str:
        """Return the id of the request of `environ`, and make it the one that log lines carry."""
        given: str | None = environ.get("HTTP_X_REQUEST_ID")
        if given is None or not _SANE_ID.fullmatch(given):
            given = f"{self._prefix}{next(self._numbers)}"
        REQUEST_ID.set(given)
        return given


def configure_logging(settings: Settings, process: str = "") -> None:
    """Send all logs of this process to stdout; call it once, before anything logs.

    Args:
        settings: `log_level` and `log_format` (`json` or `console`) count.
        process: `web`, `worker`, ...: on every line, where given.

    """
    shared = _processors(process)
    last: list[Any] = [_readable] if settings.log_format == "console" else [_json]
    level = logging.getLevelNamesMapping()[settings.log_level]
    structlog.configure(
        processors=[structlog.stdlib.add_log_level, *shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_log_level, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *shared, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(level, logging.INFO))
    for chatty in ("werkzeug", "urllib3", "alembic", "rq", "psycopg.pool", "_granian"):
        logging.getLogger(chatty).setLevel(max(level, logging.WARNING))


def _processors(process: str) -> list[Any]:
    def request_id(_logger: Any, _method: str, event: Event) -> Event:
        if found := REQUEST_ID.get():
            event.setdefault("request_id", found)
        if process:
            event["process"] = process
        return event

    return [
        structlog.contextvars.merge_contextvars,
        request_id,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        without_personal_data,
    ]


def without_personal_data(_logger: Any, _method: str, event: Event) -> Event:
    """Drop the keys in `PERSONAL`, and mask e-mail and network addresses inside every text."""
    return {name: _masked(value) for name, value in event.items() if name.lower() not in PERSONAL}


def _masked(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _masked(each) for name, each in value.items() if str(name).lower() not in PERSONAL}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_masked(each) for each in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    text = str(value)
    if "@" in text:
        text = _EMAIL.sub("[email]", text)
    return _IPV6.sub(_mask_ipv6, _IPV4.sub("[address]", text))


def _mask_ipv6(match: "re.Match[str]") -> str:
    found = match.group()
    try:
        # without a digit it is more likely a name such as `a::b`
        public = any(map(str.isdigit, found)) and not IPv6Address(found).is_loopback
    except ValueError:
        public = False
    return "[address]" if public else found


def _json(_logger: Any, _method: str, event: Event) -> str:
    # A lone surrogate cannot be encoded; whatever the value, a line must come out.
    try:
        line = msgspec.json.encode(event, order="sorted").decode()
    except (UnicodeEncodeError, msgspec.MsgspecError):
        plain = {str(name): repr(value) for name, value in event.items()}
        line = msgspec.json.encode(plain).decode()
    # JSON escapes the controls of ASCII alone
    return _CONTROL.sub(lambda match: f"\\u{ord(match.group()):04x}", line)


def _readable(_logger: Any, _method: str, event: Event) -> str:
    moment, level, what = (str(event.pop(name, "")) for name in ("timestamp", "level", "event"))
    trace = event.pop("exception", None)
    details = " ".join(f"{name}={value}" for name, value in sorted(event.items()))
    line = _inert(f"{moment[11:19]} {level:<7} {what} {details}".rstrip())
    return line if trace is None else line + "\n" + "\n".join(_inert(each) for each in str(trace).splitlines())


def _inert(text: str) -> str:
    return _CONTROL.sub(lambda match: match.group().encode("unicode_escape").decode(), text)
