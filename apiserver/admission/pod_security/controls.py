"""How a control of the Pod Security Standards looks at a pod, and the few shapes that controls have. Pure.

A control finds what is wrong with a pod: a reason, and the detail of who breaks it how. It has one check for each range
of versions; a version is the minor of a Kubernetes release. Texts as in k8s.io/pod-security-admission/policy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from api.meta import Obj
from api.pod_templates import KINDS


class Pod:
    """A pod, or the template of one, as controls look at it."""

    __slots__ = ("annotations", "containers", "spec")

    def __init__(self, pod: Obj) -> None:
        self.annotations: Mapping[str, str] = (pod.get("metadata") or {}).get("annotations") or {}
        self.spec: Obj = pod["spec"]
        self.containers: list[Obj] = [c for kind in KINDS for c in self.spec.get(kind) or ()]


class Finding(NamedTuple):
    reason: str
    detail: str

    def __str__(self) -> str:
        return f"{self.reason} ({self.detail})"


Check = Callable[[Pod], Finding | None]
Values = Callable[[Obj], Sequence[object]]
"""What a holder of a securityContext, a container or the pod's spec, has that is forbidden."""


class Control(NamedTuple):
    id: str
    versions: tuple[tuple[int, Check], ...]  # since which minor, ascending
    instead_of: str = ""

    def at(self, minor: int) -> Check | None:
        return next((check for since, check in reversed(self.versions) if since <= minor), None)


def quoted(values: Iterable[str]) -> str:
    return ", ".join(f'"{value}"' for value in values)


def many(one: str, count: int, several: str = "") -> str:
    return one if count == 1 else several or one + "s"


def named(names: list[str]) -> str:
    return f"{many('container', len(names))} {quoted(names)}"


def context(holder: Obj) -> Obj:
    return holder.get("securityContext") or {}


def breaking(pod: Pod, values: Values) -> tuple[list[str], list[str]]:
    """(the containers that have forbidden values, those values)."""
    names: list[str] = []
    found: set[str] = set()
    for container in pod.containers:
        if bad := values(container):
            names.append(container["name"])
            found.update(map(str, bad))
    return names, sorted(found)


def setters(pod: Pod, values: Values) -> tuple[list[str], list[str]]:
    """The same, where the pod may set a value for its containers too: `pod`, `containers "a", "b"`."""
    names, found = breaking(pod, values)
    own = values(pod.spec)
    who = (["pod"] if own else []) + ([named(names)] if names else [])
    return who, sorted({*found, *map(str, own)}) if own else found


def without(pod: Pod, has: Callable[[Obj], bool]) -> list[str]:
    """The containers that lack what they must have, unless the pod has it for them."""
    return [] if has(pod.spec) else [c["name"] for c in pod.containers if not has(c)]


def of_containers(reason: str, values: Values, must: str) -> Check:
    """A control that looks at containers alone: 'container "a" must …', with the values in the place of {}."""

    def check(pod: Pod) -> Finding | None:
        names, found = breaking(pod, values)
        return Finding(reason, f"{named(names)} {must.format(quoted(found))}") if names else None

    return check


def of_setters(reason: str, values: Values, must: str) -> Check:
    """One that looks at the pod's settings as well."""

    def check(pod: Pod) -> Finding | None:
        who, found = setters(pod, values)
        return Finding(reason, f"{' and '.join(who)} {must.format(quoted(found))}") if who else None

    return check


def unless(excused: Callable[[Pod], bool], check: Check) -> Check:
    return lambda pod: None if excused(pod) else check(pod)


def in_user_namespace(pod: Pod) -> bool:
    """KEP-127: its root is nobody on the node."""
    return pod.spec.get("hostUsers") is False


def on_windows(pod: Pod) -> bool:
    return bool((pod.spec.get("os") or {}).get("name") == "windows")


def uses(
    reason: str,
    what: str,
    values: Values,
    shown: Callable[[Iterable[str]], str],
    order: Callable[[list[str]], list[str]],
) -> Check:
    """One that tells what containers use, however the values are shown."""

    def check(pod: Pod) -> Finding | None:
        names, found = breaking(pod, values)
        verb = many("uses", len(names), "use")
        return (
            Finding(reason, f"{named(order(names))} {verb} {many(what, len(found))} {shown(found)}") if names else None
        )

    return check
