"""ValidatingAdmissionPolicy, MutatingAdmissionPolicy and their bindings: defaults, validation, columns.

Rules and wording follow k8s.io/kubernetes/pkg/apis/admissionregistration/validation. Expressions are checked for being
there; what they say is the evaluator's.
"""

from __future__ import annotations

from api.columns import AGE, Cell, at, count, tabled
from api.errors import duplicate, forbidden_field, invalid, required
from api.kinds.admission_rules import default_rules, expression, match_conditions, rule_with_operations, unique
from api.meta import Obj
from api.registry import Hooks
from api.rules import Row, check, each, given, needed, needed_as, needed_of, of
from api.validation import (
    Errors,
    dns_1035_label,
    dns_subdomain,
    label_selector,
    path_segment,
    qualified_name,
    shown,
)

_AUDIT_ANNOTATIONS, _AUDIT_EXPRESSION = 20, 5 * 1024
_RESERVED = frozenset(
    ("true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import",
     "let", "loop", "package", "namespace", "return", "var", "void", "while")
)  # fmt: skip


def _default_match(match: Obj | None) -> None:
    if match is None:
        return
    match.setdefault("matchPolicy", "Equivalent")
    match.setdefault("namespaceSelector", {})
    match.setdefault("objectSelector", {})
    default_rules(match.get("resourceRules"))
    default_rules(match.get("excludeResourceRules"))


def _default_policy(policy: Obj) -> None:
    spec = policy.setdefault("spec", {})
    spec.setdefault("failurePolicy", "Fail")
    _default_match(spec.get("matchConstraints"))


def _named_rule(rule: Obj, field: str) -> Errors:
    names = rule.get("resourceNames") or []
    errors = each(path_segment)(names, f"{field}.resourceNames")
    errors += [duplicate(f"{field}.resourceNames[{i}]", n) for i, n in enumerate(names) if n in names[:i]]
    return errors + rule_with_operations(rule, field)


_MATCHED: tuple[Row, ...] = (
    ("matchPolicy", needed_of("Equivalent", "Exact")),
    ("namespaceSelector", label_selector),
    ("objectSelector", label_selector),
    ("resourceRules", each(_named_rule)),
    ("excludeResourceRules", each(_named_rule)),
)


def _matched(match: Obj, field: str) -> Errors:
    return check(match, field, _MATCHED)


def _param_kind(kind: Obj, field: str) -> Errors:
    version, name = kind.get("apiVersion") or "", kind.get("kind") or ""
    errors: Errors = []
    if not version:
        errors.append(required(f"{field}.apiVersion"))
    elif version.count("/") > 1:
        errors.append(invalid(f"{field}.apiVersion", version, f"unexpected GroupVersion string: {version}"))
    else:
        group, _, number = version.rpartition("/")
        errors += dns_subdomain(group, f"{field}.apiVersion") if group else []
        errors += dns_1035_label(number, f"{field}.apiVersion")
    if not name:
        return [*errors, required(f"{field}.kind")]
    for error in dns_1035_label(name.lower(), f"{field}.kind"):
        why = error.message.partition(f'"{name.lower()}": ')[2]
        errors.append(invalid(f"{field}.kind", name, f"may have mixed case, but should otherwise match: {why}"))
    return errors


def _validation(rule: Obj, field: str) -> Errors:
    errors = expression(rule, "expression", field, "expression is not specified")
    message, computed = rule.get("message") or "", rule.get("messageExpression") or ""
    if computed and not computed.strip():
        errors.append(invalid(f"{field}.messageExpression", computed, "must be non-empty if specified"))
    if message and not message.strip():
        errors.append(invalid(f"{field}.message", message, "message must be non-empty if specified"))
    elif "\n" in message.strip() or "\r" in message.strip():
        errors.append(invalid(f"{field}.message", message, "message must not contain line breaks"))
    reasons = of("Forbidden", "Invalid", "RequestEntityTooLarge", "Unauthorized")
    return errors + reasons(rule.get("reason"), f"{field}.reason")


def _variable(variable: Obj, field: str) -> Errors:
    name = variable.get("name") or ""
    errors = expression(variable, "name", field, "name is not specified")
    if name.strip() and not (name.isidentifier() and name.isascii() and name not in _RESERVED):
        errors.append(invalid(f"{field}.name", name, "name is not a valid CEL identifier"))
    return errors + expression(variable, "expression", field, "expression is not specified")


def _audit(annotation: Obj, field: str) -> Errors:
    errors = needed_as(qualified_name)(annotation.get("key"), f"{field}.key")
    errors += expression(annotation, "valueExpression", field, "valueExpression is not specified")
    if len(annotation.get("valueExpression") or "") > _AUDIT_EXPRESSION:
        errors.append(required(f"{field}.valueExpression", f"must not exceed {_AUDIT_EXPRESSION} bytes in length"))
    return errors


_EITHER: tuple[Row, ...] = (
    ("failurePolicy", needed_of("Fail", "Ignore")),
    ("paramKind", given(_param_kind)),
    (
        "matchConstraints",
        lambda match, field: check(match, field, _MATCHED) if match is not None else [required(field)],
    ),
    ("matchConstraints.resourceRules", needed()),
    ("matchConditions", match_conditions),
    ("variables", each(_variable)),
)
_POLICY: tuple[Row, ...] = (*_EITHER, ("validations", each(_validation)), ("auditAnnotations", each(_audit)))


def _validate_policy(policy: Obj, _: Obj | None) -> Errors:
    spec = policy["spec"]
    errors, audits = check(spec, "spec", _POLICY), spec.get("auditAnnotations") or []
    if not spec.get("validations") and not audits:
        why = "validations or auditAnnotations must contain at least one item"
        errors += [required(f"spec.{name}", why) for name in ("validations", "auditAnnotations")]
    if len(audits) > _AUDIT_ANNOTATIONS:
        why = f"must not have more than {_AUDIT_ANNOTATIONS} auditAnnotations"
        errors.append(invalid("spec.auditAnnotations", shown(audits), why))
    name = policy["metadata"].get("name", "")
    for index, audit in enumerate(audits):
        errors += qualified_name(f"{name}/{audit.get('key', '')}", f"spec.auditAnnotations[{index}].key")
    return errors + unique(audits, "spec.auditAnnotations", "key")


# Where each type of a mutation has its expression.
_PATCHES = {"ApplyConfiguration": "applyConfiguration", "JSONPatch": "jsonPatch"}


def _mutation(mutation: Obj, field: str) -> Errors:
    kind = mutation.get("patchType") or ""
    if kind not in _PATCHES:
        return needed_of(*_PATCHES)(kind, f"{field}.patchType")
    errors: Errors = []
    for of_kind, name in _PATCHES.items():
        patch = mutation.get(name)
        if of_kind != kind and patch is not None:
            errors.append(invalid(f"{field}.{name}", shown(patch), f"must not be specified when patchType is {kind}"))
        elif of_kind == kind and not patch:
            errors.append(required(f"{field}.{name}", f"must be specified when patchType is {kind}"))
        elif of_kind == kind and patch:
            errors += expression(patch, "expression", f"{field}.{name}", "expression is not specified")
    return errors


_MUTATING: tuple[Row, ...] = (
    *_EITHER,
    ("mutations", needed("mutations must contain at least one item")),
    ("mutations", each(_mutation)),
    ("reinvocationPolicy", needed_of("IfNeeded", "Never")),
)


def _param_ref(reference: Obj, field: str) -> Errors:
    name, selector = reference.get("name"), reference.get("selector")
    errors = path_segment(name, f"{field}.name") if name else []
    if selector is not None:
        errors += label_selector(selector, f"{field}.selector")
    if name and selector is not None:
        why = "name and selector are mutually exclusive"
        errors += [forbidden_field(f"{field}.{part}", why) for part in ("name", "selector")]
    if not name and selector is None:
        errors.append(required(field, "one of name or selector must be specified"))
    action = reference.get("parameterNotFoundAction")
    return errors + needed_of("Allow", "Deny")(action, f"{field}.parameterNotFoundAction")


def _actions(actions: list[str] | None, field: str) -> Errors:
    actions = actions or []
    errors = each(of("Audit", "Deny", "Warn"))(actions, field)
    errors += [duplicate(f"{field}[{i}]", a) for i, a in enumerate(actions) if a in actions[:i]]
    if {"Deny", "Warn"} <= set(actions):
        why = (
            "must not contain both Deny and Warn (repeating the same validation failure information in the API "
            "response and headers serves no purpose)"
        )
        errors.append(invalid(field, shown(actions), why))
    return errors if actions else [*errors, required(field, "at least one validation action is required")]


_MUTATING_BINDING: tuple[Row, ...] = (
    ("policyName", needed_as(dns_subdomain)),
    ("paramRef", given(_param_ref)),
    ("matchResources", given(_matched)),
)
_BINDING: tuple[Row, ...] = (*_MUTATING_BINDING, ("validationActions", _actions))


def _param_kind_cell(policy: Obj) -> str:
    kind = (policy.get("spec") or {}).get("paramKind")
    return f"{kind.get('apiVersion', '')}/{kind.get('kind', '')}" if kind else "<unset>"


VALIDATING_POLICY = tabled(
    Hooks(default=_default_policy, validate=_validate_policy),
    Cell("Validations", count("spec", "validations"), "integer"),
    Cell("ParamKind", _param_kind_cell),
    AGE,
)
MUTATING_POLICY = tabled(
    Hooks(default=_default_policy, validate=lambda policy, _: check(policy["spec"], "spec", _MUTATING)),
    Cell("Mutations", count("spec", "mutations"), "integer"),
    Cell("ParamKind", _param_kind_cell),
    AGE,
)


def _binding(rows: tuple[Row, ...]) -> Hooks:
    return tabled(
        Hooks(
            default=lambda binding: _default_match((binding.get("spec") or {}).get("matchResources")),
            validate=lambda binding, _: check(binding.get("spec") or {}, "spec", rows),
        ),
        Cell("PolicyName", at("spec", "policyName")),
        Cell("ParamRef", at("spec", "paramRef", "name", absent="<unset>")),
        AGE,
    )


VALIDATING_POLICY_BINDING, MUTATING_POLICY_BINDING = _binding(_BINDING), _binding(_MUTATING_BINDING)
