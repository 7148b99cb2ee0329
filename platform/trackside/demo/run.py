"""The demo's process: the API, its telemetry and its traffic, from start to a stop that loses nothing."""

from pathlib import Path

from trackside.demo import COUNT_FILE
from trackside.demo.api import create_api
from trackside.demo.count import Count
from trackside.demo.failures import report_failures, tracer_provider
from trackside.demo.server import Server
from trackside.demo.telemetry import caller, meter_provider, record_requests, resource
from trackside.demo.traffic import Traffic

FLUSH_SECONDS = 5


class Demo:
    """A running demo that reports to Trackside at `base_url` with `key` and keeps its count in `folder`."""

    def __init__(self, base_url: str, key: str, folder: Path, *, port: int = 0, seed: int = 1) -> None:
        reporter = resource()
        self._provider = meter_provider(base_url, key, reporter)
        self._tracer = tracer_provider(base_url, key, reporter)
        api = create_api(seed)
        record_requests(api, self._provider, caller)
        report_failures(api, self._tracer)
        self._server = Server(api, port)
        self.url = self._server.url
        self.count = Count(folder / COUNT_FILE, self.url)
        self._traffic = Traffic(self.url, self.count, seed=seed)

    def start(self) -> None:
        """Begin to answer and to call."""
        self._server.start(self.count)
        self._traffic.start()
        self.count.keep()

    def stop(self) -> None:
        """Stop calling, then answering, then deliver what is left: the page's total becomes the count's."""
        self._traffic.stop()
        self._server.stop()
        self._tracer.shutdown()
        self._provider.shutdown(timeout_millis=FLUSH_SECONDS * 1000)
        self.count.keep(running=False)
