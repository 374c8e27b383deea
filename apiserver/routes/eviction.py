"""Eviction: a polite delete, which the pod's disruption budget may refuse for now.

Rules: k8s.io/kubernetes/pkg/registry/core/pod/storage/eviction.go; KEP-3017 (unhealthy pods), KEP-3329 (the pod's
DisruptionTarget condition). A granted disruption is taken from the budget in one write pinned to its revision, so
that two evictions never share it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from api import errors, meta, selectors
from api.builtin import DISRUPTION_BUDGETS
from api.errors import ApiError, BadRequest, Conflict, InternalError, Timeout, TooManyRequests
from api.meta import Obj
from api.registry import Resource
from apiserver import decode, deletion
from apiserver.admission.chain import Attempt
from apiserver.context import Context
from apiserver.deletion import DeleteOptions
from apiserver.request import Request
from apiserver.response import Answer, json_reply
from apiserver.routes.delete import delete
from apiserver.routes.table import Handlers
from apiserver.routes.update import to
from apiserver.storage.stored import Stored

EVICTION = Resource("policy", "v1", "Eviction", "evictions", "eviction", True)
_DONE = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
_TRIES = 20
_MOST_DISRUPTED = 2000
_REFUSED = "Cannot evict pod as it would violate the pod's disruption budget."
_TARGET = {
    "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
    "message": "Eviction API: evicting",
}  # fmt: skip


async def _create(context: Context, request: Request, res: Resource) -> Answer:
    info = request.info
    eviction = await decode.read_object(request, EVICTION)
    metadata = eviction["metadata"]
    if metadata.get("name") != info.name:
        raise BadRequest("name in URL does not match name in Eviction object")
    decode.check_names(eviction, info.namespace, info.name)
    pod = (await context.store.get(res, info.namespace, info.name)).obj()
    attempt = Attempt(
        request.user, "create", res, info.subresource, info.namespace, info.name, eviction, pod, False, request
    )
    options = _options(attempt)
    await context.admission.mutate(attempt)
    options = _options(attempt)
    await context.admission.validate(attempt)
    await _evict(context, request, res, options)
    return json_reply(_DONE, 201)


def _options(attempt: Attempt) -> DeleteOptions:
    """How the Eviction wants the pod to be deleted."""
    options = deletion.options_of(attempt.new().get("deleteOptions") or {})
    attempt.dry_run = options.dry_run = options.dry_run or (attempt.request is not None and attempt.request.dry_run)
    return options


async def _evict(context: Context, request: Request, res: Resource, options: DeleteOptions) -> None:
    namespace, name = request.info.namespace, request.info.name
    for _ in range(_TRIES):
        pod = await context.store.get(res, namespace, name)
        obj, wanted = pod.obj(), replace(options)
        if not _is_over(obj):
            begun = (obj.get("status") or {}).get("phase") != "Pending"
            granted = begun and await _is_granted(context, obj, options.dry_run)
            if not granted and not options.resource_version:
                wanted.resource_version = str(pod.revision)  # it must not become healthy meanwhile
        try:
            if not options.dry_run and not meta.is_deleting(obj):
                marked = await _mark(context, res, pod, wanted)
                wanted.resource_version = wanted.resource_version and str(marked.revision)
            await delete(context, request.user, res, namespace, name, wanted, admitted=True)
            return
        except Conflict:
            if options.resource_version or options.uid:
                raise
    raise errors.conflict(res.group, res.plural, name)


def _is_over(pod: Obj) -> bool:
    """Ended, or about to be: no budget counts it."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed") or meta.is_deleting(pod)


async def _mark(context: Context, res: Resource, pod: Stored, options: DeleteOptions) -> Stored:
    """The pod says why it goes."""

    def marked(current: Obj) -> Obj:
        deletion.check_preconditions(res, current, options)
        condition: Obj = dict(_TARGET)
        if "generation" in current["metadata"]:
            condition["observedGeneration"] = current["metadata"]["generation"]
        meta.set_condition(current.setdefault("status", {}).setdefault("conditions", []), condition, context.now())
        return current

    return await context.store.update(res, pod.namespace, pod.name, marked)


# --- budgets -----------------------------------------------------------------------------------------------


async def _is_granted(context: Context, pod: Obj, dry_run: bool) -> bool:
    """Whether the pod may go as a healthy one: no budget covers it, or the one that does has granted it. False when
    it may go only while it is unhealthy."""
    page = await context.store.list(DISRUPTION_BUDGETS, meta.namespace(pod), resource_version="0")
    found = [budget for budget in (stored.obj() for stored in page.items) if _covers(budget, pod)]
    if len(found) > 1:
        raise InternalError(
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
        )
    if found and not meta.is_condition_true(pod, "Ready") and _spares_unhealthy(found[0]):
        return False
    if found:
        await _take(context, found[0], pod, dry_run)
    return True


def _covers(budget: Obj, pod: Obj) -> bool:
    """No selector covers nothing, an empty one everything."""
    return selectors.from_label_selector((budget.get("spec") or {}).get("selector")).matches(meta.labels(pod))


def _spares_unhealthy(budget: Obj) -> bool:
    status = budget.get("status") or {}
    if budget["spec"].get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    desired = status.get("desiredHealthy", 0)
    return bool(0 < desired <= status.get("currentHealthy", 0))


async def _take(context: Context, budget: Obj, pod: Obj, dry_run: bool) -> None:
    name, namespace = meta.name(budget), meta.namespace(budget)
    for _ in range(_TRIES):
        taken = taking(budget, meta.name(pod), context.now())
        if dry_run:
            return
        try:
            revision = budget["metadata"]["resourceVersion"]
            await context.store.update(DISRUPTION_BUDGETS, namespace, name, to(taken), resource_version=revision)
            return
        except Conflict:
            budget = (await context.store.get(DISRUPTION_BUDGETS, namespace, name)).obj()
    raise Timeout(f'couldn\'t update PodDisruptionBudget "{name}" due to conflicts', {"retryAfterSeconds": 10})


def taking(budget: Obj, pod: str, now: datetime) -> Obj:
    """The budget with one disruption less, for `pod`. TooManyRequests or Forbidden when it has none to give."""
    status, name = dict(budget.get("status") or {}), meta.name(budget)
    if status.get("observedGeneration", 0) < budget["metadata"].get("generation", 0):
        raise _later(f"The disruption budget {name} is still being processed by the server.", 10)
    allowed, disrupted = status.get("disruptionsAllowed", 0), dict(status.get("disruptedPods") or {})
    if allowed < 0:
        raise _forbidden(name, "pdb disruptions allowed is negative")
    if len(disrupted) > _MOST_DISRUPTED:
        why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller"
        raise _forbidden(name, why)
    if allowed == 0:
        raise _later(_why_none(budget, status), 0)
    disrupted[pod] = meta.rfc3339(now)
    conditions = [dict(c) for c in status.get("conditions") or ()]
    if allowed == 1:
        spent = {"type": "DisruptionAllowed", "status": "False", "reason": "InsufficientPods", "message": ""}
        generation = {"observedGeneration": status.get("observedGeneration", 0)}
        meta.set_condition(conditions, spent | generation, now)
    return {
        **budget,
        "status": {**status, "disruptionsAllowed": allowed - 1, "disruptedPods": disrupted, "conditions": conditions},
    }


def _why_none(budget: Obj, status: Obj) -> str:
    name, condition = meta.name(budget), meta.get_condition(budget, "DisruptionAllowed") or {}
    if condition.get("status") == "False" and condition.get("reason") == "SyncFailed":
        why = f"because it failed sync: {condition.get('message', '')}"
        return f"The disruption budget {name} does not allow evicting pods currently {why}"
    desired, current = status.get("desiredHealthy", 0), status.get("currentHealthy", 0)
    return f"The disruption budget {name} needs {desired} healthy pods and has {current} currently"


def _later(cause: str, seconds: int) -> TooManyRequests:
    causes = [{"reason": "DisruptionBudget", "message": cause}]
    return TooManyRequests(_REFUSED, {"causes": causes} | ({"retryAfterSeconds": seconds} if seconds else {}))


def _forbidden(name: str, why: str) -> ApiError:
    return errors.Forbidden(
        f'poddisruptionbudgets.policy "{name}" is forbidden: {why}',
        {"name": name, "group": "policy", "kind": "poddisruptionbudgets"},
    )


HANDLERS: Handlers = {"create": _create}
