"""What Deployment and ReplicaSet share: selectors that must match their template, and pod templates."""

from typing import Any

from api import selectors
from api.errors import invalid, not_supported, required
from api.kinds import pod_defaults, pod_validation
from api.meta import Obj
from api.validation import Errors, annotations, immutable, label_selector, labels, not_negative, shown


def default_template(spec: Obj) -> None:
    template = spec.setdefault("template", {})
    template.setdefault("metadata", {})
    pod_defaults.spec(template.setdefault("spec", {}))


def is_empty(selector: Obj | None) -> bool:
    return not selector or not (selector.get("matchLabels") or selector.get("matchExpressions"))


def selector_and_template(spec: Obj, old: Obj | None, kind: str) -> Errors:
    """The rules of spec.selector, spec.template and spec.replicas that all replicated workloads have."""
    errors: Errors = not_negative(spec, "replicas", "spec")
    selector, template = spec.get("selector"), spec.get("template") or {}
    template_labels = (template.get("metadata") or {}).get("labels") or {}
    if selector is None:
        errors.append(required("spec.selector"))
    else:
        errors += label_selector(selector, "spec.selector")
        if is_empty(selector):
            errors.append(invalid("spec.selector", shown(selector), f"empty selector is invalid for {kind}"))
    if not errors and not selectors.from_label_selector(selector).matches(template_labels):
        errors.append(
            invalid(
                "spec.template.metadata.labels",
                shown(template_labels),
                "`selector` does not match template `labels`",
            )
        )
    errors += labels(template_labels, "spec.template.metadata.labels")
    errors += annotations((template.get("metadata") or {}).get("annotations"), "spec.template.metadata.annotations")
    pod = template.get("spec") or {}
    errors += pod_validation.spec(pod, "spec.template.spec")
    if pod.get("restartPolicy") not in (None, "", "Always"):
        errors.append(not_supported("spec.template.spec.restartPolicy", pod["restartPolicy"], ("Always",)))
    if pod.get("activeDeadlineSeconds") is not None:
        errors.append(
            invalid(
                "spec.template.spec.activeDeadlineSeconds",
                pod["activeDeadlineSeconds"],
                "activeDeadlineSeconds in " + kind + " is not Supported",
            )
        )
    if old is not None:
        errors += immutable(selector, old.get("selector"), "spec.selector")
    return errors


def container_columns(template: Obj) -> list[Any]:
    """The wide columns Containers and Images."""
    containers = (template.get("spec") or {}).get("containers") or []
    return [",".join(c["name"] for c in containers), ",".join(c.get("image") or "" for c in containers)]


def selector_text(selector: Obj | None) -> str:
    return str(selectors.from_label_selector(selector)) or "<none>"
