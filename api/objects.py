"""The life of an object between decoding and storage: what the server fills in, keeps and refuses.

Pure arithmetic on dicts, the same for every kind; what is particular comes from the row's hooks. Functions
named `for_…` edit the object they are given.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from api import canonical, meta, omitting, schemas
from api.errors import BadRequest, FieldError, forbidden_field, invalid_object
from api.meta import Obj
from api.patch.fields import LEAF, Fields
from api.registry import Resource
from api.validation import object_meta

Finding = tuple[schemas.Path, str]
"""Where a text breaks strict decoding, and its words for that."""
Track = Callable[[Obj, Obj | None], None]
"""Notes in a new object who made of the old one (None: of nothing) what it is."""

# No vowels, and nothing that looks like another: no accidental words in generated names.
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_SUFFIX = 5
_MAX_GENERATED = 63
_SERVER_FIELDS = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation")
_FIXED = (*_SERVER_FIELDS, "name", "namespace")
# Groups that upstream checks with apimachinery's rules alone, as it does custom kinds.
_ANY_FINALIZER = frozenset(("admissionregistration.k8s.io", "apiextensions.k8s.io", "apiregistration.k8s.io"))
_ALL_METADATA = ("labels", "annotations", "finalizers", "ownerReferences")
# As the status strategies of upstream's registries have it.
_STATUS_KEEPS = {
    ("", "pods"): ("ownerReferences",),
    ("apps", "deployments"): ("labels",),
    ("apiextensions.k8s.io", "customresourcedefinitions"): _ALL_METADATA,
    ("apiregistration.k8s.io", "apiservices"): _ALL_METADATA,
    ("flowcontrol.apiserver.k8s.io", "flowschemas"): _ALL_METADATA,
    ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations"): _ALL_METADATA,
    ("storage.k8s.io", "volumeattachments"): _ALL_METADATA,
}
_METADATA = frozenset(("apiVersion", "kind", "metadata", "status"))

STRICT, WARN, IGNORE = "Strict", "Warn", "Ignore"


def drop_nulls(value: Any) -> Any:
    """`value` without fields that are null: on the wire null means absent."""
    if isinstance(value, dict):
        return {k: drop_nulls(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [{} if v is None else drop_nulls(v) for v in value]
    return value


def copy_of_custom(obj: Obj) -> Obj:
    """A deep copy with the nulls of the metadata dropped: what other nulls mean is for the kind's schema to say."""
    copied: Obj = meta.copied(obj)
    if isinstance(copied.get("metadata"), dict):
        copied["metadata"] = drop_nulls(copied["metadata"])
    return copied


def decode(
    resource: Resource, obj: Obj, field_validation: str = WARN, twice: Sequence[Finding] = ()
) -> tuple[Obj, list[str]]:
    """The object a client meant, and the warnings it should hear.

    Nulls, unknown fields and what means nothing are dropped. BadRequest when a field has the wrong type, or, under
    Strict, when a field is unknown or was given `twice`.
    """
    # A custom kind may want a null; its own default hook drops the others.
    obj = drop_nulls(obj) if resource.custom is None else copy_of_custom(obj)
    metadata = obj.setdefault("metadata", {})
    try:
        canonical.quantities_of(resource, obj)
    except ValueError as error:
        raise _undecodable(resource, str(error)) from error
    findings = schemas.inspect(resource, obj)
    if findings is None:
        if not twice:
            omitting.tidy(resource, obj)
            return obj, []
        findings = schemas.Findings()
    if findings.mistyped:
        raise _undecodable(resource, findings.mistyped[0])
    if not isinstance(metadata, dict):
        raise _undecodable(resource, "json: cannot unmarshal metadata into Go value of type v1.ObjectMeta")
    texts = _strict_texts(resource, obj, twice, findings.unknown)
    if texts and field_validation == STRICT:
        raise BadRequest(
            f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}: '
            f"strict decoding error: {', '.join(texts)}"
        )
    for path in (*findings.unknown, *findings.untold):
        schemas.remove(obj, path)
    omitting.tidy(resource, obj)
    return obj, texts if field_validation == WARN else []


def _strict_texts(resource: Resource, obj: Obj, twice: Sequence[Finding], unknown: Sequence[schemas.Path]) -> list[str]:
    """In upstream's order: of a built-in kind as the text has them, of a custom kind first what stands there twice."""
    untold = [finding for finding in twice if finding[0] not in unknown] if resource.custom is None else [*twice]
    told = [(path, f'unknown field "{schemas.dotted(path)}"') for path in sorted(unknown, key=str)]
    if resource.custom is not None:
        return [text for _, text in (*untold, *told)]
    return [text for _, text in sorted((*untold, *told), key=lambda finding: _position(obj, finding[0]))]


def _position(obj: Any, path: schemas.Path) -> list[int]:
    """Where `path` comes in the text that `obj` was read from."""
    position: list[int] = []
    for step in path:
        if isinstance(obj, list) and isinstance(step, int) and step < len(obj):
            position.append(step)
            obj = obj[step]
        elif isinstance(obj, dict):
            position.append([*obj, step].index(step))
            obj = obj.get(step)
    return position


def _undecodable(resource: Resource, why: str) -> BadRequest:
    return BadRequest(f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}: {why}')


def generate_name(prefix: str) -> str:
    """`prefix` cut so that the whole fits a label, and five random characters."""
    suffix = "".join(random.choices(_ALPHABET, k=_SUFFIX))
    return prefix[: _MAX_GENERATED - _SUFFIX] + suffix


def for_create(resource: Resource, obj: Obj, *, now: datetime, track: Track | None = None) -> None:
    """`begin` and `complete`, for an object that nobody changes in between."""
    begin(resource, obj, track)
    complete(resource, obj, now)


def begin(resource: Resource, obj: Obj, track: Track | None = None) -> None:
    """Make a new object of what a client sent, without what is the server's, and fill its defaults. BadRequest when
    it claims to exist already.

    `track` notes who wrote what: what is added from there on, by admission and by the server, belongs to nobody.
    """
    metadata = obj["metadata"]
    if metadata.get("resourceVersion") not in (None, ""):
        raise BadRequest("resourceVersion should not be set on objects to be created")
    for name in (*_SERVER_FIELDS, "resourceVersion", "selfLink"):
        metadata.pop(name, None)
    obj["apiVersion"], obj["kind"] = resource.api_version, resource.kind
    if resource.has_status and not resource.keeps_status_on_create:
        obj.pop("status", None)
    if resource.has_status and resource.custom is None:
        obj.setdefault("status", {})  # always there, as in upstream's answers: clients read through it
    resource.hooks.default(obj)
    if track is not None:
        track(obj, None)


def complete(resource: Resource, obj: Obj, now: datetime) -> None:
    """Give a new object what only the server gives."""
    metadata = obj["metadata"]
    if not metadata.get("name") and metadata.get("generateName"):
        metadata["name"] = generate_name(metadata["generateName"])
    metadata["uid"] = str(uuid.UUID(int=random.getrandbits(128), version=4))  # unique, not secret: no system call
    metadata["creationTimestamp"] = meta.rfc3339(now)
    if resource.has_generation:
        metadata["generation"] = 1
    resource.hooks.prepare(obj, None)


def for_update(resource: Resource, new: Obj, old: Obj, *, subresource: str = "", track: Track | None = None) -> None:
    """Keep of `old` what this door may not change, fill defaults, count generations. `track` as on creation."""
    metadata, before = new.setdefault("metadata", {}), old["metadata"]
    new["apiVersion"], new["kind"] = resource.api_version, resource.kind
    if subresource:
        prepare, _ = resource.hooks.doors.get(subresource) or (resource.hooks.prepare_status, None)
        status = new.get("status")
        wanted = new.get("spec") if subresource in resource.hooks.spec_doors else None
        for name in [k for k in new if k not in old]:
            del new[name]
        new.update(old)
        kept = _status_keeps(resource) if wanted is None else _ALL_METADATA
        new["metadata"] = _kept(metadata, before, (*_FIXED, "generateName", *kept))
        new["status"] = status or {}
        if status is None and resource.custom is not None:
            del new["status"]
        if wanted is not None:
            new |= {"spec": wanted, "status": old.get("status") or {}}
        if track is not None:
            track(new, old)
        prepare(new, old)
        if wanted is not None and resource.has_generation and _desired(resource, new) != _desired(resource, old):
            new["metadata"]["generation"] = int(before.get("generation") or 0) + 1
        return
    new["metadata"] = metadata = _kept(metadata, before, (*_FIXED, "generateName"))
    if resource.has_status:
        new.pop("status", None)
        if "status" in old:
            new["status"] = old["status"]
    resource.hooks.default(new)
    if track is not None:
        track(new, old)
    resource.hooks.prepare(new, old)
    if resource.has_generation and _desired(resource, new) != _desired(resource, old):
        metadata["generation"] = int(before.get("generation") or 0) + 1


def _kept(metadata: Obj, before: Obj, names: Iterable[str]) -> Obj:
    """`metadata` with what stands under `names` as it was."""
    result = {k: v for k, v in metadata.items() if k != "selfLink"}
    for name in names:
        if name in before:
            result[name] = before[name]
        else:
            result.pop(name, None)
    return result


def _status_keeps(resource: Resource) -> tuple[str, ...]:
    """The metadata, beyond the server's own, that the status door leaves as it is. Most kinds let it change."""
    return _ALL_METADATA if resource.custom is not None else _STATUS_KEEPS.get((resource.group, resource.plural), ())


@lru_cache(maxsize=256)
def _reset(group: str, plural: str, subresource: str) -> Fields:
    if subresource not in ("status", "approval"):
        return {"f:status": LEAF}
    kept = _STATUS_KEEPS.get((group, plural), ())
    return {"f:spec": LEAF, **({"f:metadata": {f"f:{name}": LEAF for name in kept}} if kept else {})}


def kept_by(resource: Resource, subresource: str) -> tuple[Fields | None, str]:
    """(the fields that a door puts back as they were, the one field that it does not when that is shorter)."""
    if not resource.has_status:
        return None, ""
    if subresource == "status" and resource.custom is not None:
        return None, "f:status"
    return _reset(resource.group, resource.plural, subresource), ""


def _desired(resource: Resource, obj: Obj) -> Obj:
    """A custom kind without a status of its own wants what stands there too."""
    aside = _METADATA if resource.has_status or resource.custom is None else _METADATA - {"status"}
    return {k: v for k, v in obj.items() if k not in aside}


def check(resource: Resource, new: Obj, old: Obj | None, *, subresource: str = "") -> None:
    """Refuse what breaks a rule: Invalid, with every broken field."""
    errors: list[FieldError] = []
    if not subresource or old is None or _lasting(new["metadata"]) != _lasting(old["metadata"]):
        errors += object_meta(
            new["metadata"],
            namespaced=resource.namespaced,
            name_rule=resource.hooks.name_rule,
            standard_finalizers=resource.custom is None and resource.group not in _ANY_FINALIZER,
        )
        if old is not None:
            errors += _finalizers(new["metadata"], old["metadata"])
    if subresource:
        _, validate = resource.hooks.doors.get(subresource) or (None, resource.hooks.validate_status)
        errors += validate(new, old)
    else:
        ruled = resource.hooks.validate(new, old)
        findings = schemas.inspect(resource, new) if resource.custom is None else None
        if findings is not None:  # of what is missing, the kind's own rules may say more
            said = {error.field for error in ruled}
            errors += [error for error in findings.missing if error.field not in said]
        errors += ruled
    if errors:
        raise invalid_object(resource.group, resource.kind, meta.name(new), errors)


def _finalizers(new: Obj, old: Obj) -> list[FieldError]:
    """No finalizer may be added once deletion has begun."""
    if not old.get("deletionTimestamp"):
        return []
    added = [f for f in new.get("finalizers") or [] if f not in (old.get("finalizers") or [])]
    if not added:
        return []
    found = ", ".join(f'"{name}"' for name in added)
    why = f"no new finalizers can be added if the object is being deleted, found new finalizers []string{{{found}}}"
    return [forbidden_field("metadata.finalizers", why)]


def dedupe_owners(obj: Obj) -> str:
    """Drop owner references that stand there twice; what to tell the client about it, "" when there are none."""
    references = obj["metadata"].get("ownerReferences") or []
    unique: list[Obj] = []
    twice = []
    for reference in references:
        if reference in unique:
            twice.append(str(reference.get("uid", "")))
        else:
            unique.append(reference)
    if not twice:
        return ""
    obj["metadata"]["ownerReferences"] = unique
    return (
        ".metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and may "
        "reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: "
        + ", ".join(dict.fromkeys(twice))
    )


def equal(new: Obj, old: Obj) -> bool:
    """Whether an update would change nothing. resourceVersion is not compared, nor when managers last wrote."""
    if new.keys() != old.keys():
        return False
    for key, value in new.items():
        before = old[key]
        if key == "metadata":
            value, before = _lasting(value), _lasting(before)
        if value != before:
            return False
    return _untimed(new) == _untimed(old)


def _lasting(metadata: Obj) -> Obj:
    return {k: v for k, v in metadata.items() if k not in ("resourceVersion", "managedFields")}


def _untimed(obj: Obj) -> list[Obj]:
    entries = obj["metadata"].get("managedFields") or []
    return [{k: v for k, v in entry.items() if k != "time"} for entry in entries]
