"""What upstream's kubectl changes, and what it prints then: set, label, annotate, patch, apply, diff, replace, edit."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from tests.harness.upstream import Kubectl
from tests.integration.manifests import config_map, deployment, pod, service


@pytest.fixture
def shop(kubectl: Kubectl) -> Kubectl:
    kubectl.run("create", "-f", "-", stdin=deployment("shop")).ok()
    return kubectl


def test_set(shop: Kubectl) -> None:
    """https://kubernetes.io/docs/reference/kubectl/generated/kubectl_set/"""
    shop.run("create", "-f", "-", stdin=service("shop")).ok()
    shop.run("create", "sa", "clerk").ok()
    shop.run("create", "rolebinding", "r", "--role=r", "--user=a").ok()
    said = [
        ("image deployment/shop main=nginx:2", "deployment.apps/shop image updated"),
        ("env deployment/shop A=b C=d", "deployment.apps/shop env updated"),
        ("env deployment/shop C-", "deployment.apps/shop env updated"),
        (
            "resources deployment shop --limits=cpu=200m,memory=512Mi",
            "deployment.apps/shop resource requirements updated",
        ),
        ("serviceaccount deployment shop clerk", "deployment.apps/shop serviceaccount updated"),
        ("selector service shop app=other", "service/shop selector updated"),
        ("subject rolebinding r --group=g", "rolebinding.rbac.authorization.k8s.io/r subjects updated"),
    ]
    for command, expected in said:
        assert shop.run("set", *command.split()).ok().stdout == f"{expected}\n"
    spec = shop.run("get", "deployment", "shop", "-o", "json").ok().json["spec"]["template"]["spec"]
    main = spec["containers"][0]
    assert (main["image"], main["env"]) == ("nginx:2", [{"name": "A", "value": "b"}])
    assert main["resources"] == {"limits": {"cpu": "200m", "memory": "512Mi"}}
    assert spec["serviceAccountName"] == "clerk"
    subjects = shop.run("get", "rolebinding", "r", "-o", "jsonpath={.subjects[*].name}").ok().stdout
    assert subjects == "a g"
    listed = shop.run("set", "env", "deployment/shop", "--list").ok().lines
    assert listed == ["# Deployment shop, container main", "A=b"]


def test_labels_and_annotations(shop: Kubectl) -> None:
    assert shop.run("label", "deployment", "shop", "a=b").ok().stdout == "deployment.apps/shop labeled\n"
    refused = shop.run("label", "deployment", "shop", "a=c").failed()
    assert refused.stderr == "error: 'a' already has a value (b), and --overwrite is false\n"
    assert shop.run("label", "deployment", "shop", "a=c", "--overwrite").ok().stdout == "deployment.apps/shop labeled\n"
    assert shop.run("label", "deployment", "shop", "a-").ok().stdout == "deployment.apps/shop unlabeled\n"
    bad = shop.run("label", "deployment", "shop", "a=!").failed().stderr
    assert "a valid label must be an empty string or consist of alphanumeric characters" in bad
    assert shop.run("annotate", "deployment", "shop", "note=x y").ok().stdout == "deployment.apps/shop annotated\n"
    assert shop.run("annotate", "deployment", "shop", "note-").ok().stdout == "deployment.apps/shop annotated\n"
    assert shop.run("annotate", "deployment", "shop", "--list").ok().stdout == ""


def test_three_kinds_of_patch(shop: Kubectl) -> None:
    """https://kubernetes.io/docs/tasks/manage-kubernetes-objects/update-api-object-kubectl-patch/"""
    added = {"spec": {"template": {"spec": {"containers": [{"name": "side", "image": "redis"}]}}}}
    assert (
        shop.run("patch", "deployment", "shop", "-p", json.dumps(added)).ok().stdout == "deployment.apps/shop patched\n"
    )
    images = "jsonpath={.spec.template.spec.containers[*].image}"
    assert shop.run("get", "deployment", "shop", "-o", images).ok().stdout == "redis busybox"
    assert shop.run("patch", "deployment", "shop", "-p", json.dumps(added)).ok().stdout == (
        "deployment.apps/shop patched (no change)\n"
    )
    shop.run("patch", "deployment", "shop", "--type=merge", "-p", json.dumps(added)).ok()
    assert shop.run("get", "deployment", "shop", "-o", images).ok().stdout == "redis"
    replicas = '[{"op":"test","path":"/spec/replicas","value":3},{"op":"replace","path":"/spec/replicas","value":1}]'
    shop.run("patch", "deployment", "shop", "--type=json", "-p", replicas).ok()
    failed = shop.run("patch", "deployment", "shop", "--type=json", "-p", replicas).failed()
    assert failed.stderr == ("The request is invalid: the server rejected our request due to an error in our request\n")
    scale = ("patch", "deployment", "shop", "--subresource=scale", "--type=merge", "-p", '{"spec":{"replicas":2}}')
    assert shop.run(*scale).ok().stdout == "scale.autoscaling/shop patched\n"
    status = ("patch", "deployment", "shop", "--subresource=status", "-p", '{"status":{"replicas":2}}', "-o", "json")
    assert shop.run(*status).ok().json["status"]["replicas"] == 2


def test_apply_remembers_what_it_applied(kubectl: Kubectl, tmp_path: Path) -> None:
    """https://kubernetes.io/docs/tasks/manage-kubernetes-objects/declarative-config/"""
    file = tmp_path / "d.json"

    def apply(obj: object, *more: str) -> str:
        file.write_text(json.dumps(obj))
        return kubectl.run("apply", "-f", str(file), *more).ok().stdout

    first = deployment("shop", minReadySeconds=5)
    assert apply(first) == "deployment.apps/shop created\n"
    assert apply(first) == "deployment.apps/shop unchanged\n"
    kubectl.run("scale", "deployment", "shop", "--replicas=7").ok()
    second = deployment("shop", replicas=0)
    del second["spec"]["replicas"]
    second["spec"]["template"]["spec"]["containers"][0]["image"] = "nginx"
    diff = kubectl.run("diff", "-f", str(file))
    assert diff.code == 1 and "+  replicas: 3" in diff.stdout and "-  replicas: 7" in diff.stdout
    assert apply(second) == "deployment.apps/shop configured\n"
    spec = kubectl.run("get", "deployment", "shop", "-o", "json").ok().json["spec"]
    # What was applied before and is no longer said is taken away: replicas to its default.
    assert spec["replicas"] == 1 and "minReadySeconds" not in spec
    assert kubectl.run("diff", "-f", str(file)).code == 0
    last = kubectl.run("apply", "view-last-applied", "deployment/shop", "-o", "json").ok().json
    assert last["spec"]["template"]["spec"]["containers"][0]["image"] == "nginx"
    assert apply(second, "--dry-run=server") == "deployment.apps/shop unchanged (server dry run)\n"
    (tmp_path / "cm.json").write_text(json.dumps(config_map("extra", labels={"set": "x"})))
    kubectl.run("apply", "-f", str(tmp_path / "cm.json")).ok()
    file.write_text(json.dumps(config_map("kept", labels={"set": "x"})))
    pruned = kubectl.run("apply", "-f", str(file), "--prune", "-l", "set=x", "--prune-allowlist=core/v1/ConfigMap").ok()
    assert pruned.lines == ["configmap/kept created", "configmap/extra pruned"]


def test_replace_and_edit(kubectl: Kubectl, tmp_path: Path) -> None:
    file = tmp_path / "cm.json"
    file.write_text(json.dumps(config_map("c", {"a": "1"})))
    missing = kubectl.run("replace", "-f", str(file)).failed()
    assert "Error from server (NotFound): error when replacing" in missing.stderr
    kubectl.run("create", "--save-config", "-f", str(file)).ok()
    file.write_text(json.dumps(config_map("c", {"a": "2"})))
    assert kubectl.run("replace", "-f", str(file)).ok().stdout == "configmap/c replaced\n"
    said = kubectl.run("replace", "--force", "-f", str(file)).ok().lines
    assert said == [f'configmap "c" deleted from {kubectl.namespace} namespace', "configmap/c replaced"]
    editor = tmp_path / "editor"

    def edit(script: str) -> str:
        editor.write_text(f"#!/bin/sh\n{script}\n")
        editor.chmod(editor.stat().st_mode | stat.S_IXUSR)
        os.environ["KUBE_EDITOR"] = str(editor)
        try:
            done = kubectl.run("edit", "configmap", "c").ok()
            return done.stdout + done.stderr
        finally:
            del os.environ["KUBE_EDITOR"]

    assert edit('sed -i "s/a: .2.$/a: three/" "$1"') == "configmap/c edited\n"
    assert kubectl.run("get", "cm", "c", "-o", "jsonpath={.data.a}").ok().stdout == "three"
    assert edit("true") == "Edit cancelled, no changes made.\n"


def test_scale_knows_its_preconditions(shop: Kubectl) -> None:
    assert shop.run("scale", "deployment", "shop", "--replicas=2").ok().stdout == "deployment.apps/shop scaled\n"
    refused = shop.run("scale", "deployment", "shop", "--replicas=4", "--current-replicas=3").failed()
    assert "Expected replicas to be 3, was 2" in refused.stderr
    none = shop.run("scale", "cm", "kube-root-ca.crt", "--replicas=1").failed()
    assert "Error from server (NotFound)" in none.stderr or "could not find the requested resource" in none.stderr


def test_delete(kubectl: Kubectl) -> None:
    for name in ("a", "b", "c"):
        kubectl.run("create", "-f", "-", stdin=pod(name, labels={"app": "x" if name != "c" else "y"})).ok()
    where = f"from {kubectl.namespace} namespace"
    assert kubectl.run("delete", "pod", "-l", "app=x", "--dry-run=server").ok().lines == [
        f'pod "a" deleted {where} (server dry run)', f'pod "b" deleted {where} (server dry run)']  # fmt: skip
    assert kubectl.run("delete", "pod", "-l", "app=x").ok().lines == [
        f'pod "a" deleted {where}', f'pod "b" deleted {where}']  # fmt: skip
    forced = kubectl.run("delete", "pod", "c", "--force", "--grace-period=0").ok()
    assert forced.stdout == f'pod "c" force deleted {where}\n'
    assert forced.stderr.startswith("Warning: Immediate deletion does not wait for confirmation")
    gone = kubectl.run("delete", "pod", "c").failed()
    assert gone.stderr == 'Error from server (NotFound): pods "c" not found\n'
    assert kubectl.run("delete", "pod", "c", "--ignore-not-found").ok().stdout == ""
    assert kubectl.run("delete", "pods", "--all").ok().stdout == "No resources found\n"
