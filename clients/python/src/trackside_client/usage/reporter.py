"""The thread that sends what was counted: each few seconds, at the end of the process, and never twice.

A reporter begins anew in every forked child, which therefore never sends its parent's counts, and its thread starts
with the first request, so that the workers of a server which loads the application before it forks report apart.
"""

import atexit
import gzip
import json
import os
import random
import sys
import threading
import time
from uuid import uuid4
from weakref import WeakSet

from trackside_client._transport import notes
from trackside_client._transport.courier import Courier, Place
from trackside_client._transport.sender import Answer, Sender
from trackside_client._transport.spool import Batch
from trackside_client.usage import otlp
from trackside_client.usage.config import Config
from trackside_client.usage.counters import Counters
from trackside_client.usage.samples import Samples

_TIMEOUT, _LAST_TIMEOUT = 10.0, 3.0
FOLDED, LOST = "trackside.client.folded", "trackside.client.lost"
"""Counts of requests told to the server: those whose user or route was left out, and those given up."""

_reporters: dict[Config, "Reporter"] = {}
_living: "WeakSet[Reporter]" = WeakSet()


class Reporter:
    """Counts, keeps and sends the requests of one process for one configuration."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self.counters = Counters(on_fold=self._ensure)
        self.samples = Samples(config.stack_traces)
        sender = Sender(config.url, config.api_key)
        place = Place(config.folder(), f"{config.url} {config.api_key}")
        self.courier = Courier("reports", sender, place, done=self._done, lost=self._give_up)
        self.is_running = False
        self._begin()
        _living.add(self)

    def _begin(self) -> None:
        """Set what belongs to this process alone."""
        self._pid = os.getpid()
        self._about = otlp.resource(self._config.service, self._config.version, uuid4().hex)
        self._starting, self._sending = threading.Lock(), threading.Lock()
        self._stopping = threading.Event()
        self._no_traces = False
        self._lost = 0
        self._in_flight: list[Batch] = []

    def forked(self) -> None:
        """Begin anew in a child: what the parent has counted is the parent's to send."""
        self.counters.reset()
        self.samples.reset()
        self.courier.reset()
        self.is_running = False
        self._begin()

    def _ensure(self) -> None:
        if not self.is_running:
            self.start()

    def start(self) -> None:
        """Start the thread of this process, at its first request."""
        with self._starting:
            if self.is_running or self._stopping.is_set():
                return
            self.is_running = True
            _flush_with_multiprocessing(self)
            try:
                threading.Thread(target=self._run, name="trackside-usage", daemon=True).start()
            except RuntimeError:
                notes.once(
                    "threads", "nothing is reported before the process ends: no thread can be started", error=True
                )

    def flush(self, timeout: float = _TIMEOUT) -> None:
        """Send what was counted so far, at once; what cannot be sent goes to the spool."""
        with self._sending:
            self._send(timeout)

    def finish(self) -> None:
        """Send or spool what was counted so far: the application ends, and perhaps the process; never raises."""
        try:
            with self._sending:
                self._send(_LAST_TIMEOUT, last=True)
        except Exception:
            notes.once("close", "the last requests could not be reported", error=True)

    def close(self) -> None:
        """Send or spool all there is, within some seconds: the process ends."""
        if self._pid != os.getpid():
            return
        self._stopping.set()
        if self._sending.acquire(timeout=_LAST_TIMEOUT):
            try:
                self._send(_LAST_TIMEOUT, last=True)
            finally:
                self._sending.release()
        else:  # the thread is waiting for an answer that it will not live to see: the same bytes may be sent again
            for batch in [*self._in_flight, *self._encoded()]:
                self.courier.keep(batch)

    def _run(self) -> None:
        pid, wait = self._pid, self._config.flush_seconds * random.random()  # noqa: S311 - no secret
        while not self._stopping.wait(wait) and os.getpid() == pid:
            began = time.monotonic()
            try:
                self.flush()
            except Exception:
                notes.once("flush", "usage could not be reported", error=True)
            wait = max(0.05, self._config.flush_seconds - (time.monotonic() - began))

    def _send(self, timeout: float, last: bool = False) -> None:
        """Send what waits and what is new; the caller holds `_sending`."""
        courier, self._in_flight = self.courier, self._encoded()
        if not courier.is_away:
            while self._in_flight and courier.send(self._in_flight[0], timeout):
                del self._in_flight[0]
        while self._in_flight:
            courier.keep(self._in_flight[0])
            del self._in_flight[0]
        if last:
            if courier.is_in_memory:  # it ends with the process: this is its last chance
                courier.drain(timeout, self._stopping, time.monotonic() + timeout)
        elif courier.is_due:
            courier.drain(timeout, self._stopping)

    def _encoded(self) -> list[Batch]:
        """Return what was counted since the last time as batches."""
        made = []
        if windows := self.counters.take():
            folded, (lost, self._lost) = sum(each.folded for each in windows), (self._lost, 0)
            lost, self.counters.lost = lost + self.counters.lost, 0
            if folded:
                notes.once("folded", "too many different users or routes at once: some count without their name")
            calls = sum(window.calls for window in windows)
            made.append(_batch("metrics", calls, otlp.metrics(self._about, windows, {FOLDED: folded, LOST: lost})))
        if (samples := self.samples.take()) and not self._no_traces:
            made.append(_batch("traces", 0, otlp.traces(self._about, samples)))
        return made

    def _done(self, batch: Batch, answer: Answer) -> None:
        """Hear what became of a batch."""
        if answer.delivered:
            _say_partial(answer)
        elif batch.kind == "traces" and answer.status in {400, 404, 405, 415}:
            self._no_traces = True
        else:
            self._lost += batch.calls
            notes.once(
                f"refused {answer.status}", "a report was refused with %s: %s", answer.status, answer.words[:500]
            )

    def _give_up(self, calls: int) -> None:
        self._lost += calls


def of(config: Config) -> Reporter:
    """Return this process's reporter for a configuration; one for all applications that share it."""
    found = _reporters.get(config)
    if found is None:
        found = _reporters[config] = Reporter(config)
    return found


def flush() -> None:
    """Send what was counted so far, at once: for scripts, tests and functions that are frozen between calls."""
    for each in list(_living):
        each.flush()


def _batch(kind: str, calls: int, text: bytes) -> Batch:
    return Batch(kind, calls, gzip.compress(text, compresslevel=1, mtime=0))


def _say_partial(answer: Answer) -> None:
    """Log what the server has to say about a report it took."""
    if len(answer.words) <= 2:
        return
    try:
        said = json.loads(answer.words)["partialSuccess"]["errorMessage"]
    except (ValueError, KeyError, TypeError):
        return
    if said:
        alike = "".join(letter for letter in str(said)[:80] if not letter.isdigit())  # shares change with each report
        notes.once(f"said {alike}", "the server says: %s", str(said)[:500])


def _flush_with_multiprocessing(reporter: Reporter) -> None:
    """Let a child of `multiprocessing`, which runs no exit handlers, report its last requests too."""
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None:
        from multiprocessing.util import Finalize

        Finalize(reporter, Reporter.close, args=(reporter,), exitpriority=10)


def _forked() -> None:
    for each in list(_living):
        each.forked()


def _close() -> None:
    for each in list(_living):
        try:
            each.close()
        except Exception:  # noqa: PERF203 - the next one is to be closed all the same
            notes.once("close", "the last requests could not be reported", error=True)


atexit.register(_close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
