"""Clearing the demo, beside a running `trackside up`: the last thing the browser tests do."""

import psycopg

from trackside.db import psycopg_url
from trackside.demo import COUNT_FILE
from trackside.demo.keys import KEY_FILE
from trackside.demo.people import COMPANIES, people
from trackside.settings import load_settings
from trackside.testing.running import Up


def test_clearing_the_demo_leaves_nothing_of_it_and_it_does_not_come_back(trackside: Up) -> None:
    answer = trackside.command("demo", "clear")
    assert f"{len(COMPANIES)} accounts, {len(people())} users" in answer, answer
    settings = load_settings({"TRACKSIDE_DATA": str(trackside.data)})
    with psycopg.connect(psycopg_url(settings.database_url)) as connection:
        for query in (
            "select count(*) from account",
            "select count(*) from customer_user where source = 'demo'",
            "select count(*) from usage_endpoint where service = 'shipping-api'",
            "select count(*) from api_key where name = 'Demo traffic'",
        ):
            row = connection.execute(query).fetchone()  # type: ignore[arg-type]
            assert row == (0,), query
    assert not (trackside.data / COUNT_FILE).exists()
    assert not (trackside.data / KEY_FILE).exists()
