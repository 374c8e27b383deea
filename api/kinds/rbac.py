"""Roles and their bindings: defaults, validation, columns.

Rules and wording follow k8s.io/kubernetes/pkg/apis/rbac/validation.
"""

from __future__ import annotations

from api.columns import AGE, Cell, at, tabled
from api.errors import invalid, required
from api.meta import Obj
from api.registry import Hooks, Validate
from api.rules import each, needed, needed_as, of
from api.validation import Errors, dns_subdomain, label_selector, path_segment, shown

_GROUP = "rbac.authorization.k8s.io"
_SUBJECTS = {"ServiceAccount": "", "User": _GROUP, "Group": _GROUP}
_CREATED = Cell("Created At", lambda role: role["metadata"].get("creationTimestamp") or "")


def _policy_rule(rule: Obj, field: str, *, namespaced: bool) -> Errors:
    errors = needed("verbs must contain at least one value")(rule.get("verbs"), f"{field}.verbs")
    urls = rule.get("nonResourceURLs")
    if urls:
        at, held = f"{field}.nonResourceURLs", shown(urls)
        if namespaced:
            errors.append(invalid(at, held, "namespaced rules cannot apply to non-resource URLs"))
        if any(rule.get(name) for name in ("apiGroups", "resources", "resourceNames")):
            errors.append(invalid(at, held, "rules cannot apply to both regular resources and non-resource URLs"))
        return errors
    errors += needed("resource rules must supply at least one api group")(rule.get("apiGroups"), f"{field}.apiGroups")
    return errors + needed("resource rules must supply at least one resource")(
        rule.get("resources"), f"{field}.resources"
    )


def _validate_role(*, namespaced: bool) -> Validate:
    def validate(role: Obj, _: Obj | None) -> Errors:
        errors = each(lambda rule, at: _policy_rule(rule, at, namespaced=namespaced))(role.get("rules"), "rules")
        aggregation = role.get("aggregationRule")
        if aggregation is None:
            return errors
        picked, at = aggregation.get("clusterRoleSelectors"), "aggregationRule.clusterRoleSelectors"
        why = "at least one clusterRoleSelector required if aggregationRule is non-nil"
        return errors + needed(why)(picked, at) + each(label_selector)(picked, at)

    return validate


ROLE = tabled(Hooks(validate=_validate_role(namespaced=True), name_rule=path_segment), _CREATED)
CLUSTER_ROLE = tabled(Hooks(validate=_validate_role(namespaced=False), name_rule=path_segment), _CREATED)


def _default_binding(binding: Obj) -> None:
    role = binding.get("roleRef")
    if role is not None and not role.get("apiGroup"):
        role["apiGroup"] = _GROUP
    for subject in binding.get("subjects") or []:
        group = _SUBJECTS.get(subject.get("kind", ""))
        if group and not subject.get("apiGroup"):
            subject["apiGroup"] = group


def _subject(subject: Obj, field: str, *, namespaced: bool) -> Errors:
    name, kind = subject.get("name"), subject.get("kind", "")
    errors: Errors = [] if name else [required(f"{field}.name")]
    if kind not in _SUBJECTS:
        return errors + of(*_SUBJECTS)(kind, f"{field}.kind")
    if name and kind == "ServiceAccount":
        errors += dns_subdomain(name, f"{field}.name")
    errors += of(_SUBJECTS[kind])(subject.get("apiGroup") or "", f"{field}.apiGroup")
    if kind == "ServiceAccount" and not namespaced and not subject.get("namespace"):
        errors.append(required(f"{field}.namespace"))
    return errors


def _validate_binding(*roles: str) -> Validate:
    def validate(binding: Obj, old: Obj | None) -> Errors:
        role = binding.get("roleRef") or {}
        errors = of(_GROUP)(role.get("apiGroup", ""), "roleRef.apiGroup")
        errors += of(*roles)(role.get("kind", ""), "roleRef.kind")
        errors += needed_as(path_segment)(role.get("name"), "roleRef.name")
        namespaced = "Role" in roles
        errors += each(lambda subject, at: _subject(subject, at, namespaced=namespaced))(
            binding.get("subjects"), "subjects"
        )
        if old is not None and role != old.get("roleRef"):
            errors.append(invalid("roleRef", shown(role), "cannot change roleRef"))
        return errors

    return validate


def _subjects(kind: str) -> Cell:
    def names(binding: Obj) -> str:
        found = [s for s in binding.get("subjects") or [] if s.get("kind") == kind]
        within = [f"{s.get('namespace', '')}/" if kind == "ServiceAccount" else "" for s in found]
        return ", ".join(f"{prefix}{s.get('name', '')}" for prefix, s in zip(within, found, strict=True))

    return Cell(f"{kind}s", names, priority=1)


_KIND, _NAME = at("roleRef", "kind"), at("roleRef", "name")
_BINDING = (
    Cell("Role", lambda binding: f"{_KIND(binding)}/{_NAME(binding)}"),
    AGE,
    *map(_subjects, ("User", "Group", "ServiceAccount")),
)
ROLE_BINDING = tabled(
    Hooks(default=_default_binding, validate=_validate_binding("Role", "ClusterRole"), name_rule=path_segment),
    *_BINDING,
)
CLUSTER_ROLE_BINDING = tabled(
    Hooks(default=_default_binding, validate=_validate_binding("ClusterRole"), name_rule=path_segment), *_BINDING
)
