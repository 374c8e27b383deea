"""The restricted standard: the best practice of hardening pods, on top of the baseline. Pure.

https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
"""

from __future__ import annotations

from api.meta import Obj
from apiserver.admission.pod_security.baseline import PROC_MOUNT, SECCOMP
from apiserver.admission.pod_security.controls import (
    Control,
    Finding,
    Pod,
    breaking,
    context,
    in_user_namespace,
    many,
    named,
    of_containers,
    of_setters,
    on_windows,
    quoted,
    setters,
    unless,
    without,
)

_VOLUMES = frozenset(
    ("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected",
     "secret")
)  # fmt: skip


def _escalation(holder: Obj) -> list[object]:
    return [] if context(holder).get("allowPrivilegeEscalation") is False else ["true"]


_ESCALATION = of_containers(
    "allowPrivilegeEscalation != false", _escalation, "must set securityContext.allowPrivilegeEscalation=false"
)


def _all_dropped(pod: Pod) -> Finding | None:
    def keeps(holder: Obj) -> list[object]:
        return [] if "ALL" in ((context(holder).get("capabilities") or {}).get("drop") or ()) else ["ALL"]

    def adds(holder: Obj) -> list[object]:
        added = (context(holder).get("capabilities") or {}).get("add") or ()
        return [name for name in added if name != "NET_BIND_SERVICE"]

    keeping, _ = breaking(pod, keeps)
    adding, added = breaking(pod, adds)
    wrong = [f'{named(keeping)} must set securityContext.capabilities.drop=["ALL"]'] if keeping else []
    if adding:
        wrong.append(f"{named(adding)} must not include {quoted(added)} in securityContext.capabilities.add")
    return Finding("unrestricted capabilities", "; ".join(wrong)) if wrong else None


def _volumes(pod: Pod) -> Finding | None:
    names, kinds = [], set()
    for volume in pod.spec.get("volumes") or ():
        sources = [key for key, value in volume.items() if key != "name" and value is not None]
        if not _VOLUMES.intersection(sources):
            names.append(volume["name"])
            kinds.update(sources or ["unknown"])
    if not names:
        return None
    verb, kind = many("uses", len(names), "use"), many("restricted volume type", len(kinds))
    return Finding(
        "restricted volume types",
        f"{many('volume', len(names))} {quoted(names)} {verb} {kind} {quoted(sorted(kinds))}",
    )


def _non_root(pod: Pod) -> Finding | None:
    def explicit(holder: Obj) -> list[object]:
        return ["false"] if context(holder).get("runAsNonRoot") is False else []

    reason = "runAsNonRoot != true"
    who, _ = setters(pod, explicit)
    if who:
        return Finding(reason, f"{' and '.join(who)} must not set securityContext.runAsNonRoot=false")
    lacking = without(pod, lambda holder: context(holder).get("runAsNonRoot") is True)
    return Finding(reason, f"pod or {named(lacking)} must set securityContext.runAsNonRoot=true") if lacking else None


def _root_user(holder: Obj) -> list[object]:
    return ["0"] if context(holder).get("runAsUser") == 0 else []


_ROOT = of_setters("runAsUser=0", _root_user, "must not set runAsUser=0")


def _seccomp_set(pod: Pod) -> Finding | None:
    if found := SECCOMP(pod):
        return found
    lacking = without(pod, lambda holder: context(holder).get("seccompProfile") is not None)
    wanted = 'must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
    return Finding("seccompProfile", f"pod or {named(lacking)} {wanted}") if lacking else None


RESTRICTED = (
    Control("allowPrivilegeEscalation", ((8, _ESCALATION), (25, unless(on_windows, _ESCALATION)))),
    Control("capabilities_restricted", ((22, _all_dropped), (25, unless(on_windows, _all_dropped))),
            instead_of="capabilities_baseline"),
    Control("procMount_restricted", ((35, PROC_MOUNT),), instead_of="procMount"),
    Control("restrictedVolumes", ((0, _volumes),), instead_of="hostPathVolumes"),
    Control("runAsNonRoot", ((0, _non_root), (35, unless(in_user_namespace, _non_root)))),
    Control("runAsUser", ((23, _ROOT), (35, unless(in_user_namespace, _ROOT)))),
    Control("seccompProfile_restricted", ((19, _seccomp_set), (25, unless(on_windows, _seccomp_set))),
            instead_of="seccompProfile_baseline"),
)  # fmt: skip
