"""What is missing from what a service sends, and the lines that mend it, by SDK."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from trackside_modules.usage.models import UsageInstance, UsageSource

SHARE = 0.25
"""Of the requests, from which on something missing is worth a word."""
AHEAD, BEHIND = 2_000, 300_000
"""Milliseconds of skew that are no delay any more: ahead at all, or further behind than what waits in any SDK."""
QUIET = timedelta(hours=1)

_METRICS_OFF = "export OTEL_METRICS_EXPORTER=none OTEL_TRACES_EXPORTER=otlp"
_USERS = {
    "python": [
        ("On the span, and let spans alone count", "trace.get_current_span().set_attribute('trackside.user', user.id)"),
        ("", _METRICS_OFF),
        (
            "Or by trackside-client, in one line",
            "app.wsgi_app = UsageWSGI(app.wsgi_app, user=lambda environ: g.user_id)",
        ),
    ],
    "nodejs": [
        ("On the span, and let spans alone count", "trace.getActiveSpan()?.setAttribute('trackside.user', user.id)"),
        ("", _METRICS_OFF),
    ],
    "go": [
        (
            "On the metric, with otelhttp",
            (
                "labeler, _ := otelhttp.LabelerFromContext(r.Context())\n"
                'labeler.Add(attribute.String("trackside.user", userID))'
            ),
        )
    ],
    "dotnet": [
        (
            "On the metric, in ASP.NET Core",
            (
                "context.Features.Get<IHttpMetricsTagsFeature>()?.Tags.Add(\n"
                '    new KeyValuePair<string, object?>("trackside.user", userId));'
            ),
        )
    ],
    "java": [
        ("On the span, and let spans alone count", 'Span.current().setAttribute("trackside.user", userId);'),
        ("", _METRICS_OFF),
    ],
}
_ON_SPAN = {
    "python": _USERS["python"][0][1],
    "nodejs": _USERS["nodejs"][0][1],
    "go": 'trace.SpanFromContext(ctx).SetAttributes(attribute.String("trackside.user", userID))',
    "dotnet": 'Activity.Current?.SetTag("trackside.user", userId);',
    "java": _USERS["java"][0][1],
}
_ANY = "trackside.user = the id your API knows the caller by"


@dataclass(frozen=True, slots=True)
class Advice:
    """Something to mend: what is wrong, why it matters, and the lines to copy, each with a word before it."""

    kind: Literal["warn", "info"]
    short: str
    text: str
    lines: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Service:
    """A service and all that it sends."""

    name: str
    signals: dict[str, UsageSource]
    instances: list[UsageInstance]
    versions: int = 0

    @property
    def last_seen_at(self) -> datetime:
        """When anything of it arrived last."""
        return max(it.last_seen_at for it in self.signals.values())

    @property
    def counting(self) -> UsageSource:
        """The signal its requests are counted by."""
        order = ("events", "metrics", "traces", "logs")
        counted = [it for name in order if (it := self.signals.get(name)) and it.points]
        return counted[0] if counted else next(iter(self.signals.values()))

    @property
    def sdk(self) -> str:
        """What it sends by, in words."""
        it = self.counting
        name = it.distro or (f"{it.sdk} {it.language}".strip() if it.sdk else "")
        return f"{name} {it.version}".strip()

    @property
    def is_apitally(self) -> bool:
        """Whether one of Apitally's SDKs sends."""
        return any(it.distro.startswith("apitally") for it in self.signals.values())

    def quiet(self, now: datetime) -> bool:
        """Whether nothing came for an hour."""
        return self.last_seen_at < now - QUIET


def advise(service: Service) -> list[Advice]:
    """Return what to mend, the gravest first."""
    found = [*_named(service), *_users(service), *_routes(service), *_precise(service), *_clocks(service)]
    found += [*_signals(service), *_versions(service)]
    return sorted(found, key=lambda each: each.kind == "info")


def _share(part: int, source: UsageSource) -> float:
    return part / source.points if source.points else 0.0


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _named(service: Service) -> list[Advice]:
    if not service.name.startswith("unknown_service"):
        return []
    text = "It does not say which service it is, so it shares this name with every other that does not."
    return [Advice("warn", "no name", text, [("Name it", "export OTEL_SERVICE_NAME=my-api")])]


def _users(service: Service) -> list[Advice]:
    source = service.counting
    share = _share(source.without_user, source)
    if share < SHARE:
        return []
    text = f"{_percent(share)} of what it sends carries no user: nobody can say who called, and who is affected."
    if service.is_apitally:
        lines = [("In the request", "apitally.set_consumer(user.id, name=user.name, group=account.id)")]
    elif source.signal == "events":
        lines = [("In each event", '"user": "the id your API knows the caller by", "account": "their company\'s id"')]
    elif source.signal == "traces":
        lines = [("On the span", _ON_SPAN.get(source.language, _ANY))]
    else:
        lines = _USERS.get(source.language, [("As an attribute of the metric", _ANY)])
    return [Advice("warn", f"no user on {_percent(share)}", text, lines)]


def _routes(service: Service) -> list[Advice]:
    source = service.counting
    share = _share(source.without_route, source)
    if share < SHARE:
        return []
    text = f"{_percent(share)} of what it sends names no route, though it was not refused as unknown."
    if source.signal == "events":
        lines = [("In each event", '"route": "/orders/{id}"')]
    else:
        lines = [("Use the current names", "export OTEL_SEMCONV_STABILITY_OPT_IN=http")]
    return [Advice("warn", f"no route on {_percent(share)}", text, lines)]


def _precise(service: Service) -> list[Advice]:
    source = service.signals.get("metrics")
    if source is None or _share(source.approximate, source) < SHARE:
        return []
    if service.is_apitally:
        text = "Apitally's SDKs measure in steps of 9 %: percentiles are right within 4.3 %."
        return [Advice("info", "coarse latency", text)]
    text = "It sends fixed buckets or a coarse scale, so percentiles are estimates: within 2.2 % with exponential ones."
    line = "export OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION=base2_exponential_bucket_histogram"
    return [Advice("warn", "approximate latency", text, [("Send exponential histograms", line)])]


def _clocks(service: Service) -> list[Advice]:
    off = [it for it in service.instances if it.skew_ms > AHEAD or it.skew_ms < -BEHIND]
    if not off:
        return []
    who = "One of its processes is" if len(off) == 1 else f"{len(off)} of its processes are"
    text = f"{who} on a machine whose clock is off, or sends late: see below."
    return [Advice("warn", "clock off", text, [("Set the machine's clock", "timedatectl set-ntp true")])]


def _signals(service: Service) -> list[Advice]:
    told = {name for name, it in service.signals.items() if it.points or name == "logs"}
    if told == {"traces"}:
        text = "Its requests are counted by spans: exact as long as none is sampled out. Metrics always are."
        return [Advice("info", "spans alone", text, [("Send metrics too", "export OTEL_METRICS_EXPORTER=otlp")])]
    if "metrics" in told and "traces" not in told and "logs" not in told:
        text = "It tells how many requests failed, not why: spans bring error messages and single requests."
        return [Advice("info", "no error messages", text, [("Send traces too", "export OTEL_TRACES_EXPORTER=otlp")])]
    return []


def _versions(service: Service) -> list[Advice]:
    if service.versions or "events" in service.signals:
        return []
    text = "It does not tell its version, so a release cannot be seen on the charts."
    line = (
        'apitally.init(app, app_version="1.2.3")'
        if service.is_apitally
        else "export OTEL_RESOURCE_ATTRIBUTES=service.version=1.2.3"
    )
    return [Advice("info", "no version", text, [("Tell it", line)])]
