"""Rules that many kinds share, with upstream's wording (k8s.io/apimachinery/pkg/util/validation)."""

import ipaddress
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from api import quantities, selectors
from api.errors import FieldError, forbidden_field, invalid, not_supported, required
from api.meta import Obj

Errors = list[FieldError]

_LABEL = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?\Z")
_LABEL_1035 = re.compile(r"^[a-z]([-a-z0-9]*[a-z0-9])?\Z")
_SUBDOMAIN = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\Z")
_CONFIG_KEY = re.compile(r"^[-._a-zA-Z0-9]+\Z")
_PORT_NAME = re.compile(r"^[-a-z0-9]+\Z")

LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and "
    "end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
LABEL_1035_TEXT = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic "
    "character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for "
    "validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
)
SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
    "start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
QUALIFIED_TEXT = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
    "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
LABEL_VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must "
    "start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used "
    "for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
_NOT_NEGATIVE = "must be greater than or equal to 0"
_ANNOTATIONS_LIMIT = 256 * 1024


def dns_label(value: str, field: str) -> Errors:
    return [invalid(field, value, why) for why in not_label(value)]


def not_label(value: str) -> list[str]:
    """Why `value` is no DNS label, if it is none."""
    why = ["must be no more than 63 bytes"] if len(value) > 63 else []
    if not _LABEL.match(value):
        why.append("must not contain dots" if _SUBDOMAIN.match(value) else LABEL_TEXT)
    return why


def dns_1035_label(value: str, field: str) -> Errors:
    if len(value) > 63:
        return [invalid(field, value, "must be no more than 63 bytes")]
    return [] if _LABEL_1035.match(value) else [invalid(field, value, LABEL_1035_TEXT)]


def mixed_case(value: str, field: str) -> Errors:
    """A kind: a DNS-1035 label but for capitals."""
    why = "may have mixed case, but should otherwise match: "
    wrong = [error.message.partition('": ')[2] for error in dns_1035_label(value.lower(), field)]
    return [invalid(field, value, why + detail) for detail in wrong]


def dns_subdomain(value: str, field: str) -> Errors:
    if len(value) > 253:
        return [invalid(field, value, "must be no more than 253 bytes")]
    return [] if _SUBDOMAIN.match(value) else [invalid(field, value, SUBDOMAIN_TEXT)]


def qualified_name(value: str, field: str) -> Errors:
    """A label or annotation key: an optional DNS subdomain prefix, `/`, a name."""
    if selectors.is_qualified_name(value):
        return []
    prefix, slash, name = value.rpartition("/")
    if "/" in prefix:
        text = QUALIFIED_TEXT.replace("name part", "a qualified name", 1)
        text += " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        return [invalid(field, value, text)]
    errors: Errors = []
    if slash and not prefix:
        errors.append(invalid(field, value, "prefix part must be non-empty"))
    elif slash:
        errors += [
            invalid(field, value, "prefix part " + e.message.split(": ", 2)[2]) for e in dns_subdomain(prefix, field)
        ]
    if not name:
        errors.append(invalid(field, value, "name part must be non-empty"))
    elif len(name) > 63:
        errors.append(invalid(field, value, "name part must be no more than 63 bytes"))
    if not selectors.is_qualified_name(name[:63]):
        errors.append(invalid(field, value, QUALIFIED_TEXT))
    return errors


def path_segment(value: str, field: str) -> Errors:
    """The laxest rule for a name: it must fit into a URL path."""
    if value in (".", ".."):
        return [invalid(field, value, f"may not be '{value}'")]
    return [invalid(field, value, f"may not contain '{c}'") for c in "/%" if c in value]


def config_key(value: str, field: str) -> Errors:
    if len(value) > 253:
        return [invalid(field, value, "must be no more than 253 bytes")]
    if value in (".", "..") or not _CONFIG_KEY.match(value):
        return [invalid(field, value, "a valid config key must consist of alphanumeric characters, '-', '_' or '.' "
                        "(e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is "
                        "'[-._a-zA-Z0-9]+')")]  # fmt: skip
    return []


def labels(values: Mapping[str, str] | None, field: str) -> Errors:
    errors: Errors = []
    for key, value in (values or {}).items():
        errors += qualified_name(key, field) + label_value(value, field)
    return errors


def label_value(value: str, field: str) -> Errors:
    if selectors.is_label_value(value):
        return []
    if len(value) > 63:
        return [invalid(field, value, "must be no more than 63 bytes")]
    return [invalid(field, value, LABEL_VALUE_TEXT)]


def annotations(values: Mapping[str, str] | None, field: str) -> Errors:
    values = values or {}
    errors = [e for key in values for e in qualified_name(key.lower(), field)]
    if sum(len(k) + len(v) for k, v in values.items()) > _ANNOTATIONS_LIMIT:
        errors.append(
            FieldError("FieldValueTooLong", field, f"Too long: may not be more than {_ANNOTATIONS_LIMIT} bytes")
        )
    return errors


def label_selector(selector: Mapping[str, Any] | None, field: str) -> Errors:
    selector = selector or {}
    errors = labels(selector.get("matchLabels"), f"{field}.matchLabels")
    for index, expression in enumerate(selector.get("matchExpressions") or []):
        at = f"{field}.matchExpressions[{index}]"
        operator, values = expression.get("operator"), expression.get("values") or []
        if operator in ("In", "NotIn"):
            if not values:
                errors.append(required(f"{at}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                errors.append(
                    forbidden_field(
                        f"{at}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
                    )
                )
        else:
            errors.append(invalid(f"{at}.operator", operator or "", "not a valid selector operator"))
        errors += qualified_name(expression.get("key") or "", f"{at}.key")
    return errors


def one_of(value: str | None, allowed: Iterable[str], field: str) -> Errors:
    if not value:
        return [required(field)]
    allowed = list(allowed)
    return [] if value in allowed else [not_supported(field, value, allowed)]


def port_number(value: int, field: str) -> Errors:
    return [] if 1 <= value <= 65535 else [invalid(field, value, "must be between 1 and 65535, inclusive")]


def port_name(value: str, field: str) -> Errors:
    """An IANA service name (RFC 6335), with upstream's words for each way to miss it."""
    if len(value) > 15:
        return [invalid(field, value, "must be no more than 15 characters")]
    if not _PORT_NAME.match(value):
        return [invalid(field, value, "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")]
    errors: Errors = []
    if not re.search("[a-z]", value):
        errors.append(invalid(field, value, "must contain at least one letter (a-z)"))
    if "--" in value:
        errors.append(invalid(field, value, "must not contain consecutive hyphens"))
    if value.startswith("-") or value.endswith("-"):
        errors.append(invalid(field, value, "must not begin or end with a hyphen"))
    return errors


def port_or_name(value: Any, field: str) -> Errors:
    if isinstance(value, str):
        return port_name(value, field)
    return port_number(value if isinstance(value, int) else 0, field)


def ip_address(value: str, field: str) -> Errors:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return [invalid(field, value, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")]
    return []


def resource_list(values: Mapping[str, Any] | None, field: str) -> Errors:
    """Every quantity parses and is not negative."""
    errors: Errors = []
    for key, value in (values or {}).items():
        at = f"{field}[{key}]" if "/" in key else f"{field}.{key}"
        try:
            if quantities.parse(value) < 0:
                errors.append(invalid(at, str(value), _NOT_NEGATIVE))
        except ValueError as error:
            errors.append(invalid(at, str(value), str(error)))
    return errors


def object_meta(
    metadata: Obj, *, namespaced: bool, name_rule: Any = dns_subdomain, standard_finalizers: bool = False
) -> Errors:
    """Upstream's ValidateObjectMeta; `name_rule` is the kind's own rule for names. `standard_finalizers`: those
    without a domain must be Kubernetes' own, as pkg/apis/core/validation asks of its kinds."""
    errors: Errors = []
    name, prefix = metadata.get("name") or "", metadata.get("generateName") or ""
    if not name:
        errors.append(required("metadata.name", "name or generateName is required"))
    else:
        errors += name_rule(name, "metadata.name")
    if prefix and not name:
        errors += name_rule(prefix.rstrip("-") or "-", "metadata.generateName")
    namespace = metadata.get("namespace") or ""
    if namespaced:
        errors += dns_label(namespace, "metadata.namespace") if namespace else [required("metadata.namespace")]
    elif namespace:
        errors.append(forbidden_field("metadata.namespace", "not allowed on this type"))
    errors += labels(metadata.get("labels"), "metadata.labels")
    errors += annotations(metadata.get("annotations"), "metadata.annotations")
    errors += _owners(metadata.get("ownerReferences") or [])
    finalizers = metadata.get("finalizers") or []
    errors += [e for name in finalizers for e in qualified_name(name, "metadata.finalizers")]
    if standard_finalizers:
        named = [(name, f"metadata.finalizers[{i}]") for i, name in enumerate(finalizers)]
        errors += [e for name, at in named for e in _standard_finalizer(name, at)]
    if {"orphan", "foregroundDeletion"} <= {*finalizers}:
        why = "finalizer orphan and foregroundDeletion cannot be both set"
        errors.append(invalid("metadata.finalizers", shown(finalizers), why))
    return errors


def finalizer(name: str, field: str) -> Errors:
    return qualified_name(name, field) or _standard_finalizer(name, field)


def _standard_finalizer(name: str, field: str) -> Errors:
    if "/" in name or name in ("orphan", "foregroundDeletion", "kubernetes"):
        return []
    return [invalid(field, name, "name is neither a standard finalizer name nor is it fully qualified")]


def _owners(references: list[Obj]) -> Errors:
    """Upstream's ValidateOwnerReferences, which does not say which reference it means."""
    at = "metadata.ownerReferences"
    errors: Errors = []
    first = ""
    for reference in references:
        for name in ("apiVersion", "kind", "name", "uid"):
            if not reference.get(name):
                what = "version must not be empty" if name == "apiVersion" else "must not be empty"
                errors.append(invalid(f"{at}.{name}", "", what))
        if (reference.get("apiVersion"), reference.get("kind")) == ("v1", "Event"):
            errors.append(invalid(at, shown(reference), "/v1, Kind=Event is disallowed from being an owner"))
        if reference.get("controller"):
            this = f"{reference.get('kind', '')}/{reference.get('name', '')}"
            if first:
                where = f'Found "true" in references for {first} and {this}'
                why = f"Only one reference can have Controller set to true. {where}"
                errors.append(invalid(at, shown(references), why))
            first = first or this
    return errors


def immutable(new: Any, old: Any, field: str) -> Errors:
    return [] if new == old else [invalid(field, shown(new), "field is immutable")]


class _Unquoted:
    """Text that an error message shows without quotes."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __str__(self) -> str:
        return self._text


def shown(value: Any) -> Any:
    """`value` as messages print it: objects and lists as compact JSON without quotes around."""
    return _Unquoted(json.dumps(value, separators=(",", ":"))) if isinstance(value, dict | list) else value
