"""PodSecurity: pods keep to the standard that their namespace's labels ask for.

A pod that breaks what is enforced is refused. What is audited and warned of is said of pods, and of what makes pods:
that one is not refused, its pods will be. Labels that cannot be read are refused; a stricter level warns of the pods
that break it. https://kubernetes.io/docs/concepts/security/pod-security-admission/ ; the order of decisions and the
texts follow k8s.io/pod-security-admission/admission.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterable, Mapping

from api import meta
from api.builtin import NAMESPACES, PODS
from api.errors import invalid_object
from api.meta import Obj
from api.pod_templates import KINDS, PATHS, path_of, pod_in
from api.registry import Resource
from apiserver.admission.chain import Attempt, Plugin
from apiserver.admission.pod_security import policy, settings
from apiserver.admission.pod_security.baseline import SECCOMP_CONTAINER
from apiserver.admission.pod_security.controls import Finding
from apiserver.admission.pod_security.counts import Counts
from apiserver.admission.pod_security.policy import LEVELS, MODES, PREFIX, PRIVILEGED, Policy, Standard
from apiserver.storage.store import Store

_ENFORCED, _VIOLATIONS, _EXEMPT, _ERROR = (
    PREFIX + key for key in ("enforce-policy", "audit-violations", "exempt", "error")
)
_CHANGING = ("", "ephemeralcontainers", "resize")
_MOST, _SECONDS = 3_000, 1.0  # pods looked at, and time for it, when a namespace's labels change
_AT_ONCE = 50


class PodSecurity(Plugin):
    name = settings.NAME

    def __init__(self, store: Store, configuration: Obj | None = None) -> None:
        self._store = store
        self._settings = settings.read(configuration)
        self.counts = Counts()

    def handles(self, verb: str, res: Resource, subresource: str) -> bool:
        if verb not in ("create", "update"):
            return False
        if res is PODS:
            return subresource in _CHANGING
        return not subresource and (res is NAMESPACES or (res.group, res.plural) in PATHS)

    async def validate(self, attempt: Attempt) -> None:
        if attempt.res is NAMESPACES:
            await self._namespace(attempt)
            return
        exempt = self._settings
        if attempt.namespace in exempt.namespaces:
            self._let(attempt, "namespace")
            return
        if attempt.user.name in exempt.users:
            self._let(attempt, "user")
            return
        held, errors = policy.of(await self._labels(attempt.namespace), exempt.default)
        if not errors and held.privileged:
            if attempt.res is PODS:
                attempt.annotate(_ENFORCED, str(held.enforce))
                self.counts.evaluated(attempt, held.enforce, "enforce", "allow")
            return
        pod = pod_in(attempt.new(), path_of(attempt.res) or ())
        if pod is None or (attempt.res is PODS and attempt.old is not None and not _matters(pod, attempt.old)):
            return
        if pod["spec"].get("runtimeClassName") in exempt.runtime_classes:
            self._let(attempt, "runtimeClass")
            return
        if errors:
            attempt.annotate(_ERROR, f"Failed to parse policy: {_together(map(str, errors))}")
            self.counts.failed(attempt)
        self._judge(attempt, held, pod)

    def _let(self, attempt: Attempt, who: str) -> None:
        attempt.annotate(_EXEMPT, who)
        self.counts.exempted(attempt)

    def _judge(self, attempt: Attempt, held: Policy, pod: Obj) -> None:
        found = {standard: standard.findings(pod) for standard in dict.fromkeys(held)}
        enforces = attempt.res is PODS
        if enforces:
            attempt.annotate(_ENFORCED, str(held.enforce))
            self.counts.evaluated(attempt, held.enforce, "enforce", "deny" if found[held.enforce] else "allow")
        if found[held.audit]:
            attempt.annotate(_VIOLATIONS, f"would violate {_shown(held.audit, found)}")
            self.counts.evaluated(attempt, held.audit, "audit", "deny")
        if enforces and found[held.enforce]:
            raise attempt.forbidden(f"violates {_shown(held.enforce, found)}")
        if found[held.warn]:
            attempt.warn(f"would violate {_shown(held.warn, found)}")
            self.counts.evaluated(attempt, held.warn, "warn", "deny")

    async def _labels(self, namespace: str) -> Mapping[str, str]:
        """From the cache; only a namespace that is not in it is asked for with a consistent read."""
        found = self._store.peek(NAMESPACES, "", namespace)
        return (found or await self._store.get(NAMESPACES, "", namespace)).labels

    # ---- namespaces

    async def _namespace(self, attempt: Attempt) -> None:
        new = attempt.new()
        labels, default = meta.labels(new), self._settings.default
        held, errors = policy.of(labels, default)
        before, errors_before = policy.of(meta.labels(attempt.old), default) if attempt.old else (None, [])
        if errors and errors != errors_before:
            raise invalid_object("", NAMESPACES.kind, attempt.name, errors)
        if before is not None and not _stricter(held.enforce, before.enforce):
            return
        if attempt.name in self._settings.namespaces:
            if not (held.privileged or held.same(default)):
                shown = ", ".join(_asked_for(labels, held))
                attempt.warn(
                    f'namespace "{attempt.name}" is exempt from Pod Security, and the policy ({shown}) will be ignored'
                )
        elif before is not None:
            for text in await self._breaking(attempt.name, held.enforce):
                attempt.warn(text)

    async def _breaking(self, namespace: str, standard: Standard) -> list[str]:
        """What to say of the pods that are there already: one text for all that break the same controls. Not all may be
        looked at; one pod of each controller comes before its others."""
        end = time.monotonic() + _SECONDS
        queue = deque((await self._store.list(PODS, namespace, resource_version="0")).items)
        unseen, total, checked = len(queue), len(queue), 0
        controllers: set[str] = set()
        breaking: dict[str, list[str]] = {}
        while queue and checked < _MOST and time.monotonic() < end:
            item, unseen = queue.popleft(), unseen - 1
            if unseen % _AT_ONCE == 0:
                await asyncio.sleep(0)
            pod = item.obj()
            if pod["spec"].get("runtimeClassName") in self._settings.runtime_classes:
                total -= 1
                continue
            if (controller := meta.controller_of(pod)) is not None and unseen >= 0:
                if controller["uid"] in controllers:
                    queue.append(item)
                    continue
                controllers.add(controller["uid"])
            checked += 1
            if found := standard.findings(pod):
                breaking.setdefault(", ".join(finding.reason for finding in found), []).append(item.name)
        texts = []
        if checked < total:
            texts.append(
                f"new PodSecurity enforce level only checked against the first {checked} of {total} existing pods"
            )
        if breaking:
            texts.append(
                f'existing pods in namespace "{namespace}" violate the new PodSecurity enforce level "{standard}"'
            )
        return texts + sorted(f"{_counted(names)}: {reasons}" for reasons, names in breaking.items())


def _shown(standard: Standard, found: Mapping[Standard, list[Finding]]) -> str:
    return f'PodSecurity "{standard}": {", ".join(map(str, found[standard]))}'


def _matters(pod: Obj, old: Obj) -> bool:
    """Whether an update of a pod changes what controls look at: what else they look at cannot be changed."""
    spec, before = pod["spec"], old["spec"]
    notes, notes_before = meta.annotations(pod), meta.annotations(old)
    for kind in KINDS:
        known = {container["name"]: container for container in before.get(kind) or ()}
        containers = spec.get(kind) or ()
        if kind != "ephemeralContainers" and len(containers) != len(known):
            return True
        for container in containers:
            name = container["name"]
            if name not in known or container.get("image") != known[name].get("image"):
                return True
            if notes.get(SECCOMP_CONTAINER + name) != notes_before.get(SECCOMP_CONTAINER + name):
                return True
    return False


def _stricter(new: Standard, old: Standard) -> bool:
    """Whether pods that kept to `old` may break `new`."""
    if new == old or new.level == PRIVILEGED:
        return False
    return new.version != old.version or LEVELS.index(new.level) > LEVELS.index(old.level)


def _asked_for(labels: Mapping[str, str], held: Policy) -> Iterable[str]:
    for mode, standard in zip(MODES, held, strict=True):
        if standard.level != PRIVILEGED and not labels.keys().isdisjoint((PREFIX + mode, f"{PREFIX}{mode}-version")):
            yield f"{mode}={standard}"


def _counted(names: list[str]) -> str:
    others = len(names) - 1
    more = f" (and {others} other pod{'' if others == 1 else 's'})" if others else ""
    return min(names) + more


def _together(texts: Iterable[str]) -> str:
    all_of = list(texts)
    return all_of[0] if len(all_of) == 1 else f"[{', '.join(all_of)}]"
