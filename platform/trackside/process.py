"""What every process of ours needs of its machine: to die with its parent, a port that is free, an address to show."""

import ctypes
import gc
import os
import signal
import socket
import sys
import time
from threading import Thread

from trackside.errors import StartError

_PR_SET_PDEATHSIG = 1
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound


def die_with(parent: int) -> None:
    """End this process when its parent is gone, killed too: the kernel does it on Linux, a thread elsewhere."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)
        return

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    Thread(target=watch, daemon=True).start()


def settle() -> None:
    """Let the collector pass over all that is there now and stays, and come less often, in a process that stays.

    Half a million objects live as long as the app: looking at each of them took a tenth of all pages' time, and 100 ms
    at once of every twentieth page.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)


def reachable(host: str) -> str:
    """Return the address at which this machine itself reaches a server that listens at `host`."""
    return _ANY.get(host, host)


def url_of(host: str, port: int) -> str:
    """Return the URL of a server that listens at `host` and `port`."""
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def check_port(host: str, port: int, patience: float = 1.0) -> None:
    """Raise StartError where `port` is taken or `host` is no address of this machine.

    granian shares its port (SO_REUSEPORT), so a second server would silently take half of the requests.
    """
    give_up = time.monotonic() + patience
    while True:
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
            return
        except OSError as error:
            # a predecessor that was killed may still be going
            if time.monotonic() < give_up:
                time.sleep(0.05)
                continue
            reason = error.strerror or error
            raise StartError(
                f"Cannot listen at {host}:{port}: {reason}. Stop what uses it or choose another --port."
            ) from error
