"""The Volumes block of a pod or pod template."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from api.meta import Obj
from kubectl.describe.sheet import Sheet, lower


def volumes_block(sheet: Sheet, volumes: list[Obj] | None, indent: str = "") -> None:
    if not volumes:
        sheet.line(0, f"{indent}Volumes:\t<none>")
        return
    sheet.line(0, f"{indent}Volumes:")
    for volume in volumes:
        sheet.line(1, f"{' ' if indent else ''}{volume['name']}:")
        for source, describe in _SOURCES.items():
            if volume.get(source) is not None:
                describe(sheet, volume[source])
                break
        else:
            sheet.line(1, "<unknown>")


def _host_path(sheet: Sheet, source: Obj) -> None:
    sheet.line(2, "Type:\tHostPath (bare host directory volume)")
    sheet.line(2, f"Path:\t{source.get('path', '')}")
    kind = source.get("type")
    sheet.line(2, f"HostPathType:\t{'<none>' if kind is None else kind}")


def _empty_dir(sheet: Sheet, source: Obj) -> None:
    sheet.line(2, "Type:\tEmptyDir (a temporary directory that shares a pod's lifetime)")
    sheet.line(2, f"Medium:\t{source.get('medium', '')}")
    sheet.line(2, f"SizeLimit:\t{source.get('sizeLimit') or '<unset>'}")


def _secret(sheet: Sheet, source: Obj) -> None:
    sheet.line(2, "Type:\tSecret (a volume populated by a Secret)")
    sheet.line(2, f"SecretName:\t{source.get('secretName', '')}")
    sheet.line(2, f"Optional:\t{lower(source.get('optional'))}")


def _config_map(sheet: Sheet, source: Obj) -> None:
    sheet.line(2, "Type:\tConfigMap (a volume populated by a ConfigMap)")
    sheet.line(2, f"Name:\t{source.get('name', '')}")
    sheet.line(2, f"Optional:\t{lower(source.get('optional'))}")


def _claim(sheet: Sheet, source: Obj) -> None:
    sheet.line(2, "Type:\tPersistentVolumeClaim (a reference to a PersistentVolumeClaim in the same namespace)")
    sheet.line(2, f"ClaimName:\t{source.get('claimName', '')}")
    sheet.line(2, f"ReadOnly:\t{lower(source.get('readOnly'))}")


def _downward(sheet: Sheet, source: Obj) -> None:
    sheet.line(2, "Type:\tDownwardAPI (a volume populated by information about the pod)")
    sheet.line(2, "Items:")
    for item in source.get("items") or []:
        if item.get("fieldRef"):
            sheet.line(3, f"{item['fieldRef']['fieldPath']} -> {item['path']}")
        if item.get("resourceFieldRef"):
            sheet.line(3, f"{item['resourceFieldRef']['resource']} -> {item['path']}")


def _projected(sheet: Sheet, source: Obj) -> None:
    sheet.line(2, "Type:\tProjected (a volume that contains injected data from multiple sources)")
    for part in source.get("sources") or []:
        if part.get("secret"):
            sheet.line(2, f"SecretName:\t{part['secret'].get('name', '')}")
            sheet.line(2, f"Optional:\t{lower(part['secret'].get('optional'))}")
        elif part.get("downwardAPI"):
            sheet.line(2, "DownwardAPI:\ttrue")
        elif part.get("configMap"):
            sheet.line(2, f"ConfigMapName:\t{part['configMap'].get('name', '')}")
            sheet.line(2, f"Optional:\t{lower(part['configMap'].get('optional'))}")
        elif part.get("serviceAccountToken"):
            sheet.line(2, f"TokenExpirationSeconds:\t{part['serviceAccountToken'].get('expirationSeconds', 3600)}")


def _nfs(sheet: Sheet, source: Obj) -> None:
    sheet.line(2, "Type:\tNFS (an NFS mount that lasts the lifetime of a pod)")
    sheet.line(2, f"Server:\t{source.get('server', '')}")
    sheet.line(2, f"Path:\t{source.get('path', '')}")
    sheet.line(2, f"ReadOnly:\t{lower(source.get('readOnly'))}")


_SOURCES: dict[str, Callable[[Sheet, Any], None]] = {
    "hostPath": _host_path,
    "emptyDir": _empty_dir,
    "secret": _secret,
    "configMap": _config_map,
    "persistentVolumeClaim": _claim,
    "downwardAPI": _downward,
    "projected": _projected,
    "nfs": _nfs,
}
