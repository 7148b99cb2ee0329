"""What a worker makes of a bell it finds in Redis: one of two calls with checked arguments, or a refusal.

Anyone who can write to Redis can write a job. RQ would import and call whatever function that job names, as well as its
callbacks and webhooks. Here the bell's own words are only `task` or `bell`, a known kind and a number; the timeout and
all else come from our registry, and nothing of what RQ could be told besides is read.
"""

import zlib
from typing import Any

import msgspec
from rq.job import Job as RqJob

from trackside.jobs import run
from trackside.jobs.bells import BELL, TASK
from trackside.module import Job
from trackside.runtime import Runtime

_LONGEST = 4096
_READ = (b"created_at", b"enqueued_at", b"started_at", b"ended_at", b"origin", b"status", b"ttl", b"failure_ttl")
"""Fields of RQ's hash that do no more than keep its books."""
_NOTHING = zlib.compress(b'["", null, [], {}]')
_words = msgspec.json.Decoder(tuple[str, None, list[int | str], dict[str, str]])


class AnsweredJob(RqJob):
    """A bell, read with suspicion; `refused` says why it is not answered."""

    runtime: Runtime
    kinds: dict[str, Job]
    refused: str | None = None
    kind: str = ""
    task_id: int | None = None
    token: str = ""
    """The lease's token, made by the parent so that it can tell how the child ended."""

    @property
    def declared(self) -> Job:
        """What the registry says of this kind."""
        return self.kinds[self.kind]

    def refresh(self) -> None:
        """Read the bell from Redis; what is no hash there is as good as absent."""
        from redis.exceptions import ResponseError
        from rq.exceptions import NoSuchJobError

        try:
            super().refresh()
        except ResponseError as error:
            raise NoSuchJobError(f"No such job: {self.key}") from error

    def restore(self, raw_data: Any) -> None:
        """Take over what is harmless, and check the rest."""
        kept = {name: raw_data[name] for name in _READ if name in raw_data}
        try:
            super().restore({b"data": _NOTHING, **kept})
        except Exception:
            super().restore({b"data": _NOTHING})
            self.refused = "its fields cannot be read"
        self.result_ttl = 0
        self.refused = self.refused or self._read(raw_data.get(b"data", b""))
        self.timeout = int(self.declared.timeout.total_seconds()) or 1 if self.kind else 1

    def _read(self, data: bytes) -> str | None:
        """Take the function and its arguments out of `data`; return why not, where it may not be called."""
        try:
            function, _, args, options = _words.decode(zlib.decompressobj().decompress(data, _LONGEST))
        except (zlib.error, msgspec.MsgspecError, UnicodeDecodeError):
            return "it is not a bell of ours"
        found: int | None
        match function, args, options:
            case (_, [int(task_id), str(kind)], {**none}) if function == TASK and not none:
                found = task_id
            case (_, [str(kind)], {**none}) if function == BELL and not none:
                found = None
            case _:
                return f"it names the function {function[:80]!r}, which workers do not call"
        if kind not in self.kinds:
            return f"no module here has jobs of the kind {kind[:80]!r}"
        self.kind, self.task_id = kind, found
        return None

    @property  # type: ignore[misc]  # RQ also sets it; nobody sets ours
    def func_name(self) -> str:
        """What RQ's log calls this bell; it is never imported."""
        return self.kind

    def _execute(self) -> None:
        if self.refused:
            raise PermissionError(self.refused)
        if self.task_id is not None:
            run.task(self.runtime, self.token, self.task_id, self.kind)
        else:
            run.bell(self.runtime, self.kind)


def answered_job(runtime: Runtime) -> type[AnsweredJob]:
    """Return the class of bells for a worker of `runtime`, which knows its modules' kinds."""
    kinds = {job.kind: job for job in runtime.registry.each(lambda m: m.jobs)}
    return type("AnsweredJob", (AnsweredJob,), {"runtime": runtime, "kinds": kinds})
