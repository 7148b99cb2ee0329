"""`trackside worker QUEUE`: one process that answers the bells of one queue, each in a child of its own.

RQ's fork worker, with what it lacks for our promises: it calls two functions only, and nothing else that someone wrote
into Redis; it outlives Redis and registers itself again; a child that neither ends nor listens is killed 15 s after its
timeout; and why a child died is written into the task. One queue a process, since RQ loses a job that dies between
dequeue and start when a worker listens to more.
"""

import math
import os
import signal
import socket
import threading
import time
from contextlib import suppress
from typing import Any
from uuid import uuid4

import click
import structlog
from redis import Redis, RedisError
from rq import Worker
from rq.queue import Queue
from rq.timeouts import HorseMonitorTimeoutException, JobTimeoutException, UnixSignalDeathPenalty
from rq.utils import now
from rq.worker import WorkerStatus
from rq.worker_registration import register
from sqlalchemy.orm import configure_mappers

from trackside.errors import NotFound
from trackside.jobs import child, run
from trackside.jobs.answer import AnsweredJob, answered_job
from trackside.jobs.bells import queue as rq_queue
from trackside.jobs.bells import queues
from trackside.process import settle
from trackside.redis import connect
from trackside.runtime import Runtime

log = structlog.get_logger(__name__)
MAX_JOBS = 1000
"""Jobs after which a worker ends with exit code 0, for its supervisor to start a fresh one: leaks stay small."""
FIRST_WAIT, LONGEST_WAIT = 0.5, 15.0
"""Seconds between two tries to reach Redis."""


class DeathPenalty(UnixSignalDeathPenalty):
    """RQ's alarm, raising what `except Exception` does not catch."""

    def handle_death_penalty(self, signum: int, frame: Any) -> None:
        """End the job, or the wait for it."""
        if self._exception is JobTimeoutException:
            raise run.JobTimeout
        raise self._exception


class BellWorker(Worker):
    """The worker of one queue."""

    death_penalty_class = DeathPenalty
    max_connection_wait_time = LONGEST_WAIT

    def __init__(self, runtime: Runtime, name: str, connection: "Redis", stop: threading.Event) -> None:
        job_class = answered_job(runtime)
        super().__init__(
            [rq_queue(connection, name)],
            name=f"{name}-{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:6]}",
            connection=connection,
            worker_ttl=90,
            maintenance_interval=30,
            job_monitoring_interval=10,
            default_result_ttl=0,
            job_class=job_class,
            serializer="json",
            log_job_description=False,
        )
        self.queues[0].job_class = job_class
        self.runtime = runtime
        self.stop = stop
        """Set when we were asked to stop."""
        self.answered = 0

    @property
    def dequeue_timeout(self) -> int:
        """Seconds of one wait for a bell; between two, the worker shows that it lives and does maintenance."""
        return 10

    def bootstrap(self, *_: Any, **__: Any) -> None:
        """Register; no thread listens for RQ's commands, which anyone who reaches Redis could send."""
        self.register_birth()
        self.set_state(WorkerStatus.STARTED)

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:
        """Show that we live; after a FLUSHALL, register again."""
        super().heartbeat(timeout, pipeline)
        if pipeline is None and not self.connection.hexists(self.key, "birth"):
            self.connection.hset(self.key, mapping=self.serialize())
            register(self)

    def maintain_heartbeats(self, job: Any, execution: Any) -> None:
        """Show that the job lives; Redis away is no reason to leave its child alone."""
        with suppress(RedisError):
            super().maintain_heartbeats(job, execution)

    def clean_registries(self) -> None:
        """Tidy RQ's lists; whatever someone put into them does not stop us."""
        try:
            super().clean_registries()
        except RedisError:
            raise
        except Exception as error:
            self.last_cleaned_at = now()  # type: ignore[assignment]  # RQ declares only its None
            log.warning("jobs.maintenance_failed", queue=self.queues[0].name, error=type(error).__name__)

    def procline(self, message: str) -> None:
        """Keep the name that `ps` shows: the command's."""

    def _install_signal_handlers(self) -> None:
        super()._install_signal_handlers()
        self._stop_requested = self.stop.is_set()  # asked while we were still registering

    def request_stop(self, signum: Any, frame: Any) -> None:
        """On SIGTERM or SIGINT: finish the job at hand, then end."""
        self.stop.set()
        super().request_stop(signum, frame)

    def set_shutdown_requested_date(self) -> None:
        """Write nothing: this is called from a signal handler, where Redis may be away."""

    def teardown(self) -> None:
        """Leave RQ's list of workers, where that is possible."""
        with suppress(RedisError):
            self.register_death()

    def execute_job(self, job: Any, queue: Queue) -> None:
        """Answer one bell in a child, or refuse it."""
        self.answered += 1
        if job.refused:
            log.error("jobs.refused", queue=queue.name, bell=job.id, why=job.refused)
            with self.connection.pipeline() as pipeline:
                pipeline.lrem(queue.intermediate_queue_key, 1, job.id)
                pipeline.delete(job.key)
                pipeline.execute()
            return
        job.token = uuid4().hex
        super().execute_job(job, queue)

    def main_work_horse(self, job: Any, queue: Queue) -> None:
        """In the child: set its bounds, then do the job."""
        child.prepare(self.runtime, job.timeout)
        super().main_work_horse(job, queue)

    def monitor_work_horse(self, job: Any, queue: Queue, execution: Any) -> None:
        """Wait for the child; kill it where it outstays its timeout; write down how it died."""
        job.started_at = now()
        deadline = time.monotonic() + job.timeout + child.GRACE
        status, overran = None, False
        while status is None:
            left = deadline - time.monotonic()
            if left <= 0 and not overran:
                overran = True
                self.kill_horse()
            wait = math.ceil(min(self.job_monitoring_interval, max(left, 1)))
            try:
                with self.death_penalty_class(wait, HorseMonitorTimeoutException):
                    pid, status, _ = self.wait_for_horse()
                    status = 0 if pid is None else status
            except HorseMonitorTimeoutException:
                self.maintain_heartbeats(job, execution)
        self._horse_pid = 0
        self.executions.pop(execution.id, None)
        if status != 0:
            self._record_death(job, queue, execution, child.obituary(status, overran, job.timeout))

    def _record_death(self, job: AnsweredJob, queue: Queue, execution: Any, reason: str) -> None:
        log.warning("jobs.child_died", bell=job.id, kind=job.kind, reason=reason)
        if job.task_id is not None:
            limit = job.declared.max_attempts
            run.record_failure(self.runtime, job.task_id, job.token, reason, limit)
            self.runtime.database.dispose()  # the next child must not inherit a connection
        job.ended_at = now()
        with suppress(RedisError):
            self.handle_job_failure(job, queue=queue, exc_string=reason, execution=execution)


def serve(runtime: Runtime, name: str, *, max_jobs: int = MAX_JOBS) -> None:
    """Answer the bells of the queue `name` until asked to stop, or until `max_jobs` are done.

    Raises NotFound where no job uses that queue.
    """
    if name not in queues(runtime):
        raise NotFound(f"No job uses the queue {name!r}; there are: {', '.join(queues(runtime))}")
    _load(runtime)
    stop = threading.Event()
    answered, wait, ready = 0, FIRST_WAIT, False
    while not stop.is_set() and answered < max_jobs:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        try:
            worker = BellWorker(runtime, name, connect(runtime.settings.redis_queue_url, timeout=None), stop)
            if not ready:
                ready = True
                click.echo(f"READY worker {name}")
            worker.work(logging_level=None, max_jobs=max_jobs - answered)
        except RedisError as error:
            if wait == FIRST_WAIT:
                log.warning("jobs.redis_away", queue=name, error=type(error).__name__)
            stop.wait(wait)
            wait = min(wait * 2, LONGEST_WAIT)
        else:
            answered, wait = answered + worker.answered, FIRST_WAIT
            if answered < max_jobs:
                stop.wait(FIRST_WAIT)  # not asked to stop: Redis went away meanwhile


def _load(runtime: Runtime) -> None:
    """Load everything before the first fork: children share it, and start in milliseconds."""
    import logging

    for logger in ("rq.worker", "rq.job", "rq.queue"):
        logging.getLogger(logger).setLevel(logging.WARNING)
    configure_mappers()
    runtime.database.dispose()
    settle()
