"""Dates as spreadsheets and other tools write them, and which number in them is the day."""

import io
import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner, Result
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from trackside import cli
from trackside.runtime import Runtime
from trackside_modules.support import jobs
from trackside_modules.support.importing.dates import DAY, MONTH, UNCLEAR, Dates, EitherWay, moment, order_of
from trackside_modules.support.models import Import, Interaction

NOON = datetime(2026, 4, 3, 12, tzinfo=UTC)
HEAD = "Ticket ID;Subject;Email;Created at\n"


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("2026-04-03T12:00:00Z", ""),
        ("2026-04-03 14:00:00 +0200", ""),
        ("2026-04-03 12:00:00 UTC", ""),
        ("2026/4/3 12:00", ""),
        ("03.04.2026 12:00", ""),
        ("03.04.26, 12:00:00", ""),
        ("03/04/2026 12:00", DAY),
        ("3-4-2026 12:00", DAY),
        ("4/3/26 12:00 PM", MONTH),
        ("04/03/2026, 12:00\u202fp.m.", MONTH),
        ("Apr 3, 2026 12:00 PM", ""),
        ("April 3rd, 2026, 12:00", ""),
        ("3 Apr 2026 12:00", ""),
        ("03-Apr-2026 12:00:00.123", ""),
        ("Fri, 3 Apr 2026 14:00:00 +0200", ""),
        ("46115.5", ""),
        ("46115,5", ""),
        ("1775217600", ""),
        ("1775217600000", ""),
    ],
)
def test_a_time_is_read_as_other_tools_write_it(text: str, order: str) -> None:
    assert moment(text, Dates(order)) == NOON


@pytest.mark.parametrize(
    "text", ["yesterday", "31.31.2026", "13/13/2026", "2026-02-30", "25:00", "Foo 3, 2026", "3 Apr 2026 13:00 pm", "7"]
)
@pytest.mark.parametrize("order", ["", DAY, MONTH])
def test_what_is_no_time_is_none(text: str, order: str) -> None:
    assert moment(text, Dates(order)) is None


@pytest.mark.parametrize(
    ("cells", "order"),
    [
        (["03/04/2026", "31/12/2026 10:00"], DAY),
        (["03/04/2026", "12/31/2026"], MONTH),
        (["03/04/2026"], UNCLEAR),
        (["31/12/2026", "12/31/2026"], UNCLEAR),
        (["03/03/2026", "13/13/2026"], ""),
        (["26/11/23", "26/11/30"], UNCLEAR),
        (["26/11/99"], DAY),
        (["03.04.2026", "2026-04-03", "", "x"], ""),
    ],
)
def test_a_file_tells_which_number_is_the_day(cells: list[str], order: str) -> None:
    assert order_of(cells) == order


@pytest.mark.parametrize("text", ["03/04/2026", "26/11/23", "03/03/26"])
def test_what_can_be_read_in_two_ways_is_asked(text: str) -> None:
    with pytest.raises(EitherWay):
        moment(text, Dates())


@given(st.text(max_size=30) | st.from_regex(r"[0-9/.\-: ]{1,20}"), st.sampled_from(["", DAY, MONTH]))
def test_whatever_stands_there_is_a_time_or_none(text: str, order: str) -> None:
    with suppress(EitherWay):
        assert moment(text, Dates(order)) is None or isinstance(moment(text, Dates(order)), datetime)


@given(st.integers(946_684_800, 2_840_140_800), st.sampled_from([DAY, MONTH]))
def test_a_moment_written_either_way_is_read_as_it_was(seconds: int, order: str) -> None:
    at = datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)
    text = at.strftime("%d/%m/%Y %I:%M:%S %p" if order == DAY else "%m/%d/%Y %I:%M:%S %p")
    zone = ZoneInfo("Europe/Berlin")
    assert moment(text, Dates(order, zone)) == at.replace(tzinfo=zone)


@pytest.fixture
def admin(signed_in_client: Callable[..., FlaskClient]) -> FlaskClient:
    return signed_in_client("admin")


def began(runtime: Runtime) -> list[datetime]:
    with runtime.database.session() as session:
        return list(session.scalars(select(Interaction.occurred_at).order_by(Interaction.id)))


def test_a_page_asks_which_number_is_the_day_and_shows_what_it_would_be(admin: FlaskClient, runtime: Runtime) -> None:
    file = io.BytesIO((HEAD + "T1;Hello;dev@customer.example;03/04/2026 14:00\n").encode("utf-16"))
    page = admin.post("/support/settings/import", data={"file": (file, "t.csv")}).headers["Location"]
    assert "with the month: choose below which comes first" in admin.get(page).text
    assert admin.post(page, data={"do": "import"}).status_code == 422
    assert admin.post(page, data={"do": "check", "dates": "week"}).status_code == 422
    assert admin.post(page, data={"do": "check", "zone": "Mars/North"}).status_code == 422

    assert admin.post(page, data={"do": "check", "dates": "day", "zone": "Europe/Berlin"}).status_code == 302
    shown = admin.get(page).text
    assert "3 Apr 2026" in shown
    assert '<option value="Europe/Berlin" selected>' in shown
    assert admin.post(page, data={"do": "import", "dates": "day", "zone": "Europe/Berlin"}).status_code == 302
    jobs.bring_in(runtime, int(page.rsplit("/", 1)[1]))
    assert began(runtime) == [NOON]


def test_a_file_that_tells_is_not_asked_about_and_an_import_like_it_is_remembered(
    admin: FlaskClient, runtime: Runtime
) -> None:
    def send(rows: str) -> str:
        file = (io.BytesIO((HEAD + rows).encode()), "t.csv")
        return str(admin.post("/support/settings/import", data={"file": file}).headers["Location"])

    first = send("T1;Hello;dev@customer.example;31/05/2026\nT2;Bye;dev@customer.example;05/31/2026\n")
    page = send("T1;Hello;dev@customer.example;31/05/2026\nT2;Bye;dev@customer.example;03/04/2026\n")
    with runtime.database.session() as session:
        assert [it.dates for it in session.scalars(select(Import).order_by(Import.id))] == ["", DAY]
    assert "day or with the month" in admin.get(first).text, "it tells both"
    admin.post(page, data={"do": "import"})
    jobs.bring_in(runtime, int(page.rsplit("/", 1)[1]))
    assert [each.isoformat()[:10] for each in began(runtime)] == ["2026-05-31", "2026-04-03"]
    like_it = send("T3;Again;dev@customer.example;05/06/2026\n")
    assert "day or with the month" not in admin.get(like_it).text


def test_the_shell_asks_for_the_order_and_the_zone(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setattr("trackside_modules.support.moving.runtime", lambda: runtime)
    path = tmp_path / "t.csv"
    path.write_text(HEAD + "T1;Hello;dev@customer.example;04/03/2026 08:00 AM\n")

    def shell(*more: str) -> Result:
        return CliRunner().invoke(cli.trackside, ["support", "import", str(path), "--json", *more])

    asked = shell()
    assert asked.exit_code != 0
    assert "--dates" in asked.output + str(asked.exception)
    done = shell("--dates", "month", "--zone", "America/New_York")
    assert json.loads(done.stdout)["made"] == 1
    assert began(runtime) == [NOON]
