"""The life of an object between decoding and storage: what the server fills in, keeps and refuses.

Pure arithmetic on dicts, the same for every kind; what is particular comes from the row's hooks. Functions
named `for_…` edit the object they are given.
"""

from __future__ import annotations

import random
import uuid
from datetime import datetime
from typing import Any

from api import meta, schemas
from api.errors import BadRequest, FieldError, invalid_object
from api.meta import Obj
from api.registry import Resource
from api.validation import object_meta

# No vowels, and nothing that looks like another: no accidental words in generated names.
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_SUFFIX = 5
_MAX_GENERATED = 63
_SERVER_FIELDS = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation")
_METADATA = frozenset(("apiVersion", "kind", "metadata", "status"))

STRICT, WARN, IGNORE = "Strict", "Warn", "Ignore"


def drop_nulls(value: Any) -> Any:
    """`value` without fields that are null: on the wire null means absent."""
    if isinstance(value, dict):
        return {k: drop_nulls(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [{} if v is None else drop_nulls(v) for v in value]
    return value


def decode(resource: Resource, obj: Obj, field_validation: str = WARN) -> tuple[Obj, list[str]]:
    """The object a client meant, and the warnings it should hear.

    Nulls and unknown fields are dropped. BadRequest when a field has the wrong type, or, under Strict, when a
    field is unknown.
    """
    obj = drop_nulls(obj)
    metadata = obj.setdefault("metadata", {})
    findings = schemas.inspect(resource, obj)
    if findings is None:
        return obj, []
    if findings.mistyped:
        raise _undecodable(resource, findings.mistyped[0])
    if not isinstance(metadata, dict):
        raise _undecodable(resource, "json: cannot unmarshal metadata into Go value of type v1.ObjectMeta")
    texts = [f'unknown field "{schemas.dotted(path)}"' for path in sorted(findings.unknown, key=str)]
    if texts and field_validation == STRICT:
        raise BadRequest(
            f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}: '
            f"strict decoding error: {', '.join(texts)}"
        )
    for path in findings.unknown:
        schemas.remove(obj, path)
    return obj, texts if field_validation == WARN else []


def _undecodable(resource: Resource, why: str) -> BadRequest:
    return BadRequest(f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}: {why}')


def generate_name(prefix: str) -> str:
    """`prefix` cut so that the whole fits a label, and five random characters."""
    suffix = "".join(random.choices(_ALPHABET, k=_SUFFIX))
    return prefix[: _MAX_GENERATED - _SUFFIX] + suffix


def for_create(resource: Resource, obj: Obj, *, now: datetime) -> None:
    """Fill the metadata of a new object, then defaults. BadRequest when it claims to exist already."""
    metadata = obj["metadata"]
    if metadata.get("resourceVersion") not in (None, ""):
        raise BadRequest("resourceVersion should not be set on objects to be created")
    for name in (*_SERVER_FIELDS, "resourceVersion", "selfLink", "managedFields"):
        metadata.pop(name, None)
    if not metadata.get("name") and metadata.get("generateName"):
        metadata["name"] = generate_name(metadata["generateName"])
    obj["apiVersion"], obj["kind"] = resource.api_version, resource.kind
    metadata["uid"] = str(uuid.UUID(int=random.getrandbits(128), version=4))  # unique, not secret: no system call
    metadata["creationTimestamp"] = meta.rfc3339(now)
    if resource.has_generation:
        metadata["generation"] = 1
    if resource.has_status and not resource.keeps_status_on_create:
        obj.pop("status", None)
    if resource.has_status:
        obj.setdefault("status", {})  # always there, as in upstream's answers: clients read through it
    resource.hooks.default(obj)
    resource.hooks.prepare(obj, None)


def for_update(resource: Resource, new: Obj, old: Obj, *, subresource: str = "") -> None:
    """Keep of `old` what this door may not change, fill defaults, count generations."""
    metadata, before = new.setdefault("metadata", {}), old["metadata"]
    new["apiVersion"], new["kind"] = resource.api_version, resource.kind
    if subresource == "status":
        status = new.get("status")
        for name in [k for k in new if k not in old]:
            del new[name]
        new.update(old)
        new["metadata"] = dict(before)
        new["status"] = status or {}
        resource.hooks.prepare_status(new, old)
        return
    for name in ("selfLink", "managedFields"):
        metadata.pop(name, None)
    for name in (*_SERVER_FIELDS, "name", "namespace", "generateName"):
        if name in before:
            metadata[name] = before[name]
        else:
            metadata.pop(name, None)
    if resource.has_status:
        new.pop("status", None)
        if "status" in old:
            new["status"] = old["status"]
    resource.hooks.default(new)
    resource.hooks.prepare(new, old)
    if resource.has_generation and _desired(new) != _desired(old):
        metadata["generation"] = int(before.get("generation") or 0) + 1


def _desired(obj: Obj) -> Obj:
    return {k: v for k, v in obj.items() if k not in _METADATA}


def check(resource: Resource, new: Obj, old: Obj | None, *, subresource: str = "") -> None:
    """Refuse what breaks a rule: Invalid, with every broken field."""
    if subresource == "status":
        errors = resource.hooks.validate_status(new, old)
    else:
        errors = object_meta(new["metadata"], namespaced=resource.namespaced, name_rule=resource.hooks.name_rule)
        if old is not None:
            errors += _finalizers(new["metadata"], old["metadata"])
        findings = schemas.inspect(resource, new)
        if findings is not None:
            errors += findings.missing
        errors += resource.hooks.validate(new, old)
    if errors:
        raise invalid_object(resource.group, resource.kind, meta.name(new), errors)


def _finalizers(new: Obj, old: Obj) -> list[FieldError]:
    """No finalizer may be added once deletion has begun."""
    if not old.get("deletionTimestamp"):
        return []
    added = [f for f in new.get("finalizers") or [] if f not in (old.get("finalizers") or [])]
    if not added:
        return []
    return [
        FieldError(
            "FieldValueForbidden",
            "metadata.finalizers",
            f"Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers {added}",
        )
    ]


def equal(new: Obj, old: Obj) -> bool:
    """Whether an update would change nothing. resourceVersion is not compared."""
    if new.keys() != old.keys():
        return False
    for key, value in new.items():
        if key == "metadata":
            mine = {k: v for k, v in value.items() if k != "resourceVersion"}
            theirs = {k: v for k, v in old["metadata"].items() if k != "resourceVersion"}
            if mine != theirs:
                return False
        elif value != old[key]:
            return False
    return True
