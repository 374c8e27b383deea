"""ConfigMap and Secret: key rules, immutability, stringData, columns."""

from __future__ import annotations

import base64
import binascii
import json
from datetime import datetime
from typing import Any

from api import meta, printing
from api.errors import FieldError, forbidden_field, invalid, required
from api.meta import Obj
from api.registry import Column, Hooks
from api.validation import Errors, config_key, immutable

_LIMIT = 1024 * 1024
_IMMUTABLE = "field is immutable when `immutable` is set"

# The keys that a Secret of a known type must have.
_REQUIRED_KEYS = {
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/basic-auth": ("username", "password"),
}
_TOKEN, _ACCOUNT = "kubernetes.io/service-account-token", "kubernetes.io/service-account.name"


def default_secret(secret: Obj) -> None:
    """stringData is write-only: it is folded into data."""
    secret.setdefault("type", "Opaque")
    plain = secret.pop("stringData", None)
    if plain:
        data = secret.setdefault("data", {})
        data.update({k: base64.b64encode(v.encode()).decode() for k, v in plain.items()})


def validate_config_map(config_map: Obj, old: Obj | None) -> Errors:
    data, binary = config_map.get("data") or {}, config_map.get("binaryData") or {}
    errors = [e for key in data for e in config_key(key, f"data[{key}]")]
    for key, value in binary.items():
        errors += config_key(key, f"binaryData[{key}]") + _base64(value, f"binaryData[{key}]")
        if key in data:
            errors.append(invalid(f"data[{key}]", key, "duplicate of key present in binaryData"))
    size = sum(len(v.encode()) for v in data.values()) + sum(len(v) for v in binary.values())
    return errors + _size(size, "") + _frozen(config_map, old, ("data", "binaryData"))


def validate_secret(secret: Obj, old: Obj | None) -> Errors:
    data, kind = secret.get("data") or {}, secret.get("type", "")
    errors: Errors = [] if old is None else immutable(kind, old.get("type"), "type")
    errors += _frozen(secret, old, ("data",))
    for key, value in data.items():
        errors += config_key(key, f"data[{key}]") + _base64(value, f"data[{key}]")
    errors += _size(sum(len(v) * 3 // 4 for v in data.values()), "data")
    missing = [key for key in _REQUIRED_KEYS.get(kind, ()) if key not in data]
    if kind == "kubernetes.io/basic-auth" and len(missing) < 2:
        missing = []  # either is enough
    if kind == "kubernetes.io/ssh-auth" and not data.get("ssh-privatekey"):
        missing = ["ssh-privatekey"]
    errors += [required(f"data[{key}]") for key in missing]
    if kind == _TOKEN and not meta.annotations(secret).get(_ACCOUNT):
        errors.append(required(f"metadata.annotations[{_ACCOUNT}]"))
    for key in (".dockercfg", ".dockerconfigjson"):
        if key in data and key in _REQUIRED_KEYS.get(kind, ()):
            errors += _json(data[key], f"data[{key}]")
    return errors


def _json(value: str, field: str) -> Errors:
    """A JSON object, in base64."""
    try:
        found = json.loads(base64.b64decode(value))
    except ValueError as error:
        return [invalid(field, "<secret contents redacted>", str(error))]
    if isinstance(found, dict):
        return []
    text = f"json: cannot unmarshal {type(found).__name__} into Go value of type map[string]interface {{}}"
    return [invalid(field, "<secret contents redacted>", text)]


def _base64(value: str, field: str) -> Errors:
    try:
        base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        return [invalid(field, "<value omitted>", f"illegal base64 data: {error}")]
    return []


def _size(size: int, field: str) -> Errors:
    if size <= _LIMIT:
        return []
    return [FieldError("FieldValueTooLong", field, f"Too long: may not be more than {_LIMIT} bytes")]


def _frozen(new: Obj, old: Obj | None, fields: tuple[str, ...]) -> Errors:
    if old is None or not old.get("immutable"):
        return []
    errors = [] if new.get("immutable") else [forbidden_field("immutable", _IMMUTABLE)]
    return errors + [forbidden_field(f, _IMMUTABLE) for f in fields if new.get(f) != old.get(f)]


def _config_map_cells(config_map: Obj, now: datetime) -> list[Any]:
    count = len(config_map.get("data") or {}) + len(config_map.get("binaryData") or {})
    return [meta.name(config_map), count, printing.age_of(config_map, now)]


def _secret_cells(secret: Obj, now: datetime) -> list[Any]:
    return [
        meta.name(secret),
        secret.get("type", ""),
        len(secret.get("data") or {}),
        printing.age_of(secret, now),
    ]


CONFIG_MAP = Hooks(
    validate=validate_config_map,
    columns=(Column("Name", format="name"), Column("Data"), Column("Age")),
    cells=_config_map_cells,
)
SECRET = Hooks(
    default=default_secret,
    validate=validate_secret,
    columns=(Column("Name", format="name"), Column("Type"), Column("Data"), Column("Age")),
    cells=_secret_cells,
)
