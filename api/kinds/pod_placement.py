"""Where a pod may go: node selectors, affinity, tolerations, topology spread.

Rules: k8s.io/kubernetes/pkg/apis/core/validation, validateAffinity, ValidateTolerations,
validateTopologySpreadConstraints.
"""

from __future__ import annotations

from typing import Any

from api.errors import duplicate, forbidden_field, invalid, not_supported, required
from api.meta import Obj
from api.rules import POSITIVE, needed, of
from api.validation import Errors, dns_label, dns_subdomain, label_selector, label_value, qualified_name, shown

EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_OPERATOR = "not a valid selector operator"


def node_selector(selector: Obj, at: str) -> Errors:
    terms = selector.get("nodeSelectorTerms") or []
    if not terms:
        return [required(f"{at}.nodeSelectorTerms", "must have at least one node selector term")]
    return [e for i, term in enumerate(terms) for e in node_term(term, f"{at}.nodeSelectorTerms[{i}]", strict=True)]


def node_term(term: Obj, at: str, *, strict: bool) -> Errors:
    """`strict` also looks at the label values."""
    errors: Errors = []
    for index, requirement in enumerate(term.get("matchExpressions") or ()):
        errors += _node_expression(requirement, f"{at}.matchExpressions[{index}]", strict=strict)
    for index, requirement in enumerate(term.get("matchFields") or ()):
        errors += _node_field(requirement, f"{at}.matchFields[{index}]")
    return errors


def _node_expression(requirement: Obj, at: str, *, strict: bool) -> Errors:
    operator, values = requirement.get("operator") or "", requirement.get("values") or []
    errors: Errors = []
    if operator in ("In", "NotIn"):
        if not values:
            errors.append(required(f"{at}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            errors.append(forbidden_field(f"{at}.values", text))
    elif operator in ("Gt", "Lt"):
        if len(values) != 1:
            text = "must be specified single value when `operator` is 'Lt' or 'Gt'"
            errors.append(required(f"{at}.values", text))
    else:
        errors.append(invalid(f"{at}.operator", operator, _OPERATOR))
    errors += qualified_name(requirement.get("key") or "", f"{at}.key")
    if strict:
        errors += [e for i, value in enumerate(values) for e in label_value(value, f"{at}.values[{i}]")]
    return errors


def _node_field(requirement: Obj, at: str) -> Errors:
    operator, values, key = requirement.get("operator") or "", requirement.get("values") or [], requirement.get("key")
    errors: Errors = []
    if operator not in ("In", "NotIn"):
        errors.append(invalid(f"{at}.operator", operator, _OPERATOR))
    elif len(values) != 1:
        text = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
        errors.append(required(f"{at}.values", text))
    if key != "metadata.name":
        return [*errors, invalid(f"{at}.key", key or "", "not a valid field selector key")]
    return errors + [e for i, value in enumerate(values) for e in dns_subdomain(value, f"{at}.values[{i}]")]


def affinity(value: Any, at: str) -> Errors:
    if value is None:
        return []
    errors: Errors = []
    node = value.get("nodeAffinity") or {}
    if node.get(_REQUIRED) is not None:
        errors += node_selector(node[_REQUIRED], f"{at}.nodeAffinity.{_REQUIRED}")
    for index, term in enumerate(node.get(_PREFERRED) or ()):
        here = f"{at}.nodeAffinity.{_PREFERRED}[{index}]"
        errors += _weight(term, here) + node_term(term.get("preference") or {}, f"{here}.preference", strict=False)
    for kind in ("podAffinity", "podAntiAffinity"):
        pods = value.get(kind) or {}
        for index, term in enumerate(pods.get(_REQUIRED) or ()):
            errors += _pod_term(term, f"{at}.{kind}.{_REQUIRED}[{index}]")
        for index, weighted in enumerate(pods.get(_PREFERRED) or ()):
            here = f"{at}.{kind}.{_PREFERRED}[{index}]"
            errors += _weight(weighted, here) + _pod_term(
                weighted.get("podAffinityTerm") or {}, f"{here}.podAffinityTerm"
            )
    return errors


_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def _weight(term: Obj, at: str) -> Errors:
    weight = term.get("weight", 0)
    return [] if 1 <= weight <= 100 else [invalid(f"{at}.weight", weight, "must be in the range 1-100")]


def _pod_term(term: Obj, at: str) -> Errors:
    errors = label_selector(term.get("labelSelector"), f"{at}.labelSelector")
    errors += label_selector(term.get("namespaceSelector"), f"{at}.namespaceSelector")
    errors += [e for name in term.get("namespaces") or () for e in dns_label(name, f"{at}.namespace")]
    errors += _label_keys(term, at)
    key = term.get("topologyKey") or ""
    errors += needed("can not be empty")(key, f"{at}.topologyKey")
    return errors + qualified_name(key, f"{at}.topologyKey")


def _label_keys(term: Obj, at: str) -> Errors:
    """matchLabelKeys and mismatchLabelKeys (KEP-3633, KEP-3243)."""
    selector = term.get("labelSelector")
    match, mismatch = term.get("matchLabelKeys") or [], term.get("mismatchLabelKeys") or []
    errors: Errors = []
    for name, keys in (("matchLabelKeys", match), ("mismatchLabelKeys", mismatch)):
        if keys and selector is None:
            errors.append(forbidden_field(f"{at}.{name}", "must not be specified when labelSelector is not set"))
        elif keys:
            errors += [e for i, key in enumerate(keys) for e in qualified_name(key, f"{at}.{name}[{i}]")]
    seen = set((selector or {}).get("matchLabels") or {})
    for expression in (selector or {}).get("matchExpressions") or ():
        key = expression.get("key")
        if key in match and key in seen:
            errors.append(invalid(f"{at}[{match.index(key)}]", key, "exists in both matchLabelKeys and labelSelector"))
        seen.add(key)
    errors += [
        invalid(f"{at}.matchLabelKeys[{i}]", key, "exists in both matchLabelKeys and mismatchLabelKeys")
        for i, key in enumerate(match)
        if key in mismatch
    ]
    return errors


def tolerations(found: list[Obj], field: str) -> Errors:
    errors: Errors = []
    for index, toleration in enumerate(found):
        at, key = f"{field}[{index}]", toleration.get("key") or ""
        operator, value = toleration.get("operator") or "", toleration.get("value") or ""
        effect = toleration.get("effect") or ""
        if key:
            errors += qualified_name(key, f"{at}.key")
        elif operator != "Exists":
            text = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
            errors.append(invalid(f"{at}.operator", operator, text))
        if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
            errors.append(invalid(f"{at}.effect", effect, "effect must be 'NoExecute' when `tolerationSeconds` is set"))
        if operator in ("", "Equal"):
            errors += label_value(value, f"{at}.operator")
        elif operator != "Exists":
            errors.append(not_supported(f"{at}.operator", operator, ("Equal", "Exists")))
        elif value:
            errors.append(invalid(f"{at}.operator", value, "value must be empty when `operator` is 'Exists'"))
        if effect:
            errors += of(*EFFECTS)(effect, f"{at}.effect")
    return errors


def spread(constraints: list[Obj], field: str) -> Errors:
    errors: Errors = []
    pairs: list[tuple[Any, Any]] = [(c.get("topologyKey"), c.get("whenUnsatisfiable")) for c in constraints]
    for index, constraint in enumerate(constraints):
        at, when = f"{field}[{index}]", constraint.get("whenUnsatisfiable") or ""
        errors += POSITIVE(constraint.get("maxSkew", 0), f"{at}.maxSkew")
        errors += needed("can not be empty")(constraint.get("topologyKey"), f"{at}.topologyKey")
        errors += of("DoNotSchedule", "ScheduleAnyway")(when, f"{at}.whenUnsatisfiable")
        if pairs[index] in pairs[index + 1 :]:
            which = f"{{{pairs[index][0]}, {pairs[index][1]}}}"
            errors.append(duplicate(f"{at}.{{topologyKey, whenUnsatisfiable}}", which))
        domains = constraint.get("minDomains")
        errors += POSITIVE(domains, f"{at}.minDomains")
        if domains is not None and when != "DoNotSchedule":
            text = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {when}"
            errors.append(invalid(f"{at}.minDomains", domains, text))
        for name in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
            errors += of("Honor", "Ignore")(constraint.get(name), f"{at}.{name}")
        errors += _label_keys(constraint, at)
        errors += label_selector(constraint.get("labelSelector"), f"{at}.labelSelector")
    return errors


def taints(found: list[Obj], field: str) -> Errors:
    errors: Errors = []
    seen: set[tuple[Any, Any]] = set()
    for index, taint in enumerate(found):
        at, effect = f"{field}[{index}]", taint.get("effect") or ""
        errors += qualified_name(taint.get("key") or "", f"{at}.key") + label_value(
            taint.get("value") or "", f"{at}.value"
        )
        errors += of(*EFFECTS)(effect, f"{at}.effect") if effect else [required(f"{at}.effect")]
        identity = (taint.get("key"), effect)
        if identity in seen:
            errors.append(_same_taint(taint, at))
        seen.add(identity)
    return errors


def _same_taint(taint: Obj, at: str) -> Any:
    error = duplicate(at, shown_taint(taint))
    return type(error)(error.type, at, f"{error.message}: taints must be unique by key and effect pair")


def shown_taint(taint: Obj) -> Any:
    return shown({"key": taint.get("key", ""), "value": taint.get("value", ""), "effect": taint.get("effect", "")})
