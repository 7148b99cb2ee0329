"""What the jobs room adds to the product."""

from trackside.jobs.tasks import TaskEnqueued
from trackside.module import Module, Permission

MODULE = Module(
    name="jobs",
    title="Jobs",
    models="trackside.jobs.models",
    commands={"worker": "trackside.jobs.cli:worker", "schedule": "trackside.jobs.cli:schedule"},
    permissions=(
        Permission("jobs.view", "See background work and its failures", frozenset({"admin", "developer"})),
        Permission("jobs.manage", "Retry and discard failed work", frozenset({"admin"})),
    ),
    subscribes={TaskEnqueued: "trackside.jobs.bells:on_enqueued"},
)
