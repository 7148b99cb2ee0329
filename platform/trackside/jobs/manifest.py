"""What the jobs room adds to the product."""

from datetime import timedelta

from trackside.jobs.tasks import TaskEnqueued
from trackside.module import Job, Module, NavItem, Permission

MODULE = Module(
    name="jobs",
    title="Jobs",
    models="trackside.jobs.models",
    blueprints=("trackside.jobs.web:blueprint",),
    commands={
        "worker": "trackside.jobs.cli:worker",
        "schedule": "trackside.jobs.cli:schedule",
        "jobs": "trackside.jobs.cli:jobs",
    },
    nav=(
        NavItem(
            "Jobs",
            "jobs.index",
            "jobs",
            "jobs.view",
            group="settings",
            order=60,
            count="trackside.jobs.queries:COUNT_FAILED",
        ),
    ),
    permissions=(
        Permission("jobs.view", "See background work and its failures", frozenset({"admin", "developer"})),
        Permission("jobs.manage", "Retry and discard failed work", frozenset({"admin"})),
    ),
    # about a day: a mail server that is away over night costs nobody a mail
    jobs=(Job("jobs.send", "trackside.jobs.outbox:send", timeout=timedelta(minutes=1), max_attempts=100),),
    subscribes={TaskEnqueued: "trackside.jobs.bells:on_enqueued"},
    senders={"console": "trackside.jobs.outbox:console", "mail": "trackside.jobs.mail:build"},
)
