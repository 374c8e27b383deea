"""Every control of the Pod Security Standards with pods that pass and pods that do not, by version.

https://kubernetes.io/docs/concepts/security/pod-security-standards/ ; the texts are those of
k8s.io/pod-security-admission/policy.
"""

from __future__ import annotations

from typing import Any

import pytest

from api.meta import Obj
from apiserver.admission.pod_security import standards
from apiserver.admission.pod_security.baseline import BASELINE
from apiserver.admission.pod_security.restricted import RESTRICTED

SECCOMP = {"type": "RuntimeDefault"}
HARDENED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def pod(*containers: Obj, notes: dict[str, str] | None = None, **spec: Any) -> Obj:
    return {
        "metadata": {"annotations": notes or {}},
        "spec": {"containers": [{"name": "abc"[i], **c} for i, c in enumerate(containers or ({},))], **spec},
    }


def context(**values: Any) -> Obj:
    return {"securityContext": values}


def hardened(*containers: Obj, **spec: Any) -> Obj:
    """A pod that keeps to the restricted standard, but for what `containers` and `spec` say."""
    made = pod(*containers, **{"securityContext": {"runAsNonRoot": True, "seccompProfile": SECCOMP}, **spec})
    for container in made["spec"]["containers"]:
        container["securityContext"] = {**HARDENED, **container.get("securityContext", {})}
    return made


def texts(restricted: bool, minor: int, given: Obj) -> list[str]:
    return [str(found) for found in standards.evaluate(restricted, minor, given)]


BASE: list[tuple[str, int, int, Obj, str]] = [
    # control, first version that forbids it, first that allows it again (99 = none), the pod, the text
    ("appArmorProfile", 0, 99, pod(context(appArmorProfile={"type": "Unconfined"})),
     'forbidden AppArmor profile (container "a" must not set AppArmor profile type to "Unconfined")'),
    ("appArmorProfile", 0, 99,
     pod(securityContext={"appArmorProfile": {"type": "Unconfined"}},
         notes={"container.apparmor.security.beta.kubernetes.io/a": "unconfined"}),
     "forbidden AppArmor profiles (pod and annotation must not set AppArmor profile type to "
     '"Unconfined", "container.apparmor.security.beta.kubernetes.io/a="unconfined"")'),
    ("capabilities_baseline", 0, 99, pod(context(capabilities={"add": ["NET_RAW", "CHOWN"]}), context(
        capabilities={"add": ["SYS_ADMIN"]})),
     'non-default capabilities (containers "a", "b" must not include "NET_RAW", "SYS_ADMIN" in '
     "securityContext.capabilities.add)"),
    ("hostNamespaces", 0, 99, pod(hostNetwork=True, hostIPC=True, hostPID=True),
     "host namespaces (hostNetwork=true, hostPID=true, hostIPC=true)"),
    ("hostPathVolumes", 0, 99, pod(volumes=[{"name": "v", "hostPath": {"path": "/"}}, {"name": "w", "hostPath": {}}]),
     'hostPath volumes (volumes "v", "w")'),
    ("hostPorts", 0, 99, pod({"ports": [{"hostPort": 80, "containerPort": 80}, {"hostPort": 443}]}),
     'hostPort (container "a" uses hostPorts 443, 80)'),
    ("hostPorts", 0, 99, pod(initContainers=[{"name": "i", "ports": [{"hostPort": 80}]}]),
     'hostPort (container "i" uses hostPort 80)'),
    ("hostProbesAndHostLifecycle", 34, 99,
     pod({"livenessProbe": {"httpGet": {"host": "1.2.3.4"}}, "lifecycle": {"preStop": {"tcpSocket": {"host": "x"}}}}),
     'probe or lifecycle host (container "a" uses probe or lifecycle hosts "1.2.3.4", "x")'),
    ("privileged", 0, 99, pod({}, context(privileged=True)),
     'privileged (container "b" must not set securityContext.privileged=true)'),
    ("privileged", 0, 99, pod(ephemeralContainers=[{"name": "e", **context(privileged=True)}]),
     'privileged (container "e" must not set securityContext.privileged=true)'),
    ("procMount", 0, 99, pod(context(procMount="Unmasked")),
     'procMount (container "a" must not set securityContext.procMount to "Unmasked")'),
    ("procMount", 0, 35, pod(context(procMount="Unmasked"), hostUsers=False),
     'procMount (container "a" must not set securityContext.procMount to "Unmasked")'),
    ("seLinuxOptions", 0, 99, pod(context(seLinuxOptions={"type": "spc_t", "user": "u"}),
                                  securityContext={"seLinuxOptions": {"role": "r"}}),
     'seLinuxOptions (pod and container "a" set forbidden securityContext.seLinuxOptions: type "spc_t"; '
     "user may not be set; role may not be set)"),
    ("seLinuxOptions", 0, 31, pod(securityContext={"seLinuxOptions": {"type": "container_engine_t"}}),
     'seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: type "container_engine_t")'),
    ("seccompProfile_baseline", 0, 19, pod(notes={"seccomp.security.alpha.kubernetes.io/pod": "unconfined"}),
     'seccompProfile (forbidden annotation seccomp.security.alpha.kubernetes.io/pod="unconfined")'),
    ("seccompProfile_baseline", 19, 99, pod(context(seccompProfile={"type": "Unconfined"}), securityContext={
        "seccompProfile": {"type": "Unconfined"}}),
     'seccompProfile (pod and container "a" must not set securityContext.seccompProfile.type to "Unconfined")'),
    ("sysctls", 0, 99, pod(securityContext={"sysctls": [{"name": "kernel.msgmax"}, {"name": "net.core.somaxconn"}]}),
     "forbidden sysctls (kernel.msgmax, net.core.somaxconn)"),
    *(("sysctls", 0, since, pod(securityContext={"sysctls": [{"name": name}]}), f"forbidden sysctls ({name})")
      for since, name in ((27, "net.ipv4.ip_local_reserved_ports"), (29, "net.ipv4.tcp_keepalive_time"),
                          (29, "net.ipv4.tcp_fin_timeout"), (29, "net.ipv4.tcp_keepalive_intvl"),
                          (29, "net.ipv4.tcp_keepalive_probes"), (32, "net.ipv4.tcp_rmem"),
                          (32, "net.ipv4.tcp_wmem"))),
    ("windowsHostProcess", 0, 99, pod(context(windowsOptions={"hostProcess": True}), securityContext={
        "windowsOptions": {"hostProcess": True}}),
     'hostProcess (pod and container "a" must not set securityContext.windowsOptions.hostProcess=true)'),
]  # fmt: skip
ABOVE: list[tuple[str, int, int, Obj, str]] = [
    ("allowPrivilegeEscalation", 8, 99, hardened(context(allowPrivilegeEscalation=None)),
     'allowPrivilegeEscalation != false (container "a" must set securityContext.allowPrivilegeEscalation=false)'),
    ("allowPrivilegeEscalation", 8, 25, hardened(context(allowPrivilegeEscalation=True), os={"name": "windows"}),
     'allowPrivilegeEscalation != false (container "a" must set securityContext.allowPrivilegeEscalation=false)'),
    ("capabilities_restricted", 22, 99, hardened(context(capabilities={}), context(
        capabilities={"drop": ["ALL"], "add": ["CHOWN", "NET_BIND_SERVICE"]})),
     'unrestricted capabilities (container "a" must set securityContext.capabilities.drop=["ALL"]; container "b" must '
     'not include "CHOWN" in securityContext.capabilities.add)'),
    ("capabilities_restricted", 22, 25, hardened(context(capabilities={}), os={"name": "windows"}),
     'unrestricted capabilities (container "a" must set securityContext.capabilities.drop=["ALL"])'),
    ("procMount_restricted", 0, 99, hardened(context(procMount="Unmasked"), hostUsers=False),
     'procMount (container "a" must not set securityContext.procMount to "Unmasked")'),
    ("restrictedVolumes", 0, 99, hardened(volumes=[{"name": "v", "hostPath": {}}, {"name": "w", "nfs": {}}]),
     'restricted volume types (volumes "v", "w" use restricted volume types "hostPath", "nfs")'),
    ("restrictedVolumes", 0, 99, hardened(volumes=[{"name": "v", "gitRepo": {}}]),
     'restricted volume types (volume "v" uses restricted volume type "gitRepo")'),
    ("runAsNonRoot", 0, 99, hardened({}, context(runAsNonRoot=True), securityContext={"seccompProfile": SECCOMP}),
     'runAsNonRoot != true (pod or container "a" must set securityContext.runAsNonRoot=true)'),
    ("runAsNonRoot", 0, 35, hardened(context(runAsNonRoot=False), hostUsers=False, securityContext={
        "runAsNonRoot": False, "seccompProfile": SECCOMP}),
     'runAsNonRoot != true (pod and container "a" must not set securityContext.runAsNonRoot=false)'),
    ("runAsUser", 23, 99, hardened(context(runAsUser=0)), 'runAsUser=0 (container "a" must not set runAsUser=0)'),
    ("runAsUser", 23, 35, hardened(hostUsers=False, securityContext={
        "runAsUser": 0, "runAsNonRoot": True, "seccompProfile": SECCOMP}),
     "runAsUser=0 (pod must not set runAsUser=0)"),
    ("seccompProfile_restricted", 19, 99, hardened(securityContext={"runAsNonRoot": True}),
     'seccompProfile (pod or container "a" must set securityContext.seccompProfile.type to "RuntimeDefault" or '
     '"Localhost")'),
    ("seccompProfile_restricted", 19, 25, hardened({}, context(seccompProfile=SECCOMP), os={"name": "windows"},
                                                   securityContext={"runAsNonRoot": True}),
     'seccompProfile (pod or container "a" must set securityContext.seccompProfile.type to "RuntimeDefault" or '
     '"Localhost")'),
]  # fmt: skip


@pytest.mark.parametrize(("restricted", "case"), [(False, c) for c in BASE] + [(True, c) for c in ABOVE])
def test_each_control_refuses_in_its_versions(restricted: bool, case: tuple[str, int, int, Obj, str]) -> None:
    _, since, until, refused, text = case
    for minor in (since, min(until - 1, 36)):
        assert text in texts(restricted, minor, refused), minor
    if since:
        assert text not in texts(restricted, since - 1, refused)
    if until < 99:
        assert texts(restricted, until, refused) == []


def test_no_control_is_without_a_refused_pod() -> None:
    assert {c.id for c in BASELINE} == {case[0] for case in BASE}
    assert {c.id for c in RESTRICTED} == {case[0] for case in ABOVE}


def test_restricted_refuses_whatever_baseline_refuses() -> None:
    """The standards are cumulative, in every version."""
    for _, _, _, refused, _ in BASE:
        for minor in range(standards.NEWEST + 1):
            assert not texts(False, minor, refused) or texts(True, minor, refused), minor


PLAIN: list[tuple[str, Obj]] = [
    ("appArmorProfile", pod(context(appArmorProfile={"type": "Localhost"}), notes={
        "container.apparmor.security.beta.kubernetes.io/a": "localhost/x",
        "container.apparmor.security.beta.kubernetes.io/b": "runtime/default",
        "container.apparmor.security.beta.kubernetes.io/c": ""})),
    ("capabilities_baseline", pod(context(capabilities={"add": ["NET_BIND_SERVICE", "SYS_CHROOT"]}))),
    ("hostNamespaces", pod(hostNetwork=False, hostPID=False, hostIPC=False)),
    ("hostPathVolumes", pod(volumes=[{"name": "v", "emptyDir": {}}, {"name": "n", "nfs": {}}])),
    ("hostPorts", pod({"ports": [{"containerPort": 80}, {"containerPort": 81, "hostPort": 0}]})),
    ("hostProbesAndHostLifecycle", pod({"startupProbe": {"httpGet": {"port": 1, "host": ""}}, "lifecycle": {
        "postStart": {"exec": {"command": ["x"]}}}})),
    ("privileged", pod(context(privileged=False), context(privileged=None))),
    ("procMount", pod(context(procMount="Default"))),
    ("seLinuxOptions", pod(context(seLinuxOptions={"type": "container_kvm_t", "level": "s0", "user": ""}))),
    ("seccompProfile_baseline", pod(context(seccompProfile=SECCOMP), notes={
        "seccomp.security.alpha.kubernetes.io/pod": "docker/default",
        "container.seccomp.security.alpha.kubernetes.io/a": "localhost/x"})),
    ("sysctls", pod(securityContext={"sysctls": [{"name": "kernel.shm_rmid_forced"}]})),
    ("windowsHostProcess", pod(context(windowsOptions={"hostProcess": False}))),
]  # fmt: skip
HARD: list[tuple[str, Obj]] = [
    ("allowPrivilegeEscalation", hardened()),
    ("capabilities_restricted", hardened(context(capabilities={"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}))),
    ("procMount_restricted", hardened(context(procMount="Default"), hostUsers=False)),
    ("restrictedVolumes", hardened(volumes=[
        {"name": kind.lower(), kind: {}} for kind in ("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image",
                                                      "persistentVolumeClaim", "projected", "secret")])),
    ("runAsNonRoot", hardened(context(runAsNonRoot=True), securityContext={"seccompProfile": SECCOMP})),
    ("runAsUser", hardened(context(runAsUser=1000))),
    ("seccompProfile_restricted", hardened(context(seccompProfile={"type": "Localhost"}), securityContext={
        "runAsNonRoot": True})),
]  # fmt: skip


@pytest.mark.parametrize(
    ("restricted", "allowed"), [(False, p) for _, p in PLAIN] + [(True, p) for _, p in HARD], ids=lambda v: ""
)
def test_each_control_lets_its_allowed_values_pass_in_every_version(restricted: bool, allowed: Obj) -> None:
    for minor in range(standards.NEWEST + 2):
        assert texts(restricted, minor, allowed) == [], minor


def test_no_control_is_without_an_allowed_pod() -> None:
    assert {name for name, _ in PLAIN} == {c.id for c in BASELINE}
    assert {name for name, _ in HARD} == {c.id for c in RESTRICTED}


def test_a_restricted_control_is_told_instead_of_the_baseline_one_and_after_all_of_those() -> None:
    """registry.go: checks are ordered by id, baseline first; capabilities were not restricted before 1.22."""
    both = pod(context(capabilities={"add": ["SYS_ADMIN"]}), hostPID=True, volumes=[{"name": "v", "hostPath": {}}])
    assert [found.reason for found in standards.evaluate(True, 35, both)] == [
        "host namespaces", "allowPrivilegeEscalation != false", "unrestricted capabilities",
        "restricted volume types", "runAsNonRoot != true", "seccompProfile",
    ]  # fmt: skip
    assert standards.evaluate(True, 21, both)[0].reason == "non-default capabilities"
