"""Pod Security admission as upstream's kubectl and the documentation's walk-throughs see it.

https://kubernetes.io/docs/tutorials/security/ns-level-pss/ ,
https://kubernetes.io/docs/tasks/configure-pod-container/enforce-standards-namespace-labels/ ,
https://kubernetes.io/docs/tasks/configure-pod-container/enforce-standards-admission-controller/
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.apiserver import ApiServer
from tests.harness.etcd import EtcdServer
from tests.harness.eventually import eventually_sync
from tests.harness.upstream import Kubectl
from tests.integration.manifests import pod

PREFIX = "pod-security.kubernetes.io"
RESTRICTED = (
    'allowPrivilegeEscalation != false (container "{0}" must set securityContext.allowPrivilegeEscalation=false), '
    'unrestricted capabilities (container "{0}" must set securityContext.capabilities.drop=["ALL"]), runAsNonRoot != '
    'true (pod or container "{0}" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container "{0}" '
    'must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")'
)


def privileged(name: str) -> dict[str, Any]:
    made = pod(name)
    made["spec"]["containers"][0]["securityContext"] = {"privileged": True}
    return made


def test_a_labelled_namespace(kubectl: Kubectl, namespace: str) -> None:
    """ns-level-pss: baseline is enforced, restricted is warned of and audited."""
    told = kubectl.run("apply", "-f", "-", stdin=privileged("old")).ok()
    assert told.stderr == ""
    labels = [f"{PREFIX}/{mode}" for mode in ("enforce=baseline", "warn=restricted", "audit=restricted")]
    told = kubectl.run("label", "--dry-run=server", "--overwrite", "ns", namespace, *labels).ok()
    assert told.stderr.splitlines() == [
        f'Warning: existing pods in namespace "{namespace}" violate the new PodSecurity enforce level "baseline:latest"',
        "Warning: old: privileged",
    ]
    kubectl.run("label", "--overwrite", "ns", namespace, *labels).ok()
    told = kubectl.run("apply", "-f", "-", stdin=pod("plain")).ok()
    assert told.stderr == f'Warning: would violate PodSecurity "restricted:latest": {RESTRICTED.format("main")}\n'
    told = kubectl.run("apply", "-f", "-", stdin=privileged("bad")).failed()
    assert told.stderr == (
        'Error from server (Forbidden): error when creating "STDIN": pods "bad" is forbidden: violates PodSecurity '
        '"baseline:latest": privileged (container "main" must not set securityContext.privileged=true)\n'
    )
    told = kubectl.run("create", "deployment", "web", "--image=nginx").ok()
    assert told.stderr == f'Warning: would violate PodSecurity "restricted:latest": {RESTRICTED.format("nginx")}\n'
    told = kubectl.run("label", "--overwrite", "ns", namespace, f"{PREFIX}/enforce=strict").failed()
    assert "must be one of privileged, baseline, restricted" in told.stderr
    kubectl.run("label", "pod", "old", "touched=yes").ok()  # it breaks what holds now, and stays
    debug = ("debug", "plain", "--image=busybox", "-c", "help")
    told = kubectl.run(*debug, "--profile=sysadmin").failed()
    assert 'violates PodSecurity "baseline:latest": privileged (container "help" must not set' in told.stderr
    kubectl.run(*debug, "--profile=restricted").ok()


CONFIGURATION = """
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: PodSecurity
  configuration:
    apiVersion: pod-security.admission.config.k8s.io/v1
    kind: PodSecurityConfiguration
    defaults: {enforce: baseline, enforce-version: latest, warn: restricted, warn-version: v1.24, audit: baseline}
    exemptions: {usernames: [boss], namespaces: [kube-system]}
"""
AUDIT = "{apiVersion: audit.k8s.io/v1, kind: Policy, omitStages: [RequestReceived], rules: [{level: Metadata}]}"


@pytest.fixture(scope="module")
def configured(etcd_server: EtcdServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A second server on the same objects, with defaults for all namespaces."""
    directory = tmp_path_factory.mktemp("configured")
    (directory / "admission.yaml").write_text(CONFIGURATION)
    (directory / "audit.yaml").write_text(AUDIT)
    server = ApiServer(
        directory, etcd_server, "--admission-control-config-file", str(directory / "admission.yaml"),
        "--audit-policy-file", str(directory / "audit.yaml"), "--audit-log-path", str(directory / "audit.log"),
    )  # fmt: skip
    try:
        server.start()
        yield server
    finally:
        server.stop()


def test_a_configured_cluster(configured: ApiServer, namespace: str) -> None:
    """enforce-standards-admission-controller: defaults hold in every namespace, but for who and what is exempt."""
    kubectl = Kubectl(configured.kubeconfig(configured.admin()), namespace)
    assert 'violates PodSecurity "baseline:latest": privileged' in (
        kubectl.run("apply", "-f", "-", stdin=privileged("bad")).failed().stderr
    )
    told = kubectl.run("apply", "-f", "-", stdin=pod("plain")).ok()
    assert 'would violate PodSecurity "restricted:v1.24"' in told.stderr
    boss = Kubectl(configured.kubeconfig(configured.identity("boss", "system:masters"), "boss"), namespace)
    assert boss.run("apply", "-f", "-", stdin=privileged("bad")).ok().stderr == ""
    web = pod("web") | {"apiVersion": "v1", "kind": "PodTemplate", "template": {"spec": privileged("")["spec"]}}
    assert kubectl.run("create", "-f", "-", stdin={k: v for k, v in web.items() if k != "spec"}).ok().stderr != ""

    def creations() -> dict[tuple[str, str, str], dict[str, str]]:
        return {
            (event["objectRef"]["resource"], event["objectRef"].get("name"), event["user"]["username"]): {
                key.removeprefix(f"{PREFIX}/"): value for key, value in event["annotations"].items() if PREFIX in key
            }
            for event in configured.audited()
            if event["verb"] == "create" and event["objectRef"].get("namespace") == namespace
        }

    eventually_sync(lambda: len(creations()) == 4, "all are noted")
    noted = creations()
    breaks = 'PodSecurity "baseline:latest": privileged (container "main" must not set securityContext.privileged=true)'
    assert noted[("pods", "bad", "kubernetes-admin")] == {
        "enforce-policy": "baseline:latest", "audit-violations": f"would violate {breaks}",
    }  # fmt: skip
    assert noted[("pods", "plain", "kubernetes-admin")] == {"enforce-policy": "baseline:latest"}
    assert noted[("pods", "bad", "boss")] == {"exempt": "user"}
    assert noted[("podtemplates", "web", "kubernetes-admin")] == {"audit-violations": f"would violate {breaks}"}
    told = kubectl.run("label", "ns", "kube-system", f"{PREFIX}/enforce=restricted", "--dry-run=server").ok()
    assert told.stderr == (
        'Warning: namespace "kube-system" is exempt from Pod Security, and the policy (enforce=restricted:latest) will '
        "be ignored\n"
    )


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (("--enable-admission-plugins", "PodSecurty"), "--enable-admission-plugins: there is no plugin PodSecurty"),
        (("--admission-control-config-file", "/nowhere.yaml"), "/nowhere.yaml: No such file or directory"),
    ],
)
def test_a_server_does_not_start_with_what_it_does_not_understand(
    etcd_server: EtcdServer, tmp_path: Path, flags: tuple[str, str], why: str
) -> None:
    server = ApiServer(tmp_path, etcd_server, *flags)
    with pytest.raises(Exception, match="apiserver"):
        server.start()
    assert f"apiserver: error: {why}" in (tmp_path / "apiserver.log").read_text()
