"""The rows of batch/v1."""

from __future__ import annotations

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
    has_generation=True,
)

ROWS = (
    CRON_JOBS,
    JOBS,
)
