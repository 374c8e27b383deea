"""StatefulSet and ControllerRevision: defaults, validation, what an update may change, columns."""

from __future__ import annotations

import copy
from datetime import datetime
from typing import Any

from api import meta, printing
from api.errors import forbidden_field, invalid, not_supported, required
from api.kinds import pod_validation, volume_claim, workload
from api.meta import Obj
from api.registry import Column, Hooks
from api.rules import LABEL, NOT_NEGATIVE, check
from api.validation import Errors, dns_label, immutable, label_selector, shown

_RETENTION = ("Retain", "Delete")
_MAY_CHANGE = (
    "replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy", "minReadySeconds",
)  # fmt: skip


def default(stateful_set: Obj) -> None:
    spec = stateful_set.setdefault("spec", {})
    spec.setdefault("podManagementPolicy", "OrderedReady")
    strategy = spec.setdefault("updateStrategy", {})
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
        strategy.setdefault("rollingUpdate", {})
    if strategy["type"] == "RollingUpdate" and strategy.get("rollingUpdate") is not None:
        strategy["rollingUpdate"] = {"partition": 0, "maxUnavailable": 1} | strategy["rollingUpdate"]
    retention = spec.setdefault("persistentVolumeClaimRetentionPolicy", {})
    for when in ("whenDeleted", "whenScaled"):
        retention.setdefault(when, "Retain")
    spec.setdefault("replicas", 1)
    spec.setdefault("revisionHistoryLimit", 10)
    for claim in spec.get("volumeClaimTemplates") or ():
        claim |= {"apiVersion": "v1", "kind": "PersistentVolumeClaim"}
        volume_claim.default(claim)
        claim.setdefault("status", {}).setdefault("phase", "Pending")
    workload.default_template(spec)


def prepare(stateful_set: Obj, old: Obj | None) -> None:
    if old is None:
        stateful_set["status"] = {"replicas": 0, "availableReplicas": 0}


def validate(stateful_set: Obj, old: Obj | None) -> Errors:
    spec = stateful_set.get("spec") or {}
    errors: Errors = []
    if spec.get("podManagementPolicy") not in ("OrderedReady", "Parallel"):
        text = "must be 'OrderedReady' or 'Parallel'"
        errors.append(invalid("spec.podManagementPolicy", spec.get("podManagementPolicy") or "", text))
    errors += _strategy(spec.get("updateStrategy") or {}, "spec.updateStrategy")
    for when, policy in (spec.get("persistentVolumeClaimRetentionPolicy") or {}).items():
        if policy not in _RETENTION:
            errors.append(not_supported(f"spec.persistentVolumeClaimRetentionPolicy.{when}", policy, _RETENTION))
    claims = spec.get("volumeClaimTemplates") or []
    if old is None:
        for index, claim in enumerate(claims):
            errors += volume_claim.validate_spec(claim.get("spec") or {}, f"spec.volumeClaimTemplates[{index}].spec")
    errors += check(spec, "spec", (("replicas", NOT_NEGATIVE), ("minReadySeconds", NOT_NEGATIVE),
                                   ("ordinals.start", NOT_NEGATIVE)))  # fmt: skip
    if old is None:
        errors += LABEL(spec.get("serviceName"), "spec.serviceName")
    errors += _template(spec, claims)
    if old is not None and _frozen(spec) != _frozen(old["spec"]):
        names = ", ".join(f"'{name}'" for name in _MAY_CHANGE[:-1])
        text = f"updates to statefulset spec for fields other than {names} and '{_MAY_CHANGE[-1]}' are forbidden"
        errors.append(forbidden_field("spec", text))
    return errors


def _frozen(spec: Obj) -> Obj:
    return {name: value for name, value in spec.items() if name not in _MAY_CHANGE}


def _template(spec: Obj, claims: list[Obj]) -> Errors:
    """The template as its pods will have it: with a volume for each claim, and names from the set."""
    selector, template = spec.get("selector"), copy.deepcopy(spec.get("template") or {})
    errors: Errors = []
    if selector is None:
        errors.append(required("spec.selector"))
    else:
        errors += label_selector(selector, "spec.selector")
        if workload.is_empty(selector):
            errors.append(invalid("spec.selector", shown(selector), "empty selector is invalid for statefulset"))
        elif not errors:
            errors += workload.matches(selector, template, "spec.template")
    pod = template.setdefault("spec", {})
    for name in ("subdomain", "hostname"):
        pod.pop(name, None)
    names = [(claim.get("metadata") or {}).get("name", "") for claim in claims]
    own = [volume for volume in pod.get("volumes") or () if volume.get("name") not in names]
    pod["volumes"] = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in names] + own
    errors += pod_validation.template(template, "spec.template")
    return errors + workload.runs_forever(template, "spec.template", "StatefulSet")


def _strategy(strategy: Obj, at: str) -> Errors:
    rolling = strategy.get("rollingUpdate")
    if strategy.get("type") == "OnDelete":
        text = "only allowed for updateStrategy 'RollingUpdate'"
        return [] if rolling is None else [invalid(f"{at}.rollingUpdate", shown(rolling), text)]
    if strategy.get("type") != "RollingUpdate":
        return [invalid(at, shown(strategy), "must be 'RollingUpdate' or 'OnDelete'")]
    if rolling is None:
        return []
    errors = NOT_NEGATIVE(rolling.get("partition"), f"{at}.rollingUpdate.partition")
    value, at = rolling.get("maxUnavailable"), f"{at}.rollingUpdate.maxUnavailable"
    if value is None:
        return errors
    errors += workload.int_or_percent(value, at)
    errors += [invalid(at, value, "cannot be 0")] if workload.is_zero(value) else []
    return errors + workload.at_most_all(value, at)


def validate_status(stateful_set: Obj, old: Obj | None) -> Errors:
    status = stateful_set.get("status") or {}
    among = ("readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas")
    names = ("replicas", *among, "observedGeneration", "collisionCount")
    errors = workload.counts(status, "status", names, at_most="replicas", among=among)
    return errors + workload.collisions(status, old)


COLUMNS = (Column("Name", format="name"), Column("Ready"), Column("Age"), *workload.WIDE[:2])


def cells(stateful_set: Obj, now: datetime) -> list[Any]:
    spec, status = stateful_set["spec"], stateful_set.get("status") or {}
    return [
        meta.name(stateful_set),
        f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 0)}",
        printing.age_of(stateful_set, now),
        *workload.container_columns(spec["template"]),
    ]


HOOKS = Hooks(
    default=default, prepare=prepare, validate=validate, validate_status=validate_status, columns=COLUMNS,
    cells=cells, name_rule=dns_label,
)  # fmt: skip


# --- ControllerRevision ------------------------------------------------------------------------------------


def validate_revision(revision: Obj, old: Obj | None) -> Errors:
    errors = NOT_NEGATIVE(revision.get("revision"), "revision")
    if old is not None:
        return errors + immutable(revision.get("data"), old.get("data"), "data")
    if revision.get("data") is None:
        errors.append(required("data", "data is mandatory"))
    elif not isinstance(revision["data"], dict):
        errors.append(required("data", "data must be a valid JSON object"))
    return errors


def revision_cells(revision: Obj, now: datetime) -> list[Any]:
    owner = meta.controller_of(revision)
    shown_owner = "<none>"
    if owner is not None:
        group = owner.get("apiVersion", "").rpartition("/")[0]
        shown_owner = f"{owner['kind'].lower()}{'.' if group else ''}{group}/{owner['name']}"
    return [meta.name(revision), shown_owner, revision.get("revision", 0), printing.age_of(revision, now)]


REVISION = Hooks(
    validate=validate_revision,
    columns=(Column("Name", format="name"), Column("Controller"), Column("Revision"), Column("Age")),
    cells=revision_cells,
)
