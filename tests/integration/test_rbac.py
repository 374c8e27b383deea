"""Roles and bindings through upstream's kubectl.

https://kubernetes.io/docs/reference/access-authn-authz/rbac/ ,
https://kubernetes.io/docs/reference/access-authn-authz/authorization/#checking-api-access
"""

from __future__ import annotations

import json
import time

import kubernetes.client
import pytest
from kubernetes.client import CoreV1Api

from tests.harness.apiserver import ApiServer
from tests.harness.etcd import EtcdServer
from tests.harness.eventually import eventually_sync
from tests.harness.raw import Raw
from tests.harness.upstream import Kubectl
from tests.integration.manifests import config_map, pod
from tests.integration.test_access import acting, refusal

GROUP = "/apis/rbac.authorization.k8s.io/v1"


def test_the_defaults_are_there(kubectl: Kubectl) -> None:
    found = kubectl.run("get", "clusterroles,clusterrolebindings", "-o", "name").ok().stdout.split()
    for name in ("cluster-admin", "admin", "edit", "view", "system:node", "system:controller:job-controller"):
        assert f"clusterrole.rbac.authorization.k8s.io/{name}" in found
    for name in ("cluster-admin", "system:basic-user", "system:controller:job-controller"):
        assert f"clusterrolebinding.rbac.authorization.k8s.io/{name}" in found
    view = kubectl.run("get", "clusterrole", "view", "-o", "json").ok().json
    assert view["metadata"]["labels"] == {
        "kubernetes.io/bootstrapping": "rbac-defaults", "rbac.authorization.k8s.io/aggregate-to-edit": "true",
    }  # fmt: skip
    assert any("pods/log" in rule["resources"] and rule["verbs"] == ["get", "list", "watch"] for rule in view["rules"])
    edit = kubectl.run("get", "clusterrole", "edit", "-o", "json").ok().json
    assert all(rule in edit["rules"] for rule in view["rules"])
    assert json.loads(kubectl.run("get", "--raw", "/version").ok().stdout)["major"] == "1"
    assert kubectl.run("get", "--raw", "/readyz/poststarthook/rbac/bootstrap-roles").ok().stdout == "ok"


def test_can_i(kubectl: Kubectl) -> None:
    """The table of --list, and single questions about somebody else."""
    kubectl.run("create", "role", "reader", "--verb=get,list", "--resource=pods,pods/log").ok()
    kubectl.run("create", "role", "one", "--verb=update", "--resource=configmaps", "--resource-name=mine").ok()
    kubectl.run("create", "rolebinding", "reader", "--role=reader", "--user=jane").ok()
    kubectl.run("create", "rolebinding", "one", "--role=one", "--group=crew").ok()
    told = kubectl.run("auth", "can-i", "--list", "--as=jane", "--as-group=crew").ok().lines
    rows = [line.split("  ") for line in told]
    shown = {(cells[0].strip(), cells[-1].strip()) for cells in rows}
    assert {("pods", "[get list]"), ("pods/log", "[get list]"), ("configmaps", "[update]")} <= shown
    assert ("selfsubjectreviews.authentication.k8s.io", "[create]") in shown
    assert any("[/healthz]" in line and line.endswith("[get]") for line in told)
    for question, answer in (
        (("get", "pods"), "yes"), (("get", "pods", "--subresource=log"), "yes"), (("delete", "pods"), "no"),
        (("update", "configmaps/mine"), "yes"), (("update", "configmaps/other"), "no"), (("get", "/healthz"), "yes"),
        (("get", "/metrics"), "no"), (("get", "pods", "-A"), "no"),
    ):  # fmt: skip
        asked = kubectl.run("auth", "can-i", *question, "--as=jane", "--as-group=crew")
        assert asked.stdout.split()[0] == answer, question
    assert kubectl.run("auth", "can-i", "*", "*").ok().stdout.strip() == "yes"


def test_whoami_as_another(kubectl: Kubectl) -> None:
    told = kubectl.run("auth", "whoami", "--as=jane", "--as-group=crew", "--as-uid=u-1", "-o", "json").ok().json
    assert told["status"]["userInfo"] == {
        "username": "jane", "uid": "u-1", "groups": ["crew", "system:authenticated"],
    }  # fmt: skip


def test_as_somebody_who_may_not(apiserver: ApiServer, kubectl: Kubectl) -> None:
    refused = kubectl.run("get", "pods", "--as=jane").failed().stderr
    assert f'User "jane" cannot list resource "pods" in API group "" in the namespace "{kubectl.namespace}"' in refused
    visitor = Kubectl(apiserver.kubeconfig(apiserver.bearer("visitor-token"), "visitor"), kubectl.namespace)
    refused = visitor.run("get", "pods", "--as=root").failed().stderr
    assert 'users "root" is forbidden: User "visitor" cannot impersonate resource "users"' in refused
    kubectl.run("create", "clusterrole", f"as-{kubectl.namespace}", "--verb=impersonate", "--resource=users",
                "--resource-name=jane").ok()  # fmt: skip
    kubectl.run("create", "clusterrolebinding", f"as-{kubectl.namespace}", f"--clusterrole=as-{kubectl.namespace}",
                "--user=visitor").ok()  # fmt: skip
    assert visitor.run("auth", "whoami", "--as=jane").ok().lines[1].split() == ["Username", "jane"]
    visitor.run("auth", "whoami", "--as=joe").failed()
    kubectl.run("delete", "clusterrole,clusterrolebinding", f"as-{kubectl.namespace}").ok()


def test_a_missing_role_is_named(kubectl: Kubectl) -> None:
    kubectl.run("create", "rolebinding", "r", "--clusterrole=foo", "--user=jane").ok()
    refused = kubectl.run("get", "pods", "--as=jane").failed().stderr
    assert 'RBAC: clusterrole.rbac.authorization.k8s.io "foo" not found' in refused


RECONCILED = """
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: r, namespace: NAMESPACE}
rules:
- {apiGroups: [""], resources: [pods], verbs: [get, list]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: r, namespace: NAMESPACE}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: r}
subjects:
- {apiGroup: rbac.authorization.k8s.io, kind: User, name: jane}
"""


def test_reconcile(kubectl: Kubectl) -> None:
    kubectl.run("create", "role", "r", "--verb=watch", "--resource=pods").ok()
    told = (
        kubectl.run("auth", "reconcile", "-f", "-", stdin=RECONCILED.replace("NAMESPACE", kubectl.namespace))
        .ok()
        .stdout
    )
    assert "role.rbac.authorization.k8s.io/r reconciled" in told
    assert "rolebinding.rbac.authorization.k8s.io/r reconciled" in told
    assert kubectl.run("auth", "can-i", "list", "pods", "--as=jane").ok().stdout.strip() == "yes"
    assert kubectl.run("auth", "can-i", "watch", "pods", "--as=jane").ok().stdout.strip() == "yes"


def test_nobody_grants_more_than_he_has(kubectl: Kubectl) -> None:
    """The owner of a namespace gives away what admin has, and nothing else."""
    kubectl.run("create", "rolebinding", "owner", "--clusterrole=admin", "--user=olga").ok()
    kubectl.run("create", "role", "fine", "--verb=get", "--resource=secrets", "--as=olga").ok()
    kubectl.run("create", "rolebinding", "fine", "--role=fine", "--user=jane", "--as=olga").ok()
    kubectl.run("create", "rolebinding", "view", "--clusterrole=view", "--user=jane", "--as=olga").ok()
    refused = kubectl.run("create", "role", "strong", "--verb=create", "--resource=endpoints", "--as=olga").failed()
    why = (
        'user "olga" (groups=["system:authenticated"]) is attempting to grant RBAC permissions not currently held:\n'
        '{APIGroups:[""], Resources:["endpoints"], Verbs:["create"]}'
    )
    assert f'roles.rbac.authorization.k8s.io "strong" is forbidden: {why}' in refused.stderr
    refused = kubectl.run("create", "rolebinding", "all", "--clusterrole=cluster-admin", "--user=olga", "--as=olga")
    assert 'rolebindings.rbac.authorization.k8s.io "all" is forbidden: user "olga"' in refused.failed().stderr
    assert '{APIGroups:["*"], Resources:["*"], Verbs:["*"]}\n{NonResourceURLs:["*"], Verbs:["*"]}' in refused.stderr
    patch = '{"rules":[{"apiGroups":[""],"resources":["endpoints"],"verbs":["create"]}]}'
    refused = kubectl.run("patch", "role", "fine", "-p", patch, "--as=olga").failed()
    assert why in refused.stderr
    missing = kubectl.run("create", "rolebinding", "no", "--clusterrole=nowhere", "--user=jane", "--as=olga").failed()
    assert 'clusterroles.rbac.authorization.k8s.io "nowhere" not found' in missing.stderr
    kubectl.run("create", "role", "binder", "--verb=bind", "--resource=clusterroles.rbac.authorization.k8s.io",
                "--resource-name=cluster-admin").ok()  # fmt: skip
    kubectl.run("create", "rolebinding", "binder", "--role=binder", "--user=olga").ok()
    kubectl.run("create", "rolebinding", "all", "--clusterrole=cluster-admin", "--user=olga", "--as=olga").ok()


def test_aggregation(kubectl: Kubectl) -> None:
    """A role that is labelled so is part of view, and so of edit and admin, until it is gone."""
    name = f"boats-{kubectl.namespace}"
    kubectl.run("create", "clusterrole", name, "--verb=get", "--resource=configmaps/boats").ok()
    kubectl.run("label", "clusterrole", name, "rbac.authorization.k8s.io/aggregate-to-view=true").ok()
    kubectl.run("create", "rolebinding", "owner", "--clusterrole=admin", "--user=olga").ok()

    def may() -> bool:
        return kubectl.run("auth", "can-i", "get", "configmaps/boats", "--subresource=boats", "--as=olga").code == 0

    eventually_sync(may, "the role is part of admin")
    kubectl.run("delete", "clusterrole", name).ok()
    eventually_sync(lambda: not may(), "the role is part of admin no more")
    refused = kubectl.run("auth", "reconcile", "-f", "-", "--as=olga", stdin=f"""
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{name: {name}}}
aggregationRule: {{clusterRoleSelectors: [{{matchLabels: {{a: b}}}}]}}
""")  # fmt: skip
    refused.failed()


def review(http: Raw, kind: str, spec: object, namespace: str = "") -> dict[str, object]:
    where = f"/namespaces/{namespace}" if namespace else ""
    path = f"/apis/authorization.k8s.io/v1{where}/{kind.lower()}s"
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "metadata": {}, "spec": spec}
    if namespace:
        body["metadata"] = {"namespace": namespace}
    answer = http.send("POST", path, body)
    assert answer.status_code == 201, answer.text
    status: dict[str, object] = answer.json()["status"]
    return status


EXAMPLES = """
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {namespace: NAMESPACE, name: pod-reader}
rules:
- {apiGroups: [""], resources: ["pods"], verbs: ["get", "watch", "list"]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: secret-reader-NAMESPACE}
rules:
- {apiGroups: [""], resources: ["secrets"], verbs: ["get", "watch", "list"]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: read-pods, namespace: NAMESPACE}
subjects:
- {kind: User, name: jane, apiGroup: rbac.authorization.k8s.io}
roleRef: {kind: Role, name: pod-reader, apiGroup: rbac.authorization.k8s.io}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: read-secrets, namespace: NAMESPACE}
subjects:
- {kind: User, name: dave, apiGroup: rbac.authorization.k8s.io}
roleRef: {kind: ClusterRole, name: secret-reader-NAMESPACE, apiGroup: rbac.authorization.k8s.io}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: read-secrets-global-NAMESPACE}
subjects:
- {kind: Group, name: manager-NAMESPACE, apiGroup: rbac.authorization.k8s.io}
roleRef: {kind: ClusterRole, name: secret-reader-NAMESPACE, apiGroup: rbac.authorization.k8s.io}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {namespace: NAMESPACE, name: pod-and-pod-logs-reader}
rules:
- {apiGroups: [""], resources: ["pods", "pods/log"], verbs: ["get", "list"]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {namespace: NAMESPACE, name: configmap-updater}
rules:
- {apiGroups: [""], resources: ["configmaps"], resourceNames: ["my-configmap"], verbs: ["update", "get"]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {namespace: NAMESPACE, name: example.com-superuser}
rules:
- {apiGroups: ["example.com"], resources: ["*"], verbs: ["*"]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: paths-NAMESPACE}
rules:
- {nonResourceURLs: ["/healthz", "/healthz/*"], verbs: ["get", "post"]}
- {apiGroups: ["apps"], resources: ["deployments/scale"], verbs: ["patch"]}
"""


def test_the_examples_of_the_documentation(http: Raw, kubectl: Kubectl) -> None:
    """rbac/#role-example and what follows it, #rolebinding-and-clusterrolebinding, #referring-to-resources,
    #referring-to-subjects, #command-line-utilities"""
    here = kubectl.namespace
    kubectl.run("apply", "-f", "-", stdin=EXAMPLES.replace("NAMESPACE", here)).ok()
    for name, role, *subjects in (
        ("logs", "role=pod-and-pod-logs-reader", "user=alice@example.com"),
        ("updater", "role=configmap-updater", "group=frontend-admins"),
        ("super", "role=example.com-superuser", f"serviceaccount={here}:default"),
        ("accounts", "clusterrole=view", "group=system:serviceaccounts:qa"),
        ("everybody", "clusterrole=view", "group=system:serviceaccounts"),
        ("paths", f"clusterrole=paths-{here}", "user=pat"),
    ):
        kubectl.run("create", "rolebinding", name, f"--{role}", *(f"--{subject}" for subject in subjects)).ok()
    everywhere = ("create", "clusterrolebinding", f"paths-{here}", f"--clusterrole=paths-{here}", "--user=pat")
    kubectl.run(*everywhere).ok()
    accounts = ["system:serviceaccounts", "system:authenticated"]
    bot = f"system:serviceaccount:{here}:default"
    table: list[tuple[str, list[str], str, str, bool]] = [
        ("jane", [], "get", f"{here}/pods/x", True), ("jane", [], "watch", f"{here}/pods", True),
        ("jane", [], "list", "default/pods", False), ("jane", [], "create", f"{here}/pods", False),
        ("jane", [], "get", f"{here}/pods/x/log", False), ("jane", [], "list", "/pods", False),
        ("Jane", [], "get", f"{here}/pods", False),
        ("dave", [], "get", f"{here}/secrets/x", True), ("dave", [], "get", "default/secrets/x", False),
        ("dave", [], "list", "/secrets", False), ("dave", [], "delete", f"{here}/secrets/x", False),
        ("mia", [f"manager-{here}"], "get", "default/secrets/x", True),
        ("mia", [f"manager-{here}"], "list", "/secrets", True),
        ("mia", [f"manager-{here}"], "update", "/secrets", False),
        ("mia", ["manager"], "list", "/secrets", False),
        ("alice@example.com", [], "get", f"{here}/pods/x/log", True),
        ("alice@example.com", [], "get", f"{here}/pods/x/exec", False),
        ("fay", ["frontend-admins"], "update", f"{here}/configmaps/my-configmap", True),
        ("fay", ["frontend-admins"], "update", f"{here}/configmaps/other", False),
        ("fay", ["frontend-admins"], "list", f"{here}/configmaps", False),
        ("fay", ["frontend-admins"], "create", f"{here}/configmaps", False),
        (bot, accounts, "delete", f"{here}/boats.example.com/x", True),
        (bot, accounts, "anything", f"{here}/boats.example.com/x/engine", True),
        (bot, accounts, "delete", "default/boats.example.com/x", False),
        ("system:serviceaccount:qa:a", [*accounts, "system:serviceaccounts:qa"], "list", f"{here}/pods", True),
        ("system:serviceaccount:dev:a", [*accounts, "system:serviceaccounts:dev"], "list", f"{here}/pods", True),
        ("system:serviceaccount:dev:a", ["system:serviceaccounts:dev"], "list", f"{here}/pods", False),
        ("pat", [], "patch", f"{here}/deployments.apps/x/scale", True),
        ("pat", [], "patch", f"{here}/deployments.apps/x", False),
    ]  # fmt: skip
    told = {}
    for user, groups, verb, what, expected in table:
        namespace, resource, *rest = what.split("/")
        plural, _, group = resource.partition(".")
        asked = {"namespace": namespace, "verb": verb, "group": group, "resource": plural}
        asked |= dict(zip(("name", "subresource"), rest, strict=False))
        spec = {"user": user, "groups": groups, "resourceAttributes": asked}
        told[user, verb, what] = (review(http, "SubjectAccessReview", spec)["allowed"], expected)
    for path, verb, expected in (
        ("/healthz", "get", True),
        ("/healthz/etcd", "post", True),
        ("/healthzz", "get", False),
    ):
        spec = {"user": "pat", "nonResourceAttributes": {"path": path, "verb": verb}}
        told["pat", verb, path] = (review(http, "SubjectAccessReview", spec)["allowed"], expected)
    assert {question: answers for question, answers in told.items() if answers[0] is not answers[1]} == {}
    kubectl.run("delete", "clusterrole", f"secret-reader-{here}", f"paths-{here}").ok()
    kubectl.run("delete", "clusterrolebinding", f"read-secrets-global-{here}", f"paths-{here}").ok()
    changed = kubectl.run("create", "rolebinding", "again", "--role=pod-reader", "--user=jane", "-o", "json").ok().json
    changed["roleRef"]["name"] = "configmap-updater"
    refused = kubectl.run("replace", "-f", "-", stdin=json.dumps(changed)).failed().stderr
    assert "cannot change roleRef" in refused


def test_reviews_give_their_reason(http: Raw, kubectl: Kubectl) -> None:
    kubectl.run("create", "rolebinding", "v", "--clusterrole=view", "--group=crew").ok()
    asked = {"namespace": kubectl.namespace, "verb": "list", "resource": "pods"}
    spec = {"user": "jane", "groups": ["crew"], "resourceAttributes": asked}
    reason = f'RBAC: allowed by RoleBinding "v/{kubectl.namespace}" of ClusterRole "view" to Group "crew"'
    assert review(http, "SubjectAccessReview", spec) == {"allowed": True, "reason": reason}
    assert review(http, "LocalSubjectAccessReview", spec, kubectl.namespace) == {"allowed": True, "reason": reason}
    assert review(http, "SubjectAccessReview", {**spec, "groups": []}) == {"allowed": False}
    assert review(http, "SelfSubjectAccessReview", {"resourceAttributes": asked}) == {"allowed": True}
    node = {"user": "system:node:n1", "groups": ["system:nodes"]}
    pods = {"verb": "list", "resource": "pods"}
    only = {"fieldSelector": {"requirements": [{"key": "spec.nodeName", "operator": "In", "values": ["n1"]}]}}
    assert review(http, "SubjectAccessReview", {**node, "resourceAttributes": {**pods, **only}}) == {"allowed": True}
    assert review(http, "SubjectAccessReview", {**node, "resourceAttributes": pods}) == {
        "allowed": False, "reason": "can only list/watch pods with spec.nodeName field selector",
    }  # fmt: skip


def test_a_node_sees_what_its_pods_use(apiserver: ApiServer, core: CoreV1Api, namespace: str) -> None:
    """https://kubernetes.io/docs/reference/access-authn-authz/node/ with a node's own certificate."""
    for name in ("used", "other"):
        core.create_namespaced_secret(namespace, {"metadata": {"name": name}})
        core.create_namespaced_config_map(namespace, config_map(name))
    kubelet = acting(apiserver.identity("system:node:n1", "system:nodes"))
    assert refusal(kubelet.read_namespaced_secret, "used", namespace)[0] == 403
    for name, node, used in (("mine", "n1", "used"), ("theirs", "n2", "other")):
        body = pod(name)
        body["spec"] |= {"nodeName": node, "imagePullSecrets": [{"name": used}]}
        body["spec"]["volumes"] = [{"name": "v", "configMap": {"name": used}}]
        core.create_namespaced_pod(namespace, body)
    assert kubelet.read_namespaced_secret("used", namespace).metadata.name == "used"
    assert kubelet.read_namespaced_config_map("used", namespace).metadata.name == "used"
    kubelet.create_namespaced_service_account_token(
        "default", namespace, {"spec": {"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "mine",
                                                           "uid": core.read_namespaced_pod("mine", namespace).metadata.uid}}}
    )  # fmt: skip
    for call in (kubelet.read_namespaced_secret, kubelet.read_namespaced_config_map):
        code, status = refusal(call, "other", namespace)
        assert code == 403
        assert str(status["message"]).endswith("no relationship found between node 'n1' and this object")
    assert refusal(kubelet.read_namespaced_pod, "theirs", namespace)[0] == 403
    assert refusal(kubelet.list_namespaced_secret, namespace)[0] == 403
    assert refusal(kubelet.list_node)[0] == 403
    kubelet.list_pod_for_all_namespaces(field_selector="spec.nodeName=n1")
    core.delete_namespaced_pod("mine", namespace, grace_period_seconds=0)
    eventually_sync(lambda: _refused(kubelet, namespace), "the secret is out of reach")


def test_a_node_keeps_to_itself(apiserver: ApiServer, kubectl: Kubectl) -> None:
    """https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#noderestriction with nodes' own
    certificates: other nodes, their leases and labels, and labels by which administrators keep nodes apart."""
    one, two = (f"{name}-{kubectl.namespace[-9:]}" for name in ("one", "two"))
    path = apiserver.kubeconfig(apiserver.identity(f"system:node:{one}", "system:nodes"), one)
    node = Kubectl(path, kubectl.namespace)

    def objects(name: str) -> str:
        return json.dumps({"apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}},
            {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "spec": {"holderIdentity": name},
             "metadata": {"name": name, "namespace": "kube-node-lease"}},
        ]})  # fmt: skip

    node.run("create", "-n", "kube-node-lease", "-f", "-", stdin=objects(one)).ok()
    refused = node.run("create", "-n", "kube-node-lease", "-f", "-", stdin=objects(two)).failed().stderr
    assert f'nodes "{two}" is forbidden: node "{one}" is not allowed to modify node "{two}"' in refused
    assert "can only access node lease with the same name as the requesting node" in refused
    kubectl.run("create", "-n", "kube-node-lease", "-f", "-", stdin=objects(two)).ok()
    node.run("label", "node", one, "acme.com/disk=ssd", "topology.kubernetes.io/zone=a").ok()
    node.run("get", "lease", one, "-n", "kube-node-lease").ok()
    restricted = "node-restriction.kubernetes.io/team"
    for command, why in (
        (("get", "node", two), f"node '{one}' cannot read '{two}', only its own Node object"),
        (("get", "nodes"), f"node '{one}' cannot read all nodes, only its own Node object"),
        (("label", "node", one, f"{restricted}=a"), f"is not allowed to modify labels: {restricted}"),
        (("label", "node", one, "node-role.kubernetes.io/control-plane="), "is not allowed to modify labels"),
        (("taint", "node", one, "a=b:NoSchedule"), f'node "{one}" is not allowed to modify taints'),
        (("delete", "node", one), f'User "system:node:{one}" cannot delete resource "nodes"'),
        (("get", "lease", two, "-n", "kube-node-lease"), "can only access node lease with the same name"),
        (("patch", "lease", two, "-n", "kube-node-lease", "-p", "{}"), "can only access node lease with the same name"),
        (
            ("get", "lease", one, "-n", "kube-system"),
            'can only access leases in the "kube-node-lease" system namespace',
        ),
        (("get", "secrets"), "can only read namespaced object of this type|No Object name found"),
        (("auth", "can-i", "create", "deployments"), ""),
    ):
        refusal = node.run(*command).failed().stderr
        assert any(text in refusal for text in why.split("|")), (command, refusal)
    patch = json.dumps({"metadata": {"labels": {"a": "b"}}})
    refused = node.run("patch", "node", two, "-p", patch).failed().stderr
    assert f"cannot read '{two}'" in refused or f'is not allowed to modify node "{two}"' in refused
    kubectl.run("delete", "node", one, two).ok()
    kubectl.run("delete", "lease", one, two, "-n", "kube-node-lease").ok()


def _refused(kubelet: CoreV1Api, namespace: str) -> bool:
    try:
        kubelet.read_namespaced_secret("used", namespace)
    except kubernetes.client.ApiException as error:
        return bool(error.status == 403)
    return False


@pytest.mark.parametrize("protected", [False, True])
def test_a_start_adds_what_is_lacking(
    etcd_server: EtcdServer, apiserver: ApiServer, http: Raw, kubectl: Kubectl, protected: bool
) -> None:
    """https://kubernetes.io/docs/reference/access-authn-authz/rbac/#auto-reconciliation"""
    name = "system:node-problem-detector"
    auto = f"rbac.authorization.kubernetes.io/autoupdate={'false' if protected else 'true'}"
    kubectl.run("annotate", "--overwrite", "clusterrole", name, auto).ok()
    mine = {"apiGroups": [""], "resources": ["boats"], "verbs": ["get"]}
    kubectl.run("patch", "clusterrole", name, "--type=merge", "-p", json.dumps({"rules": [mine]})).ok()
    apiserver.kill()
    apiserver.start()
    rules = kubectl.run("get", "clusterrole", name, "-o", "json").ok().json["rules"]
    assert rules[0] == mine and (len(rules) == 1) is protected
    kubectl.run("annotate", "--overwrite", "clusterrole", name, auto.replace("false", "true")).ok()


def test_a_decision_follows_at_once(kubectl: Kubectl, apiserver: ApiServer, namespace: str) -> None:
    """What this server acknowledged, its next decision knows."""
    visitor = acting(apiserver.bearer("visitor-token"))
    for _ in range(5):
        name = f"v{time.monotonic_ns()}"
        kubectl.run("create", "rolebinding", name, "--clusterrole=view", "--user=visitor").ok()
        visitor.list_namespaced_pod(namespace)
        kubectl.run("delete", "rolebinding", name).ok()
        assert refusal(visitor.list_namespaced_pod, namespace)[0] == 403
