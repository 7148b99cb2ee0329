"""Who sends: SDK, language and version, by service and instance, with what is missing from it."""

from trackside_modules.usage.ingest.batch import Origin, Subject
from trackside_modules.usage.ingest.otlp.conventions import service_of, text_of
from trackside_modules.usage.ingest.otlp.points import Attributes, Source
from trackside_modules.usage.ingest.paths import clean
from trackside_modules.usage.models.names import UNMATCHED

MOST = 200
"""Instances told of in one request: a collector may send for many."""
_LONGEST = 120


class Origins:
    """Collects who sent one request of a signal."""

    def __init__(self, signal: str) -> None:
        self._signal = signal
        self._known: dict[int, tuple[Source, Origin]] = {}
        self._all: dict[tuple[str, str], Origin] = {}

    def add(self, source: Source, about: Subject | None, time: int, *, approximate: bool = False) -> None:
        """Count a point, span or record of `source`; without `about` only that it was sent."""
        kept = self._known.get(id(source))
        if kept is None:
            # the source is kept beside, so that no other one gets its id
            kept = self._known[id(source)] = (source, self._origin(source))
        origin = kept[1]
        origin.newest = max(origin.newest, time)
        if about is not None:
            origin.points += 1
            origin.without_user += not about.user
            origin.without_route += about.route == UNMATCHED and about.status not in {404, 405}
            origin.approximate += approximate

    def all(self) -> list[Origin]:
        """Return everybody who sent."""
        return list(self._all.values())

    def _origin(self, source: Source) -> Origin:
        about = source.resource
        service, instance = service_of(about), _instance(about)
        if (service, instance) not in self._all and len(self._all) >= MOST:
            instance = "(other)"
            if (service, instance) not in self._all and len(self._all) >= 2 * MOST:
                service = "(other)"
        found = self._all.get((service, instance))
        if found is None:
            sdk, distro = _text(about, "telemetry.sdk.name"), _text(about, "telemetry.distro.name")
            version = _text(about, "telemetry.distro.version") if distro else _text(about, "telemetry.sdk.version")
            language, scope = _text(about, "telemetry.sdk.language"), clean(source.scope, _LONGEST)
            found = Origin(service, self._signal, sdk, language, version, distro, scope, instance)
            self._all[service, instance] = found
        return found


def _instance(resource: Attributes) -> str:
    if found := _text(resource, "service.instance.id"):
        return found
    host, pid = _text(resource, "host.name"), _text(resource, "process.pid")
    return f"{host}:{pid}" if host and pid else host or pid


def _text(resource: Attributes, name: str) -> str:
    return clean(text_of(resource.get(name)), _LONGEST)
