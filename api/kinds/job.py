"""Job: defaults, the selector it is given, validation, what an update may change, columns.

Rules: k8s.io/kubernetes/pkg/apis/batch/validation; KEP-2879 (indexed), KEP-3329 (pod failure policy), KEP-3998
(success policy), KEP-4368 (managedBy).
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from api import meta, printing, selectors
from api.errors import FieldError, duplicate, invalid, not_supported, required
from api.kinds import pod_validation, workload
from api.meta import Obj
from api.registry import Column, Hooks
from api.rules import NOT_NEGATIVE, at_most, check, of, shorter
from api.validation import Errors, dns_label, dns_subdomain, immutable, label_selector, qualified_name, shown

CONTROLLER_UID, JOB_NAME = "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"
_MANY, _MANY_PARALLEL = 100_000, 10_000
_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")


def default(job: Obj) -> None:
    spec = job.setdefault("spec", {})
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    failures = spec.get("podFailurePolicy")
    for name, value in (
        ("parallelism", 1),
        ("backoffLimit", 2**31 - 1 if "backoffLimitPerIndex" in spec else 6),
        ("completionMode", "NonIndexed"),
        ("suspend", False),
        ("manualSelector", False),
        ("podReplacementPolicy", "TerminatingOrFailed" if failures is None else "Failed"),
    ):
        spec.setdefault(name, value)
    for rule in (failures or {}).get("rules") or ():
        for pattern in rule.get("onPodConditions") or ():
            pattern.setdefault("status", "True")
    workload.default_template(spec)


def prepare(job: Obj, old: Obj | None) -> None:
    """Unless told otherwise a job selects by its own UID; without labels of its own it has those of its template."""
    spec, metadata = job["spec"], job["metadata"]
    labels = spec["template"]["metadata"].get("labels") or {}
    if old is None and not spec.get("manualSelector"):
        name, uid = metadata.get("name", ""), metadata["uid"]
        labels = {"job-name": name, JOB_NAME: name, "controller-uid": uid, CONTROLLER_UID: uid} | labels
        spec["template"]["metadata"]["labels"] = labels
        spec.setdefault("selector", {}).setdefault("matchLabels", {}).setdefault(CONTROLLER_UID, uid)
    if old is None:
        job["status"] = {}
    if labels and not metadata.get("labels"):
        metadata["labels"] = dict(labels)


def validate(job: Obj, old: Obj | None) -> Errors:
    spec = job.get("spec") or {}
    errors = _generated(job) if old is None else []
    errors += validate_spec(spec, "spec")
    selector = spec.get("selector")
    errors += [required("spec.selector")] if selector is None else label_selector(selector, "spec.selector")
    if not errors:
        errors += workload.matches(selector, spec.get("template") or {}, "spec.template")
    completions = spec.get("completions")
    if old is not None:
        return errors + _update(spec, old)
    if spec.get("completionMode") == "Indexed" and completions:
        hostname = f"{meta.name(job)}-{completions - 1}"
        if dns_label(hostname, ""):
            text = f"will not able to create pod with invalid DNS label: {hostname}"
            errors.append(invalid("metadata.name", meta.name(job), text))
    return errors


def _generated(job: Obj) -> Errors:
    spec, name, uid = job["spec"], meta.name(job), meta.uid(job)
    if spec.get("manualSelector") or spec.get("selector") is None:
        return []
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
    wanted = {"controller-uid": uid, "job-name": name, CONTROLLER_UID: uid, JOB_NAME: name}
    errors: Errors = []
    for key, value in wanted.items():
        at = f"spec.template.metadata.labels[{key}]"
        if key not in labels:
            errors.append(required(at, f"must be '{value}'"))
        elif labels[key] != value:
            errors.append(invalid(at, shown(labels), f"must be '{value}'"))
    if not label_selector(spec["selector"], "") and not selectors.from_label_selector(spec["selector"]).matches(wanted):
        errors.append(invalid("spec.selector", shown(spec["selector"]), "`selector` not auto-generated"))
    return errors


_FIELDS = tuple(
    (name, NOT_NEGATIVE)
    for name in ("parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished",
                 "backoffLimitPerIndex", "maxFailedIndexes")
)  # fmt: skip


def validate_spec(spec: Obj, at: str) -> Errors:
    """Of a job, or of a cron job's template, which has no selector."""
    errors = check(spec, at, _FIELDS)
    per_index, failed = spec.get("backoffLimitPerIndex"), spec.get("maxFailedIndexes")
    if failed is not None and per_index is None:
        errors.append(required(f"{at}.backoffLimitPerIndex", "when maxFailedIndexes is specified"))
    manager = spec.get("managedBy")
    if manager is not None:
        errors += _domain_path(manager, f"{at}.managedBy") + shorter(63)(manager, f"{at}.managedBy")
    mode = spec.get("completionMode")
    errors += of("NonIndexed", "Indexed")(mode, f"{at}.completionMode")
    if mode == "Indexed":
        errors += _indexed(spec, at)
    else:
        errors += [
            invalid(f"{at}.{name}", spec[name], "requires indexed completion mode")
            for name in ("backoffLimitPerIndex", "maxFailedIndexes")
            if spec.get(name) is not None
        ]
    failures, success = spec.get("podFailurePolicy"), spec.get("successPolicy")
    if failures is not None:
        errors += _failure_policy(spec, failures.get("rules") or [], f"{at}.podFailurePolicy.rules")
    if success is not None and mode != "Indexed":
        errors.append(invalid(f"{at}.successPolicy", shown(success), "requires indexed completion mode"))
    elif success is not None:
        errors += _success_policy(spec, success.get("rules") or [], f"{at}.successPolicy.rules")
    replacement = ("Failed",) if failures is not None else ("Failed", "TerminatingOrFailed")
    errors += of(*replacement)(spec.get("podReplacementPolicy"), f"{at}.podReplacementPolicy")
    errors += pod_validation.template(spec.get("template") or {}, f"{at}.template")
    policy = ((spec.get("template") or {}).get("spec") or {}).get("restartPolicy")
    field = f"{at}.template.spec.restartPolicy"
    if policy in (None, "", "Always"):
        errors.append(required(field, 'valid values: "OnFailure", "Never"'))
    elif policy not in ("OnFailure", "Never"):
        errors.append(not_supported(field, policy, ("OnFailure", "Never")))
    elif failures is not None and policy != "Never":
        errors.append(invalid(field, policy, 'only "Never" is supported when podFailurePolicy is specified'))
    return errors


def _domain_path(value: str, at: str) -> Errors:
    """`example.com/manager`."""
    domain, slash, path = value.partition("/")
    if not value:
        return [required(at)]
    if not slash or not domain or not path:
        return [invalid(at, value, 'must be a domain-prefixed path (such as "acme.io/foo")')]
    errors = [invalid(at, domain, e.message.split(": ", 2)[2]) for e in dns_subdomain(domain, at)]
    if not re.fullmatch(r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+", path):
        errors.append(invalid(at, path, "Invalid path (regex used for validation is "
                              "'[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')"))  # fmt: skip
    return errors


def _indexed(spec: Obj, at: str) -> Errors:
    completions, parallelism = spec.get("completions"), spec.get("parallelism")
    failed, field = spec.get("maxFailedIndexes"), f"{at}.maxFailedIndexes"
    errors: Errors = []
    if completions is None:
        errors.append(required(f"{at}.completions", "when completion mode is Indexed"))
    if parallelism is not None and parallelism > _MANY:
        text = f"must be less than or equal to {_MANY} when completion mode is Indexed"
        errors.append(invalid(f"{at}.parallelism", parallelism, text))
    if completions is not None and failed is not None and failed > completions:
        errors.append(invalid(field, failed, "must be less than or equal to completions"))
    if failed is not None and failed > _MANY:
        errors.append(invalid(field, failed, f"must be less than or equal to {_MANY}"))
    if completions is not None and completions > _MANY and spec.get("backoffLimitPerIndex") is not None:
        why = f"when completions are above {_MANY} and used with backoff limit per index"
        text = f"must be less than or equal to {_MANY_PARALLEL} {why}"
        if failed is None:
            errors.append(required(field, f"must be specified when completions is above {_MANY}"))
        for name in ("parallelism", "maxFailedIndexes"):
            if (spec.get(name) or 0) > _MANY_PARALLEL:
                errors.append(invalid(f"{at}.{name}", spec[name], text))
    return errors


def _listed(values: Iterable[str]) -> str:
    return "valid values: [" + " ".join(f'"{v}"' for v in values) + "]"


def _failure_policy(spec: Obj, rules: list[Obj], field: str) -> Errors:
    errors = at_most(20)(rules, field)
    pod = (spec.get("template") or {}).get("spec") or {}
    names = {c.get("name") for kind in ("containers", "initContainers") for c in pod.get(kind) or ()}
    for index, rule in enumerate(rules):
        at, action = f"{field}[{index}]", rule.get("action") or ""
        codes, conditions = rule.get("onExitCodes"), rule.get("onPodConditions") or []
        if not action:
            errors.append(required(f"{at}.action", _listed(_ACTIONS)))
        elif action == "FailIndex" and spec.get("backoffLimitPerIndex") is None:
            errors.append(invalid(f"{at}.action", action, "requires the backoffLimitPerIndex to be set"))
        elif action not in _ACTIONS:
            errors.append(not_supported(f"{at}.action", action, _ACTIONS))
        if codes is not None:
            errors += _exit_codes(codes, f"{at}.onExitCodes", names)
        errors += at_most(20)(conditions, f"{at}.onPodConditions")
        for place, pattern in enumerate(conditions):
            here, status = f"{at}.onPodConditions[{place}]", pattern.get("status") or ""
            errors += qualified_name(pattern.get("type") or "", f"{here}.type")
            if not status:
                errors.append(required(f"{here}.status", _listed(("False", "True", "Unknown"))))
            else:
                errors += of("False", "True", "Unknown")(status, f"{here}.status")
        if codes is not None and conditions:
            errors.append(_said(at, "specifying both OnExitCodes and OnPodConditions is not supported"))
        elif codes is None and not conditions:
            errors.append(_said(at, "specifying one of OnExitCodes and OnPodConditions is required"))
    return errors


def _said(at: str, text: str) -> FieldError:
    """Invalid without the value."""
    return FieldError("FieldValueInvalid", at, f"Invalid value: {text}")


def _exit_codes(codes: Obj, at: str, names: set[Any]) -> Errors:
    operator, values, name = codes.get("operator") or "", codes.get("values") or [], codes.get("containerName")
    errors: Errors = []
    if not operator:
        errors.append(required(f"{at}.operator", _listed(("In", "NotIn"))))
    else:
        errors += of("In", "NotIn")(operator, f"{at}.operator")
    if name is not None and name not in names:
        text = "must be one of the container or initContainer names in the pod template"
        errors.append(invalid(f"{at}.containerName", name, text))
    if not values:
        errors.append(invalid(f"{at}.values", shown(values), "at least one value is required"))
    errors += at_most(255)(values, f"{at}.values")
    for index, value in enumerate(values):
        if operator == "In" and value == 0:
            errors.append(invalid(f"{at}.values[{index}]", value, "must not be 0 for the In operator"))
        if value in values[:index]:
            errors.append(duplicate(f"{at}.values[{index}]", value))
    if values != sorted(values):
        errors.append(invalid(f"{at}.values", shown(values), "must be ordered"))
    return errors


def _success_policy(spec: Obj, rules: list[Obj], field: str) -> Errors:
    completions = spec.get("completions") or 0
    errors = at_most(20)(rules, field)
    if not rules:
        errors.append(required(field, "at least one rules must be specified when the successPolicy is specified"))
    for index, rule in enumerate(rules):
        at, indexes, count = f"{field}[{index}]", rule.get("succeededIndexes"), rule.get("succeededCount")
        if indexes is None and count is None:
            text = "at least one of succeededCount or succeededIndexes must be specified"
            errors.append(required(at, text))
        total = 0
        if indexes is not None:
            errors += shorter(64 * 1024)(indexes, f"{at}.succeededIndexes")
            try:
                total = count_indexes(indexes, completions)
            except ValueError as error:
                text = f"error parsing succeededIndexes: {error}"
                errors.append(invalid(f"{at}.succeededIndexes", indexes, text))
        if count is not None:
            here = f"{at}.succeededCount"
            errors += NOT_NEGATIVE(count, here)
            if count > completions:
                text = f"must be less than or equal to {completions} (the number of specified completions)"
                errors.append(invalid(here, count, text))
            if indexes is not None and count > total:
                text = f"must be less than or equal to {total} (the number of indexes in the specified "
                text += "succeededIndexes field)"
                errors.append(invalid(here, count, text))
    return errors


def count_indexes(text: str, completions: int) -> int:
    """How many indexes `1,3-5,7` has. ValueError when malformed."""
    total, last = 0, -1
    for part in text.split(",") if text else ():
        ends = part.split("-")
        if len(ends) > 2 or not part:
            why = "violates the requirement that an index interval can have at most two parts separated by '-'"
            raise ValueError(f'the fragment "{part}" {why}')
        for end in ends:
            if not end.isdigit():
                raise ValueError(f'cannot convert string to integer for index: "{end}"')
            if int(end) >= completions:
                raise ValueError(f'too large index: "{end}"')
        first, final = int(ends[0]), int(ends[-1])
        if first <= last:
            raise ValueError(f"non-increasing order, previous: {last}, current: {first}")
        if len(ends) == 2 and final <= first:
            raise ValueError(f"non-increasing order, previous: {first}, current: {final}")
        total, last = total + final - first + 1, final
    return total


def _update(spec: Obj, old: Obj) -> Errors:
    before = old["spec"]
    errors: Errors = []
    elastic = (
        spec.get("completionMode") == "Indexed"
        and spec.get("completions") != before.get("completions")
        and spec.get("completions") == spec.get("parallelism")
    )  # an indexed job may change both together (KEP-3715)
    if not elastic:
        errors += immutable(spec.get("completions"), before.get("completions"), "spec.completions")
    errors += immutable(spec.get("selector"), before.get("selector"), "spec.selector")
    errors += _template_update(spec.get("template") or {}, before, old)
    for name in ("completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"):
        errors += immutable(spec.get(name), before.get(name), f"spec.{name}")
    return errors


def _template_update(template: Obj, before: Obj, old: Obj) -> Errors:
    """Where its pods may go can change while a job that has not started is suspended (KEP-2926)."""
    frame = copy.deepcopy(before.get("template") or {})
    if before.get("suspend") and not (old.get("status") or {}).get("startTime"):
        pod, new = frame.setdefault("spec", {}), template.get("spec") or {}
        for name in ("nodeSelector", "tolerations", "schedulingGates"):
            pod.pop(name, None)
            pod |= {name: new[name]} if name in new else {}
        affinity = {k: v for k, v in (pod.pop("affinity", None) or {}).items() if k != "nodeAffinity"}
        wanted = new.get("affinity")
        node = (wanted or {}).get("nodeAffinity")
        if node is not None:
            affinity["nodeAffinity"] = node
        if affinity or wanted is not None:
            pod["affinity"] = affinity
        frame["metadata"] = template.get("metadata") or {}
    return immutable(template, frame, "spec.template")


def validate_status(job: Obj, old: Obj | None) -> Errors:
    status, before = job.get("status") or {}, (old or {}).get("status") or {}
    errors = workload.counts(status, "status", ("active", "succeeded", "failed", "ready", "terminating"))

    def has(kind: str, of_job: Obj = job) -> bool:
        return meta.is_condition_true(of_job, kind)

    at = "status.conditions"
    complete, failed = has("Complete"), has("Failed")
    for kind, other, text in (
        ("Complete", "Failed", "cannot set Complete=True and Failed=true conditions"),
        ("Complete", "FailureTarget", "cannot set Complete=True and FailureTarget=true conditions"),
        ("SuccessCriteriaMet", "Failed", "cannot set SuccessCriteriaMet=True and Failed=true conditions"),
        ("SuccessCriteriaMet", "FailureTarget", "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions"),
    ):
        errors += [_said(at, text)] if has(kind) and has(other) else []
    if failed and not has("FailureTarget"):
        errors.append(_said(at, "cannot set Failed=True condition without the FailureTarget=true condition"))
    if complete and not has("SuccessCriteriaMet"):
        errors.append(_said(at, "cannot set Complete=True condition without the SuccessCriteriaMet=true condition"))
    done, start = status.get("completionTime"), status.get("startTime")
    if done is not None and not complete:
        text = "cannot set completionTime when there is no Complete=True condition"
        errors.append(invalid("status.completionTime", done, text))
    if done is None and complete:
        errors.append(required("status.completionTime", "completionTime is required for Complete jobs"))
    if complete or failed:
        for name, text in (("active", "active>0 is invalid for finished job"),
                           ("terminating", "terminating>0 is invalid for finished job")):  # fmt: skip
            errors += [invalid(f"status.{name}", status[name], text)] if (status.get(name) or 0) > 0 else []
        if start is None:
            errors.append(required("status.startTime", "startTime is required for finished job"))
        if any((status.get("uncountedTerminatedPods") or {}).values()):
            text = "must be empty for finished job"
            errors.append(invalid("status.uncountedTerminatedPods", shown(status["uncountedTerminatedPods"]), text))
    if status.get("ready", 0) > status.get("active", 0):
        errors.append(invalid("status.ready", status["ready"], "cannot set more ready pods than active"))
    if old is not None:
        errors += [
            _said(at, f"cannot disable the terminal {kind}=True condition")
            for kind in ("Failed", "Complete", "FailureTarget")
            if has(kind, old) and not has(kind)
        ]
        errors += [
            invalid(f"status.{name}", status.get(name, 0), f"cannot decrease the {name} counter")
            for name in ("failed", "succeeded")
            if status.get(name, 0) < before.get(name, 0)
        ]
        if done and before.get("completionTime") not in (None, done):
            errors.append(invalid("status.completionTime", done, "field is immutable"))
        if before.get("startTime") not in (None, start) and not job["spec"].get("suspend"):
            errors.append(required("status.startTime", "startTime cannot be removed for unsuspended job"))
    return errors


COLUMNS = (
    Column("Name", format="name"),
    Column("Status"),
    Column("Completions"),
    Column("Duration"),
    Column("Age"),
    *workload.WIDE,
)


def cells(job: Obj, now: datetime) -> list[Any]:
    spec, status = job["spec"], job.get("status") or {}
    done, parallel = status.get("succeeded", 0), spec.get("parallelism") or 0
    of_many = f"{done}/1 of {parallel}" if parallel > 1 else f"{done}/1"
    start, end = status.get("startTime"), status.get("completionTime")
    return [
        meta.name(job),
        _state(job),
        f"{done}/{spec['completions']}" if spec.get("completions") is not None else of_many,
        printing.since(start, meta.parse_time(end) if end else now) if start else "",
        printing.age_of(job, now),
        *workload.wide(spec),
    ]


def _state(job: Obj) -> str:
    for kind in ("Complete", "Failed"):
        if meta.is_condition_true(job, kind):
            return kind
    if meta.is_deleting(job):
        return "Terminating"
    kinds = (("Suspended", "Suspended"), ("FailureTarget", "FailureTarget"))
    return next((shown_as for kind, shown_as in kinds if meta.is_condition_true(job, kind)), "Running")


_CARELESS = (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or "
    "set propagationPolicy=Orphan to suppress this warning"
)
HOOKS = Hooks(
    default=default, prepare=prepare, validate=validate, validate_status=validate_status, columns=COLUMNS, cells=cells,
    orphans=True, careless=_CARELESS,
)  # fmt: skip
