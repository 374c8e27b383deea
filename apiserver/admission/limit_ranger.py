"""LimitRanger: what a container, a pod or a claim may ask for in a namespace, and what a container gets that asks for
nothing.

https://kubernetes.io/docs/concepts/policy/limit-range/ ; texts as in
k8s.io/kubernetes/plugin/pkg/admission/limitranger. What an update leaves as it was is not judged again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from api import meta, pod_resources
from api.builtin import LIMIT_RANGES, PERSISTENT_VOLUME_CLAIMS, PODS
from api.meta import Obj
from api.pod_resources import Amounts
from api.quantities import canonical, parse
from api.registry import Resource
from apiserver.admission.chain import Attempt, Plugin
from apiserver.auth.rbac import together
from apiserver.storage.keys import split_local
from apiserver.storage.store import Store
from apiserver.storage.stored import Stored

_ANNOTATION = "kubernetes.io/limit-ranger"
_KINDS = {"containers": "container", "initContainers": "init container"}
_CLAIM = "PersistentVolumeClaim"
_DOORS = (
    (PODS, "create", ""), (PODS, "update", "resize"),
    (PERSISTENT_VOLUME_CLAIMS, "create", ""), (PERSISTENT_VOLUME_CLAIMS, "update", ""),
)  # fmt: skip


class LimitRanger(Plugin):
    name = "LimitRanger"

    def __init__(self, store: Store) -> None:
        self._store = store
        self._ranges: dict[str, dict[str, list[Obj]]] = {}  # namespace → name → limits
        store.listen(LIMIT_RANGES, self._on_range)

    def _on_range(self, key: str, found: Stored | None) -> None:
        namespace, name = split_local(key)
        ranges = self._ranges.setdefault(namespace, {})
        if found is not None:
            ranges[name] = (found.obj().get("spec") or {}).get("limits") or []
        else:
            ranges.pop(name, None)
        if not ranges:
            del self._ranges[namespace]

    def handles(self, verb: str, res: Resource, subresource: str) -> bool:
        return (res, verb, subresource) in _DOORS

    def _limits(self, attempt: Attempt) -> Iterator[list[Obj]]:
        """ServiceUnavailable while nothing has been read yet: what is not known is not unlimited."""
        self._store.check_filled()
        ranges = self._ranges.get(attempt.namespace)
        if ranges and not (attempt.old is not None and meta.is_deleting(attempt.old)):
            yield from (ranges[name] for name in sorted(ranges))

    async def mutate(self, attempt: Attempt) -> None:
        if attempt.res is PODS:
            for limits in self._limits(attempt):
                _fill(attempt.new(), limits)

    async def validate(self, attempt: Attempt) -> None:
        judge = _judge_pod if attempt.res is PODS else _judge_claim
        for limits in self._limits(attempt):
            if wrong := [text for limit in limits for text in judge(limit, attempt.new(), attempt.old) if text]:
                raise attempt.forbidden(together(wrong))


# --- defaults ----------------------------------------------------------------------------------------------


def _fill(pod: Obj, limits: list[Obj]) -> None:
    """A container's resources, where it names none, and a note of them for people."""
    defaults: dict[str, Amounts] = {"requests": {}, "limits": {}}
    for limit in limits:
        if limit.get("type") == "Container":
            defaults["requests"] |= limit.get("defaultRequest") or {}
            defaults["limits"] |= limit.get("default") or {}
    if not any(defaults.values()):
        return
    notes = []
    for kind, what in _KINDS.items():
        for container in pod["spec"].get(kind) or ():
            resources = container["resources"] = container.get("resources") or {}
            for field, word in (("requests", "request"), ("limits", "limit")):
                own = resources.get(field) or {}
                if missing := sorted(defaults[field].keys() - own.keys()):
                    resources[field] = own | {name: defaults[field][name] for name in missing}
                    notes.append(f"{', '.join(missing)} {word} for {what} {container.get('name', '')}")
    if notes:
        annotations = meta.annotations(pod) | {_ANNOTATION: f"LimitRanger plugin set: {'; '.join(notes)}"}
        pod["metadata"]["annotations"] = annotations


# --- limits ------------------------------------------------------------------------------------------------


def _judge_pod(limit: Obj, pod: Obj, old: Obj | None) -> Iterator[str]:
    if limit.get("type") == "Container":
        for kind in _KINDS:
            before = {c["name"]: _of(c) for c in (old or {"spec": {}})["spec"].get(kind) or ()}
            for container in pod["spec"].get(kind) or ():
                yield from _judge(limit, _of(container), before.get(container["name"]))
    elif limit.get("type") == "Pod":
        yield from _judge(limit, _total(pod), _total(old) if old is not None else None)


def _judge_claim(limit: Obj, claim: Obj, old: Obj | None) -> Iterator[str]:
    """A claim has requests alone, and they are held to the maximum too."""
    if limit.get("type") == _CLAIM:
        before = _requested(old) if old is not None else None
        yield from _judge(limit, _requested(claim), before, _CLAIM_BOUNDS)


_Asked = tuple[Amounts, Amounts]  # requests, limits


def _of(asker: Mapping[str, Obj]) -> _Asked:
    resources = asker.get("resources") or {}
    return resources.get("requests") or {}, resources.get("limits") or {}


def _requested(claim: Obj) -> _Asked:
    return _of(claim["spec"])[0], {}


def _total(pod: Obj) -> _Asked:
    """As the pod asks by itself: without the overhead of its runtime, and whatever it has been given so far."""
    asking: Obj = {"spec": {**pod["spec"], "overhead": {}}}
    return pod_resources.requests(asking), pod_resources.limits(asking)


def _judge(limit: Obj, asked: _Asked, before: _Asked | None, bounds: _Bounds | None = None) -> Iterator[str]:
    for field, judge in bounds or _BOUNDS:
        for name, bound in sorted((limit.get(field) or {}).items()):
            if before is None or not all(_same(name, *both) for both in zip(asked, before, strict=True)):
                yield judge(name, limit["type"], bound, asked[0].get(name), asked[1].get(name))


def _same(name: str, one: Amounts, other: Amounts) -> bool:
    if name in one and name in other:
        return parse(one[name]) == parse(other[name])
    return name not in one and name not in other


_Amount = str | None


def _minimum(name: str, kind: str, least: str, request: _Amount, limit: _Amount) -> str:
    """What is wrong, "" when nothing is; as all of these."""
    told = f"minimum {name} usage per {kind} is {canonical(least)}"
    if request is None:
        return f"{told}.  No request is specified"
    if parse(request) < parse(least):
        return f"{told}, but request is {canonical(request)}"
    if limit is not None and parse(limit) < parse(least):
        return f"{told}, but limit is {canonical(limit)}"
    return ""


def _maximum(name: str, kind: str, most: str, request: _Amount, limit: _Amount) -> str:
    told = f"maximum {name} usage per {kind} is {canonical(most)}"
    if limit is None:
        return f"{told}.  No limit is specified"
    if parse(limit) > parse(most):
        return f"{told}, but limit is {canonical(limit)}"
    return _maximum_request(name, kind, most, request, limit) if request is not None else ""


def _maximum_request(name: str, kind: str, most: str, request: _Amount, _: _Amount) -> str:
    told = f"maximum {name} usage per {kind} is {canonical(most)}"
    if request is None:
        return f"{told}.  No request is specified"
    return f"{told}, but request is {canonical(request)}" if parse(request) > parse(most) else ""


def _ratio(name: str, kind: str, most: str, request: _Amount, limit: _Amount) -> str:
    told = f"{name} max limit to request ratio per {kind} is {canonical(most)}, but"
    if request is None or not parse(request):
        return f"{told} no request is specified or request is 0"
    if limit is None or not parse(limit):
        return f"{told} no limit is specified or limit is 0"
    ratio = parse(limit) / parse(request)
    return f"{told} provided ratio is {ratio:.6f}" if ratio > parse(most) else ""


_Bounds = tuple[tuple[str, Callable[[str, str, str, _Amount, _Amount], str]], ...]
_BOUNDS: _Bounds = (("min", _minimum), ("max", _maximum), ("maxLimitRequestRatio", _ratio))
_CLAIM_BOUNDS: _Bounds = (("min", _minimum), ("max", _maximum_request))
