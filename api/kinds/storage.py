"""The kinds of storage.k8s.io: defaults, validation, columns.

Rules and wording follow k8s.io/kubernetes/pkg/apis/storage/validation.
"""

from __future__ import annotations

from typing import Any

from api import meta, quantities
from api.columns import AGE, Cell, at, count, joined, tabled
from api.errors import duplicate, forbidden_field, invalid, required, too_long
from api.meta import Obj
from api.registry import Hooks
from api.rules import (
    NOT_NEGATIVE,
    Row,
    at_least,
    check,
    each,
    given,
    needed,
    needed_as,
    needed_of,
    of,
    quantity,
    rows,
    when,
)
from api.validation import Errors, dns_subdomain, immutable, label_selector, qualified_name

_PARAMETERS, _PARAMETERS_SIZE = 512, 256 * 1024
_ATTACHED_SIZE, _ERROR_SIZE = 256 * 1024, 1024
_NODE_ID = 256
_TEN_MINUTES = 600


def _named(*defaults: str) -> Cell:
    """The name, told apart when one of these annotations makes it the default."""

    def name(obj: Obj) -> str:
        marked = any(meta.annotations(obj).get(key) == "true" for key in defaults)
        return meta.name(obj) + (" (default)" if marked else "")

    return Cell("Name", name, format="name")


def _provisioner(value: str | None, field: str) -> Errors:
    return qualified_name(value.lower(), field) if value else [required(field)]


def _parameters(values: dict[str, str] | None, field: str, *, may_be_empty: bool) -> Errors:
    values = values or {}
    if len(values) > _PARAMETERS:
        return [too_long(field, _PARAMETERS)]
    errors = [invalid(field, "", "field can not be empty.")] if "" in values else []
    if sum(len(k.encode()) + len(v.encode()) for k, v in values.items()) > _PARAMETERS_SIZE:
        errors.append(too_long(field, _PARAMETERS_SIZE))
    if not values and not may_be_empty:
        errors.append(required(field, "must contain at least one key/value pair"))
    return errors


def _frozen(new: Obj, old: Obj, *names: str) -> Errors:
    return [
        forbidden_field(name, f"updates to {name} are forbidden.") for name in names if new.get(name) != old.get(name)
    ]


# --- StorageClass and VolumeAttributesClass ----------------------------------------------------------------


def _default_class(storage_class: Obj) -> None:
    storage_class.setdefault("reclaimPolicy", "Delete")
    storage_class.setdefault("volumeBindingMode", "Immediate")


def _topology(expression: Obj, field: str) -> Errors:
    values = expression.get("values") or []
    errors = [] if values else [required(f"{field}.values")]
    errors += [duplicate(f"{field}.values[{i}]", value) for i, value in enumerate(values) if value in values[:i]]
    return errors + qualified_name(expression.get("key") or "", f"{field}.key")


def _validate_class(storage_class: Obj, old: Obj | None) -> Errors:
    if old is not None:
        mode = immutable(storage_class.get("volumeBindingMode"), old.get("volumeBindingMode"), "volumeBindingMode")
        return _frozen(storage_class, old, "parameters", "provisioner", "reclaimPolicy") + mode
    errors = _provisioner(storage_class.get("provisioner"), "provisioner")
    errors += _parameters(storage_class.get("parameters"), "parameters", may_be_empty=True)
    errors += of("Delete", "Retain")(storage_class.get("reclaimPolicy"), "reclaimPolicy")
    errors += needed_of("Immediate", "WaitForFirstConsumer")(
        storage_class.get("volumeBindingMode"), "volumeBindingMode"
    )
    term = rows(("matchLabelExpressions", each(_topology)))
    return errors + each(term)(storage_class.get("allowedTopologies"), "allowedTopologies")


def _validate_attributes_class(attributes: Obj, old: Obj | None) -> Errors:
    errors = [] if old is None else _frozen(attributes, old, "driverName", "parameters")
    errors += _provisioner(attributes.get("driverName"), "driverName")
    return errors + _parameters(attributes.get("parameters"), "parameters", may_be_empty=False)


STORAGE_CLASS = tabled(
    Hooks(default=_default_class, validate=_validate_class),
    _named("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"),
    Cell("Provisioner", at("provisioner")),
    Cell("ReclaimPolicy", at("reclaimPolicy", absent="Delete")),
    Cell("VolumeBindingMode", at("volumeBindingMode", absent="Immediate")),
    Cell("AllowVolumeExpansion", at("allowVolumeExpansion", absent=False)),
    AGE,
)
VOLUME_ATTRIBUTES_CLASS = tabled(
    Hooks(validate=_validate_attributes_class),
    _named("volumeattributesclass.alpha.kubernetes.io/is-default-class"),
    Cell("DriverName", at("driverName")),
    AGE,
)

# --- VolumeAttachment --------------------------------------------------------------------------------------


def _prepare_attachment(attachment: Obj, old: Obj | None) -> None:
    if old is None:
        attachment["status"] = {"attached": False}


def _source(source: Obj, field: str) -> Errors:
    inline, name = source.get("inlineVolumeSpec"), source.get("persistentVolumeName")
    both = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
    if inline is None and name is None:
        return [required(field, both)]
    if inline is not None and name is not None:
        return [forbidden_field(field, both)]
    if name == "":
        return [required(f"{field}.persistentVolumeName", "must specify non empty persistentVolumeName")]
    return given(dns_subdomain)(name, f"{field}.persistentVolumeName")


def _validate_attachment(attachment: Obj, old: Obj | None) -> Errors:
    spec = attachment.get("spec") or {}
    errors = needed_as(dns_subdomain)(spec.get("attacher"), "spec.attacher")
    errors += _source(spec.get("source") or {}, "spec.source")
    errors += dns_subdomain(spec.get("nodeName") or "", "spec.nodeName")
    return errors if old is None else errors + immutable(spec, old.get("spec"), "spec")


def _volume_error(error: Obj, field: str) -> Errors:
    errors = [too_long(f"{field}.message", _ATTACHED_SIZE)] if len(error.get("message") or "") > _ERROR_SIZE else []
    why = "must be between 0 and 2147483647, inclusive"
    return errors + at_least(0, why)(error.get("errorCode"), f"{field}.errorCode")


def _attachment_status(attachment: Obj, _: Obj | None) -> Errors:
    status = attachment.get("status") or {}
    held = status.get("attachmentMetadata") or {}
    big = sum(len(k) + len(v) for k, v in held.items()) > _ATTACHED_SIZE
    errors = [too_long("status.attachmentMetadata", _ATTACHED_SIZE)] if big else []
    failures = tuple((name, given(_volume_error)) for name in ("attachError", "detachError"))
    return errors + check(status, "status", failures)


VOLUME_ATTACHMENT = tabled(
    Hooks(prepare=_prepare_attachment, validate=_validate_attachment, validate_status=_attachment_status),
    Cell("Attacher", at("spec", "attacher"), format="name"),
    Cell("PV", at("spec", "source", "persistentVolumeName")),
    Cell("Node", at("spec", "nodeName")),
    Cell("Attached", at("status", "attached", absent=False), "boolean"),
    AGE,
)

# --- CSIDriver ---------------------------------------------------------------------------------------------

_DRIVER_DEFAULTS = {
    "attachRequired": True,
    "podInfoOnMount": False,
    "storageCapacity": False,
    "requiresRepublish": False,
    "seLinuxMount": False,
    "fsGroupPolicy": "ReadWriteOnceWithFSType",
}


def _default_driver(driver: Obj) -> None:
    spec = driver.setdefault("spec", {})
    for name, value in _DRIVER_DEFAULTS.items():
        spec.setdefault(name, value)
    for request in spec.get("tokenRequests") or []:
        request.setdefault("audience", "")
    if not spec.get("volumeLifecycleModes"):
        spec["volumeLifecycleModes"] = ["Persistent"]


def _prepare_driver(driver: Obj, old: Obj | None) -> None:
    if old is not None and driver.get("spec") != old.get("spec"):
        driver["metadata"]["generation"] = int(old["metadata"].get("generation") or 0) + 1


def _token_requests(requests: list[Obj] | None, field: str) -> Errors:
    errors: Errors = []
    audiences: set[str] = set()
    for index, request in enumerate(requests or []):
        audience, seconds = request.get("audience", ""), request.get("expirationSeconds")
        at_seconds = f"{field}[{index}].expirationSeconds"
        if audience in audiences:
            errors.append(duplicate(f"{field}[{index}].audience", audience))
        elif seconds is not None and seconds < _TEN_MINUTES:
            errors.append(invalid(at_seconds, seconds, "may not specify a duration less than 10 minutes"))
        elif seconds is not None and seconds > 1 << 32:
            errors.append(invalid(at_seconds, seconds, "may not specify a duration larger than 2^32 seconds"))
        audiences.add(audience)
    return errors


def _modes(modes: list[str] | None, field: str) -> Errors:
    return [e for mode in modes or [] for e in of("Persistent", "Ephemeral")(mode, field)]


_DRIVER: tuple[Row, ...] = (
    ("fsGroupPolicy", of("File", "None", "ReadWriteOnceWithFSType")),
    ("tokenRequests", _token_requests),
    ("volumeLifecycleModes", _modes),
    ("nodeAllocatableUpdatePeriodSeconds", at_least(10, "must be greater than or equal to 10 seconds")),
)


def _validate_driver(driver: Obj, old: Obj | None) -> Errors:
    errors = check(driver["spec"], "spec", _DRIVER)
    for name in () if old is None else ("attachRequired", "volumeLifecycleModes"):
        field = "attachedRequired" if name == "attachRequired" else name  # as upstream spells it
        errors += immutable(driver["spec"].get(name), (old or {})["spec"].get(name), f"spec.{field}")
    return errors


_REQUESTS = at("spec", "tokenRequests", absent=())
CSI_DRIVER = tabled(
    Hooks(default=_default_driver, prepare=_prepare_driver, validate=_validate_driver),
    Cell("AttachRequired", at("spec", "attachRequired", absent=True), "boolean"),
    Cell("PodInfoOnMount", at("spec", "podInfoOnMount", absent=False), "boolean"),
    Cell("StorageCapacity", at("spec", "storageCapacity", absent=False), "boolean"),
    Cell(
        "TokenRequests",
        lambda d: ",".join(t.get("audience", "") for t in _REQUESTS(d)) or "<unset>",
    ),
    Cell("RequiresRepublish", at("spec", "requiresRepublish", absent=False), "boolean"),
    Cell("Modes", joined("spec", "volumeLifecycleModes")),
    AGE,
)

# --- CSINode and CSIStorageCapacity ------------------------------------------------------------------------


def _default_node(node: Obj) -> None:
    node.setdefault("spec", {}).setdefault("drivers", [])


def _topology_keys(driver: Obj, field: str) -> Errors:
    errors: Errors = []
    keys = driver.get("topologyKeys") or []
    for index, key in enumerate(keys):
        if not key:
            errors.append(required(field))
        if key in keys[:index]:
            errors.append(duplicate(field, key))
        errors += qualified_name(key, field)
    return errors


def _driver_name(value: str | None, field: str) -> Errors:
    return dns_subdomain(value or "", field)


def _node_id(value: str | None, field: str) -> Errors:
    errors = needed()(value, field)
    if len(value or "") > _NODE_ID:
        errors.append(invalid(field, value, f"must be {_NODE_ID} characters or less"))
    return errors


def _validate_node(node: Obj, old: Obj | None) -> Errors:
    drivers = (node.get("spec") or {}).get("drivers") or []
    errors: Errors = []
    for index, driver in enumerate(drivers):
        field, name = f"spec.drivers[{index}]", driver.get("name") or ""
        errors += check(
            driver,
            field,
            (
                ("name", lambda v, f: dns_subdomain(v or "", f)),
                ("nodeID", _node_id),
                ("allocatable.count", NOT_NEGATIVE),
            ),
        )
        if name in (d.get("name") for d in drivers[:index]):
            errors.append(duplicate(f"{field}.name", name))
        errors += _topology_keys(driver, field)
    before: dict[Any, Obj] = {d.get("name"): d for d in ((old or {}).get("spec") or {}).get("drivers") or []}
    for driver in drivers:
        known = before.get(driver.get("name"))
        if known is not None:
            errors += immutable({**driver, "allocatable": None}, {**known, "allocatable": None}, "spec.drivers")
    return errors


def _validate_capacity(capacity: Obj, old: Obj | None) -> Errors:
    if old is not None:
        return [
            e
            for name in ("nodeTopology", "storageClassName")
            for e in immutable(capacity.get(name), old.get(name), name)
        ]
    errors = given(label_selector)(capacity.get("nodeTopology"), "nodeTopology")
    errors += dns_subdomain(capacity.get("storageClassName") or "", "storageClassName")
    return errors + when(quantity)(capacity.get("capacity"), "capacity")


def _capacity(capacity: Obj) -> str:
    held = capacity.get("capacity")
    return "<unset>" if held is None else quantities.canonical(held)


CSI_NODE = tabled(
    Hooks(default=_default_node, validate=_validate_node), Cell("Drivers", count("spec", "drivers"), "integer"), AGE
)
CSI_STORAGE_CAPACITY = tabled(
    Hooks(validate=_validate_capacity),
    Cell("StorageClassName", at("storageClassName")),
    Cell("Capacity", _capacity),
)
