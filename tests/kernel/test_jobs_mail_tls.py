"""Mails go over TLS, to the server they are meant for, or not at all.

The two certificates beside this file are worth nothing: of `127.0.0.1` and of `mail.example`, signed by nobody.
"""

import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from trackside.errors import Unavailable
from trackside.jobs import mail
from trackside.runtime import Runtime

TLS = Path(__file__).with_name("tls")
MAIL = {"to": "dev@customer.example", "subject": "401", "text": "It works again."}


class Server(socketserver.ThreadingTCPServer):
    """As much of SMTP as a client speaks, with STARTTLS by a certificate, or without."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, certificate: str) -> None:
        super().__init__(("127.0.0.1", 0), _Talk)
        self.taken: list[bytes] = []
        self.context: ssl.SSLContext | None = None
        if certificate:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(TLS / f"{certificate}.pem")


class _Talk(socketserver.StreamRequestHandler):
    server: Server

    def handle(self) -> None:
        self._say(b"220 here")
        while line := self.rfile.readline():
            verb = line.split()[0].upper()
            if verb == b"EHLO" and self.server.context:
                self._say(b"250-here\r\n250 STARTTLS")
            elif verb == b"STARTTLS" and self.server.context:
                self._say(b"220 go on")
                try:
                    self.request = self.server.context.wrap_socket(self.request, server_side=True)
                except (ssl.SSLError, OSError):
                    return
                self.setup()
            elif verb == b"DATA":
                self._say(b"354 go on")
                raw = b"".join(iter(self.rfile.readline, b".\r\n"))
                secret = isinstance(self.request, ssl.SSLSocket)
                self.server.taken.append(raw if secret else b"read by everybody")
                self._say(b"250 taken")
            elif verb == b"QUIT":
                self._say(b"221 bye")
                return
            else:
                self._say(b"250 fine")

    def _say(self, line: bytes) -> None:
        self.wfile.write(line + b"\r\n")


@pytest.fixture
def served() -> Iterator[Callable[[str], Server]]:
    """Run mail servers on this machine, by their certificates."""
    running: list[tuple[Server, threading.Thread]] = []

    def serve(certificate: str) -> Server:
        server = Server(certificate)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        running.append((server, thread))
        return server

    yield serve
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()


def send(runtime: Runtime, server: Server) -> None:
    """Send a mail by the server, which is to be spoken to in secret."""
    url = f"smtp://127.0.0.1:{server.server_address[1]}?starttls=yes"
    settings = replace(runtime.settings, smtp_url=url, mail_from="Support <support@example.com>")
    mail.build(replace(runtime, settings=settings)).send("1", MAIL)


def test_a_mail_goes_over_tls_to_a_server_that_is_trusted(
    runtime: Runtime, served: Callable[[str], Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "localhost.pem"))
    server = served("localhost")
    send(runtime, server)
    assert b"It works again." in server.taken[0]


@pytest.mark.parametrize(
    ("certificate", "trusted"),
    [("localhost", "elsewhere"), ("elsewhere", "elsewhere"), ("", "localhost")],
    ids=["signed by nobody we trust", "of another server", "no TLS at all"],
)
def test_a_server_that_is_not_proven_gets_no_mail(
    runtime: Runtime, served: Callable[[str], Server], monkeypatch: pytest.MonkeyPatch, certificate: str, trusted: str
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(TLS / f"{trusted}.pem"))
    server = served(certificate)
    with pytest.raises(Unavailable, match="mail server"):
        send(runtime, server)
    assert server.taken == []


def test_tls_is_asked_for_everywhere_but_on_this_machine() -> None:
    assert mail.server_of("smtp://mail.example").starttls
    assert not mail.server_of("smtp://127.0.0.1").starttls
    assert mail.server_of("smtps://mail.example").tls
