"""How reports reach the server: kept while it is away, sent again as the same bytes, never twice by two processes."""

import multiprocessing
import os
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from trackside_client._transport import notes, sender, spool
from trackside_client._transport.sender import Backoff, Sender
from trackside_client._transport.spool import Batch, Folder, Memory
from trackside_client.usage import reporter
from trackside_client.usage.config import Config
from trackside_client.usage.reporter import Reporter

KEY = ("GET", "/orders", 200, "u1", "")
TOLD = ("GET", "/orders", "200", "u1", None)


def make(door: Any, tmp_path: Path, **more: Any) -> Reporter:
    given = {"url": door.url, "api_key": "key", "service": "shop", "flush_seconds": 60.0, "spool": str(tmp_path / "s")}
    return Reporter(Config(**(given | more)))


def count(made: Reporter, times: int = 1) -> None:
    for _ in range(times):
        made.counters.add(KEY, 0.0, 0.1)


def try_now(made: Reporter) -> None:
    """Flush as if the waiting were over."""
    made.courier.backoff._until = 0.0
    made.flush()


def files(tmp_path: Path) -> list[Path]:
    return sorted(path for path in (tmp_path / "s").rglob("*") if path.is_file() and path.suffix == ".gz")


def test_a_report_arrives_with_its_key(door: Any, tmp_path: Path) -> None:
    made = make(door, tmp_path)
    count(made, 3)
    made.flush()
    assert door.calls() == {TOLD: 3}
    assert door.headers["Authorization"] == "Bearer key"
    made.flush()
    assert len(door.received) == 1, "nothing new, nothing sent"


@pytest.mark.parametrize("status", [408, 429, 502, 503, 504])
def test_what_cannot_be_taken_now_is_sent_again_as_it_was(door: Any, tmp_path: Path, status: int) -> None:
    made = make(door, tmp_path)
    door.answers = [(status, {})]
    count(made)
    made.flush()
    assert len(files(tmp_path)) == 1
    count(made)
    made.flush()
    assert len(door.received) == 1, "no request before the back-off is over"
    assert len(files(tmp_path)) == 2
    try_now(made)
    assert door.calls() == {TOLD: 2}
    assert door.received[0] == door.received[1]
    assert files(tmp_path) == []
    count(made)
    made.flush()
    assert door.calls() == {TOLD: 3}


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 302, 500])
def test_what_is_refused_for_good_is_said_once_and_never_sent_again(
    door: Any, tmp_path: Path, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    made = make(door, tmp_path)
    door.answers = [(status, {"Location": door.url + "/elsewhere"})] * 2
    for _ in range(2):
        count(made)
        made.flush()
    assert len(door.received) == 2
    assert files(tmp_path) == []
    assert len([record for record in caplog.records if f"refused with {status}" in record.getMessage()]) == 1
    count(made)
    made.flush()
    lost = b'"key":"trackside.client.lost"'
    assert [lost in body for _, body in door.received] == [False, status != 0, True]


def test_retry_after_is_obeyed(door: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make(door, tmp_path)
    now = [1000.0]
    monkeypatch.setattr(sender.time, "monotonic", lambda: now[0])
    door.answers = [(503, {"Retry-After": "30"})]
    count(made)
    made.flush()
    now[0] += 29.9
    made.flush()
    assert len(door.received) == 1
    now[0] += 6.2
    made.flush()
    assert door.calls() == {TOLD: 1}


@pytest.mark.parametrize(
    ("header", "low", "high"),
    [
        ("7", 7, 7),
        ("Wed, 01 Jan 2020 00:00:00 GMT", 0, 0),
        ("soon", 0, 0),
        ("nan", 0, 0),
        ("-5", 0, 0),
        ("9e9", 600, 600),
    ],
)
def test_every_retry_after_is_understood_or_left_out(header: str, low: float, high: float) -> None:
    assert low <= sender.retry_after(header) <= high


def test_the_back_off_grows_to_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender.time, "monotonic", lambda: 1000.0)
    backoff = Backoff()
    waits = []
    for _ in range(9):
        backoff.put_off()
        waits.append(backoff._until - 1000)
    assert 0.4 <= waits[0] <= 1.0
    assert all(29 <= wait <= 60 for wait in waits[-2:])


def test_nobody_listening_is_no_answer() -> None:
    answer = Sender("http://127.0.0.1:1", "key").post("metrics", b"", 1)
    assert (answer.status, answer.later) == (0, True)


def test_what_a_process_left_is_sent_by_another(door: Any, tmp_path: Path) -> None:
    first, second = make(door, tmp_path), make(door, tmp_path)
    door.answers = [(503, {})]
    count(first, 2)
    first.flush()
    assert door.calls() == {}
    count(second)
    second.flush()
    assert door.calls() == {TOLD: 3}
    first.courier.is_away = True
    try_now(first)
    assert door.calls() == {TOLD: 3}


def test_reports_for_another_key_are_left_alone(door: Any, tmp_path: Path) -> None:
    staging, production = make(door, tmp_path, api_key="staging"), make(door, tmp_path)
    door.answers = [(503, {})]
    count(staging)
    staging.flush()
    count(production)
    production.flush()
    assert len(files(tmp_path)) == 1


def test_the_spool_is_private(door: Any, tmp_path: Path) -> None:
    made = make(door, tmp_path)
    door.answers = [(503, {})]
    count(made)
    made.flush()
    (kept,) = files(tmp_path)
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700


def test_a_prepared_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "s").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NotADirectoryError):
        Folder(tmp_path / "s", "owner")


def test_without_a_folder_reports_wait_in_memory(door: Any, tmp_path: Path) -> None:
    (tmp_path / "s").write_text("in the way")
    made = make(door, tmp_path)
    door.answers = [(503, {})]
    count(made)
    made.flush()
    count(made)
    made.close()
    assert door.calls() == {TOLD: 2}, "what only memory holds is tried once more at the end"


@pytest.mark.parametrize("kind", ["folder", "memory"])
def test_the_oldest_go_first(tmp_path: Path, kind: str) -> None:
    kept = Folder(tmp_path, "o", most_bytes=250) if kind == "folder" else Memory(most_bytes=250)
    lost = [kept.put(Batch("metrics", calls, bytes(100))) for calls in (1, 2, 3, 4)]
    assert lost == [0, 0, 1, 2]
    found = kept.oldest()
    assert found is not None
    assert found.calls == 3


@pytest.mark.parametrize("kind", ["folder", "memory"])
def test_what_waits_too_long_is_given_up_and_told(door: Any, tmp_path: Path, kind: str) -> None:
    made = make(door, tmp_path)
    kept = made.courier.spool = Folder(tmp_path / "s", "o") if kind == "folder" else Memory()
    kept.put(Batch("metrics", 7, b"x"))
    kept._most_seconds = -1
    made.courier.is_away = True
    try_now(made)
    count(made)
    made.flush()
    assert b'{"key":"trackside.client.lost","value":{"stringValue":"7"}}' in door.received[-1][1]


def test_a_turn_belongs_to_one_process(tmp_path: Path) -> None:
    kept = Folder(tmp_path, "o")
    code = (
        "import sys; from pathlib import Path; from trackside_client._transport.spool import Folder\n"
        "with Folder(Path(sys.argv[1]), 'o').turn() as ours: print(ours)"
    )
    ask = [sys.executable, "-c", code, str(tmp_path)]
    with kept.turn() as ours:
        assert ours
        assert subprocess.check_output(ask, text=True) == "False\n"
    assert subprocess.check_output(ask, text=True) == "True\n"


def test_samples_are_sent_until_the_server_does_not_want_them(door: Any, tmp_path: Path) -> None:
    made = make(door, tmp_path, stack_traces=True)
    key = ("GET", None, 500, "u1", "")
    made.samples.note(key, "/x?token=secret", 0.5, ValueError("zoë"))
    made.flush()
    (span,) = door.spans()
    assert (span["kind"], span["status"]["code"]) == (2, 2)
    assert int(span["endTimeUnixNano"]) - int(span["startTimeUnixNano"]) == 500_000_000
    event = {pair["key"]: pair["value"]["stringValue"] for pair in span["events"][0]["attributes"]}
    assert (event["exception.type"], event["exception.message"]) == ("ValueError", "zoë")
    assert "ValueError: zoë" in event["exception.stacktrace"]
    assert b"secret" not in door.received[0][1]
    door.answers = [(404, {})]
    for _ in range(2):
        made.samples.note(key, "/x", 0.5, None)
        made.flush()
    assert [path for path, _ in door.received] == ["/v1/traces"] * 2
    count(made)
    made.flush()
    assert door.calls() == {TOLD: 1}


def _in_child(made: Reporter) -> None:
    count(made, 10)
    made.start()


def test_a_forked_child_reports_its_own_counts_alone(door: Any, tmp_path: Path) -> None:
    made = make(door, tmp_path)
    reporter._living.add(made)
    count(made, 3)
    child = multiprocessing.get_context("fork").Process(target=_in_child, args=(made,))
    child.start()
    child.join(180)
    assert child.exitcode == 0
    assert door.calls() == {TOLD: 10}
    made.flush()
    assert door.calls() == {TOLD: 13}
    instances = {body.split(b"service.instance.id")[1][:60] for _, body in door.received}
    assert len(instances) == 2


def test_a_child_that_leaves_by_a_bare_fork_sends_nothing_of_its_parents(door: Any, tmp_path: Path) -> None:
    code = f"""
import os
from trackside_client.usage import UsageWSGI
def app(environ, start_response):
    start_response("200 OK", [])
    return []
made = UsageWSGI(app, url={door.url!r}, api_key="k", flush_seconds=60, spool="off")
made({{"REQUEST_METHOD": "GET"}}, lambda *_: None)
if os.fork() == 0:
    raise SystemExit
os.wait()
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=180)
    assert door.calls() == {("GET", None, "200", None, None): 1}


def test_everything_is_on_the_standard_library_alone() -> None:
    # what is there before is Python's own, and coverage with its plugin where it watches
    code = (
        "import sys; before = set(sys.modules); import trackside_client.usage;"
        " print(*{name.partition('.')[0] for name in set(sys.modules) - before})"
    )
    loaded = set(subprocess.check_output([sys.executable, "-I", "-c", code], text=True).split())
    others = {name for name in loaded if name not in sys.stdlib_module_names and not name.startswith("_")}
    assert others == {"trackside_client"}


def test_each_thing_is_said_once_until_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        notes.once("x", "something %s", "odd")
    notes.again("x")
    notes.once("x", "something %s", "odd")
    assert [record.getMessage() for record in caplog.records] == ["trackside: something odd"] * 2


def test_what_the_server_has_to_say_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    for share in (93, 94):
        words = f'{{"partialSuccess": {{"errorMessage": "user id missing on {share} % of points"}}}}'
        reporter._say_partial(sender.Answer(200, words))
    for words in ("", "{}", "nonsense", "[]", '{"partialSuccess": null}'):
        reporter._say_partial(sender.Answer(200, words))
    assert [record.getMessage()[-38:] for record in caplog.records] == ["says: user id missing on 93 % of points"[-38:]]


def test_a_failing_flush_never_ends_the_thread(door: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make(door, tmp_path, flush_seconds=0.01)
    monkeypatch.setattr(made, "_encoded", lambda: 1 / 0)
    made.start()
    while "flush" not in notes._said:
        time.sleep(0.01)
    monkeypatch.undo()
    count(made)
    ends = time.monotonic() + 180
    while door.calls() != {TOLD: 1}:
        assert time.monotonic() < ends
        time.sleep(0.01)
    assert os.getpid() == made._pid
    assert spool.MOST_SECONDS == 59 * 60
