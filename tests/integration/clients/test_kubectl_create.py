"""Every generator of `kubectl create`, and run, expose, autoscale: what upstream prints, and what it meant arrives.

Most of them send protobuf. Commands and their output are those of https://kubernetes.io/docs/reference/kubectl/.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.harness.apiserver import ApiServer
from tests.harness.upstream import Kubectl
from tests.integration.manifests import deployment, pod


def within(part: Any, whole: Any) -> bool:
    """Whether all that `part` says, `whole` says too."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(k in whole and within(v, whole[k]) for k, v in part.items())
    if isinstance(part, list):
        return isinstance(whole, list) and len(part) == len(whole) and all(map(within, part, whole))
    return bool(part == whole)


def agree(kubectl: Kubectl, words: tuple[str, ...]) -> dict[str, Any]:
    """The server made what a client's dry run shows."""
    verb, *rest = words
    shown = kubectl.run(verb, "--dry-run=client", "-o", "json", *rest).ok().json
    made = kubectl.run(verb, "-o", "json", *rest).ok().json
    assert made["metadata"].pop("uid")
    shown.pop("status", None)  # the server's to say
    shown["metadata"].pop("creationTimestamp", None)
    assert within(shown, made), f"{json.dumps(shown)} is not within {json.dumps(made)}"
    return dict(made)


@pytest.mark.parametrize(
    "command",
    [
        "clusterrole NAME --verb=get,list --resource=pods,deployments.apps",
        "clusterrole NAME --aggregation-rule=a=b",
        "clusterrole NAME --verb=get --non-resource-url=/logs/*",
        "clusterrolebinding NAME --clusterrole=cluster-admin --user=u --group=g --serviceaccount=default:sa",
        "configmap x --from-literal=a=b",
        "cronjob x --image=busybox --schedule=*/5",
        "deployment x --image=busybox --image=nginx --replicas=2",
        "ingress x --class=public --rule=foo.com/path*=svc:8080,tls=secret --annotation=a=b",
        "ingress x --default-backend=svc:http",
        "job x --image=busybox -- date",
        "namespace NAME",
        "poddisruptionbudget x --selector=app=web --min-available=50%",
        "poddisruptionbudget x --selector=app=web --max-unavailable=1",
        "priorityclass NAME --value=1000 --description=high --preemption-policy=Never",
        "quota x --hard=cpu=1,memory=1G,pods=2 --scopes=NotTerminating",
        "role x --verb=get,watch --resource=pods,pods/status --resource-name=a",
        "rolebinding x --clusterrole=edit --user=user1 --group=group1",
        "rolebinding x --role=r --serviceaccount=default:sa",
        "secret docker-registry x --docker-username=u --docker-password=p --docker-email=e@x",
        "secret generic x --from-literal=a=b --type=example.com/kind",
        "service clusterip x --tcp=5678:8080",
        "service clusterip x --clusterip=None",
        "service externalname x --external-name=bar.com",
        "service loadbalancer x --tcp=5678:8080",
        "service nodeport x --tcp=5678:8080",
        "serviceaccount x",
    ],
)
def test_every_generator(kubectl: Kubectl, command: str) -> None:
    words = ["create", *command.replace("NAME", f"x-{kubectl.namespace}"[:63].strip("-")).split()]
    if words[1] == "cronjob":
        words[-1] += " * * * *"
    made = agree(kubectl, tuple(words))
    listed = kubectl.run("get", made["kind"], made["metadata"]["name"], "-o", "name").ok().stdout.strip()
    again = kubectl.run(*words).failed().stderr.strip()
    assert again.endswith(f'"{made["metadata"]["name"]}" already exists'), again
    if made["metadata"].get("namespace") is None:
        kubectl.run("delete", listed, "--wait=false").ok()


def test_the_words_that_create_prints(kubectl: Kubectl) -> None:
    said = [
        ("create sa robot", "serviceaccount/robot created"),
        ("create quota q --hard=pods=1", "resourcequota/q created"),
        ("create pdb p --selector=a=b --min-available=1", "poddisruptionbudget.policy/p created"),
        ("create role r --verb=get --resource=pods", "role.rbac.authorization.k8s.io/r created"),
        ("create rolebinding r --role=r --user=u", "rolebinding.rbac.authorization.k8s.io/r created"),
        ("create ingress i --rule=a.b/=s:80", "ingress.networking.k8s.io/i created"),
        ("create job j --image=busybox", "job.batch/j created"),
        ("create secret generic s --from-literal=a=b", "secret/s created"),
    ]
    for command, expected in said:
        assert kubectl.run(*command.split()).ok().stdout == f"{expected}\n"


def test_a_secret_of_a_certificate(kubectl: Kubectl, apiserver: ApiServer) -> None:
    pair = (f"--cert={apiserver.pki.file('ca.crt')}", f"--key={apiserver.pki.file('ca.key')}")
    made = agree(kubectl, ("create", "secret", "tls", "t", *pair))
    assert made["type"] == "kubernetes.io/tls"


def test_a_job_from_a_cron_job(kubectl: Kubectl) -> None:
    kubectl.run("create", "cronjob", "tick", "--image=busybox", "--schedule=1 2 3 4 5", "--", "date").ok()
    job = agree(kubectl, ("create", "job", "once", "--from=cronjob/tick"))
    assert job["metadata"]["annotations"] == {"cronjob.kubernetes.io/instantiate": "manual"}
    (owner,) = job["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["controller"]) == ("CronJob", "tick", True)


def test_run_and_expose(kubectl: Kubectl) -> None:
    """run --expose makes two objects; expose reads ports and selectors from what it is given."""
    ran = kubectl.run("run", "web", "--image=nginx", "--port=80", "--expose", "--env=A=b", "--labels=app=web,tier=x")
    assert ran.ok().lines == ["service/web created", "pod/web created"]
    made = kubectl.run("get", "pod/web", "service/web", "-o", "json").ok().json["items"]
    container = made[0]["spec"]["containers"][0]
    assert (container["env"], container["ports"]) == (
        [{"name": "A", "value": "b"}], [{"containerPort": 80, "protocol": "TCP"}])  # fmt: skip
    assert made[1]["spec"]["selector"] == {"app": "web", "tier": "x"}
    kubectl.run("create", "-f", "-", stdin=deployment("shop")).ok()
    said = kubectl.run("expose", "deployment", "shop", "--port=80", "--target-port=8080", "--type=NodePort")
    assert said.ok().stdout == "service/shop exposed\n"
    spec = kubectl.run("get", "service", "shop", "-o", "json").ok().json["spec"]
    assert (spec["type"], spec["selector"]) == ("NodePort", {"app": "shop"})
    assert 30000 <= spec["ports"][0]["nodePort"] < 32768
    said = kubectl.run("expose", "service", "shop", "--port=81", "--name=again")
    assert said.ok().stdout == "service/again exposed\n"
    overridden = kubectl.run("run", "o", "--image=nginx", "--overrides", '{"spec":{"priority":0}}', "-o", "name")
    assert overridden.ok().stdout == "pod/o\n"


def test_autoscale(kubectl: Kubectl) -> None:
    kubectl.run("create", "-f", "-", stdin=deployment("shop")).ok()
    said = kubectl.run("autoscale", "deployment", "shop", "--min=2", "--max=5", "--cpu=80%").ok()
    assert said.stdout == "horizontalpodautoscaler.autoscaling/shop autoscaled\n"
    spec = kubectl.run("get", "hpa", "shop", "-o", "json").ok().json["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (2, 5)
    target = {"type": "Utilization", "averageUtilization": 80}
    assert spec["metrics"] == [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]


def test_a_file_of_many_documents(kubectl: Kubectl, tmp_path: Path) -> None:
    """YAML documents, JSON and a directory; what exists already is told of and the rest is made."""
    (tmp_path / "a.yaml").write_text("\n---\n".join(json.dumps(pod(name)) for name in ("one", "two")))
    (tmp_path / "b.json").write_text(json.dumps(deployment("three")))
    said = kubectl.run("create", "-f", str(tmp_path)).ok()
    assert said.lines == ["pod/one created", "pod/two created", "deployment.apps/three created"]
    kubectl.run("delete", "pod", "one", "--now").ok()
    again = kubectl.run("create", "-f", str(tmp_path)).failed()
    assert again.lines == ["pod/one created"]
    assert "Error from server (AlreadyExists): error when creating" in again.stderr


def test_generated_names(kubectl: Kubectl) -> None:
    """https://kubernetes.io/docs/reference/using-api/api-concepts/#generated-values"""
    body = pod("x")
    body["metadata"] = {"generateName": "worker-"}
    names = {kubectl.run("create", "-f", "-", "-o", "name", stdin=body).ok().stdout.strip() for _ in range(2)}
    assert len(names) == 2 and all(name.startswith("pod/worker-") and len(name) == 16 for name in names)


def test_what_is_wrong_with_a_manifest_is_said(kubectl: Kubectl) -> None:
    body = pod("p")
    body["spec"]["containers"][0]["imagee"] = "x"
    body["spec"]["unknown"] = 1
    strict = kubectl.run("create", "-f", "-", stdin=body).failed()
    assert strict.stderr == (
        'Error from server (BadRequest): error when creating "STDIN": Pod in version "v1" cannot be handled as a Pod: '
        'strict decoding error: unknown field "spec.containers[0].imagee", unknown field "spec.unknown"\n'
    )
    warned = kubectl.run("create", "--validate=warn", "-f", "-", stdin=body).ok()
    assert warned.stderr.splitlines() == [
        'Warning: unknown field "spec.containers[0].imagee"', 'Warning: unknown field "spec.unknown"']  # fmt: skip
    missing = kubectl.run("create", "-f", "-", stdin={"apiVersion": "example.com/v1", "kind": "Gizmo"}).failed()
    assert 'no matches for kind "Gizmo" in version "example.com/v1"' in missing.stderr
    assert "ensure CRDs are installed first" in missing.stderr
