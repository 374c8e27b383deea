"""What upstream's kubectl prints about objects that are taken: https://kubernetes.io/docs/reference/using-api/#warnings"""

from __future__ import annotations

from tests.harness.upstream import Kubectl
from tests.integration.manifests import pod, service

GRACE = "terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1"
HIDES = 'hides previous definition of "A", which may be dropped when using apply'


def told(kubectl: Kubectl, *arguments: str, stdin: object = "") -> list[str]:
    lines = kubectl.run(*arguments, stdin=stdin).ok().stderr.splitlines()
    return [line.removeprefix("Warning: ") for line in lines]


def test_questionable_objects_are_taken_with_warnings(kubectl: Kubectl) -> None:
    made = pod("one.two")
    made["spec"]["containers"][0]["env"] = [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]
    name = (
        "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is "
        "recommended: [must not contain dots]"
    )
    hides = f"spec.containers[0].env[1]: {HIDES}"
    for dry_run in ("--dry-run=server", "--dry-run=none"):
        assert told(kubectl, "create", "-f", "-", dry_run, stdin=made) == [name, hides]
    assert told(kubectl, "label", "pod", "one.two", "a=b") == []
    headless = service("headless", type="ClusterIP", clusterIP="None", sessionAffinity="ClientIP")
    ignored = "spec.SessionAffinity is ignored for headless services"
    assert told(kubectl, "apply", "-f", "-", stdin=headless) == [ignored]
    assert told(kubectl, "label", "service", "headless", "a=b") == [ignored]
    assert told(kubectl, "apply", "--server-side", "-f", "-", stdin=service("plain")) == []


def test_templates_are_judged_when_they_change(kubectl: Kubectl) -> None:
    kubectl.run("create", "deployment", "web", "--image=nginx").ok()
    patch = '{"spec":{"template":{"spec":{"terminationGracePeriodSeconds":-1}}}}'
    assert told(kubectl, "patch", "deployment", "web", "-p", patch) == [f"spec.template.spec.{GRACE}"]
    assert told(kubectl, "annotate", "deployment", "web", "a=b") == []
