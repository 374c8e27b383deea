"""PodSecurityConfiguration: what holds where labels say nothing, and who is exempt.

https://kubernetes.io/docs/tasks/configure-pod-container/enforce-standards-admission-controller/
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from api.meta import Obj
from api.validation import dns_label, dns_subdomain
from apiserver import configfile
from apiserver.admission.pod_security.policy import LATEST, LEVELS, MODES, OPEN, Policy, Standard
from apiserver.configfile import ConfigError, Kinds

NAME = "PodSecurity"
_NAMES = {"type": "array", "items": {"type": "string", "minLength": 1}, "uniqueItems": True}
_LEVEL = {"enum": list(LEVELS)}
_VERSION = {"type": "string", "pattern": r"^(latest|v1\.(0|[1-9][0-9]*))$"}
_EXEMPT = ("usernames", "runtimeClasses", "namespaces")
_FILE: Obj = {
    "properties": {
        "defaults": {
            "type": "object",
            "properties": dict.fromkeys(MODES, _LEVEL) | {f"{mode}-version": _VERSION for mode in MODES},
            "additionalProperties": False,
        },
        "exemptions": {
            "type": "object",
            "properties": dict.fromkeys(_EXEMPT, _NAMES),
            "additionalProperties": False,
        },
    }
}
KINDS: Kinds = {
    (f"pod-security.admission.config.k8s.io/{version}", "PodSecurityConfiguration"): _FILE
    for version in ("v1", "v1beta1", "v1alpha1")
}


class Settings(NamedTuple):
    default: Policy = OPEN
    users: Collection[str] = frozenset()
    runtime_classes: Collection[str] = frozenset()
    namespaces: Collection[str] = frozenset()


def read(configuration: Obj | None) -> Settings:
    """ConfigError when it cannot be used; without one nothing is forbidden."""
    if configuration is None:
        return Settings()
    given = configfile.checked(configuration, KINDS, NAME)
    defaults, exempt = given.get("defaults") or {}, given.get("exemptions") or {}
    users, runtime_classes, namespaces = (frozenset(exempt.get(what) or ()) for what in _EXEMPT)
    wrong = [error for name in sorted(runtime_classes) for error in dns_subdomain(name, "exemptions.runtimeClasses")]
    wrong += [error for name in sorted(namespaces) for error in dns_label(name, "exemptions.namespaces")]
    if wrong:
        raise ConfigError(f"{NAME}: {'; '.join(map(str, wrong))}")
    modes = (
        Standard(defaults.get(mode, standard.level), defaults.get(f"{mode}-version", LATEST))
        for mode, standard in zip(MODES, OPEN, strict=True)
    )
    return Settings(Policy(*modes), users, runtime_classes, namespaces)
