"""What a client does when the server goes, refuses, lies or comes back; and what a killed process loses."""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trackside_client.flags import Flags, state

RULESET, STREAM, EXPOSURES = "/v1/flags/ruleset", "/v1/flags/stream", "/v1/flags/exposures"


def test_a_server_away_at_the_start_leaves_the_bootstrap(
    flag_door: Any, flags_of: Callable[..., Flags], tmp_path: Path, until: Callable[..., None]
) -> None:
    path = tmp_path / "flags.json"
    path.write_text(json.dumps(flag_door.document))
    flag_door.close()
    flags = flags_of(flag_door, bootstrap=path)
    assert flags.boolean("checkout", False) is True
    assert flags.boolean("other", True) is True
    assert flags.status.state == "stale"
    flag_door.change(flag_door.ruleset(2, checkout=flag_door.flag(enabled=False)))
    flag_door.open()
    until(lambda: flags.boolean("checkout", True) is False)
    assert flags.status.state == "ready"


def test_a_restart_with_the_server_away_goes_on_with_the_last_ruleset(
    flag_door: Any, flags_of: Callable[..., Flags], tmp_path: Path
) -> None:
    flags_of(flag_door, folder=tmp_path).close()
    assert (tmp_path / "ruleset.json").stat().st_mode & 0o777 == 0o600
    flag_door.close()
    assert flags_of(flag_door, folder=tmp_path).boolean("checkout", False) is True


def test_a_restart_is_answered_304(flag_door: Any, flags_of: Callable[..., Flags], tmp_path: Path) -> None:
    flags_of(flag_door, folder=tmp_path).close()
    flag_door.asked.clear()
    flags = flags_of(flag_door, folder=tmp_path)
    assert (RULESET, 304) in flag_door.asked
    assert flags.status.state == "ready"


def test_another_keys_cache_and_a_damaged_one_are_passed_over(
    flag_door: Any, flags_of: Callable[..., Flags], tmp_path: Path
) -> None:
    flags_of(flag_door, folder=tmp_path).close()
    flag_door.close()
    assert flags_of(flag_door, folder=tmp_path, key="ts_other_server_2_secret_crc").keys() == []
    (tmp_path / "ruleset.json").write_bytes((tmp_path / "ruleset.json").read_bytes()[:-9])
    assert flags_of(flag_door, folder=tmp_path).keys() == []


def test_a_server_that_goes_leaves_the_last_ruleset_marked_stale(
    flag_door: Any, flags_of: Callable[..., Flags], until: Callable[..., None]
) -> None:
    flags = flags_of(flag_door)
    said: list[state.Change] = []
    flags.listen(said.append)
    flag_door.close()
    until(lambda: flags.status.state == "stale")
    assert flags.boolean("checkout", False) is True
    assert flags.details("checkout", False).flag_metadata["stale"] is True
    assert [each.state for each in said] == ["stale"]


def test_a_cut_stream_is_polled_for_and_followed_again(
    flag_door: Any, flags_of: Callable[..., Flags], until: Callable[..., None]
) -> None:
    flags = flags_of(flag_door)
    until(lambda: flags.status.is_streaming)
    flag_door.refuse[STREAM] = (503, {"Retry-After": "1"})
    flag_door.cut()
    until(lambda: not flags.status.is_streaming)
    flag_door.change(flag_door.ruleset(2, checkout=flag_door.flag(enabled=False)), tell=False)
    until(lambda: flags.boolean("checkout", True) is False)
    assert not flags.status.is_streaming
    del flag_door.refuse[STREAM]
    until(lambda: flags.status.is_streaming)
    flag_door.change(flag_door.ruleset(3, checkout=flag_door.flag()))
    until(lambda: flags.boolean("checkout", False) is True, 2)


def test_the_stream_is_where_the_server_says(
    flag_door: Any, flags_of: Callable[..., Flags], until: Callable[..., None]
) -> None:
    flag_door.headers["X-Trackside-Stream"] = f"{flag_door.url}{STREAM}"
    flags = flags_of(flag_door, stream_url=None)
    until(lambda: flags.status.is_streaming)


def test_an_event_that_is_ahead_of_the_ruleset_is_waited_for(
    flag_door: Any, flags_of: Callable[..., Flags], until: Callable[..., None]
) -> None:
    flags = flags_of(flag_door, poll_seconds=3600)
    until(lambda: flags.status.is_streaming)
    before = flag_door.document
    flag_door.change(flag_door.ruleset(2, checkout=flag_door.flag(enabled=False)))
    flag_door.document, after = before, flag_door.document
    until(lambda: flag_door.asked.count((RULESET, 304)) >= 2)
    flag_door.document = after
    until(lambda: flags.boolean("checkout", True) is False)


def test_an_event_that_brings_the_change_is_followed_without_asking(
    flag_door: Any, flags_of: Callable[..., Flags], tmp_path: Path, until: Callable[..., None]
) -> None:
    flag_door.document = flag_door.ruleset(checkout=flag_door.flag(), old=flag_door.flag(), same=flag_door.flag())
    flags = flags_of(flag_door, folder=tmp_path, poll_seconds=3600)
    until(lambda: flags.status.is_streaming)
    asked, told = len(flag_door.asked), list[state.Change]()
    flags.listen(told.append)
    document = flag_door.ruleset(2, checkout=flag_door.flag(enabled=False), new=flag_door.flag(), same=flag_door.flag())
    flag_door.bring(document)
    until(lambda: told)
    assert (flags.boolean("checkout", True), flags.boolean("new", False)) == (False, True)
    assert flags.keys() == ["checkout", "same", "new"]
    assert flags.status.version == 2
    assert [set(each.flags) for each in told] == [{"checkout", "old", "new"}]
    assert len(flag_door.asked) == asked
    assert json.loads((tmp_path / "ruleset.json").read_bytes())["ruleset"] == document


@pytest.mark.parametrize(
    "told", [{"since": "another"}, {"flags": None}, {"gone": "x"}, {"version": "x"}, {"version": None}]
)
def test_a_change_that_cannot_be_followed_is_asked_for(
    flag_door: Any, flags_of: Callable[..., Flags], told: dict[str, Any], until: Callable[..., None]
) -> None:
    flags = flags_of(flag_door, poll_seconds=3600)
    until(lambda: flags.status.is_streaming)
    document = flag_door.ruleset(2, checkout=flag_door.flag(enabled=False))
    flag_door.bring(document, **told)
    flag_door.document = document
    until(lambda: flags.boolean("checkout", True) is False)
    assert flag_door.asked[-1] == (RULESET, 200)


def test_a_process_that_lags_behind_the_stream_takes_nobody_back(
    flag_door: Any, flags_of: Callable[..., Flags], monkeypatch: pytest.MonkeyPatch, until: Callable[..., None]
) -> None:
    flags = flags_of(flag_door, poll_seconds=3600)
    until(lambda: flags.status.is_streaming)
    flag_door.bring(flag_door.ruleset(2, checkout=flag_door.flag(enabled=False)))
    until(lambda: flags.boolean("checkout", True) is False)
    assert flags._follower is not None
    flags._follower.refresh()
    assert flag_door.asked[-1] == (RULESET, 200)
    assert flags.status.version == 2
    monkeypatch.setattr("trackside_client.flags.following._BEHIND", 0.0)
    flags._follower.refresh()  # by now it is not late, but another history: a backup that was restored
    assert flags.status.version == 1
    assert flags.boolean("checkout", False) is True


def test_a_refused_key_is_said_once_and_defaults_answer(
    flag_door: Any, flags_of: Callable[..., Flags], caplog: pytest.LogCaptureFixture, until: Callable[..., None]
) -> None:
    with caplog.at_level(logging.WARNING):
        flags = flags_of(flag_door, key="ts_production_server_1_wrong_crc")
        until(lambda: flag_door.asked.count((RULESET, 401)) >= 2)
        assert flags.boolean("checkout", True) is True
    assert flags.status.state == "refused"
    assert len([each for each in caplog.records if "does not take this key" in each.getMessage()]) == 1


@pytest.mark.parametrize("body", [b"", b"null", b'{"schema": 2}', b'{"schema":1,"flags":[]}', b"\xff", b"[" * 100_000])
def test_an_answer_that_makes_no_sense_leaves_the_last_ruleset(
    flag_door: Any, flags_of: Callable[..., Flags], body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = flags_of(flag_door)
    monkeypatch.setattr(json, "dumps", lambda *_, **__: body.decode("latin-1"))
    assert flags._follower is not None
    flags._follower.refresh()
    assert flags.boolean("checkout", False) is True


def test_a_flag_that_this_version_cannot_read_spoils_no_other(flag_door: Any, flags_of: Callable[..., Flags]) -> None:
    flag_door.document = flag_door.ruleset(checkout=flag_door.flag(), new={"type": "from the future"})
    flags = flags_of(flag_door)
    assert flags.boolean("checkout", False) is True
    assert flags.details("new", False).error_code == "PARSE_ERROR"


def test_exposures_are_told_once_though_the_answer_is_lost(
    flag_door: Any, flags_of: Callable[..., Flags], until: Callable[..., None]
) -> None:
    flags = flags_of(flag_door)
    for number in range(100):
        flags.boolean("checkout", False, user=f"u_{number % 10}", account="acme")
    flag_door.refuse[EXPOSURES] = (599, {})  # takes it, and says that it did not
    flags.flush()
    del flag_door.refuse[EXPOSURES]
    assert flags._exposures is not None
    flags._exposures.courier.backoff.clear()
    flags.flush()
    assert flag_door.posts == 2
    assert flag_door.told() == {("checkout", "on", f"u_{number}", "acme"): 10 for number in range(10)}


def test_a_user_who_was_told_is_a_number_afterwards(flag_door: Any, flags_of: Callable[..., Flags]) -> None:
    flags = flags_of(flag_door)
    for _ in range(3):
        flags.boolean("checkout", False, user="u_1")
        flags.boolean("checkout", False, account="acme")
        flags.flush()
    assert flag_door.told() == {
        ("checkout", "on", "u_1", None): 1,
        ("checkout", "on", None, "acme"): 1,
        ("checkout", "on", None, None): 4,
    }


def test_every_evaluation_of_every_thread_is_counted_while_it_is_taken(
    flag_door: Any, flags_of: Callable[..., Flags]
) -> None:
    flags = flags_of(flag_door, flush_seconds=0.05)
    each = 20_000

    def work(number: int) -> None:
        who = flags.user(f"u_{number}")
        for _ in range(each):
            who.boolean("checkout", False)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    flags.flush()
    flags.flush()
    assert sum(flag_door.told().values()) == 4 * each


def test_memory_is_bounded_however_many_users_there_are(
    flag_door: Any, flags_of: Callable[..., Flags], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trackside_client.flags.tally.MOST", 50)
    flags = flags_of(flag_door)
    for number in range(500):
        flags.boolean("checkout", False, user=f"u_{number}")
    assert sum(len(mine) for mine in flags._tally.counts.values()) <= 51
    flags.flush()
    assert sum(flag_door.told().values()) == 500


def test_what_waits_in_the_folder_is_told_by_the_next_process(
    flag_door: Any, flags_of: Callable[..., Flags], tmp_path: Path
) -> None:
    flag_door.refuse[EXPOSURES] = (503, {})
    flags = flags_of(flag_door, folder=tmp_path)
    flags.boolean("checkout", False, user="u_1")
    flags.close()
    del flag_door.refuse[EXPOSURES]
    again = flags_of(flag_door, folder=tmp_path)
    again.boolean("checkout", False, user="u_2")
    again.flush()
    assert set(flag_door.told()) == {("checkout", "on", "u_1", None), ("checkout", "on", "u_2", None)}


_CHECKS = """
import os, signal, sys, time
from trackside_client.flags import Flags
url, key, folder, end = sys.argv[1:]
flags = Flags(url, key, stream_url="off", folder=folder, flush_seconds=60)
for number in range(10):
    flags.boolean("checkout", False, user=f"u_{number}")
flags.flush()
flags.boolean("checkout", False, user="late")
if end == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(("end", "late"), [("kill", 0), ("exit", 1)])
def test_a_killed_process_loses_no_more_than_it_had_not_flushed(
    flag_door: Any, tmp_path: Path, end: str, late: int
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _CHECKS, flag_door.url, flag_door.key, str(tmp_path), end], check=False, timeout=60
    )
    assert done.returncode == (-signal.SIGKILL if end == "kill" else 0)
    expected = {("checkout", "on", f"u_{number}", None): 1 for number in range(10)}
    assert flag_door.told() == expected | ({("checkout", "on", "late", None): 1} if late else {})


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_follows_and_tells_for_itself(flag_door: Any, flags_of: Callable[..., Flags]) -> None:
    flags = flags_of(flag_door, poll_seconds=0.05)
    flags.boolean("checkout", False, user="parent")
    child = os.fork()
    if child == 0:
        ends = 1
        try:
            flag = flags.boolean("checkout", False, user="child")
            assert flags._follower is not None
            flags._follower.refresh()
            flags.flush()
            flags.close()
            ends = 0 if flag else 1
        finally:
            os._exit(ends)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert flag_door.told() == {("checkout", "on", "child", None): 1}
    flags.flush()
    assert flag_door.told() == Counter({("checkout", "on", "child", None): 1, ("checkout", "on", "parent", None): 1})
