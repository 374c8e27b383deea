"""Volume sources, of pods and of persistent volumes: their defaults, and which are refused.

Rules: k8s.io/kubernetes/pkg/apis/core/validation, ValidateVolumes and ValidatePersistentVolumeSpec; defaults:
pkg/apis/core/v1/defaults.go. Where upstream's field path is odd it is odd here too: people search for it.
"""

from __future__ import annotations

import re
from typing import Any

from api import quantities, rules
from api.errors import duplicate, forbidden_field, invalid, not_supported, required, too_long
from api.kinds import volume_claim
from api.kinds.images import pull_policy
from api.meta import Obj
from api.rules import FILE_MODE, LABEL, Row, Rule, check, each, given, needed, needed_as, of, within
from api.validation import (
    Errors,
    dns_label,
    dns_subdomain,
    qualified_name,
    shown,
)

_DEFAULT_MODE = 0o644
_MORE = "may not specify more than 1 volume type"
_PATH_TYPES = (
    "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket",
)  # fmt: skip
_DIVISORS = ("1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei")

_OFF = ("clusterTrustBundle", "podCertificate")  # features that v1.35 has and does not turn on: left out


def default(volume: Obj) -> None:
    if all(key == "name" or source is None for key, source in volume.items()):
        volume["emptyDir"] = {}
    for kind in ("configMap", "secret", "downwardAPI", "projected"):
        source = volume.get(kind)
        if source is not None:
            source.setdefault("defaultMode", _DEFAULT_MODE)
            for part in (source, *(source.get("sources") or [])):
                if part.get("serviceAccountToken") is not None:
                    part["serviceAccountToken"].setdefault("expirationSeconds", 3600)
                for off in _OFF:
                    part.pop(off, None)
                for item in (part.get("downwardAPI") or part).get("items") or []:
                    default_references(item)
    for kind, defaults in _DEFAULTS.items():
        if volume.get(kind) is not None:
            default_source(kind, volume[kind], defaults)
    if volume.get("ephemeral") is not None and volume["ephemeral"].get("volumeClaimTemplate"):
        volume_claim.default_spec(volume["ephemeral"]["volumeClaimTemplate"].setdefault("spec", {}))
    image = volume.get("image")
    if image is not None and not image.get("pullPolicy"):
        image["pullPolicy"] = pull_policy(image.get("reference") or "")


def default_references(item: Obj) -> None:
    """Of an item of a downward API volume, or of a variable's source."""
    if item.get("fieldRef") is not None:
        item["fieldRef"].setdefault("apiVersion", "v1")
    if item.get("resourceFieldRef") is not None:
        item["resourceFieldRef"].setdefault("divisor", "0")


_RBD = {"pool": "rbd", "user": "admin", "keyring": "/etc/ceph/keyring"}
_DEFAULTS: dict[str, dict[str, Any]] = {
    "hostPath": {"type": ""},
    "iscsi": {"iscsiInterface": "default"},
    "rbd": _RBD,
    "azureDisk": {"cachingMode": "ReadWrite", "kind": "Shared", "fsType": "ext4", "readOnly": False},
    "scaleIO": {"storageMode": "ThinProvisioned", "fsType": "xfs"},
}


def default_source(kind: str, source: Obj, defaults: dict[str, Any] | None = None) -> None:
    for name, value in (_DEFAULTS.get(kind, {}) if defaults is None else defaults).items():
        source.setdefault(name, value)


# --- the rules of each source ------------------------------------------------------------------------------


def _host_path(source: Obj, at: str) -> Errors:
    if not source.get("path"):
        return [required(f"{at}.path")]
    return rules.no_backsteps(source["path"], f"{at}.path") + of(*_PATH_TYPES)(source.get("type"), f"{at}.type")


_IQN = {
    "iqn": re.compile(r"iqn\.\d{4}-\d{2}\.([A-Za-z0-9.-]+)(:[^,;*&$|\s]+)$"),
    "eui": re.compile(r"^eui.[A-Za-z0-9]{16}$"),
    "naa": re.compile(r"^naa.[A-Za-z0-9]{32}$"),
}


def _initiator(value: str, at: str) -> Errors:
    form = _IQN.get(value[:3])
    if form is None:
        return [invalid(at, value, "must be valid format starting with iqn, eui, or naa")]
    return [] if form.search(value) else [invalid(at, value, "must be valid format")]


def _iscsi(source: Obj, at: str) -> Errors:
    errors = check(source, at, (("targetPortal", needed()), ("iqn", needed_as(_initiator)), ("lun", within(0, 255))))
    if (source.get("chapAuthDiscovery") or source.get("chapAuthSession")) and source.get("secretRef") is None:
        errors.append(required(f"{at}.secretRef"))
    return errors + given(_initiator)(source.get("initiatorName"), f"{at}.initiatorname")


def _fc(source: Obj, at: str) -> Errors:
    names, ids, lun = source.get("targetWWNs") or [], source.get("wwids") or [], source.get("lun")
    at_names = f"{at}.targetWWNs"
    errors: Errors = []
    if not names and not ids:
        errors.append(required(at_names, "must specify either targetWWNs or wwids, but not both"))
    if names and ids:
        errors.append(invalid(at_names, shown(names), "targetWWNs and wwids can not be specified simultaneously"))
    if names and lun is None:
        errors.append(required(f"{at}.lun", "lun is required if targetWWNs is specified"))
    elif names:
        errors += within(0, 255)(lun, f"{at}.lun")
    return errors


def _flocker(source: Obj, at: str) -> Errors:
    name, uid = source.get("datasetName") or "", source.get("datasetUUID")
    errors: Errors = []
    if not name and not uid:
        errors.append(required(at, "one of datasetName and datasetUUID is required"))
    if name and uid:
        errors.append(invalid(at, "resource", "datasetName and datasetUUID can not be specified simultaneously"))
    if "/" in name:
        errors.append(invalid(f"{at}.datasetName", name, "must not contain '/'"))
    return errors


_PAIR = re.compile(r"^(\[[^\]]*\]|[^:\[\]]*):[^:]*$")


def _quobyte(source: Obj, at: str) -> Errors:
    pairs = "must be a host:port pair or multiple pairs separated by commas"
    registry = source.get("registry") or ""
    errors: Errors = []
    if not registry:
        errors.append(required(f"{at}.registry", pairs))
    elif len(source.get("tenant") or "") >= 65:
        errors.append(required(f"{at}.tenant", "must be a UUID and may not exceed a length of 64 characters"))
    else:
        errors += [invalid(f"{at}.registry", registry, pairs) for p in registry.split(",") if not _PAIR.match(p)]
    return errors + needed()(source.get("volume"), f"{at}.volume")


def _flex(source: Obj, at: str) -> Errors:
    errors = needed()(source.get("driver"), f"{at}.driver")
    for key in source.get("options") or {}:
        if f".{key.split('/')[0].lower()}".endswith((".kubernetes.io", ".k8s.io")):
            errors.append(invalid(f"{at}.options[{key}]", key, "kubernetes.io and k8s.io namespaces are reserved"))
    return errors


def _azure_disk(source: Obj, at: str) -> Errors:
    errors = check(source, at, (
        ("diskName", needed()), ("diskURI", needed()), ("cachingMode", of("None", "ReadOnly", "ReadWrite")),
        ("kind", of("Dedicated", "Managed", "Shared")),
    ))  # fmt: skip
    managed, uri = source.get("kind") == "Managed", source.get("diskURI") or ""
    form = (
        "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"
        if managed
        else "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"
    )
    if source.get("kind") is not None and not uri.startswith("/subscriptions/" if managed else "https://"):
        errors.append(not_supported(f"{at}.diskURI", uri, [form]))
    return errors


def csi_driver(value: Any, at: str) -> Errors:
    if not value:
        return [required(at)]
    errors = [too_long(at, 63)] if len(value) > 63 else []
    return errors + dns_subdomain(value.lower(), at)


def _secret_ref(source: Any, at: str) -> Errors:
    return check(source, at, (("name", needed_as(dns_subdomain)), ("namespace", needed_as(dns_label))))


def _nfs_path(value: Any, at: str) -> Errors:
    errors = [] if value else [required(at)]
    return errors if (value or "").startswith("/") else [*errors, invalid(at, value or "", "must be an absolute path")]


def _local(source: Obj, at: str) -> Errors:
    return needed_as(rules.no_backsteps)(source.get("path"), f"{at}.path")


def _csi(source: Obj, at: str) -> Errors:
    reference = source.get("nodePublishSecretRef")
    errors = csi_driver(source.get("driver"), f"{at}.driver")
    if reference is not None and not reference.get("name"):
        errors.append(required(f"{at}.nodePublishSecretRef.name"))
    elif reference is not None:
        errors += dns_subdomain(reference["name"], f"{at}.name")
    return errors


def _ephemeral(source: Obj, at: str) -> Errors:
    template = source.get("volumeClaimTemplate")
    return [required(f"{at}.volumeClaimTemplate")] if template is None else volume_claim.template(
        template, f"{at}.volumeClaimTemplate"
    )  # fmt: skip


def key_to_path(item: Obj, at: str) -> Errors:
    return check(item, at, (("key", needed()), ("path", needed()), ("path", rules.local_path), ("mode", FILE_MODE)))


def field_reference(reference: Obj, allowed: tuple[str, ...], at: str) -> Errors:
    """A fieldRef: the fields that `allowed` names, and single labels and annotations."""
    path = reference.get("fieldPath") or ""
    if not reference.get("apiVersion"):
        return [required(f"{at}.apiVersion")]
    if not path:
        return [required(f"{at}.fieldPath")]
    subscripted = re.fullmatch(r"(.+)\['(.*)'\]", path)
    if reference["apiVersion"] != "v1":
        return [invalid(f"{at}.fieldPath", path, "error converting fieldPath: unsupported pod version: "
                        f"{reference['apiVersion']}")]  # fmt: skip
    if subscripted:
        of_what, key = subscripted.groups()
        if of_what not in ("metadata.annotations", "metadata.labels"):
            why = "field label does not support subscript: " + of_what
            return [invalid(f"{at}.fieldPath", path, f"error converting fieldPath: {why}")]
        return qualified_name(key.lower() if of_what == "metadata.annotations" else key, at)
    if path not in _CONVERTED:
        return [invalid(f"{at}.fieldPath", path, f"error converting fieldPath: field label not supported: {path}")]
    return [] if path in allowed else [not_supported(f"{at}.fieldPath", path, allowed)]


_CONVERTED = frozenset((
    "metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName",
    "spec.restartPolicy", "spec.serviceAccountName", "spec.schedulerName", "status.phase", "status.hostIP",
    "status.hostIPs", "status.podIP", "status.podIPs", "spec.host",
))  # fmt: skip
_FILE_FIELDS = ("metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid")
_RESOURCES = ("limits.cpu", "limits.ephemeral-storage", "limits.memory",
              "requests.cpu", "requests.ephemeral-storage", "requests.memory")  # fmt: skip


def resource_reference(reference: Obj, at: str, *, volume: bool) -> Errors:
    """A resourceFieldRef; in a volume it has to name the container."""
    resource = reference.get("resource") or ""
    huge = resource.startswith(("limits.hugepages-", "requests.hugepages-"))
    errors: Errors = []
    if volume and not reference.get("containerName"):
        errors.append(required(f"{at}.containerName"))
    elif not resource:
        errors.append(required(f"{at}.resource"))
    elif resource not in _RESOURCES and not huge:
        errors.append(not_supported(f"{at}.resource", resource, _RESOURCES))
    divisor = reference.get("divisor")
    if not divisor or quantities.parse(divisor) == 0:
        return errors
    kind = resource.partition(".")[2]
    allowed = ("1m", "1") if kind == "cpu" else _DIVISORS
    name = {"ephemeral-storage": "local ephemeral storage"}.get(kind, "hugepages" if huge else kind)
    if (resource in _RESOURCES or huge) and quantities.canonical(divisor) not in allowed:
        said = "1m and 1" if kind == "cpu" else ", ".join(_DIVISORS)
        text = f"only divisor's values {said} are supported with the {name} resource"
        errors.append(invalid(f"{at}.divisor", resource, text))
    return errors


def _downward_file(item: Obj, at: str) -> Errors:
    errors = check(item, at, (("path", needed()), ("path", rules.local_path)))
    field, resource = item.get("fieldRef"), item.get("resourceFieldRef")
    if field is not None:
        errors += field_reference(field, _FILE_FIELDS, f"{at}.fieldRef")
        if resource is not None:
            errors.append(invalid(at, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously"))
    elif resource is not None:
        errors += resource_reference(resource, f"{at}.resourceFieldRef", volume=True)
    else:
        errors.append(required(at, "one of fieldRef and resourceFieldRef is required"))
    return errors + FILE_MODE(item.get("mode"), f"{at}.mode")


def _downward(source: Obj, at: str) -> Errors:
    errors = FILE_MODE(source.get("defaultMode"), f"{at}.defaultMode")
    return errors + [e for item in source.get("items") or [] for e in _downward_file(item, at)]


def _projected(source: Obj, at: str) -> Errors:
    errors = FILE_MODE(source.get("defaultMode"), f"{at}.defaultMode")
    paths: set[str] = set()

    def taken(path: str, shown_as: str) -> None:
        if path and path in paths:
            errors.append(invalid(at, shown_as, "conflicting duplicate paths"))
        paths.add(path)

    for index, part in enumerate(source.get("sources") or []):
        here = f"{at}.sources[{index}]"
        for kind in ("secret", "configMap"):
            if part.get(kind) is not None:
                inner = part[kind]
                errors += check(inner, f"{here}.{kind}", (("name", needed()), ("items", each(key_to_path))))
                for item in inner.get("items") or []:
                    taken(item.get("path") or "", inner.get("name") or "")
        for item in (part.get("downwardAPI") or {}).get("items") or []:
            errors += _downward_file(item, f"{here}.downwardAPI")
            taken(item.get("path") or "", item.get("path") or "")
        token = part.get("serviceAccountToken")
        if token is not None:
            seconds, field = token.get("expirationSeconds", 3600), f"{here}.serviceAccountToken.expirationSeconds"
            if seconds < 600:
                errors.append(invalid(field, seconds, "may not specify a duration less than 10 minutes"))
            if seconds > 1 << 32:
                errors.append(invalid(field, seconds, "may not specify a duration larger than 2^32 seconds"))
            errors += needed_as(rules.local_path)(token.get("path"), f"{at}.path")
        if sum(value is not None for value in part.values()) > 1:
            errors.append(forbidden_field(here, "may not specify more than 1 volume type per source"))
    return errors


def _table(*rows: Row) -> Rule:
    return rules.rows(*rows)


_NEEDED = needed()
_FILES = (("defaultMode", FILE_MODE), ("items", each(key_to_path)))
_PARTITION = ("partition", within(0, 255, "must be between 1 and 255, inclusive"))
_SCALE_IO = _table(("gateway", _NEEDED), ("system", _NEEDED), ("volumeName", _NEEDED))
_STORAGE_OS = (("volumeName", needed_as(dns_label)), ("volumeNamespace", LABEL), ("secretRef.name", _NEEDED))
_AZURE_FILE = (("secretName", _NEEDED), ("shareName", _NEEDED))

# In upstream's order: of several sources the first is checked, the others are forbidden.
_SOURCES: dict[str, Rule] = {
    "emptyDir": lambda source, at: (
        [forbidden_field(f"{at}.sizeLimit", "SizeLimit field must be a valid resource quantity")]
        if source.get("sizeLimit") is not None and rules.quantity(source["sizeLimit"], at)
        else []
    ),
    "hostPath": _host_path,
    "gitRepo": _table(("repository", _NEEDED), ("directory", rules.descending_path)),
    "gcePersistentDisk": _table(("pdName", _NEEDED), _PARTITION),
    "awsElasticBlockStore": _table(("volumeID", _NEEDED), _PARTITION),
    "secret": _table(("secretName", _NEEDED), *_FILES),
    "nfs": _table(("server", _NEEDED), ("path", _nfs_path)),
    "iscsi": _iscsi,
    "glusterfs": _table(("endpoints", _NEEDED), ("path", _NEEDED)),
    "flocker": _flocker,
    "persistentVolumeClaim": _table(("claimName", _NEEDED)),
    "rbd": _table(("monitors", _NEEDED), ("image", _NEEDED)),
    "cinder": _table(("volumeID", _NEEDED), ("secretRef.name", _NEEDED)),
    "cephfs": _table(("monitors", _NEEDED)),
    "quobyte": _quobyte,
    "downwardAPI": _downward,
    "fc": _fc,
    "flexVolume": _flex,
    "configMap": _table(("name", _NEEDED), *_FILES),
    "azureFile": _table(*_AZURE_FILE),
    "vsphereVolume": _table(("volumePath", _NEEDED)),
    "photonPersistentDisk": _table(("pdID", _NEEDED)),
    "portworxVolume": _table(("volumeID", _NEEDED)),
    "azureDisk": _azure_disk,
    "storageos": _table(*_STORAGE_OS),
    "projected": _projected,
    "scaleIO": _SCALE_IO,
    "csi": _csi,
    "ephemeral": _ephemeral,
    "image": _table(("pullPolicy", rules.needed_of("Always", "IfNotPresent", "Never"))),
}
_CSI_SECRETS = ("controllerPublish", "controllerExpand", "nodePublish", "nodeExpand")
_PERSISTENT: dict[str, Rule] = {
    kind: _SOURCES[kind]
    for kind in (
        "hostPath", "gcePersistentDisk", "awsElasticBlockStore", "glusterfs", "flocker", "nfs", "rbd", "quobyte",
        "cephfs", "iscsi", "cinder", "fc", "flexVolume", "azureFile", "vsphereVolume", "photonPersistentDisk",
        "portworxVolume", "azureDisk", "scaleIO",
    )
} | {
    "local": _local,
    "storageos": _table(*_STORAGE_OS, ("secretRef.namespace", _NEEDED)),
    "csi": _table(
        ("driver", csi_driver), ("volumeHandle", _NEEDED),
        *((f"{name}SecretRef", given(_secret_ref)) for name in _CSI_SECRETS),
    ),
    "cinder": _table(("volumeID", _NEEDED), ("secretRef.name", _NEEDED), ("secretRef.namespace", _NEEDED)),
    "azureFile": _table(*_AZURE_FILE, ("secretNamespace", given(_NEEDED))),
}  # fmt: skip
# Where upstream names a source differently: (inside it, when it is one too many).
_PATHS = {"gcePersistentDisk": ("persistentDisk", "gcePersistentDisk"), "cephfs": ("cephfs", "cephFS"),
          "downwardAPI": ("downwardAPI", "downwarAPI")}  # fmt: skip
PERSISTENT_SOURCES = tuple(_PERSISTENT)


def _sources(holder: Obj, at: str, table: dict[str, Rule]) -> Errors:
    errors: Errors = []
    found = 0
    for kind, rule in table.items():
        source = holder.get(kind)
        if source is None:
            continue
        inside, extra = _PATHS.get(kind, (kind, kind))
        errors += [forbidden_field(f"{at}.{extra}", _MORE)] if found else rule(source, f"{at}.{inside}")
        found += 1
    return errors if found else [*errors, required(at, "must specify a volume type")]


def persistent_source(spec: Obj, at: str) -> Errors:
    return _sources(spec, at, _PERSISTENT)


def validate(volumes: list[Obj], at: str, pod_name: str | None) -> tuple[Errors, dict[str, Obj]]:
    """The errors, and the good volumes by name. `pod_name` is None for a template."""
    errors: Errors = []
    good: dict[str, Obj] = {}
    made = {f"{pod_name}-{v.get('name')}" for v in volumes if pod_name and v.get("ephemeral") is not None}
    for index, volume in enumerate(volumes):
        here, name = f"{at}[{index}]", volume.get("name") or ""
        found = _sources(volume, here, _SOURCES)
        iscsi = volume.get("iscsi") or {}
        if iscsi.get("initiatorName") is not None and len(f"{name}:{iscsi.get('targetPortal', '')}") > 64:
            found.append(invalid(f"{here}.name", name, _TOO_LONG_PORTAL))
        if pod_name and name and volume.get("ephemeral") is not None:
            own = f"{pod_name}-{name}"
            found += [
                invalid(f"{here}.name", name, f'PVC name "{own}": {e.message.split(": ", 2)[2]}')
                for e in dns_subdomain(own, here)
            ]
        if volume.get("image") is not None and pod_name is not None and not volume["image"].get("reference"):
            found.append(required(f"{here}.image.reference"))
        found += dns_label(name, f"{here}.name") if name else [required(f"{here}.name")]
        if name in good:
            found.append(duplicate(f"{here}.name", name))
        if found:
            errors += found
        else:
            good[name] = volume
        claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        if claim in made:
            text = "must not reference a PVC that gets created for an ephemeral volume"
            errors.append(invalid(f"{here}.persistentVolumeClaim.claimName", claim, text))
    return errors, good


_TOO_LONG_PORTAL = (
    "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is "
    "specified."
)
