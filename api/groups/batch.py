"""The rows of batch/v1."""

from __future__ import annotations

from api.kinds import cron_job, job
from api.registry import Resource

CRON_JOBS = Resource(
    "batch",
    "v1",
    "CronJob",
    "cronjobs",
    "cronjob",
    True,
    ("cj",),
    ("all",),
    subresources=("status",),
    has_generation=True,
    hooks=cron_job.HOOKS,
)
JOBS = Resource(
    "batch",
    "v1",
    "Job",
    "jobs",
    "job",
    True,
    categories=("all",),
    subresources=("status",),
    fields={"status.successful": "0"},
    field_paths={"status.successful": ("status.succeeded",)},
    has_generation=True,
    hooks=job.HOOKS,
)

ROWS = (
    CRON_JOBS,
    JOBS,
)
