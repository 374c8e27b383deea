"""ReplicaSet, and its elder ReplicationController: defaults, validation, columns."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from api import meta, printing
from api.errors import required
from api.kinds import pod_validation, workload
from api.meta import Obj
from api.registry import Column, Hooks
from api.rules import NOT_NEGATIVE, check
from api.validation import Errors


def default(replica_set: Obj) -> None:
    spec = replica_set.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    workload.default_template(spec)


def default_controller(controller: Obj) -> None:
    """A ReplicationController without selector or labels has those of its template."""
    spec = controller.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    if spec.get("template") is None:
        return
    workload.default_template(spec)
    labels = spec["template"]["metadata"].get("labels")
    if labels and not spec.get("selector"):
        spec["selector"] = dict(labels)
    if labels and not controller["metadata"].get("labels"):
        controller["metadata"]["labels"] = dict(labels)


def prepare(obj: Obj, old: Obj | None) -> None:
    if old is None:
        obj["status"] = {"replicas": 0}


_COUNTS = (("replicas", NOT_NEGATIVE), ("minReadySeconds", NOT_NEGATIVE))


def validate(replica_set: Obj, old: Obj | None) -> Errors:
    spec = replica_set.get("spec") or {}
    errors = workload.selector_and_template(spec, old and old["spec"], empty_for="deployment", kind="ReplicaSet")
    return check(spec, "spec", _COUNTS) + errors


def validate_controller(controller: Obj, old: Obj | None) -> Errors:
    spec = controller.get("spec") or {}
    errors = check(spec, "spec", _COUNTS)
    selector, template = spec.get("selector"), spec.get("template")
    if not selector:
        errors.append(required("spec.selector"))
    if template is None:
        return [*errors, required("spec.template")]
    if selector:
        errors += workload.matches({"matchLabels": selector}, template, "spec.template")
    errors += pod_validation.template(template, "spec.template")
    return errors + workload.runs_forever(template, "spec.template", "ReplicationController")


def validate_status(obj: Obj, old: Obj | None) -> Errors:
    among = ("fullyLabeledReplicas", "readyReplicas", "availableReplicas")
    names = ("replicas", *among, "terminatingReplicas", "observedGeneration")
    return workload.counts(obj.get("status") or {}, "status", names, at_most="replicas", among=among)


COLUMNS = (
    Column("Name", format="name"),
    Column("Desired", "integer"),
    Column("Current", "integer"),
    Column("Ready", "integer"),
    Column("Age"),
    *workload.WIDE,
)


def cells(obj: Obj, now: datetime) -> list[Any]:
    spec, status = obj["spec"], obj.get("status") or {}
    selector = spec.get("selector")
    return [
        meta.name(obj),
        spec.get("replicas", 0),
        status.get("replicas", 0),
        status.get("readyReplicas", 0),
        printing.age_of(obj, now),
        *workload.container_columns(spec.get("template")),
        printing.labels(selector) if obj.get("kind") == "ReplicationController" else workload.selector_text(selector),
    ]


HOOKS = Hooks(
    default=default, prepare=prepare, validate=validate, validate_status=validate_status, columns=COLUMNS, cells=cells
)
CONTROLLER = Hooks(
    default=default_controller, prepare=prepare, validate=validate_controller, validate_status=validate_status,
    columns=COLUMNS, cells=cells, orphans=True,
)  # fmt: skip
