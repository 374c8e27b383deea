"""What workloads share: selectors that must match their template, pod templates, counts in a status, columns.

Rules: k8s.io/kubernetes/pkg/apis/apps/validation.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from api import selectors
from api.errors import forbidden_field, invalid, not_supported, required
from api.kinds import pod_defaults, pod_validation
from api.meta import Obj
from api.registry import Column
from api.rules import NOT_NEGATIVE
from api.validation import Errors, immutable, label_selector, shown

_PERCENT = re.compile(r"^[0-9]+%$")


def default_template(spec: Obj) -> None:
    template = spec.setdefault("template", {})
    template.setdefault("metadata", {})
    pod_defaults.spec(template.setdefault("spec", {}))


def is_empty(selector: Obj | None) -> bool:
    return not selector or not (selector.get("matchLabels") or selector.get("matchExpressions"))


def selector_and_template(spec: Obj, old: Obj | None, *, empty_for: str, kind: str) -> Errors:
    """The rules of spec.selector and spec.template; upstream names the kinds differently in the two messages."""
    selector, template = spec.get("selector"), spec.get("template") or {}
    errors: Errors = []
    if selector is None:
        errors.append(required("spec.selector"))
    else:
        errors += label_selector(selector, "spec.selector")
        if is_empty(selector):
            errors.append(invalid("spec.selector", shown(selector), f"empty selector is invalid for {empty_for}"))
    if not errors:
        errors += matches(selector, template, "spec.template")
    errors += pod_validation.template(template, "spec.template") + runs_forever(template, "spec.template", kind)
    return errors if old is None else errors + immutable(selector, old.get("selector"), "spec.selector")


def matches(selector: Obj | None, template: Obj, at: str) -> Errors:
    labels = (template.get("metadata") or {}).get("labels") or {}
    if selectors.from_label_selector(selector).matches(labels):
        return []
    return [invalid(f"{at}.metadata.labels", shown(labels), "`selector` does not match template `labels`")]


def runs_forever(template: Obj, at: str, kind: str) -> Errors:
    """The pods of a replicated workload are always restarted and never end by themselves."""
    pod = template.get("spec") or {}
    errors: Errors = []
    if pod.get("restartPolicy") != "Always":
        errors.append(not_supported(f"{at}.spec.restartPolicy", pod.get("restartPolicy") or "", ("Always",)))
    if pod.get("activeDeadlineSeconds") is not None:
        text = f"activeDeadlineSeconds in {kind} is not Supported"
        errors.append(forbidden_field(f"{at}.spec.activeDeadlineSeconds", text))
    return errors


# --- numbers that may be percentages -----------------------------------------------------------------------


def int_or_percent(value: Any, at: str) -> Errors:
    if value is None:
        return []
    if isinstance(value, int):
        return NOT_NEGATIVE(value, at)
    if _PERCENT.match(value):
        return []
    return [invalid(at, value, "a valid percent string must be a numeric string followed by an ending '%' (e.g. "
                    "'1%',  or '93%', regex used for validation is '[0-9]+%')")]  # fmt: skip


def at_most_all(value: Any, at: str) -> Errors:
    """Not more than 100%."""
    over = isinstance(value, str) and _PERCENT.match(value) and int(value[:-1]) > 100
    return [invalid(at, value, "must not be greater than 100%")] if over else []


def is_zero(value: Any) -> bool:
    return value in (None, 0) or (isinstance(value, str) and _PERCENT.match(value) is not None and int(value[:-1]) == 0)


# --- status ------------------------------------------------------------------------------------------------


def counts(status: Obj, at: str, names: Iterable[str], *, at_most: str = "", among: Iterable[str] = ()) -> Errors:
    """No count is negative, and those in `among` do not exceed the count `at_most`."""
    errors = [e for name in names for e in NOT_NEGATIVE(status.get(name), f"{at}.{name}")]
    errors += [
        invalid(f"{at}.{name}", status[name], f"cannot be greater than {at}.{at_most}")
        for name in among
        if status.get(name, 0) > status.get(at_most, 0)
    ]
    if at_most and status.get("availableReplicas", 0) > status.get("readyReplicas", 0):
        text = "cannot be greater than readyReplicas"
        errors.append(invalid(f"{at}.availableReplicas", status["availableReplicas"], text))
    return errors


def collisions(status: Obj, old: Obj | None) -> Errors:
    before = ((old or {}).get("status") or {}).get("collisionCount")
    now = status.get("collisionCount")
    if before is None or (now is not None and now >= before):
        return []
    return [invalid("status.collisionCount", now or 0, "cannot be decremented")]


# --- as a table --------------------------------------------------------------------------------------------

WIDE = (Column("Containers", priority=1), Column("Images", priority=1), Column("Selector", priority=1))


def container_columns(template: Obj | None) -> list[Any]:
    """The wide columns Containers and Images."""
    containers = ((template or {}).get("spec") or {}).get("containers") or []
    return [",".join(c["name"] for c in containers), ",".join(c.get("image") or "" for c in containers)]


def wide(spec: Obj) -> list[Any]:
    """The cells of WIDE."""
    return [*container_columns(spec.get("template")), selector_text(spec.get("selector"))]


def selector_text(selector: Obj | None) -> str:
    return str(selectors.from_label_selector(selector)) or "<none>" if selector is not None else "<none>"
