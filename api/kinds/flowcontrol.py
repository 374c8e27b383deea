"""FlowSchema and PriorityLevelConfiguration: defaults, validation, columns.

Rules and wording follow k8s.io/kubernetes/pkg/apis/flowcontrol/validation.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import partial

from api import meta
from api.columns import AGE, Cell, at, tabled
from api.errors import FieldError, duplicate, forbidden_field, invalid, required
from api.kinds.flow_objects import MANDATORY_LEVELS, MANDATORY_SCHEMAS
from api.meta import Obj
from api.registry import Hooks
from api.rules import Row, alone, at_least, check, each, given, needed, needed_as, of, within
from api.validation import Errors, dns_label, dns_subdomain, shown

_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch")
_MAX_PRECEDENCE, _MAX_QUEUES, _HASH_BITS = 10_000, 10_000_000, 60


def _fixed(obj: Obj, mandatory: Iterable[Obj], *, but: str = "") -> Errors:
    """The mandatory ones are as they are."""
    spec = {k: v for k, v in obj["spec"].items() if k != but}
    for wanted in mandatory:
        if meta.name(wanted) == meta.name(obj) and {k: v for k, v in wanted["spec"].items() if k != but} != spec:
            return [invalid("spec", shown(obj["spec"]), f"spec of '{meta.name(obj)}' must equal the fixed value")]
    return []


def _validate_status(obj: Obj, _: Obj | None) -> Errors:
    errors: Errors = []
    conditions = (obj.get("status") or {}).get("conditions") or []
    types = [c.get("type") or "" for c in conditions]
    for index, kind in enumerate(types):
        field = f"status.conditions[{index}].type"
        errors += [duplicate(field, kind)] if kind in types[:index] else []
        errors += needed("must not be empty")(kind, field)
    return errors


# --- FlowSchema --------------------------------------------------------------------------------------------


def _default_schema(schema: Obj) -> None:
    spec = schema.setdefault("spec", {})
    if not spec.get("matchingPrecedence"):
        spec["matchingPrecedence"] = 1000


def _verbs(verbs: list[str] | None, field: str) -> Errors:
    if not verbs:
        return [required(field, "verbs must contain at least one value")]
    if "*" in verbs or set(verbs) <= set(_VERBS):
        return alone("verbs")(verbs, field)
    supported = ", ".join(f'"{verb}"' for verb in _VERBS)
    text = f"Unsupported value: {shown(verbs)}: supported values: {supported}"
    return [FieldError("FieldValueNotSupported", field, text)]


def _resource_rule(rule: Obj, field: str) -> Errors:
    errors = _verbs(rule.get("verbs"), f"{field}.verbs")
    for name, one, others in (("apiGroups", "api group", "api groups"), ("resources", "resource", "resources")):
        errors += needed(f"resource rules must supply at least one {one}")(rule.get(name), f"{field}.{name}")
        errors += alone(others)(rule.get(name), f"{field}.{name}")
    namespaces, where = rule.get("namespaces") or [], f"{field}.namespaces"
    if not namespaces and not rule.get("clusterScope"):
        why = "resource rules that are not cluster scoped must supply at least one namespace"
        errors.append(required(where, why))
    elif "*" in namespaces:
        errors += alone("namespaces")(namespaces, where)
    else:
        intro = "each member of this list must be '*' or a DNS-1123 label; "
        for index, name in enumerate(namespaces):
            for error in dns_label(name, ""):
                why = error.message.partition(f'"{name}": ')[2]
                errors.append(invalid(f"{where}[{index}]", name, intro + why))
    return errors


def _url(path: str, field: str) -> Errors:
    why = ""
    if not path:
        why = "must not be empty"
    elif path == "/":
        return []
    elif not path.startswith("/"):
        why = "must start with slash"
    elif " " in path:
        why = "must not contain white-space"
    elif "//" in path:
        why = "must not contain double slash"
    elif path.count("*") > 1 or ("*" in path and not path.endswith("/*")):
        why = "wildcard can only do suffix matching"
    return [invalid(field, path, why)] if why else []


def _url_rule(rule: Obj, field: str) -> Errors:
    urls, where = rule.get("nonResourceURLs") or [], f"{field}.nonResourceURLs"
    errors = _verbs(rule.get("verbs"), f"{field}.verbs")
    errors += needed("nonResourceURLs must contain at least one value")(urls, where)
    return errors + (alone("non-resource URLs")(urls, where) if "*" in urls else each(_url)(urls, where))


def _account_name(value: str, field: str) -> Errors:
    return [] if value == "*" else dns_subdomain(value, field)


def _account(account: Obj, field: str) -> Errors:
    errors = needed_as(_account_name)(account.get("name"), f"{field}.name")
    if not account.get("namespace"):
        return [*errors, required(f"{field}.namespace", "must specify namespace for service account")]
    return errors + dns_label(account["namespace"], f"{field}.namespace")


def _subject(subject: Obj, field: str) -> Errors:
    parts = {"Group": "group", "ServiceAccount": "serviceAccount", "User": "user"}
    kind = subject.get("kind") or ""
    if kind not in parts:
        return of(*parts)(kind, f"{field}.kind")
    errors: Errors = []
    for of_kind in (kind, "ServiceAccount", "User", "Group"):
        name = parts[of_kind]
        held, at_part = subject.get(name), f"{field}.{name}"
        if of_kind == kind and held is None:
            errors.append(required(at_part, f"{name} is required when subject kind is '{kind}'"))
        elif of_kind == kind:
            errors += _account(held or {}, at_part) if kind == "ServiceAccount" else check(held or {}, at_part, _NAMED)
        elif held is not None:
            errors.append(forbidden_field(at_part, f"{name} is forbidden when subject kind is not '{of_kind}'"))
    return list(dict.fromkeys(errors))


_NAMED: tuple[Row, ...] = (("name", needed()),)
_FLOW_RULE: tuple[Row, ...] = (
    ("subjects", needed("subjects must contain at least one value")),
    ("subjects", each(_subject)),
    ("resourceRules", each(_resource_rule)),
    ("nonResourceRules", each(_url_rule)),
)


def _flow_rule(rule: Obj, field: str) -> Errors:
    errors = check(rule, field, _FLOW_RULE)
    if not rule.get("resourceRules") and not rule.get("nonResourceRules"):
        errors.append(required(field, "at least one of resourceRules and nonResourceRules has to be non-empty"))
    return errors


_SCHEMA: tuple[Row, ...] = (
    ("matchingPrecedence", at_least(1, "must be a positive value")),
    ("matchingPrecedence", within(-(1 << 31), _MAX_PRECEDENCE, f"must not be greater than {_MAX_PRECEDENCE}")),
    ("distinguisherMethod.type", of("ByNamespace", "ByUser")),
    ("rules", each(_flow_rule)),
)


def _validate_schema(schema: Obj, _: Obj | None) -> Errors:
    spec = schema["spec"]
    errors = check(spec, "spec", _SCHEMA)
    if spec["matchingPrecedence"] == 1 and meta.name(schema) != "exempt":
        why = "only the schema named 'exempt' may have matchingPrecedence 1"
        errors.append(invalid("spec.matchingPrecedence", 1, why))
    level, field = (spec.get("priorityLevelConfiguration") or {}).get("name"), "spec.priorityLevelConfiguration.name"
    errors += dns_subdomain(level, field) if level else [required(field, "must reference a priority level")]
    return errors + _fixed(schema, MANDATORY_SCHEMAS)


def _dangling(schema: Obj) -> str:
    return str((meta.get_condition(schema, "Dangling") or {}).get("status", "?"))


FLOW_SCHEMA = tabled(
    Hooks(
        default=_default_schema,
        validate=_validate_schema,
        validate_status=_validate_status,
        order=lambda schema: (schema["spec"].get("matchingPrecedence", 0), meta.name(schema)),
    ),
    Cell("PriorityLevel", at("spec", "priorityLevelConfiguration", "name")),
    Cell("MatchingPrecedence", at("spec", "matchingPrecedence")),
    Cell("DistinguisherMethod", at("spec", "distinguisherMethod", "type", absent="<none>")),
    AGE,
    Cell("MissingPL", _dangling),
)

# --- PriorityLevelConfiguration ----------------------------------------------------------------------------


def _default_level(level: Obj) -> None:
    spec = level.setdefault("spec", {})
    if spec.get("type") == "Exempt":
        spec.setdefault("exempt", {})
    for kind, shares in (("exempt", 0), ("limited", 30)):
        part = spec.get(kind)
        if part is not None:
            part.setdefault("nominalConcurrencyShares", shares)
            part.setdefault("lendablePercent", 0)
    queuing = ((spec.get("limited") or {}).get("limitResponse") or {}).get("queuing")
    if queuing is not None:
        for name, value in (("handSize", 8), ("queues", 64), ("queueLengthLimit", 50)):
            queuing[name] = queuing.get(name) or value


def _queuing(queuing: Obj, field: str) -> Errors:
    queues, hand = queuing.get("queues", 0), queuing.get("handSize", 0)
    errors = check(queuing, field, (("queueLengthLimit", _POSITIVE), ("queues", _POSITIVE), ("handSize", _POSITIVE)))
    if queues > _MAX_QUEUES:
        errors.append(invalid(f"{field}.queues", queues, f"must not be greater than {_MAX_QUEUES}"))
    if hand > queues:
        errors.append(invalid(f"{field}.handSize", hand, f"should not be greater than queues ({queues})"))
    elif hand > 0 and math.ceil(math.log2(queues) * hand) > _HASH_BITS:
        why = f"required entropy bits of deckSize {queues} and handSize {hand} should not be greater than {_HASH_BITS}"
        errors.append(invalid(f"{field}.handSize", hand, why))
    return errors


def _response(response: Obj | None, field: str) -> Errors:
    response = response or {}
    kind, queuing, at_queuing = response.get("type") or "", response.get("queuing"), f"{field}.queuing"
    if kind == "Reject" and queuing is not None:
        return [forbidden_field(at_queuing, "must be nil if limited.limitResponse.type is not Limited")]
    if kind == "Queue":
        missing = [required(at_queuing, "must not be empty if limited.limitResponse.type is Limited")]
        return missing if queuing is None else _queuing(queuing, at_queuing)
    return of("Queue", "Reject")(kind, f"{field}.type")


_POSITIVE = at_least(1, "must be positive")
_SHARED: tuple[Row, ...] = (
    ("nominalConcurrencyShares", at_least(0, "must be a non-negative integer")),
    ("lendablePercent", within(0, 100)),
)
_LIMITED: tuple[Row, ...] = (
    *_SHARED,
    ("borrowingLimitPercent", at_least(0, "if specified, must be a non-negative integer")),
    ("limitResponse", _response),
)


def _validate_level(level: Obj, _: Obj | None) -> Errors:
    spec, kind = level["spec"], level["spec"].get("type") or ""
    errors: Errors = []
    if (meta.name(level) == "exempt") != (kind == "Exempt"):
        errors.append(invalid("spec.type", kind, "type must be 'Exempt' if and only if name is 'exempt'"))
    errors += of("Exempt", "Limited")(kind, "spec.type")
    for part, of_kind, table in (("exempt", "Exempt", _SHARED), ("limited", "Limited", _LIMITED)):
        held, field = spec.get(part), f"spec.{part}"
        if kind == of_kind == "Limited" and held is None:
            errors.append(required(field, "must not be empty when type is Limited"))
        elif kind == of_kind:
            errors += given(partial(_part, table=table))(held, field)
        elif held is not None and kind in ("Exempt", "Limited"):
            other = "is Limited" if part == "exempt" else "is not Limited"
            errors.append(forbidden_field(field, f"must be nil if the type {other}"))
    return errors + _fixed(level, MANDATORY_LEVELS, but="exempt")


def _part(part: Obj, field: str, *, table: tuple[Row, ...]) -> Errors:
    return check(part, field, table)


def _queuing_cell(name: str) -> Cell:
    value = at("spec", "limited", "limitResponse", "queuing", name, absent="<none>")
    return Cell(name[0].upper() + name[1:], value)


PRIORITY_LEVEL = tabled(
    Hooks(default=_default_level, validate=_validate_level, validate_status=_validate_status),
    Cell("Type", at("spec", "type")),
    Cell("NominalConcurrencyShares", at("spec", "limited", "nominalConcurrencyShares", absent="<none>")),
    *map(_queuing_cell, ("queues", "handSize", "queueLengthLimit")),
    AGE,
)
