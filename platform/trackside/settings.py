"""All settings in one frozen value, read once from the environment.

Every setting is `TRACKSIDE_<NAME>`, or `TRACKSIDE_<NAME>_FILE` naming a file that holds the value (for secrets).
`DATABASE_URL` and `REDIS_URL` are also understood without the prefix. Beside a running `trackside up`, what is not set
comes from the run file in its data directory. Every wrong value is reported at once, each with what to do.
"""

import os
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from email.utils import parseaddr
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from trackside.errors import SettingsError

PREFIX = "TRACKSIDE_"
RUN_FILE = "run.json"
DEFAULT_DATA = Path(".trackside")
WEAK_SECRETS = frozenset({"secret", "changeme", "change-me", "dev", "development", "password", "trackside", "test"})
SECRET_LENGTH = 32
HOOK_BYTES = 24


def _setting(doc: str, default: Any = MISSING, *, secret: bool = False, alias: str | None = None) -> Any:
    metadata = {"doc": doc, "secret": secret, "alias": alias}
    return field(metadata=metadata) if default is MISSING else field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What one can set; docs/operations.md has the same table, and a test keeps the two alike."""

    secret_key: str = _setting("Signs cookies and stream tickets: 32 random characters or more", secret=True)
    database_url: str = _setting(
        "PostgreSQL 15 or later, postgresql://USER@HOST/NAME", secret=True, alias="DATABASE_URL"
    )
    redis_url: str = _setting("Redis or Valkey 6.2 or later, redis:// or unix://", secret=True, alias="REDIS_URL")
    redis_queue_url: str = _setting("Server of the job queues, never a cluster; default: REDIS_URL", "", secret=True)
    redis_live_url: str = _setting("Server of the live counters; default: REDIS_URL", "", secret=True)
    redis_pubsub_url: str = _setting("Server of announcements; default: REDIS_URL", "", secret=True)
    base_url: str = _setting("How browsers reach the web process; links in invitations use it", "http://127.0.0.1:8000")
    stream_url: str = _setting("How browsers reach the stream process; default: the base URL's port + 1", "")
    trusted_proxies: int = _setting("Reverse proxies in front whose X-Forwarded-* headers are believed", 0)
    development: bool = _setting("Shows /-/patterns and lets browsers keep no assets; never in production", False)
    data: Path = _setting("Folder of `trackside up`, of snapshots and of exposures on their way", DEFAULT_DATA)
    database_pool: int = _setting("PostgreSQL connections kept by each process", 8)
    web_threads: int = _setting("Threads of `trackside web`; pages and ingest share all but one in eight", 8)
    log_level: str = _setting("DEBUG, INFO, WARNING or ERROR", "INFO")
    log_format: str = _setting("json, or console for people", "json")
    metrics_token: str = _setting("Bearer token for /metrics; empty: only from this machine", "", secret=True)
    session_idle_hours: int = _setting("A member's session ends after this many hours without a click", 12)
    session_absolute_days: int = _setting("A member's session ends after this many days in any case", 7)
    user_attributes: tuple[str, ...] = _setting(
        "OpenTelemetry attributes that may name the user, the first present wins",
        ("trackside.user", "apitally.consumer.identifier", "user.id", "enduser.id", "enduser.pseudo.id"),
    )
    quota_fail_open: bool = _setting("Whether rate limit checks are granted while Redis is away", True)
    quota_timeout_ms: int = _setting("Milliseconds that a rate limit check waits for Redis", 100)
    usage_keep_minutes: int = _setting("Days the counts by minute are kept, 2 to 90", 7)
    usage_keep_hours: int = _setting("Days the counts by hour are kept, 100 to 36500", 400)
    usage_keep_days: int = _setting("Days the counts by day are kept, 800 to 36500; 0: for ever", 0)
    flags_bulk_exposures: bool = _setting("Whether asking for all flags counts as exposures, for client keys", True)
    smtp_url: str = _setting("Mail server, smtp://USER:PASSWORD@HOST:587; empty: mails are not sent", "", secret=True)
    mail_from: str = _setting("Who mails come from: `Support <support@example.com>`", "")
    mail_reply_to: str = _setting("Where answers go; {tag} becomes a signed one: support+{tag}@example.com", "")
    mail_hook_secret: str = _setting("Signs mails posted to /hooks/support/mail, whsec_...", "", secret=True)
    outbound_networks: tuple[str, ...] = _setting(
        "Networks of your own that webhooks may reach besides the public internet, 10.1.0.0/16", ()
    )
    disabled_modules: frozenset[str] = _setting("Modules to switch off, separated by commas", frozenset())

    @property
    def secure(self) -> bool:
        """Whether browsers reach us over TLS, so that cookies are marked Secure."""
        return self.base_url.startswith("https://")


def load_settings(environ: Mapping[str, str] | None = None, **given: Any) -> Settings:
    """Return the settings of `environ` (default: the process's), with `given` values laid over them.

    Raises SettingsError with one sentence for each wrong value.
    """
    environ = os.environ if environ is None else environ
    problems: list[str] = []
    values: dict[str, Any] = {}
    run = _run_file(environ)
    for each in fields(Settings):
        if each.name in given:
            values[each.name] = given[each.name]
            continue
        raw = _raw(each, environ, problems)
        raw = run.get(each.name) if raw is None else raw
        if raw is not None:
            _convert(each, raw, values, problems)
        elif each.default is MISSING:
            problems.append(f"{_names(each)} is not set: {each.metadata['doc']}")
    _derive(values)
    problems += _unknown(environ) + _check(values)
    if problems:
        raise SettingsError(problems)
    return Settings(**values)


def _run_file(environ: Mapping[str, str]) -> dict[str, str]:
    folder = Path(environ.get(PREFIX + "DATA", ".trackside"))
    try:
        return msgspec.json.decode((folder / RUN_FILE).read_bytes(), type=dict[str, str])
    except (OSError, msgspec.MsgspecError):
        return {}


def _names(each: "Field[Any]") -> str:
    alias = each.metadata["alias"]
    name = PREFIX + each.name.upper()
    return f"{name} (or {alias})" if alias else name


def _raw(each: "Field[Any]", environ: Mapping[str, str], problems: list[str]) -> str | None:
    for name in filter(None, (PREFIX + each.name.upper(), each.metadata["alias"])):
        path = environ.get(name + "_FILE")
        if path and name in environ:
            problems.append(f"{name} and {name}_FILE are both set: keep one")
        if path:
            try:
                return Path(path).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                problems.append(f"{name}_FILE names {path}, which cannot be read: {error}")
                return ""
        if environ.get(name, "") != "":
            return environ[name]
    return None


def _convert(each: "Field[Any]", raw: str, values: dict[str, Any], problems: list[str]) -> None:
    name = PREFIX + each.name.upper()
    try:
        values[each.name] = _CONVERT[each.type if isinstance(each.type, str) else _type_name(each.type)](raw)
    except ValueError as error:
        shown = "its value" if each.metadata["secret"] else repr(raw)
        problems.append(f"{name}: {shown} is not {error}")


def _type_name(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) and not hasattr(kind, "__args__") else str(kind)


def _int(raw: str) -> int:
    if not raw.isascii() or not raw.isdigit():
        raise ValueError("a whole number of 0 or more")
    return int(raw)


def _bool(raw: str) -> bool:
    try:
        return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}[raw.lower()]
    except KeyError:
        raise ValueError("yes or no (1, true, yes, 0, false, no)") from None


def _words(raw: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in raw.split(",") if word.strip())


_CONVERT: dict[str, Any] = {
    "str": str,
    "int": _int,
    "bool": _bool,
    "Path": Path,
    "tuple[str, ...]": _words,
    "frozenset[str]": lambda raw: frozenset(_words(raw)),
}


def _derive(values: dict[str, Any]) -> None:
    for name in ("redis_queue_url", "redis_live_url", "redis_pubsub_url"):
        values[name] = values.get(name) or values.get("redis_url", "")
    url = values.get("database_url", "")
    for scheme in ("postgres://", "postgresql://"):
        if url.startswith(scheme):
            values["database_url"] = "postgresql+psycopg://" + url.removeprefix(scheme)
    if not values.get("stream_url"):
        values["stream_url"] = _next_port(values.get("base_url", "http://127.0.0.1:8000"))


def _next_port(base_url: str) -> str:
    scheme, _, rest = base_url.partition("://")
    host, _, port = rest.rstrip("/").partition(":")
    if not port.isdigit():
        # behind a proxy both processes share the name: the proxy sends /stream to ours (docs/operations.md)
        return f"{scheme}://{host}"
    return f"{scheme}://{host}:{int(port) + 1}"


def _unknown(environ: Mapping[str, str]) -> list[str]:
    known = {PREFIX + each.name.upper() + suffix for each in fields(Settings) for suffix in ("", "_FILE")}
    outside = {PREFIX + name for name in ("SUITES",)}
    strange = sorted(name for name in environ if name.startswith(PREFIX) and name not in known | outside)
    return [f"{name} is not a setting: docs/operations.md lists them" for name in strange]


def _check(values: Mapping[str, Any]) -> list[str]:
    rules = (
        ("secret_key", _secret_problem),
        ("database_url", _scheme("postgresql+psycopg://")),
        ("redis_url", _scheme("redis://", "rediss://", "unix://")),
        ("redis_queue_url", _scheme("redis://", "rediss://", "unix://")),
        ("redis_live_url", _scheme("redis://", "rediss://", "unix://")),
        ("redis_pubsub_url", _scheme("redis://", "rediss://", "unix://")),
        ("base_url", _scheme("http://", "https://")),
        ("stream_url", _scheme("http://", "https://")),
        ("log_level", _one_of("DEBUG", "INFO", "WARNING", "ERROR")),
        ("log_format", _one_of("json", "console")),
        ("database_pool", _between(1, 100)),
        ("web_threads", _between(4, 64)),
        ("session_idle_hours", _between(1, 24 * 30)),
        ("session_absolute_days", _between(1, 365)),
        ("trusted_proxies", _between(0, 10)),
        ("usage_keep_minutes", _between(2, 90)),
        ("usage_keep_hours", _between(100, 36_500)),
        ("usage_keep_days", _between(800, 36_500, unless=0)),
        ("quota_timeout_ms", _between(5, 2000)),
        ("smtp_url", _smtp_problem),
        ("mail_from", _address_problem),
        ("mail_reply_to", _address_problem),
        ("mail_hook_secret", _hook_problem),
        ("outbound_networks", _networks_problem),
    )
    found = ((name, rule(values[name])) for name, rule in rules if values.get(name) not in (None, ""))
    problems = [f"{PREFIX}{name.upper()} {problem}" for name, problem in found if problem]
    if values.get("smtp_url") and not values.get("mail_from"):
        problems.append(f"{PREFIX}MAIL_FROM is not set: {PREFIX}SMTP_URL needs somebody whom mails come from")
    return problems


def _secret_problem(value: str) -> str | None:
    if len(value) < SECRET_LENGTH:
        return f"is too short: use {SECRET_LENGTH} random characters or more (`openssl rand -hex 32`)"
    plain = value.lower()
    if any(plain == (weak * SECRET_LENGTH)[: len(plain)] for weak in WEAK_SECRETS) or len(set(value)) < 8:
        return "is easy to guess: use random characters (`openssl rand -hex 32`)"
    return None


def _smtp_problem(value: str) -> str | None:
    parts = urlsplit(value)
    try:
        right = parts.scheme in ("smtp", "smtps") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        right = False
    return None if right else "must be smtp://USER:PASSWORD@HOST:PORT or smtps://USER:PASSWORD@HOST:PORT"


def _address_problem(value: str) -> str | None:
    address = parseaddr(value)[1]
    whole = "@" in address[1:-1] and "\n" not in value and "\r" not in value
    return None if whole else "must hold an e-mail address: `Support <support@example.com>`"


def _networks_problem(values: tuple[str, ...]) -> str | None:
    for value in values:
        try:
            ip_network(value)
        except ValueError:
            return f"has {value!r}, which is no network: write 10.1.0.0/16 or fd00::/8, separated by commas"
    return None


def _hook_problem(value: str) -> str | None:
    try:
        key = b64decode(value.removeprefix("whsec_"), validate=True)
    except ValueError:
        key = b""
    made = "`echo whsec_$(openssl rand -base64 32)` makes one"
    return None if len(key) >= HOOK_BYTES else f"must be whsec_ and {HOOK_BYTES} random bytes or more in base64: {made}"


def _scheme(*schemes: str) -> Any:
    def rule(value: str) -> str | None:
        return None if value.startswith(schemes) else f"must begin with {' or '.join(schemes)}"

    return rule


def _one_of(*choices: str) -> Any:
    def rule(value: str) -> str | None:
        return None if value in choices else f"is {value!r}: choose one of {', '.join(choices)}"

    return rule


def _between(low: int, high: int, unless: int | None = None) -> Any:
    def rule(value: int) -> str | None:
        besides = "" if unless is None else f", or {unless}"
        return (
            None if low <= value <= high or value == unless else f"is {value}: it must be from {low} to {high}{besides}"
        )

    return rule


def masked(settings: Settings) -> dict[str, str]:
    """Return every setting as text, secrets as `(set)` or `(empty)`."""
    shown: dict[str, str] = {}
    for each in fields(Settings):
        value = getattr(settings, each.name)
        if each.metadata["secret"]:
            shown[each.name] = "(set)" if value else "(empty)"
        else:
            shown[each.name] = ", ".join(sorted(value)) if isinstance(value, frozenset) else str(value)
    return shown
