"""Turn log records into a batch: what Apitally's SDKs tell by events, and exceptions that services log.

| event | says |
|---|---|
| `apitally.app.startup` | JSON text: `paths` (`method`, `path`), `versions` (`app`) |
| `apitally.consumer.update` | `identifier`, `name`, `group`, `attributes` |
| `apitally.request.server_error` | `method`, `path`, `type`, `message`, `counts` (`consumer`, `count`) |
| `apitally.request.validation_error` | `method`, `path`, `source`, `field`, `message`, `type`, `counts` |

Records that are none of these are accepted and left out: Trackside keeps no logs.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec

from trackside.customers import identity
from trackside_modules.usage.ingest.batch import Batch, Notice, Person, Release, Route, Subject
from trackside_modules.usage.ingest.notable import Notable, mask
from trackside_modules.usage.ingest.otlp.answers import Verdict
from trackside_modules.usage.ingest.otlp.conventions import Naming, method_of, release, service_of, subject, text_of
from trackside_modules.usage.ingest.otlp.origins import Origins
from trackside_modules.usage.ingest.otlp.points import Log, Value, too_many
from trackside_modules.usage.ingest.otlp.times import Refused, check_time
from trackside_modules.usage.ingest.paths import clean, template
from trackside_modules.usage.models.names import OTHER

MOST_RECORDS = 100_000
MOST_PEOPLE, MOST_ROUTES, MOST_COUNTS = 10_000, 5000, 10_000
_NAME_LENGTH = 120
_MOST_ALIKE = 10**9
_MINUTE = 60 * 10**9


def take_logs(records: Iterable[Log | None], naming: Naming, now: int) -> tuple[Batch, Verdict]:
    """Return the batch that a logs request holds, and the verdict to answer with. Raises as `normalise` does."""
    intake = _Intake(naming, now)
    for number, record in enumerate(records):
        if number >= MOST_RECORDS:
            raise too_many(MOST_RECORDS)
        if record is None:
            intake.refused["the record is larger than 256 KiB"] += 1
        else:
            intake.take(record)
    return intake.batch(), intake.verdict()


class _Intake:
    """Collects the records of one request."""

    def __init__(self, naming: Naming, now: int) -> None:
        self._naming, self._now = naming, now
        self._notable, self._origins = Notable(), Origins("logs")
        self._people: dict[str, Person] = {}
        self._routes: set[Route] = set()
        self._releases: set[Release] = set()
        self._counted = 0
        self.refused: Counter[str] = Counter()

    def take(self, record: Log) -> None:
        """Take a record; refuse one of ours that cannot be read, leave out what is none of ours."""
        service = service_of(record.source.resource)
        self._origins.add(record.source, None, min(record.time, self._now))
        if named := release(record.source.resource):
            self._releases.add(named)
        event = record.event or text_of(record.attributes.get("event.name"))
        try:
            if event == "apitally.app.startup":
                self._startup(service, record.body)
            elif event == "apitally.consumer.update":
                self._consumer(_map(record.body))
            elif event == "apitally.request.server_error":
                self._errors(service, record, 500)
            elif event == "apitally.request.validation_error":
                self._errors(service, record, 422)
            elif "exception.type" in record.attributes or "exception.message" in record.attributes:
                self._exception(record)
        except Refused as refusal:
            self.refused[str(refusal)] += 1

    def _startup(self, service: str, body: Value) -> None:
        try:
            told = msgspec.json.decode(body, type=_Startup) if isinstance(body, str) else None
        except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
            raise Refused("a startup event is not the JSON it should be") from error
        if told is None:
            raise Refused("a startup event has no text")
        for path in told.paths or ():
            route = template(path.path, trusted=True)
            if route and len(self._routes) < MOST_ROUTES:
                self._routes.add(Route(service, method_of(path.method), route))
        version = clean(text_of((told.versions or {}).get("app")), _NAME_LENGTH)
        if version:
            self._releases.add(Release(service, version))

    def _consumer(self, body: dict[str, Any]) -> None:
        user = identity.clean(text_of(body.get("identifier"))) or ""
        if not user:
            raise Refused("a consumer has no usable identifier")
        group = identity.clean(text_of(body.get("group"))) or ""
        name = clean(text_of(body.get("name")), _NAME_LENGTH)
        if user in self._people or len(self._people) < MOST_PEOPLE:
            self._people[user] = Person(user, name, group)

    def _errors(self, service: str, record: Log, status: int) -> None:
        check_time(record.time, self._now)
        body = _map(record.body)
        method, route = method_of(text_of(body.get("method"))), template(text_of(body.get("path")), trusted=True)
        kind, message = text_of(body.get("type")), text_of(body.get("message"))
        if status == 422:
            place = ".".join(part for part in (text_of(body.get("source")), text_of(body.get("field"))) if part)
            message = f"{place}: {message}" if place else message
        counts = body.get("counts")
        minute = min(record.time, self._now) // _MINUTE
        for each in counts if isinstance(counts, list) else ():
            calls = each.get("count") if isinstance(each, dict) else None
            if not isinstance(calls, int) or not 0 < calls < _MOST_ALIKE:
                raise Refused("the count of an error is no number that can be")
            self._counted += 1
            if self._counted > MOST_COUNTS:
                raise too_many(MOST_COUNTS)
            user = identity.clean(text_of(each.get("consumer"))) or ""
            about = Subject(service, method, route or OTHER, status, user, "")
            self._notable.fail(about, minute, mask(kind, 200), mask(message), calls=calls)

    def _exception(self, record: Log) -> None:
        check_time(record.time, self._now)
        about, _ = subject(record.attributes, record.source.resource, self._naming, of_span=True)
        about = Subject(about.service, "", "", 0, about.user, about.account)
        kind = mask(text_of(record.attributes.get("exception.type")), 200)
        message = mask(text_of(record.attributes.get("exception.message")))
        at = min(record.time, self._now)
        # one that belongs to a span is told by the span too, where the service sends those
        self._notable.fail(about, at // _MINUTE, kind, message, logged=bool(record.trace))

    def batch(self) -> Batch:
        """Return what was taken."""
        return Batch(
            [],
            [],
            [Notice("refused", reason, records) for reason, records in self.refused.items()],
            releases=sorted(self._releases, key=lambda each: (each.service, each.version)),
            failures=self._notable.failures,
            origins=self._origins.all(),
            people=list(self._people.values()),
            routes=sorted(self._routes, key=lambda each: (each.service, each.route, each.method)),
        )

    def verdict(self) -> Verdict:
        """Return how many records were refused, and why."""
        rejected = self.refused.total()
        parts = [f"{records} x {reason}" for reason, records in self.refused.most_common(5)]
        return Verdict(rejected, f"{rejected} log records refused: " + "; ".join(parts) if rejected else "")


class _Path(msgspec.Struct):
    method: str = ""
    path: str = ""


class _Startup(msgspec.Struct):
    paths: list[_Path] | None = None
    versions: dict[str, str | None] | None = None


def _map(body: Value) -> dict[str, Any]:
    """Return a body that is a map, or JSON text of one."""
    if isinstance(body, str):
        try:
            body = msgspec.json.decode(body)
        except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
            raise Refused("the body of an event is not the JSON it should be") from error
    if not isinstance(body, dict):
        raise Refused("the body of an event is no map")
    return body
