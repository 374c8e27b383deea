"""CronJob: defaults, validation of schedules, columns.

Schedules are those of robfig/cron's standard parser: five fields, or a descriptor such as `@daily` or `@every 5m`.
"""

from __future__ import annotations

import re
import zoneinfo
from datetime import datetime
from typing import Any

from api import meta, printing
from api.errors import invalid, not_supported, required
from api.kinds import job, workload
from api.meta import Obj
from api.registry import Column, Hooks
from api.rules import NOT_NEGATIVE, check, needed_of
from api.validation import Errors
from api.validation import annotations as annotation_rules
from api.validation import labels as label_rules

_LONGEST_NAME = 52
_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec"
_DAYS = "sun mon tue wed thu fri sat"
_BOUNDS: tuple[tuple[int, int, dict[str, int]], ...] = (
    (0, 59, {}), (0, 23, {}), (1, 31, {}),
    (1, 12, {name: i + 1 for i, name in enumerate(_MONTHS.split())}),
    (0, 6, {name: i for i, name in enumerate(_DAYS.split())}),
)  # fmt: skip
_DESCRIPTORS = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")
_DURATION = re.compile(r"^[+-]?(\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)((\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h))*$")
_ZONE_PART = re.compile(r"^[A-Za-z.\-_0-9+]{1,14}$")


def default(cron_job: Obj) -> None:
    spec = cron_job.setdefault("spec", {})
    for name, value in (("concurrencyPolicy", "Allow"), ("suspend", False), ("successfulJobsHistoryLimit", 3),
                        ("failedJobsHistoryLimit", 1)):  # fmt: skip
        spec.setdefault(name, value)
    template = spec.setdefault("jobTemplate", {})
    template.setdefault("metadata", {})
    workload.default_template(template.setdefault("spec", {}))


def parse_error(schedule: str) -> str:
    """What is wrong with a schedule; "" when nothing is."""
    if schedule.startswith(("TZ=", "CRON_TZ=")):
        zone, space, schedule = schedule.partition(" ")
        name = zone.partition("=")[2]
        if not space or _zone_error(name):
            return f"provided bad location {name}: unknown time zone {name}"
        schedule = schedule.strip()
    if schedule.startswith("@"):
        if schedule in _DESCRIPTORS:
            return ""
        if schedule.startswith("@every "):
            every = schedule.removeprefix("@every ")
            why = f'time: invalid duration "{every}"'
            return "" if _DURATION.match(every) else f"failed to parse duration {schedule}: {why}"
        return f"unrecognized descriptor: {schedule}"
    fields = schedule.split()
    if len(fields) != len(_BOUNDS):
        return f"expected exactly 5 fields, found {len(fields)}: [{' '.join(fields)}]"
    return next(
        (why for field, bounds in zip(fields, _BOUNDS, strict=True) if (why := _field_error(field, *bounds))), ""
    )


def _field_error(field: str, low: int, high: int, names: dict[str, int]) -> str:
    return next((why for part in field.split(",") if part and (why := _range_error(part, low, high, names))), "")


def _range_error(part: str, low: int, high: int, names: dict[str, int]) -> str:
    span, *steps = part.split("/")
    ends = span.split("-")
    start, end = low, high
    if ends[0] not in ("*", "?"):
        numbers = []
        for text in ends[:2]:
            if text.lower() in names:
                numbers.append(names[text.lower()])
            elif re.fullmatch(r"[+-]?\d+", text):
                if int(text) < 0:
                    return f"negative number ({int(text)}) not allowed: {text}"
                numbers.append(int(text))
            else:
                return f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": invalid syntax'
        if len(ends) > 2:
            return f"too many hyphens: {part}"
        start, end = numbers[0], numbers[-1]
        if steps and len(ends) == 1:
            end = high
    step = 1
    if len(steps) > 1:
        return f"too many slashes: {part}"
    if steps:
        if not re.fullmatch(r"[+-]?\d+", steps[0]):
            return f'failed to parse int from {steps[0]}: strconv.Atoi: parsing "{steps[0]}": invalid syntax'
        step = int(steps[0])
    if start < low:
        return f"beginning of range ({start}) below minimum ({low}): {part}"
    if end > high:
        return f"end of range ({end}) above maximum ({high}): {part}"
    if start > end:
        return f"beginning of range ({start}) beyond end of range ({end}): {part}"
    return f"step of range should be a positive number: {part}" if step == 0 else ""


def _zone_error(name: str) -> str:
    if not name:
        return "timeZone must be nil or non-empty string"
    for part in name.split("/"):
        if part in (".", "..") or part.startswith("-") or not _ZONE_PART.match(part):
            return f"unknown time zone {name}"
    if name.lower() == "local":
        return "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        return f"unknown time zone {name}"
    return ""


def validate(cron_job: Obj, old: Obj | None) -> Errors:
    spec, before = cron_job.get("spec") or {}, (old or {}).get("spec") or {}
    schedule, zone, at = spec.get("schedule") or "", spec.get("timeZone"), "spec.schedule"
    errors: Errors = []
    if not schedule:
        errors.append(required(at))
    elif why := parse_error(schedule):
        errors.append(invalid(at, schedule, why))
    if "TZ" in schedule:
        if "TZ" not in before.get("schedule", ""):
            text = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
            errors.append(invalid(at, schedule, text))
        elif zone is not None:
            errors.append(invalid(at, schedule, "cannot use both timeZone field and TZ or CRON_TZ in schedule"))
    errors += check(spec, "spec", (("startingDeadlineSeconds", NOT_NEGATIVE),))
    if zone is not None and zone != before.get("timeZone") and (why := _zone_error(zone)):
        errors.append(invalid("spec.timeZone", zone, why))
    errors += check(spec, "spec", (
        ("concurrencyPolicy", needed_of("Allow", "Forbid", "Replace")),
        ("successfulJobsHistoryLimit", NOT_NEGATIVE), ("failedJobsHistoryLimit", NOT_NEGATIVE),
    ))  # fmt: skip
    errors += _template(spec.get("jobTemplate") or {}, "spec.jobTemplate")
    name = meta.name(cron_job)
    if old is None and len(name) > _LONGEST_NAME:
        errors.append(invalid("metadata.name", name, f"must be no more than {_LONGEST_NAME} bytes"))
    return errors


def _template(template: Obj, at: str) -> Errors:
    spec, metadata = template.get("spec") or {}, template.get("metadata") or {}
    errors = label_rules(metadata.get("labels"), f"{at}.metadata.labels")
    errors += annotation_rules(metadata.get("annotations"), f"{at}.metadata.annotations")
    errors += job.validate_spec(spec, f"{at}.spec")
    if spec.get("manualSelector"):
        errors.append(not_supported(f"{at}.spec.manualSelector", True, ("nil", "false")))
    return errors


COLUMNS = (
    Column("Name", format="name"),
    Column("Schedule"),
    Column("Timezone"),
    Column("Suspend", "boolean"),
    Column("Active", "integer"),
    Column("Last Schedule"),
    Column("Age"),
    *workload.WIDE,
)


def cells(cron_job: Obj, now: datetime) -> list[Any]:
    spec, status = cron_job["spec"], cron_job.get("status") or {}
    last = status.get("lastScheduleTime")
    return [
        meta.name(cron_job),
        spec.get("schedule", ""),
        spec.get("timeZone") or "<none>",
        "True" if spec.get("suspend") else "False",
        len(status.get("active") or ()),
        printing.since(last, now) if last else "<none>",
        printing.age_of(cron_job, now),
        *workload.wide((spec.get("jobTemplate") or {}).get("spec") or {}),
    ]


HOOKS = Hooks(default=default, validate=validate, columns=COLUMNS, cells=cells)
