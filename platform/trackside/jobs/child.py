"""The bounds of a job's process: it dies with its worker, and it may use only so much memory and time."""

import os
import resource
import signal

from trackside.process import die_with
from trackside.runtime import Runtime

GRACE = 15
"""Seconds after its timeout at which a job is killed."""
MEMORY = 1 << 30
"""Bytes of data a job may hold; beyond it Python raises MemoryError (Linux; macOS does not enforce it)."""


def prepare(runtime: Runtime, timeout: float) -> None:
    """Bind this fresh child to its worker; `timeout` is the job's, in seconds."""
    die_with(os.getppid())
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = MEMORY if hard == resource.RLIM_INFINITY else min(MEMORY, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # PostgreSQL itself must end a statement before the job's time is over: an interrupted client leaves it running
    runtime.database.forked(statement_timeout=timeout * 0.8)


def obituary(status: int, overran: bool, timeout: float) -> str:
    """Return in one line how a child died, from its wait status."""
    if overran:
        return f"It did not end {GRACE} s after its {timeout:g} s and was killed"
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        name = signal.Signals(number).name if number in set(signal.Signals) else str(number)
        hint = ": the machine may have run out of memory" if number == signal.SIGKILL else ""
        return f"Its process was ended by {name}{hint}"
    return f"Its process ended with exit code {os.waitstatus_to_exitcode(status)}"
