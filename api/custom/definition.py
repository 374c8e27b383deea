"""The rules of a CustomResourceDefinition, with upstream's words.

k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation. As there, what all versions say alike is judged once,
under the path that the older form of the kind had for it (`spec.validation`, `spec.subresources` …).
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from api import meta, webhooks
from api.custom import paths
from api.custom.approval import validate_approval
from api.custom.definition_schema import schema_errors
from api.custom.schema import Schema
from api.errors import duplicate, forbidden_field, invalid, required, too_many
from api.meta import Obj
from api.validation import Errors, dns_1035_label, dns_subdomain, immutable, mixed_case, one_of

_COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS = ("binary", "byte", "date", "date-time", "double", "float", "int32", "int64", "password")
_MAX_SELECTABLE = 8
_REVIEW_VERSIONS = ("v1", "v1beta1")


def validate(new: Obj, old: Obj | None) -> Errors:
    spec: Obj = new["spec"]
    errors: Errors = []
    if new["metadata"].get("name") != f"{(spec.get('names') or {}).get('plural', '')}.{spec.get('group', '')}":
        why = 'must be spec.names.plural+"."+spec.group'
        errors.append(invalid("metadata.name", new["metadata"].get("name"), why))
    errors += _spec(spec, new, old)
    if old is not None:
        before = old["spec"]
        if meta.is_condition_true(old, "Established"):
            errors += immutable(spec.get("scope"), before.get("scope"), "spec.scope")
            errors += immutable(spec["names"].get("kind"), before["names"].get("kind"), "spec.names.kind")
        errors += immutable(spec.get("group"), before.get("group"), "spec.group")
        errors += immutable(spec["names"].get("plural"), before["names"].get("plural"), "spec.names.plural")
    errors += _stored_versions(new)
    errors += validate_approval(new, old)
    if spec.get("preserveUnknownFields") and not (old and old["spec"].get("preserveUnknownFields")):
        why = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
        errors.append(invalid("spec.preserveUnknownFields", True, why))
    return errors


def validate_status(new: Obj, _: Obj | None) -> Errors:
    status = new.get("status") or {}
    return _names(status.get("acceptedNames") or {}, "status.acceptedNames")


def _stored_versions(definition: Obj) -> Errors:
    stored = (definition.get("status") or {}).get("storedVersions") or []
    at = "status.storedVersions"
    if not stored:
        return [invalid(at, stored, "must have at least one stored version")]
    versions = definition["spec"].get("versions") or []
    errors = [
        invalid(at, stored, f"must have the storage version {version['name']}")
        for version in versions
        if version.get("storage") and version["name"] not in stored
    ]
    there = {version["name"] for version in versions}
    return errors + [
        invalid(
            f"{at}[{index}]", name, f"missing from spec.versions; {name} was previously a storage version, and must "
            f"remain in spec.versions until a storage migration ensures no data remains persisted in {name} and "
            f"removes {name} from status.storedVersions",
        )
        for index, name in enumerate(stored) if name not in there
    ]  # fmt: skip


def _spec(spec: Obj, new: Obj, old: Obj | None) -> Errors:
    group, versions = spec.get("group") or "", spec.get("versions") or []
    errors: Errors = []
    if not group:
        errors.append(required("spec.group"))
    else:
        wrong = dns_subdomain(group, "spec.group")
        if not wrong and "." not in group:
            wrong = [invalid("spec.group", group, "should be a domain with at least one dot")]
        errors += wrong
    errors += one_of(spec.get("scope"), ("Cluster", "Namespaced"), "spec.scope")
    errors += [
        required(f"spec.versions[{index}].schema.openAPIV3Schema", "schemas are required")
        for index, version in enumerate(versions)
        if not _schema(version)
    ]
    errors += [e for i, v in enumerate(versions) for e in dns_1035_label(v["name"], f"spec.versions[{i}].name")]
    errors += _versions(versions, new, old)
    if len({version["name"] for version in versions}) != len(versions):
        errors.append(invalid("spec.versions", versions, "must contain unique version names"))
    if sum(bool(version.get("storage")) for version in versions) != 1:
        errors.append(invalid("spec.versions", versions, "must have exactly one version marked as storage version"))
    names = spec.get("names") or {}
    errors += [required(f"spec.names.{name}") for name in ("plural", "singular", "kind", "listKind")
               if not names.get(name)]  # fmt: skip
    return errors + _names(names, "spec.names") + _conversion(spec, old)


def _names(names: Obj, at: str) -> Errors:
    errors: Errors = []
    for name in ("plural", "singular"):
        if names.get(name):
            errors += dns_1035_label(names[name], f"{at}.{name}")
    for name in ("kind", "listKind"):
        if names.get(name):
            errors += mixed_case(names[name], f"{at}.{name}")
    for name in ("shortNames", "categories"):
        for index, value in enumerate(names.get(name) or []):
            errors += dns_1035_label(value, f"{at}.{name}[{index}]")
    if names.get("kind") and names["kind"] == names.get("listKind"):
        errors.append(invalid(f"{at}.listKind", names["listKind"], "kind and listKind may not be the same"))
    return errors


# --- what versions say -------------------------------------------------------------------------------------


def _schema(version: Obj) -> Schema | None:
    return (version.get("schema") or {}).get("openAPIV3Schema")


def _versions(versions: list[Obj], new: Obj, old: Obj | None) -> Errors:
    errors: Errors = []

    def alike(name: str) -> bool:
        return bool(versions) and all(version.get(name) == versions[0].get(name) for version in versions)

    for index, version in enumerate(versions):
        at = f"spec.versions[{index}]"
        warning = version.get("deprecationWarning")
        errors += _deprecation(bool(version.get("deprecated")), warning, f"{at}.deprecationWarning")

        def path(name: str, hoisted: str = "", at: str = at) -> str:
            return f"spec.{hoisted or name}" if alike(name) else f"{at}.{name}"

        status = "status" in (version.get("subresources") or {})
        schema = _schema(version)
        if schema is not None:
            errors += schema_errors(schema, f"{path('schema', 'validation')}.openAPIV3Schema", status=status)
        errors += _scale(version, path("subresources"))
        for number, column in enumerate(version.get("additionalPrinterColumns") or []):
            errors += _column(column, f"{path('additionalPrinterColumns')}[{number}]")
        errors += _selectable(version.get("selectableFields") or [], schema, path("selectableFields"))
    return list(dict.fromkeys(errors))


def _deprecation(deprecated: bool, warning: str | None, at: str) -> Errors:
    if warning is None:
        return []
    if not deprecated:
        return [invalid(at, warning, "can only be set for deprecated versions")]
    if not warning:
        return [invalid(at, warning, "must not be an empty string")]
    errors = [invalid(at, warning, "must be <= 256 characters long")] if len(warning.encode()) > 256 else []
    bad = next((i for i, c in enumerate(warning) if not c.isprintable()), None)
    if bad is not None:
        only = "must only contain printable UTF-8 characters"
        errors.append(invalid(at, warning, f"{only}; non-printable character found at index {bad}"))
    return errors


def _simple_path(path: str, at: str) -> Errors:
    return [] if path.startswith(".") else [invalid(at, path, "must be a simple json path starting with .")]


def _scale(version: Obj, at: str) -> Errors:
    scale = (version.get("subresources") or {}).get("scale")
    if scale is None:
        return []
    errors: Errors = []
    for name, roots, where in (
        ("specReplicasPath", (".spec.",), "under .spec"),
        ("statusReplicasPath", (".status.",), "under .status"),
        ("labelSelectorPath", (".spec.", ".status."), "under either .spec or .status"),
    ):
        path, field = scale.get(name) or "", f"{at}.scale.{name}"
        if not path:
            errors += [required(field)] if name != "labelSelectorPath" else []
            continue
        wrong = _simple_path(path, field)
        if not wrong and not path.startswith(roots):
            wrong = [invalid(field, path, f"should be a json path {where}")]
        errors += wrong
    return errors


def _column(column: Obj, at: str) -> Errors:
    errors = [] if column.get("name") else [required(f"{at}.name")]
    kind, form, path = column.get("type") or "", column.get("format") or "", column.get("jsonPath") or ""
    must = f"must be one of {','.join(_COLUMN_TYPES)}"
    if not kind:
        errors.append(required(f"{at}.type", must))
    elif kind not in _COLUMN_TYPES:
        errors.append(invalid(f"{at}.type", kind, must))
    if form and form not in _COLUMN_FORMATS:
        errors.append(invalid(f"{at}.format", form, f"must be one of {','.join(_COLUMN_FORMATS)}"))
    return errors + (_simple_path(path, f"{at}.JSONPath") if path else [required(f"{at}.JSONPath")])


def _selectable(fields: list[Obj], schema: Schema | None, at: str) -> Errors:
    if fields and schema is None:
        why = "selectableFields may only be set when version.schema.openAPIV3Schema is not included"
        return [invalid(at, "", why)]
    errors: Errors = []
    seen: Counter[str] = Counter()
    for index, selectable in enumerate(fields):
        path, field = selectable.get("jsonPath") or "", f"{at}[{index}].jsonPath"
        if not path:
            errors.append(required(field))
            continue
        if "[" in path:
            errors.append(invalid(field, path, "is an invalid path: array notation is not allowed"))
            continue
        found: Any = schema
        for step in paths.steps(path):
            found = (found.get("properties") or {}).get(step) if isinstance(found, dict) else None
        if not path.startswith(".") or found is None:
            errors.append(invalid(field, path, "is an invalid path: does not refer to a valid field"))
            continue
        if paths.steps(path)[0] == "metadata":
            errors.append(invalid(field, path, "must not point to fields in metadata"))
        if found.get("type") not in ("string", "boolean", "integer"):
            why = "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed."  # noqa: E501
            errors.append(invalid(field, path, why))
        if seen[path]:
            errors.append(duplicate(field, path))
        seen[path] += 1
    return [*errors, too_many(at, len(seen), _MAX_SELECTABLE)] if len(seen) > _MAX_SELECTABLE else errors


# --- conversion --------------------------------------------------------------------------------------------


def _conversion(spec: Obj, old: Obj | None) -> Errors:
    conversion = spec.get("conversion")
    if conversion is None:
        return []
    at, strategy = "spec.conversion", conversion.get("strategy") or ""
    errors = one_of(strategy, ("None", "Webhook"), f"{at}.strategy")
    webhook = conversion.get("webhook") or {}
    config, reviews = webhook.get("clientConfig"), webhook.get("conversionReviewVersions") or []
    if strategy != "Webhook":
        why = "should not be set when strategy is not set to Webhook"
        if config is not None:
            errors.append(forbidden_field(f"{at}.webhookClientConfig", why))
        return [*errors, forbidden_field(f"{at}.conversionReviewVersions", why)] if reviews else errors
    if spec.get("preserveUnknownFields"):
        errors.append(invalid(f"{at}.strategy", strategy, "must be None if spec.preserveUnknownFields is true"))
    if config is None:
        errors.append(required(f"{at}.webhookClientConfig", "required when strategy is set to Webhook"))
    else:
        errors += webhooks.client_config(config, f"{at}.webhookClientConfig")
        if config.get("caBundle") and old is not None and meta.is_condition_true(old, "Established"):
            errors += webhooks.ca_bundle(config["caBundle"], f"{at}.webhookClientConfig.caBundle")
    field = f"{at}.conversionReviewVersions"
    if not reviews:
        return [*errors, required(field)]
    for index, version in enumerate(reviews):
        if version in reviews[:index]:
            errors.append(invalid(f"{field}[{index}]", version, "duplicate version"))
        else:
            errors += dns_1035_label(version, f"{field}[{index}]")
    if not set(reviews) & set(_REVIEW_VERSIONS):
        errors.append(invalid(field, reviews, f"must include at least one of {', '.join(_REVIEW_VERSIONS)}"))
    return errors
