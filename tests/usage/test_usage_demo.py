"""Clearing the demo takes its usage away, and leaves everyone else's."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from trackside.demo import SERVICE
from trackside.lane import LaneResponse
from trackside.runtime import Runtime
from trackside_modules.usage.demo import clear as demo
from trackside_modules.usage.folding import fold, live
from trackside_modules.usage.models import UsageBatch, UsageEndpoint, UsageInbox, UsageMinute, UsageStream

Post = Callable[..., LaneResponse]
Export = Callable[..., Any]


def test_clearing_the_demo_leaves_only_the_usage_of_others(
    runtime: Runtime, session: Session, post: Post, export: Export, now_ns: int
) -> None:
    ours: dict[str, Any] = {"time_unix_nano": now_ns, "attributes": {"trackside.user": "isla-shop"}}
    post(export(ours, service=SERVICE).SerializeToString())
    post(export(ours | {"start_time_unix_nano": now_ns - 9}, service=SERVICE, temporality=2).SerializeToString())
    post(export({"time_unix_nano": now_ns, "counts": [1, 0, 1]}).SerializeToString())
    assert fold.run(runtime, 1) == 3
    post(export(ours | {"sum": 0.7}, service=SERVICE).SerializeToString())
    demo.clear(runtime, session)
    session.commit()
    assert fold.run(runtime, 1) == 0
    assert session.scalars(select(UsageEndpoint.service)).all() == ["shop"]
    assert session.scalar(select(func.sum(UsageMinute.calls))) == 2
    for table, left in ((UsageInbox, 1), (UsageBatch, 1), (UsageStream, 0)):
        assert session.scalar(select(func.count()).select_from(table)) == left
    live.check(runtime, 1)
    counted = live.read(runtime, 1, 5)
    assert counted is not None
    assert sum(minute.calls for _, minute in counted.minutes) == 2
