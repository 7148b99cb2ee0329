"""The one way out: requests to addresses that members typed in (webhooks), which must not reach into the house.

A name is resolved once, every address behind it is checked, and the connection goes to what was checked, so that a
name cannot point elsewhere a moment later. No redirects, no proxies of the environment, bounded in bytes and time.
`check` says the same without connecting: it is asked when an address is saved, when it is tried and when it is used.
"""

import http.client
import re
import socket
import ssl
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from queue import Empty, SimpleQueue
from threading import Thread, Timer
from time import monotonic
from urllib.parse import SplitResult, urlsplit

from trackside.errors import InputError, Unavailable
from trackside.settings import Settings

MOST_BYTES = 64 * 1024
SECONDS = 10.0
RESOLVING = 3.0
"""Seconds that a name may take to be resolved."""
_PLAIN = re.compile(r"[\x21-\x7e]+")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_UNICAST = IPv6Network("2000::/3")
# `is_global` is true for all of these: they lead to other addresses, or to many
_LEADS_ELSEWHERE = tuple(
    ip_network(text) for text in ("192.88.99.0/24", "2001::/32", "2002::/16", "64:ff9b::/96", "64:ff9b:1::/48")
)


class Refused(InputError):
    """The address is one that Trackside does not call; trying again will not help."""

    code = "address-refused"
    title = "Trackside does not call this address"


class Unreachable(Unavailable):
    """The other side did not answer, or not in time; trying again may help."""

    code = "unreachable"
    title = "The other side did not answer"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; a body longer than the cap is cut."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    cut: bool = False


Resolve = Callable[[str, int], Iterable[str]]


def resolve_name(host: str, port: int) -> list[str]:
    """Return the addresses of `host`; raises OSError. Also understands 127.1, 0x7f000001 and 2130706433."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def is_public(address: str) -> bool:
    """Whether `address` is one machine of the public internet, and leads nowhere else (NAT64, 6to4, Teredo)."""
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, IPv6Address):
        if ip.ipv4_mapped is not None:
            return is_public(str(ip.ipv4_mapped))
        if ip not in _UNICAST or ip.scope_id is not None:
            return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved and not _leads_elsewhere(ip)


def _leads_elsewhere(ip: IPv4Address | IPv6Address) -> bool:
    return any(ip.version == network.version and ip in network for network in _LEADS_ELSEWHERE)


def own_ports(settings: Settings) -> frozenset[int]:
    """Return the ports of our own processes and servers, as far as they are not those of the web."""
    urls = (settings.base_url, settings.stream_url, settings.database_url, settings.redis_url, settings.redis_queue_url)
    found = {urlsplit(url).port or 0 for url in (*urls, settings.redis_live_url, settings.redis_pubsub_url)}
    return frozenset(found | {5432, 6379}) - {0, 80, 443}


def network_of(settings: Settings) -> "Network":
    """Return the client of `settings`: the public internet, and the networks that its operator lets in."""
    allowed = [ip_network(text) for text in settings.outbound_networks]

    def public(address: str) -> bool:
        return is_public(address) or _is_within(address, allowed)

    return Network(own_ports(settings), public=public)


def _is_within(address: str, networks: Iterable[IPv4Network | IPv6Network]) -> bool:
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    return any(ip.version == network.version and ip in network for network in networks)


@dataclass(frozen=True)
class Network:
    """The outbound client.

    Args:
        refused_ports: ports never called, whatever the host (see `own_ports`).
        resolve: names to addresses.
        public: which addresses may be called; tests let their own server in.

    """

    refused_ports: frozenset[int] = frozenset()
    resolve: Resolve = resolve_name
    public: Callable[[str], bool] = is_public
    context: Callable[[], ssl.SSLContext] = ssl.create_default_context

    def check(self, url: str, seconds: float = RESOLVING) -> list[str]:
        """Return the addresses behind `url`, all of them public.

        Raises Refused, or Unreachable for a name that is unknown, or not resolved within `seconds`.
        """
        parts = self._split(url)
        host, port = parts.hostname or "", _port(parts)
        try:
            addresses = _in_time(seconds, lambda: list(self.resolve(host, port)))
        except TimeoutError as error:
            raise Unreachable(f"The name {host} was not resolved within {seconds:g} s.") from error
        except (OSError, UnicodeError) as error:
            raise Unreachable(f"The name {host} cannot be resolved.") from error
        if not addresses or not all(map(self.public, addresses)):
            raise Refused(f"{host} is not an address of the public internet.", {"url": "not a public address"})
        return addresses

    def send(
        self,
        method: str,
        url: str,
        *,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        seconds: float = SECONDS,
        most: int = MOST_BYTES,
    ) -> Answer:
        """Send a request and return the answer, whatever its status; a redirect is an answer too.

        Raises Refused for an address that is not called, Unreachable where nothing came back within `seconds`.
        """
        until = monotonic() + seconds
        addresses = self.check(url, min(seconds, RESOLVING))
        parts, seconds = urlsplit(url), max(0.1, until - monotonic())
        connection = _Pinned(parts.hostname or "", _port(parts), addresses[0], seconds)
        connection.tls = self.context() if parts.scheme == "https" else None
        # a timeout of the socket starts anew with each byte that drips in: this one does not
        watchdog = Timer(seconds, connection.cut_off)
        watchdog.daemon = True
        watchdog.start()
        try:
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            connection.request(method, target, body, {"Connection": "close", **(headers or {})})
            answer = connection.getresponse()
            read = answer.read(most + 1)
            return Answer(answer.status, dict(answer.headers.items()), read[:most], cut=len(read) > most)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Unreachable(f"{parts.hostname} did not answer: {type(error).__name__}.") from error
        finally:
            watchdog.cancel()
            connection.close()

    def _split(self, url: str) -> SplitResult:
        if not _PLAIN.fullmatch(url) or "\\" in url:
            raise _refuse("Write the address in plain characters, without spaces.")
        try:
            parts = urlsplit(url)
            port = _port(parts)
        except ValueError as error:
            raise _refuse("This is not an address.") from error
        if parts.scheme not in _DEFAULT_PORTS:
            raise _refuse("Only http:// and https:// addresses are called.")
        if not parts.hostname or "%" in parts.netloc:
            raise _refuse("The address has no host.")
        if "@" in parts.netloc:
            raise _refuse("A user or password in the address is not taken: send a header.")
        if port in self.refused_ports or (port < 1024 and port not in _DEFAULT_PORTS.values()):
            raise _refuse(f"Port {port} is not called.")
        return parts


class _Pinned(http.client.HTTPConnection):
    """A connection to an address that was checked, under the name it was asked for."""

    tls: ssl.SSLContext | None = None

    def __init__(self, host: str, port: int, address: str, seconds: float) -> None:
        super().__init__(host, port, timeout=seconds)
        self._address = address

    def connect(self) -> None:
        self.sock = socket.create_connection((self._address, self.port), self.timeout)
        if self.tls is not None:
            # set before the handshake, so that `cut_off` ends a slow one too
            self.sock = made = self.tls.wrap_socket(self.sock, server_hostname=self.host, do_handshake_on_connect=False)
            made.do_handshake()

    def cut_off(self) -> None:
        """End the connection from another thread: whoever waits for it wakes up with an error."""
        if self.sock is not None:
            try:
                self.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                self.sock.close()


def _in_time(seconds: float, work: Callable[[], list[str]]) -> list[str]:
    """Return what `work` does, in a thread that is left to itself once it takes too long; raises TimeoutError."""
    done: SimpleQueue[list[str] | BaseException] = SimpleQueue()

    def run() -> None:
        try:
            done.put(work())
        except BaseException as error:
            done.put(error)

    Thread(target=run, daemon=True, name="resolve").start()
    try:
        found = done.get(timeout=seconds)
    except Empty:
        raise TimeoutError from None
    if isinstance(found, BaseException):
        raise found
    return found


def _port(parts: SplitResult) -> int:
    return parts.port if parts.port is not None else _DEFAULT_PORTS.get(parts.scheme, 0)


def _refuse(message: str) -> Refused:
    return Refused(message, {"url": message})
