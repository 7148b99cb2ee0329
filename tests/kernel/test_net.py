"""The outbound client: never into the house, never for long, never too much."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackside.net import Network, Refused, Unreachable, is_public, network_of, own_ports, resolve_name
from trackside.settings import Settings, load_settings

INSIDE = """127.0.0.1 127.1.2.3 0.0.0.0 10.0.0.1 172.16.0.1 192.168.1.1 169.254.169.254 100.64.0.1 192.0.0.1 192.0.2.1
198.18.0.1 198.51.100.1 203.0.113.1 224.0.0.1 239.1.1.1 240.0.0.1 255.255.255.255 192.88.99.1 :: ::1 ::ffff:127.0.0.1
::ffff:10.0.0.1 ::127.0.0.1 64:ff9b::7f00:1 64:ff9b:1::1 2002:7f00:1:: 2002:808:808:: 2001:0:4136:e378:8000::1 fe80::1
fe80::1%1 fec0::1 fc00::1 fd12::1 ff02::1 ff0e::1 2001:db8::1 100::1 nonsense""".split()  # noqa: SIM905


@pytest.mark.parametrize("address", INSIDE)
def test_an_address_inside_or_leading_there_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8"])
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert is_public(address)


@given(st.ip_addresses(v=4, network="127.0.0.0/8"))
def test_no_spelling_of_this_machine_is_called(ip: object) -> None:
    number = int(ip)  # type: ignore[call-overload]
    low = number & 0xFFFFFF
    for host in (str(ip), f"127.{low}", f"0x{number:x}", str(number), f"[::ffff:{ip}]", f"0177.{low}"):
        with pytest.raises(Refused):
            Network().check(f"http://{host}/")


@pytest.mark.parametrize(
    "url",
    [
        "http://127.1/",
        "http://0x7f000001/",
        "http://2130706433/",
        "http://[::ffff:127.0.0.1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://[2002:7f00:1::]/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[fe80::1%25eth0]/",
        "http://localhost/",
        "http://user@8.8.8.8/",
        "http://user:secret@8.8.8.8/",
        "http://8.8.8.8:22/",
        "http://8.8.8.8:5432/",
        "http://8.8.8.8:6379/",
        "http://8.8.8.8:8000/",
        "http://8.8.8.8:99999/",
        "http://8.8.8.8:x/",
        "ftp://8.8.8.8/",
        "file:///etc/passwd",
        "gopher://8.8.8.8/",
        "//8.8.8.8/",
        "http:///path",
        "http://8.8.8.8/a b",
        "http://8.8.8.8/\r\nX: y",
        "http://8.8.8.8\\@127.0.0.1/",
        "http://ⓛocalhost/",
        "",
    ],
)
def test_a_forbidden_address_is_never_called(url: str) -> None:
    settings = load_settings(
        {},
        secret_key="Zk3vQ9tW7mX1bR5nJ8cL2dF6hS4gA0pYxEuT",
        database_url="postgresql://x/y",
        redis_url="redis://x",
    )
    with pytest.raises(Refused):
        Network(own_ports(settings)).check(url)


def test_one_inside_address_among_several_refuses_them_all() -> None:
    network = Network(resolve=lambda host, port: ["8.8.8.8", "10.0.0.1"])
    with pytest.raises(Refused):
        network.check("https://example.com/")


def test_a_name_nobody_knows_is_unreachable() -> None:
    def fail(host: str, port: int) -> list[str]:
        raise socket.gaierror

    with pytest.raises(Unreachable):
        Network(resolve=fail).check("https://example.com/")


def test_a_name_that_is_not_resolved_in_time_is_unreachable() -> None:
    over = threading.Event()
    network = Network(resolve=lambda host, port: ["8.8.8.8"] if over.wait(60) else [])
    began = time.monotonic()
    with pytest.raises(Unreachable, match=r"not resolved within 0.05 s"):
        network.check("https://example.com/", 0.05)
    with pytest.raises(Unreachable, match=r"not resolved"):
        network.send("POST", "https://example.com/", seconds=0.05)
    assert time.monotonic() - began < 30
    over.set()


Serve = Callable[[bytes], int]


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[socket.socket], None]], int]]:
    """Give a server of one connection, answered by a function."""
    listening: list[socket.socket] = []

    def start(answer: Callable[[socket.socket], None]) -> int:
        server = socket.create_server(("127.0.0.1", 0))
        listening.append(server)

        def run() -> None:
            try:
                connection, _ = server.accept()
                with connection:
                    connection.recv(65536)
                    answer(connection)
            except OSError:
                pass

        threading.Thread(target=run, daemon=True).start()
        port: int = server.getsockname()[1]
        return port

    yield start
    for server in listening:
        server.close()


def here(calls: list[str] | None = None) -> Network:
    def resolve(host: str, port: int) -> list[str]:
        if calls is not None:
            calls.append(host)
        return ["127.0.0.1"]

    return Network(resolve=resolve, public=lambda address: True)


def test_the_name_is_resolved_once_and_the_checked_address_called(serve: Callable[..., int]) -> None:
    port = serve(lambda c: c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"))
    calls: list[str] = []
    answer = here(calls).send("POST", f"http://hook.example:{port}/x?y=1", body=b"{}")
    assert (answer.status, answer.body, calls) == (200, b"hi", ["hook.example"])


def test_a_redirect_is_not_followed(serve: Callable[..., int]) -> None:
    port = serve(lambda c: c.sendall(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n"))
    assert here().send("GET", f"http://hook.example:{port}/").status == 302


def test_an_endless_answer_is_cut(serve: Callable[..., int]) -> None:
    def flood(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n")
        for _ in range(1000):
            connection.sendall(bytes(65536))

    answer = here().send("GET", f"http://hook.example:{serve(flood)}/", most=1000)
    assert (len(answer.body), answer.cut) == (1000, True)


def test_a_dripping_answer_ends_in_time(serve: Callable[..., int]) -> None:
    sent: list[int] = []

    def drip(connection: socket.socket) -> None:
        for character in b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200:
            connection.sendall(bytes([character]))
            sent.append(character)
            time.sleep(0.05)

    with pytest.raises(Unreachable):
        here().send("GET", f"http://hook.example:{serve(drip)}/", seconds=0.3)
    assert len(sent) < 200, "it was heard to its end"


def test_nobody_there_and_nonsense_are_unreachable(serve: Callable[..., int]) -> None:
    port = serve(lambda c: c.sendall(b"\x00\x01 nonsense\r\n\r\n"))
    for url in (f"http://hook.example:{port}/", "http://hook.example:9/".replace(":9/", ":1025/")):
        with pytest.raises(Unreachable):
            here().send("GET", url, seconds=2)


def test_the_systems_own_resolver_is_used() -> None:
    assert "127.0.0.1" in resolve_name("127.1", 80)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.1/",
        "http://0x7f000001/",
        "http://2130706433/",
        "http://[::ffff:127.0.0.1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://169.254.169.254/latest",
        "http://10.0.0.8/",
        "ftp://8.8.8.8/",
        "http://ann:secret@8.8.8.8/",
        "http://8.8.8.8:6379/",
    ],
)
def test_the_house_is_never_called_by_a_webhook(settings: Settings, url: str) -> None:
    with pytest.raises((Refused, Unreachable)):
        network_of(replace(settings, outbound_networks=())).check(url)


def test_an_operator_may_let_a_network_in_but_not_our_own_ports(settings: Settings) -> None:
    network = network_of(replace(settings, outbound_networks=("10.1.0.0/16",), base_url="http://10.1.0.2:8000"))

    assert network.check("http://10.1.2.3:8080/") == ["10.1.2.3"]
    for url in ("http://10.2.0.1/", "http://10.1.0.2:8000/"):
        with pytest.raises(Refused):
            network.check(url)
    wrong = {"TRACKSIDE_OUTBOUND_NETWORKS": "10.1.0.0/16, here"}
    with pytest.raises(Exception, match="'here', which is no network"):
        load_settings(wrong | {"TRACKSIDE_SECRET_KEY": settings.secret_key, "DATABASE_URL": "x", "REDIS_URL": "x"})
