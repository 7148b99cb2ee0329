"""Single requests worth keeping, collected at the door: errors, wrong turns and slow ones, masked and bounded.

Whoever reads requests one by one (spans, plain events) calls `Notable.add` for those that `worth` names, and puts
`samples` and `failures` into the batch. What is counted elsewhere is not touched: a failure here says why, not how
often an endpoint was called.
"""

import re
from functools import lru_cache

from trackside_modules.usage.ingest.batch import Failure, Sample, Subject
from trackside_modules.usage.models.names import UNMATCHED

SLOW = 1_000_000
"""Microseconds from which a request is slow."""
MOST_SAMPLES, MOST_FAILURES = 500, 2000
"""Kept of one batch; more of the same kind only count."""
_PER_SUBJECT = 5
_TYPE_LENGTH, _MESSAGE_LENGTH, _PATH_LENGTH = 200, 500, 300
_NANO_MINUTE = 60 * 10**9

_MASKS = (
    (re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,4}"), "<email>"),
    (
        re.compile(r"\b(?:eyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]+)?|ts_[a-z0-9-]+_\w{8,}|(?:sk|pk|ghp|apt|xox[bp])[_-]\w{8,})"),
        "<secret>",
    ),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{6,}"), r"\1 <secret>"),
    (
        re.compile(
            r"(?i)\b(pass(?:word|wd)?|pwd|secret|token|api[-_]?key|authorization|cookie)(['\"]?\s*[=:]\s*)"
            r"(?:\"[^\"]*\"|'[^']*'|[^\s,;&)}\]]+)"
        ),
        r"\1\2<secret>",
    ),
    (re.compile(r"(?<=://)[^/\s:@]{1,100}:[^/\s@]{1,100}@"), "<secret>@"),
    (re.compile(r"\b(?:\d[ -]?){13,19}\b"), "<number>"),
)
_UNWANTED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def mask(text: str, limit: int = _MESSAGE_LENGTH) -> str:
    """Return at most `limit` characters of a text, without e-mail addresses, secrets, card numbers and controls."""
    return _mask(text[: 4 * limit], limit) if text else ""


@lru_cache(maxsize=1024)
def _mask(text: str, limit: int) -> str:
    text = _UNWANTED.sub("", text[: 4 * limit]).strip()
    for pattern, instead in _MASKS:
        text = pattern.sub(instead, text)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def worth(status: int, micros: int, route: str, error: str) -> bool:
    """Whether a request is worth a look of its own: it failed, went wrong, or was slow."""
    return status >= 500 or status in (401, 403, 404, 405, 429) or micros >= SLOW or bool(error) or route == UNMATCHED


class Notable:
    """Collects the samples and failures of one batch."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self._failures: dict[tuple[Subject, int, str, str, bool], int] = {}
        self._kept: dict[tuple[str, str, str, int], int] = {}

    def add(
        self,
        subject: Subject,
        at: int,
        micros: int,
        *,
        path: str = "",
        error: str = "",
        message: str = "",
        trace: str = "",
        counted: bool = True,
    ) -> None:
        """Take a request that is `worth` it.

        Args:
            subject: What was called, how it ended, and for whom.
            at: When it ended, in nanoseconds since 1970.
            micros: How long it took, in microseconds.
            path: Its path; give only what is free of personal data (see `paths`). A query string is cut off.
            error: The type of the error, such as `ValueError`; empty where none is known.
            message: What the error says; masked and cut here.
            trace: The trace id in hex.
            counted: False where another message of the same source counts the same failure.

        """
        error, message = mask(error, _TYPE_LENGTH), mask(message)
        if counted and (error or subject.status >= 500):
            self.fail(subject, at // _NANO_MINUTE, error, message)
        shape = (subject.service, subject.method, subject.route, subject.status)
        kept = self._kept.get(shape, 0)
        if kept < _PER_SUBJECT and len(self.samples) < MOST_SAMPLES:
            self._kept[shape] = kept + 1
            path = mask(path.partition("?")[0].partition("#")[0], _PATH_LENGTH)
            self.samples.append(Sample(subject, at, micros, path, error, message, trace[:64]))

    def fail(
        self, subject: Subject, minute: int, error: str, message: str, *, calls: int = 1, logged: bool = False
    ) -> None:
        """Count failures alike; the texts must be masked already."""
        key = (subject, minute, error, message, logged)
        if key not in self._failures and len(self._failures) >= MOST_FAILURES:
            key = (subject, minute, "", "", logged)
            if key not in self._failures and len(self._failures) >= 2 * MOST_FAILURES:
                return
        self._failures[key] = self._failures.get(key, 0) + calls

    @property
    def failures(self) -> list[Failure]:
        """Return what failed, alike ones counted together."""
        return [
            Failure(subject, minute, error, message, calls, logged)
            for (subject, minute, error, message, logged), calls in self._failures.items()
        ]
