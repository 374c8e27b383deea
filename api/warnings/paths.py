"""Files of a volume that hide one another: two at one path, or one where another needs a directory. Pure.

k8s.io/kubernetes/pkg/api/pod, warningsForOverlappingVirtualPaths.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from api.meta import Obj

Warnings = list[str]


class _Path(NamedTuple):
    path: str
    source: str = ""

    def __str__(self) -> str:
        return f'"{self.path}" ({self.source})' if self.source else f'"{self.path}"'

    def meets(self, other: _Path) -> bool:
        """Whether it is the other, or on the way to it, or beyond it."""
        mine, theirs = f"{self.path}/", f"{other.path}/"
        return bool(self.path and other.path) and (mine.startswith(theirs) or theirs.startswith(mine))


_ITEMS: dict[str, Callable[[Obj], str]] = {
    "configMap": lambda source: f'ConfigMap "{source.get("name", "")}"',
    "secret": lambda source: f'Secret "{source.get("secretName") or source.get("name", "")}"',
    "downwardAPI": lambda _: "DownwardAPI",
}
_CERTIFICATE = {
    "certificateChainPath": "PodCertificate chain",
    "keyPath": "PodCertificate key",
    "credentialBundlePath": "PodCertificate credential bundle",
}
_SOURCES = frozenset((*_ITEMS, "serviceAccountToken", "clusterTrustBundle", "podCertificate"))


def overlapping(volumes: Iterable[Obj]) -> Warnings:
    warnings: Warnings = []
    for volume in volumes:
        for kind in volume.keys() & _ITEMS.keys():
            if items := (volume[kind] or {}).get("items"):
                where = f'volume "{volume["name"]}" ({_ITEMS[kind](volume[kind])})'
                warnings += [f"{where}: {text}" for text in _meeting([_Path(item.get("path", "")) for item in items])]
        if projected := volume.get("projected"):
            where = f'volume "{volume["name"]}" (Projected)'
            sources = projected.get("sources") or ()
            warnings += [f"{where} has no sources provided" for source in sources if _SOURCES.isdisjoint(source)]
            paths = [path for source in sources for path in _projected(source)]
            warnings += [f"{where}: {text}" for text in _meeting(paths)]
    return warnings


def _projected(source: Obj) -> Iterator[_Path]:
    for kind in source.keys() & _ITEMS.keys():
        if items := (source[kind] or {}).get("items"):
            shown = _ITEMS[kind](source[kind])
            for item in items:
                yield _Path(item.get("path", ""), shown)
    if token := source.get("serviceAccountToken"):
        yield _Path(token.get("path", ""), "ServiceAccountToken")
    if bundle := source.get("clusterTrustBundle"):
        name = bundle.get("name") or bundle.get("signerName") or ""
        yield _Path(bundle.get("path", ""), f'ClusterTrustBundle "{name}"')
    if certificate := source.get("podCertificate"):
        for field, what in _CERTIFICATE.items():
            if certificate.get(field):
                yield _Path(certificate[field], what)


def _meeting(paths: list[_Path]) -> Warnings:
    warnings: Warnings = []
    ordered = sorted([f"{path.path.rstrip('/')}/" for path in paths])
    if not any(map(str.startswith, ordered[1:], ordered)):
        return warnings  # what begins with another comes right after it
    seen: list[_Path] = []
    for given in paths:
        path = given._replace(path=given.path.rstrip("/"))
        warnings += [f"overlapping paths: {path} with {other}" for other in seen if path.meets(other)]
        seen.append(path)
    return warnings
