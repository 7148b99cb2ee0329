"""The outbox's channel `mail`: plain text with HTML beside it, by SMTP; without a server, only a line in the log.

A payload has `to`, `subject` and `text`; where there are: `html`, `from_name`, `message_id`, `in_reply_to`,
`references` (a list), `reply_to`, `automatic` (true: nobody wrote it, so no absence note is to answer) and `files`,
each {name, type, path below the data directory}. `EmailMessage` refuses line breaks in headers, so nothing that
somebody wrote becomes a header of its own.
"""

import smtplib
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.errors import HeaderParseError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from trackside.errors import InputError, Unavailable
from trackside.jobs.outbox import Console, Sender
from trackside.runtime import Runtime

TIMEOUT = 20.0
"""Seconds that the server may take for each answer."""
_LOCAL = {"localhost", "127.0.0.1", "::1"}


@dataclass(frozen=True, slots=True)
class Server:
    """A mail server, as `TRACKSIDE_SMTP_URL` tells."""

    host: str
    port: int
    user: str
    password: str
    tls: bool
    """From the first byte (`smtps://`)."""
    starttls: bool
    """Before anything is said; the default everywhere but on this machine."""


def server_of(url: str) -> Server:
    """Return the server of `smtp://USER:PASSWORD@HOST:PORT?starttls=no` or `smtps://...`; raises ValueError."""
    parts = urlsplit(url)
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
        raise ValueError("must be smtp://USER:PASSWORD@HOST:PORT or smtps://...")
    tls = parts.scheme == "smtps"
    asked = parse_qs(parts.query).get("starttls", [""])[-1].lower()
    if asked not in ("", "yes", "true", "1", "no", "false", "0"):
        raise ValueError("takes starttls=yes or starttls=no")
    starttls = asked in ("yes", "true", "1") if asked else parts.hostname not in _LOCAL
    port = parts.port or (465 if tls else 587)
    return Server(
        parts.hostname, port, unquote(parts.username or ""), unquote(parts.password or ""), tls, starttls and not tls
    )


def build(runtime: Runtime) -> Sender:
    """Return the channel `mail` of the settings."""
    return Smtp(runtime, server_of(runtime.settings.smtp_url)) if runtime.settings.smtp_url else Console()


@dataclass(frozen=True, slots=True)
class Smtp:
    """Sends mails by a server, over TLS unless it is told otherwise."""

    runtime: Runtime
    server: Server

    def send(self, delivery_id: str, payload: Mapping[str, Any]) -> None:
        """Send one mail; raises InputError where the receiver never will be reached, Unavailable where later may do."""
        message = self.message(delivery_id, payload)
        try:
            with self._connected() as connection:
                connection.send_message(message)
        except smtplib.SMTPRecipientsRefused as error:
            codes = {code for code, _ in error.recipients.values()}
            if all(code >= 500 for code in codes):
                raise InputError(f"The mail server refused the receiver for good ({_joined(codes)}).") from None
            raise Unavailable(f"The mail server does not take the receiver now ({_joined(codes)}).") from None
        except smtplib.SMTPResponseException as error:
            # what a server says may hold the address: the code is enough
            raise Unavailable(f"The mail server refused a mail ({error.smtp_code}).") from None
        except smtplib.SMTPNotSupportedError as error:
            raise Unavailable(f"The mail server lacks something: {error}") from None
        except (OSError, smtplib.SMTPException) as error:
            raise Unavailable(f"The mail server cannot be reached ({type(error).__name__}).") from None

    def message(self, delivery_id: str, payload: Mapping[str, Any]) -> EmailMessage:
        """Return `payload` as a mail; raises InputError where it cannot be one."""
        settings = self.runtime.settings
        name, address = parseaddr(settings.mail_from)
        domain = address.rpartition("@")[2]
        made = EmailMessage()
        try:
            made["From"] = Address(_line(payload.get("from_name") or name), addr_spec=address)
            made["To"] = Address(addr_spec=_line(payload["to"]))
            made["Subject"] = _line(payload["subject"])
            made["Date"] = format_datetime(self.runtime.clock.now())
            made["Message-ID"] = payload.get("message_id") or f"<{delivery_id}@{domain}>"
            for header, value in _further(payload).items():
                made[header] = value
        except (ValueError, IndexError, HeaderParseError) as error:
            raise InputError(f"This mail cannot be written: {type(error).__name__} in its headers.") from None
        made.set_content(payload["text"])
        if payload.get("html"):
            made.add_alternative(payload["html"], subtype="html")
        for each in payload.get("files", ()):
            _attach(made, settings.data.absolute(), each)
        return made

    @contextmanager
    def _connected(self) -> Iterator[smtplib.SMTP]:
        it, context = self.server, ssl.create_default_context()
        if it.tls:
            opened: smtplib.SMTP = smtplib.SMTP_SSL(it.host, it.port, timeout=TIMEOUT, context=context)
        else:
            opened = smtplib.SMTP(it.host, it.port, timeout=TIMEOUT)
        with opened as connection:
            if it.starttls:
                connection.starttls(context=context)
            if it.user:
                connection.login(it.user, it.password)
            yield connection


def _further(payload: Mapping[str, Any]) -> dict[str, str]:
    found = {
        "In-Reply-To": payload.get("in_reply_to"),
        "References": " ".join(payload.get("references", ())),
        "Reply-To": payload.get("reply_to"),
    }
    if payload.get("automatic"):
        found |= {"Auto-Submitted": "auto-generated", "X-Auto-Response-Suppress": "All"}
    return {header: value for header, value in found.items() if value}


def _attach(made: EmailMessage, folder: Path, given: Mapping[str, str]) -> None:
    path = (folder / given["path"]).resolve()
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
        return  # it was removed meanwhile: an erasure goes before a mail
    main, _, sub = given["type"].partition("/")
    if not sub or main in ("multipart", "message"):
        main, sub = "application", "octet-stream"
    made.add_attachment(path.read_bytes(), maintype=main, subtype=sub, filename=_line(given["name"]))


def _line(text: str) -> str:
    return " ".join(text.split())


def _joined(codes: set[int]) -> str:
    return ", ".join(map(str, sorted(codes)))
