"""Which standard holds where: from the labels of a namespace, over the defaults of the configuration. Pure.

https://kubernetes.io/docs/concepts/security/pod-security-admission/#pod-security-admission-labels-for-namespaces ;
what a malformed label means follows k8s.io/pod-security-admission/api: restricted for what is enforced.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from api.errors import FieldError, invalid
from api.meta import Obj
from apiserver.admission.pod_security import standards
from apiserver.admission.pod_security.controls import Finding

PREFIX = "pod-security.kubernetes.io/"
LEVELS = PRIVILEGED, BASELINE, RESTRICTED = ("privileged", "baseline", "restricted")
LATEST = "latest"
MODES = ("enforce", "audit", "warn")
_LABELS = frozenset(PREFIX + mode + end for mode in MODES for end in ("", "-version"))
_VERSION = re.compile(r"v1\.(0|[1-9][0-9]*)\Z", re.ASCII)


class Standard(NamedTuple):
    level: str
    version: str  # "latest" or "v1.x"

    def __str__(self) -> str:
        return f"{self.level}:{self.version}"

    def findings(self, pod: Obj) -> list[Finding]:
        if self.level == PRIVILEGED:
            return []
        minor = standards.NEWEST if self.version == LATEST else int(self.version[3:])
        return standards.evaluate(self.level == RESTRICTED, minor, pod)

    def same(self, other: Standard) -> bool:
        """Whether both say the same of every pod."""
        return self.level == other.level and (self.level == PRIVILEGED or self.version == other.version)


class Policy(NamedTuple):
    enforce: Standard
    audit: Standard
    warn: Standard

    @property
    def privileged(self) -> bool:
        return all(standard.level == PRIVILEGED for standard in self)

    def same(self, other: Policy) -> bool:
        return all(mine.same(theirs) for mine, theirs in zip(self, other, strict=True))


OPEN = Policy(*(Standard(PRIVILEGED, LATEST) for _ in MODES))


def of(labels: Mapping[str, str], default: Policy) -> tuple[Policy, list[FieldError]]:
    """(what holds, which labels cannot be read)."""
    if _LABELS.isdisjoint(labels):
        return default, []
    errors: list[FieldError] = []
    found = []
    for mode, (level, version) in zip(MODES, default, strict=True):
        key = PREFIX + mode
        level, version = labels.get(key, level), labels.get(f"{key}-version", version)
        if level not in LEVELS:
            errors.append(invalid(f"metadata.labels[{key}]", level, f"must be one of {', '.join(LEVELS)}"))
            level = RESTRICTED if mode == "enforce" else PRIVILEGED
        if not is_version(version):
            errors.append(invalid(f"metadata.labels[{key}-version]", version, 'must be "latest" or "v1.x"'))
            version = LATEST
        found.append(Standard(level, version))
    return Policy(*found), errors


def is_version(text: str) -> bool:
    return text == LATEST or bool(_VERSION.match(text))
