"""What a version of the Pod Security Standards says of a pod. Pure."""

from __future__ import annotations

from functools import cache

from api.meta import Obj
from apiserver.admission.pod_security.baseline import BASELINE
from apiserver.admission.pod_security.controls import Check, Finding, Pod
from apiserver.admission.pod_security.restricted import RESTRICTED

NEWEST = 35
"""The newest version of the standards, the minor of a Kubernetes release."""


def evaluate(restricted: bool, minor: int, pod: Obj) -> list[Finding]:
    """What the baseline, or the restricted standard of a version says against `pod`."""
    seen = Pod(pod)
    return [found for check in _checks(restricted, min(minor, NEWEST)) if (found := check(seen)) is not None]


@cache
def _checks(restricted: bool, minor: int) -> tuple[Check, ...]:
    above = [control for control in RESTRICTED if control.at(minor)] if restricted else []
    replaced = {control.instead_of for control in above}
    controls = [*(control for control in BASELINE if control.id not in replaced), *above]
    return tuple(check for control in controls if (check := control.at(minor)))
