"""Binding: gives a pod its node, once. The scheduler's hot path, so it changes the stored pod and nothing else."""

from __future__ import annotations

from typing import Any

from api import errors, meta
from api.builtin import PODS
from api.errors import BadRequest, Conflict
from api.meta import Obj
from api.registry import Resource
from apiserver import decode
from apiserver.admission.chain import Attempt
from apiserver.context import Context
from apiserver.request import Request
from apiserver.response import Answer, json_reply
from apiserver.routes.table import Handlers

BINDING = Resource("", "v1", "Binding", "bindings", "binding", True, verbs=("create",))
_DONE = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


def bound(pod: Obj, binding: Obj, stamp: str) -> Obj:
    """The pod on the node that the binding names. Conflict when it is on one already or on its way out."""
    name, spec = meta.name(pod), pod["spec"]
    if meta.is_deleting(pod):
        raise _conflict(name, f"pod {name} is being deleted, cannot be assigned to a host")
    if spec.get("nodeName"):
        raise _conflict(name, f'pod {name} is already assigned to node "{spec["nodeName"]}"')
    if spec.get("schedulingGates"):
        raise _conflict(name, f"pod {name} has non-empty .spec.schedulingGates")
    spec["nodeName"] = binding["target"]["name"]
    for kind in ("annotations", "labels"):
        added = binding["metadata"].get(kind)
        if added:
            pod["metadata"][kind] = {**(pod["metadata"].get(kind) or {}), **added}
    conditions: list[Obj] = pod.setdefault("status", {}).setdefault("conditions", [])
    scheduled: dict[str, Any] = {"type": "PodScheduled", "status": "True", "lastTransitionTime": stamp}
    if "generation" in pod["metadata"]:
        scheduled["observedGeneration"] = pod["metadata"]["generation"]
    conditions[:] = [c for c in conditions if c.get("type") != "PodScheduled"]
    conditions.append(scheduled)
    return pod


def _conflict(name: str, why: str) -> Conflict:
    return errors.conflict("", "pods/binding", name, why)


def _check(binding: Obj, name: str) -> None:
    target = binding.get("target") or {}
    found = []
    if target.get("kind") not in (None, "", "Node"):
        found.append(errors.not_supported("target.kind", target["kind"], ["Node", "<empty>"]))
    if not target.get("name"):
        found.append(errors.required("target.name"))
    if found:
        raise errors.invalid_object("", "Binding", name, found)


async def _create(context: Context, request: Request, res: Resource) -> Answer:
    info = request.info
    binding = await decode.read_object(request, BINDING)
    decode.check_names(binding, info.namespace, info.name)
    metadata = binding["metadata"]
    name = metadata.get("name", "")
    if not name:
        raise BadRequest("metadata.name: the name of the pod to bind is required")
    attempt = Attempt(
        request.user, "create", res, info.subresource, info.namespace, name, binding, None, request.dry_run, request
    )
    await context.admission.mutate(attempt)
    binding = attempt.new()
    metadata = binding["metadata"]
    _check(binding, name)
    await context.admission.validate(attempt)
    stamp = meta.rfc3339(context.now())
    if request.dry_run:
        bound((await context.store.get(PODS, info.namespace, name)).obj(), binding, stamp)
        return json_reply(_DONE, 201)
    await context.store.update(
        PODS,
        info.namespace,
        name,
        lambda pod: bound(pod, binding, stamp),
        uid=metadata.get("uid", ""),
        resource_version=metadata.get("resourceVersion", ""),
    )
    return json_reply(_DONE, 201)


HANDLERS: Handlers = {"create": _create}
