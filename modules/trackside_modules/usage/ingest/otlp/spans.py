"""Turn the server spans of a traces request into a batch: single requests, those worth seeing, and who sent them."""

from collections import Counter
from collections.abc import Iterable
from urllib.parse import urlsplit

from trackside_modules.usage.ingest.batch import Batch, Notice, Release, Request, Subject
from trackside_modules.usage.ingest.notable import Notable, worth
from trackside_modules.usage.ingest.otlp.answers import Verdict
from trackside_modules.usage.ingest.otlp.conventions import Naming, release, subject, text_of
from trackside_modules.usage.ingest.otlp.origins import Origins
from trackside_modules.usage.ingest.otlp.points import Attributes, Span, too_many
from trackside_modules.usage.ingest.otlp.times import Refused, check_time, is_ahead
from trackside_modules.usage.ingest.paths import template
from trackside_modules.usage.models.names import UNMATCHED

MOST_SPANS = 100_000
OUR_CLIENT = "trackside-client"
"""Sends examples alone as spans: its metrics hold all requests, however late its spool delivers them."""
_LONGEST = 7 * 24 * 3600 * 10**9
_HTTP = ("http.request.method", "http.method", "http.response.status_code", "http.status_code")


def take_spans(spans: Iterable[Span | None], naming: Naming, now: int) -> tuple[Batch, Verdict]:
    """Return the batch that a traces request holds, and the verdict to answer with.

    Spans of other kinds, of other protocols and within another server span are accepted and left out. Raises as
    `normalise` does.
    """
    intake = _Intake(naming, now)
    for number, span in enumerate(spans):
        if number >= MOST_SPANS:
            raise too_many(MOST_SPANS)
        if span is None:
            intake.refused["the span is larger than 256 KiB"] += 1
        elif not span.nested and any(name in span.attributes for name in _HTTP):
            intake.take(span)
    return intake.batch(), intake.verdict()


class _Intake:
    """Collects the spans of one request."""

    def __init__(self, naming: Naming, now: int) -> None:
        self._naming, self._now = naming, now
        self._requests: list[Request] = []
        self._notable, self._origins = Notable(), Origins("traces")
        self._notices: Counter[tuple[str, str]] = Counter()
        self._releases: set[Release] = set()
        self.refused: Counter[str] = Counter()

    def take(self, span: Span) -> None:
        """Take a span; refuse it where it cannot be true."""
        try:
            check_time(span.end, self._now)
            if not span.start or span.end < span.start:
                raise Refused("the span ends before it starts")
            if span.end - span.start > _LONGEST:
                raise Refused("a duration is longer than 7 days")
        except Refused as refusal:
            self.refused[str(refusal)] += 1
            return
        about, unusable = subject(span.attributes, span.source.resource, self._naming, of_span=True)
        error, message = _error(span)
        if not about.status and (span.failed or error):
            about = Subject(about.service, about.method, about.route, 500, about.user, about.account)
        if unusable:
            self._notices["user-unusable", about.service] += 1
        if is_ahead(span.end, self._now):
            self._notices["clock-ahead", about.service] += 1
        if named := release(span.source.resource):
            self._releases.add(named)
        self._origins.add(span.source, about, span.end)
        micros = (span.end - span.start + 500) // 1000
        apitally = is_apitally(span.source.resource)
        bare = about.route == UNMATCHED
        # Apitally leaves these out of its metrics, always: only its spans tell of them
        always = apitally and (bare or about.method == "OPTIONS")
        if text_of(span.source.resource.get("telemetry.sdk.name")) != OUR_CLIENT:
            self._requests.append(Request(about, span.end, micros, always))
        if worth(about.status, micros, about.route, error):
            # Apitally also sends counts of its 500s, of all where spans may be sampled
            told = apitally and about.status == 500 and bool(error) and not bare
            self._notable.add(
                about,
                min(span.end, self._now),
                micros,
                path=template(_path(span.attributes)),
                error=error,
                message=message,
                trace=span.trace,
                counted=not told,
            )

    def batch(self) -> Batch:
        """Return what was taken."""
        told = [*self._notices.items(), *((("refused", reason), spans) for reason, spans in self.refused.items())]
        return Batch(
            [],
            [],
            [Notice(kind, about, points) for (kind, about), points in told],
            releases=sorted(self._releases, key=lambda each: (each.service, each.version)),
            samples=self._notable.samples,
            failures=self._notable.failures,
            origins=self._origins.all(),
            requests=self._requests,
        )

    def verdict(self) -> Verdict:
        """Return how many spans were refused, and why."""
        rejected = self.refused.total()
        parts = [f"{spans} x {reason}" for reason, spans in self.refused.most_common(5)]
        return Verdict(rejected, f"{rejected} spans refused: " + "; ".join(parts) if rejected else "")


def is_apitally(resource: Attributes) -> bool:
    """Whether one of Apitally's SDKs sends this."""
    return text_of(resource.get("telemetry.distro.name")).startswith("apitally")


def _error(span: Span) -> tuple[str, str]:
    """Return type and message of what went wrong; both empty where nothing is told."""
    if span.exception is not None:
        kind = text_of(span.exception.get("exception.type")) or "Exception"
        return kind, text_of(span.exception.get("exception.message"))
    kind = text_of(span.attributes.get("error.type"))
    if kind.isdecimal() or kind == "_OTHER":  # the status again
        kind = ""
    return kind, span.message if span.failed else ""


def _path(attributes: Attributes) -> str:
    for name in ("url.path", "http.target"):
        if found := text_of(attributes.get(name)):
            return found
    url = text_of(attributes.get("url.full")) or text_of(attributes.get("http.url"))
    try:
        return urlsplit(url).path
    except ValueError:
        return ""
