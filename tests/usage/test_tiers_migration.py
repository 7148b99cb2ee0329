"""What was counted before there were hours and days is made into them after the upgrade."""

from datetime import UTC, datetime

from sqlalchemy import create_engine, text

from trackside import migrate

TIMES = (datetime(2026, 6, 14, 23, 59, tzinfo=UTC), datetime(2026, 6, 15, 11, 58, tzinfo=UTC))
_MINUTE = """
insert into usage_minute (env_id, minute, endpoint_id, user_id, status, calls, micros, longest, latency)
select id, :minute, 1, 0, 200, 1, 1, 1, '' from environment
"""


def test_hours_and_days_of_old_minutes_are_marked(empty_database_url: str) -> None:
    engine = create_engine(empty_database_url)
    migrate.upgrade(engine, "0130")
    with engine.begin() as connection:
        connection.execute(text("insert into environment (slug, name, position) values ('p', 'P', 0), ('s', 'S', 1)"))
        connection.execute(text("create table old partition of usage_minute default"))
        for minute in TIMES * 2:
            connection.execute(text(_MINUTE + " on conflict do nothing"), {"minute": minute})
    migrate.upgrade(engine)
    with engine.connect() as connection:
        marks = connection.execute(text("select tier, at, number from usage_dirty order by env_id, tier, at")).all()
    engine.dispose()
    hours = [time.replace(minute=0) for time in TIMES]
    expected = [("day", hour.replace(hour=0), 0) for hour in hours]
    expected += [(tier, hour, 0) for tier in ("hour", "minute") for hour in hours]
    assert [(tier, at.astimezone(UTC), number) for tier, at, number in marks] == expected * 2
