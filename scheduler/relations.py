"""Which pods belong together: by owner, by the Services that select them, by the terms of a pod affinity. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from api import meta
from api.meta import Obj
from api.selectors import EVERYTHING, Requirement, Selector
from scheduler.pod import Pod, PodTerm

ALL_NAMESPACES = "*"


@dataclass(frozen=True, slots=True)
class Group:
    """The pods in these namespaces, of this owner (if given), with these labels."""

    namespaces: tuple[str, ...]
    owner: str = ""
    selector: Selector = EVERYTHING

    def holds(self, pod: Pod) -> bool:
        if pod.namespace not in self.namespaces and ALL_NAMESPACES not in self.namespaces:
            return False
        return (not self.owner or pod.owner == self.owner) and self.selector.matches(pod.labels)


class Relations:
    """Follows Services and Namespaces, and tells who is meant."""

    def __init__(self) -> None:
        self._services: dict[str, dict[str, dict[str, str]]] = {}
        self._namespaces: dict[str, Mapping[str, str]] = {}

    def set_service(self, service: Obj) -> None:
        selector = (service.get("spec") or {}).get("selector") or {}
        self._services.setdefault(meta.namespace(service), {})[meta.name(service)] = dict(selector)

    def remove_service(self, namespace: str, name: str) -> None:
        self._services.get(namespace, {}).pop(name, None)

    def set_namespace(self, namespace: Obj) -> None:
        self._namespaces[meta.name(namespace)] = dict(meta.labels(namespace))

    def remove_namespace(self, name: str) -> None:
        self._namespaces.pop(name, None)

    def kin(self, pod: Pod) -> Group | None:
        """Whom the pod should be spread among: its owner's pods, else those its Services select."""
        if pod.owner:
            return Group((pod.namespace,), pod.owner)
        selectors = [
            selector.items()
            for selector in self._services.get(pod.namespace, {}).values()
            if selector and all(pod.labels.get(k) == v for k, v in selector.items())
        ]
        wanted = sorted({item for items in selectors for item in items})
        if not wanted:
            return None
        return Group((pod.namespace,), "", Selector(tuple(Requirement(k, "In", (v,)) for k, v in wanted)))

    def meant_by(self, term: PodTerm) -> Group:
        return Group(self._reach(term), "", term.selector)

    def _reach(self, term: PodTerm) -> tuple[str, ...]:
        if term.namespace_selector.nothing:
            return term.namespaces
        if term.namespace_selector.is_everything:
            return (ALL_NAMESPACES,)
        more = [n for n, labels in self._namespaces.items() if term.namespace_selector.matches(labels)]
        return tuple(sorted({*term.namespaces, *more}))
