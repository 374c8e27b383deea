"""The pods in objects: where the kinds that make pods, and pods themselves, hold a pod's metadata and spec. Pure."""

from __future__ import annotations

from api.meta import Obj
from api.registry import Resource

_SPEC = ("spec", "template")
PATHS: dict[tuple[str, str], tuple[str, ...]] = {
    ("", "pods"): (),
    ("", "podtemplates"): ("template",),
    ("", "replicationcontrollers"): _SPEC,
    ("apps", "daemonsets"): _SPEC,
    ("apps", "deployments"): _SPEC,
    ("apps", "replicasets"): _SPEC,
    ("apps", "statefulsets"): _SPEC,
    ("batch", "cronjobs"): ("spec", "jobTemplate", "spec", "template"),
    ("batch", "jobs"): _SPEC,
}
"""(group, plural) → where its pod is."""
KINDS = ("initContainers", "containers", "ephemeralContainers")
"""The lists of containers in a pod's spec, in the order of their start."""


def path_of(res: Resource) -> tuple[str, ...] | None:
    return PATHS.get((res.group, res.plural))


def pod_in(obj: Obj | None, path: tuple[str, ...]) -> Obj | None:
    """What stands at `path`, when it has a spec: a pod or a template of one."""
    at = obj
    for step in path:
        at = (at or {}).get(step)
    return at if at and at.get("spec") else None
