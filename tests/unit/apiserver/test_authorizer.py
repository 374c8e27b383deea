"""Who may do what, by the roles that every cluster starts with.

The triples are upstream's documented defaults
(https://kubernetes.io/docs/reference/access-authn-authz/rbac/#default-roles-and-role-bindings), those of nodes its
Node authorizer's (https://kubernetes.io/docs/reference/access-authn-authz/node/).
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from api.errors import Forbidden
from api.meta import Obj
from apiserver import roles
from apiserver.auth import default_roles
from apiserver.auth.authorizer import Authorizer
from apiserver.auth.user import ANONYMOUS, User, authenticated
from apiserver.request import RequestInfo, parse


class Thing:
    def __init__(self, obj: Obj) -> None:
        self._obj = obj

    def obj(self) -> Obj:
        return self._obj


def account(namespace: str, name: str) -> User:
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")
    return authenticated(User(f"system:serviceaccount:{namespace}:{name}", groups))


def user(name: str, *groups: str) -> User:
    return authenticated(User(name, groups))


USERS = {
    "admin": user("kubernetes-admin", "system:masters"),
    "kubeadm-admin": user("kubernetes-admin", "kubeadm:cluster-admins"),
    "node": user("system:node:n1", "system:nodes"),
    "not-quite-node": user("n1", "system:nodes"),
    "scheduler": user("system:kube-scheduler"),
    "manager": user("system:kube-controller-manager"),
    "proxy": user("system:kube-proxy"),
    "monitor": user("prometheus", "system:monitoring"),
    "viewer": user("viewer"),
    "editor": user("editor"),
    "owner": user("owner"),
    "jane": user("jane", "dev"),
    "bot": account("team", "bot"),
    "daemon-set-controller": account("kube-system", "daemon-set-controller"),
    "job-controller": account("kube-system", "job-controller"),
    "generic-garbage-collector": account("kube-system", "generic-garbage-collector"),
    "horizontal-pod-autoscaler": account("kube-system", "horizontal-pod-autoscaler"),
    "certificate-controller": account("kube-system", "certificate-controller"),
    "clusterrole-aggregation-controller": account("kube-system", "clusterrole-aggregation-controller"),
    "token-cleaner": account("kube-system", "token-cleaner"),
    "bootstrap-signer": account("kube-system", "bootstrap-signer"),
    "anonymous": ANONYMOUS,
}

CORE, RBAC, CSR = "/api/v1", "/apis/rbac.authorization.k8s.io/v1", "/apis/certificates.k8s.io/v1"
TEAM, OTHER, SYSTEM = "/api/v1/namespaces/team", "/api/v1/namespaces/other", "/api/v1/namespaces/kube-system"
APPS, BATCH, LEASES = "/apis/apps/v1", "/apis/batch/v1", "/apis/coordination.k8s.io/v1/namespaces"
SAR = "/apis/authorization.k8s.io/v1"

# who, verb, path; verbs beyond HTTP's are asked as they are
ALLOWED = """
admin DELETE /api/v1/namespaces/kube-system/secrets/x
admin GET /metrics
admin GET /apis/example.com/v1/anything/x/whatever
kubeadm-admin DELETE /api/v1/namespaces/kube-system/secrets/x
kubeadm-admin GET /metrics
kubeadm-admin POST /apis/example.com/v1/anything

jane GET /api
jane GET /api/v1
jane GET /apis/apps/v1/
jane GET /openapi/v3/api/v1
jane GET /openapi/v2
jane GET /version
jane GET /version/
jane GET /healthz
jane GET /livez
jane GET /readyz
jane POST SAR/selfsubjectaccessreviews
jane POST SAR/selfsubjectrulesreviews
jane POST /apis/authentication.k8s.io/v1/selfsubjectreviews
anonymous GET /healthz
anonymous GET /livez
anonymous GET /readyz
anonymous GET /version
anonymous GET /version/
monitor GET /metrics
monitor GET /metrics/slis
monitor GET /livez/etcd
monitor GET /readyz/ping
monitor GET /healthz/log
bot GET /.well-known/openid-configuration
bot GET /openid/v1/jwks
bot GET /apis

viewer GET TEAM/pods
viewer GET TEAM/pods?watch=true
viewer GET TEAM/pods/p
viewer GET TEAM/pods/p/log
viewer GET TEAM/pods/p/status
viewer GET TEAM/configmaps
viewer GET TEAM/endpoints
viewer GET TEAM/services/s/status
viewer GET TEAM/serviceaccounts
viewer GET TEAM/events
viewer GET TEAM/limitranges
viewer GET TEAM/resourcequotas
viewer GET TEAM/persistentvolumeclaims
viewer GET /api/v1/namespaces/team
viewer GET APPS/namespaces/team/deployments/d/scale
viewer GET APPS/namespaces/team/controllerrevisions
viewer GET BATCH/namespaces/team/cronjobs/c/status
viewer GET /apis/autoscaling/v2/namespaces/team/horizontalpodautoscalers
viewer GET /apis/policy/v1/namespaces/team/poddisruptionbudgets
viewer GET /apis/networking.k8s.io/v1/namespaces/team/ingresses
viewer GET /apis/discovery.k8s.io/v1/namespaces/team/endpointslices

editor GET TEAM/pods
editor POST TEAM/pods
editor DELETE TEAM/pods
editor POST TEAM/pods/p/exec
editor POST TEAM/pods/p/attach
editor POST TEAM/pods/p/portforward
editor POST TEAM/pods/p/eviction
editor GET TEAM/pods/p/proxy/x
editor GET TEAM/secrets/s
editor POST TEAM/secrets
editor PATCH TEAM/configmaps/c
editor PUT TEAM/services/s
editor POST TEAM/serviceaccounts/a/token
editor impersonate TEAM/serviceaccounts/a
editor PUT TEAM/replicationcontrollers/r/scale
editor PATCH APPS/namespaces/team/deployments/d/scale
editor DELETE APPS/namespaces/team/statefulsets/s
editor POST BATCH/namespaces/team/jobs
editor POST /apis/networking.k8s.io/v1/namespaces/team/networkpolicies
editor POST /apis/policy/v1/namespaces/team/poddisruptionbudgets
editor PUT LEASES/team/leases/mine
editor GET TEAM/limitranges

owner POST TEAM/pods
owner GET TEAM/secrets/s
owner POST RBAC/namespaces/team/roles
owner DELETE RBAC/namespaces/team/rolebindings
owner GET RBAC/namespaces/team/rolebindings?watch=1
owner POST SAR/namespaces/team/localsubjectaccessreviews

node GET CORE/pods?fieldSelector=spec.nodeName%3Dn1
node GET CORE/pods?watch=true&fieldSelector=spec.nodeName%3D%3Dn1,status.phase!%3DFailed
node GET TEAM/pods/mine
node DELETE TEAM/pods/mine
node PATCH TEAM/pods/mine/status
node POST TEAM/pods/mine/eviction
node GET TEAM/secrets/pull
node GET TEAM/secrets/variable
node GET TEAM/secrets/all-variables
node GET TEAM/secrets/volume
node GET TEAM/secrets/of-driver
node GET TEAM/secrets/projected
node GET TEAM/secrets?fieldSelector=metadata.name%3Dpull
node GET TEAM/secrets?watch=true&fieldSelector=metadata.name%3Dpull
node GET TEAM/secrets/of-volume
node GET TEAM/configmaps/settings
node GET TEAM/configmaps/projected
node GET TEAM/persistentvolumeclaims/data
node GET TEAM/persistentvolumeclaims/mine-scratch
node PATCH TEAM/persistentvolumeclaims/data/status
node GET CORE/persistentvolumes/disk
node GET /apis/storage.k8s.io/v1/volumeattachments/here
node POST TEAM/serviceaccounts/runner/token
node POST CORE/nodes
node GET CORE/nodes/n1
node GET CORE/nodes?fieldSelector=metadata.name%3Dn1
node PATCH CORE/nodes/n1
node PUT CORE/nodes/n1/status
node GET CORE/services
node GET CORE/services?watch=1
node POST TEAM/events
node POST LEASES/kube-node-lease/leases
node PUT LEASES/kube-node-lease/leases/n1
node GET LEASES/kube-node-lease/leases/n1
node PUT /apis/storage.k8s.io/v1/csinodes/n1
node GET /apis/storage.k8s.io/v1/csidrivers
node GET /apis/node.k8s.io/v1/runtimeclasses
node POST /apis/authentication.k8s.io/v1/tokenreviews
node POST SAR/subjectaccessreviews
node POST CSR/certificatesigningrequests

scheduler POST TEAM/pods/p/binding
scheduler POST TEAM/bindings
scheduler GET CORE/pods?watch=1
scheduler DELETE TEAM/pods/p
scheduler PATCH TEAM/pods/p/status
scheduler GET CORE/nodes
scheduler GET CORE/namespaces
scheduler POST LEASES/kube-system/leases
scheduler PUT LEASES/kube-system/leases/kube-scheduler
scheduler GET /apis/policy/v1/poddisruptionbudgets
scheduler PATCH CORE/persistentvolumes/v
scheduler GET /apis/storage.k8s.io/v1/storageclasses
scheduler POST /apis/events.k8s.io/v1/namespaces/team/events
scheduler GET SYSTEM/configmaps/extension-apiserver-authentication
proxy GET CORE/services
proxy GET CORE/endpoints?watch=1
proxy GET CORE/nodes/n1
proxy GET /apis/discovery.k8s.io/v1/endpointslices
proxy GET /apis/networking.k8s.io/v1/servicecidrs
proxy POST TEAM/events
manager GET CORE/secrets
manager GET /apis/example.com/v1/anything?watch=1
manager PUT LEASES/kube-system/leases/kube-controller-manager
manager POST TEAM/serviceaccounts/a/token
manager POST TEAM/pods
manager PUT /api/v1/namespaces/team/finalize
manager DELETE /apis/example.com/v1/namespaces/team/anything/x
manager GET /apis/example.com/v1/namespaces/team/boats/x/scale
daemon-set-controller POST TEAM/pods
daemon-set-controller PUT APPS/namespaces/team/daemonsets/d/status
job-controller PATCH BATCH/namespaces/team/jobs/j
generic-garbage-collector DELETE /apis/example.com/v1/namespaces/team/anything/x
horizontal-pod-autoscaler PUT /apis/example.com/v1/namespaces/team/boats/b/scale
horizontal-pod-autoscaler GET /apis/custom.metrics.k8s.io/v1beta2/namespaces/team/pods/p/queue
certificate-controller PUT CSR/certificatesigningrequests/c/approval
certificate-controller sign CSR/signers/kubernetes.io%2Fkubelet-serving
clusterrole-aggregation-controller escalate RBAC/clusterroles/admin
token-cleaner DELETE SYSTEM/secrets/bootstrap-token-abcdef
bootstrap-signer PUT /api/v1/namespaces/kube-public/configmaps/cluster-info
bootstrap-signer GET SYSTEM/secrets
attachdetach-controller DELETE /apis/storage.k8s.io/v1/volumeattachments/a
attachdetach-controller PATCH CORE/nodes/n1/status
cronjob-controller DELETE BATCH/namespaces/team/jobs/j
cronjob-controller PUT BATCH/namespaces/team/cronjobs/c/status
deployment-controller PATCH APPS/namespaces/team/replicasets/r
deployment-controller PUT APPS/namespaces/team/deployments/d/finalizers
disruption-controller GET /apis/example.com/v1/namespaces/team/boats/b/scale
disruption-controller PUT /apis/policy/v1/namespaces/team/poddisruptionbudgets/p/status
endpoint-controller POST TEAM/endpoints
endpointslice-controller DELETE /apis/discovery.k8s.io/v1/namespaces/team/endpointslices/e
endpointslicemirroring-controller GET TEAM/endpoints?watch=1
ephemeral-volume-controller POST TEAM/persistentvolumeclaims
expand-controller PATCH TEAM/persistentvolumeclaims/c/status
namespace-controller PUT /api/v1/namespaces/team/finalize
namespace-controller DELETE /apis/example.com/v1/namespaces/team/boats
node-controller PATCH CORE/nodes/n1
node-controller DELETE TEAM/pods/p
persistent-volume-binder POST CORE/persistentvolumes
persistent-volume-binder POST TEAM/pods
pod-garbage-collector DELETE TEAM/pods/p
pod-garbage-collector PATCH TEAM/pods/p/status
pv-protection-controller PUT CORE/persistentvolumes/v
pvc-protection-controller GET TEAM/pods/p
replicaset-controller POST TEAM/pods
replication-controller PUT TEAM/replicationcontrollers/r/status
resourcequota-controller GET /apis/example.com/v1/boats?watch=1
resourcequota-controller PUT TEAM/resourcequotas/q/status
root-ca-cert-publisher POST TEAM/configmaps
route-controller PATCH CORE/nodes/n1/status
service-account-controller POST TEAM/serviceaccounts
service-controller PATCH TEAM/services/s/status
service-cidrs-controller GET /apis/networking.k8s.io/v1/ipaddresses
statefulset-controller PATCH TEAM/pods/p
statefulset-controller DELETE TEAM/persistentvolumeclaims/c
ttl-after-finished-controller DELETE BATCH/namespaces/team/jobs/j
ttl-controller PATCH CORE/nodes/n1
certificate-controller approve CSR/signers/kubernetes.io%2Fkube-apiserver-client-kubelet
certificate-controller sign CSR/signers/kubernetes.io%2Flegacy-unknown
certificate-controller DELETE CSR/certificatesigningrequests/c
certificate-controller POST SAR/subjectaccessreviews
legacy-service-account-token-cleaner DELETE TEAM/secrets/s
token-cleaner GET SYSTEM/secrets?watch=1
"""

REFUSED = """
jane GET TEAM/pods
jane GET /api/v1/namespaces/team
jane GET /metrics
jane GET /livez/ping
jane GET /apisx
jane POST /healthz
jane POST SAR/subjectaccessreviews
jane POST SAR/namespaces/team/localsubjectaccessreviews
jane GET /.well-known/openid-configuration
anonymous GET /api
anonymous GET /apis
anonymous GET /openapi/v2
anonymous GET /healthzz
anonymous GET /livez/ping
anonymous POST /healthz
anonymous GET CORE/pods
anonymous POST SAR/selfsubjectaccessreviews
monitor GET CORE/pods
monitor GET /metrics/cadvisor

viewer GET TEAM/secrets
viewer GET TEAM/secrets/s
viewer POST TEAM/pods
viewer GET TEAM/pods/p/exec
viewer GET OTHER/pods
viewer GET CORE/pods
viewer GET RBAC/namespaces/team/roles
viewer GET CORE/nodes
viewer PATCH APPS/namespaces/team/deployments/d
editor PATCH TEAM/pods/p/status
editor POST TEAM/resourcequotas
editor POST TEAM/limitranges
editor PUT /api/v1/namespaces/team
editor POST TEAM/endpoints
editor POST /apis/discovery.k8s.io/v1/namespaces/team/endpointslices
editor POST RBAC/namespaces/team/rolebindings
editor GET RBAC/namespaces/team/roles
editor POST OTHER/pods
owner POST TEAM/resourcequotas
owner PUT TEAM/endpoints/e
owner DELETE /api/v1/namespaces/team
owner POST RBAC/clusterroles
owner escalate RBAC/namespaces/team/roles/r
owner bind RBAC/namespaces/team/roles/r

node GET CORE/pods
node GET CORE/pods?fieldSelector=spec.nodeName%3Dn2
node GET CORE/pods?fieldSelector=&fieldSelector=spec.nodeName%3Dn1
node GET CORE/pods?fieldSelector=metadata.name!%3Da%5C,spec.nodeName%3Dn1
node GET TEAM/pods/theirs
node GET TEAM/secrets
node GET TEAM/secrets/theirs
node GET OTHER/secrets/pull
node GET CORE/secrets
node POST TEAM/secrets
node DELETE TEAM/secrets/pull
node GET TEAM/configmaps
node GET TEAM/configmaps/theirs
node PATCH TEAM/configmaps/settings
node GET TEAM/persistentvolumeclaims/theirs
node GET CORE/persistentvolumes/other
node GET CORE/persistentvolumes
node GET /apis/storage.k8s.io/v1/volumeattachments/there
node POST TEAM/serviceaccounts/theirs/token
node GET TEAM/serviceaccounts/runner
node GET CORE/nodes
node GET CORE/nodes/n2
node DELETE CORE/nodes/n1
node GET CORE/nodes/n1/proxy/x
node PUT LEASES/kube-node-lease/leases/n2
node PUT LEASES/kube-system/leases/n1
node GET LEASES/kube-node-lease/leases
node PUT /apis/storage.k8s.io/v1/csinodes/n2
node POST TEAM/pods/mine/exec
node DELETE TEAM/services/s
node GET APPS/deployments
not-quite-node GET CORE/services
not-quite-node GET TEAM/secrets/pull

scheduler GET TEAM/secrets/s
scheduler POST TEAM/pods
scheduler PUT LEASES/kube-system/leases/other
scheduler DELETE /api/v1/namespaces/team
scheduler POST TEAM/pods/p/exec
proxy GET TEAM/secrets/s
proxy PATCH TEAM/services/s
proxy GET CORE/pods
manager GET /metrics
manager POST RBAC/clusterroles
manager escalate RBAC/clusterroles/x
manager impersonate CORE/users/admin
manager POST TEAM/pods/p/exec
job-controller POST BATCH/namespaces/team/jobs
daemon-set-controller GET TEAM/secrets/s
horizontal-pod-autoscaler POST TEAM/pods
certificate-controller sign CSR/signers/example.com%2Fmine
token-cleaner DELETE TEAM/secrets/s
bootstrap-signer PUT /api/v1/namespaces/kube-public/configmaps/other
bot GET TEAM/pods
bootstrap-signer DELETE SYSTEM/secrets/bootstrap-token-abcdef
token-cleaner PUT SYSTEM/secrets/bootstrap-token-abcdef
attachdetach-controller POST TEAM/pods
cronjob-controller GET TEAM/secrets
deployment-controller DELETE TEAM/pods/p
disruption-controller DELETE TEAM/pods/p
endpoint-controller PATCH TEAM/services/s
endpointslice-controller POST TEAM/endpoints
expand-controller DELETE TEAM/persistentvolumeclaims/c
namespace-controller POST TEAM/pods
node-controller POST CORE/nodes
pod-garbage-collector POST TEAM/pods
pv-protection-controller DELETE CORE/persistentvolumes/v
replicaset-controller POST APPS/namespaces/team/replicasets
resourcequota-controller GET TEAM/secrets/s
root-ca-cert-publisher DELETE TEAM/configmaps/c
service-account-controller DELETE TEAM/serviceaccounts/a
statefulset-controller GET TEAM/secrets/s
ttl-after-finished-controller POST BATCH/namespaces/team/jobs
ttl-controller DELETE CORE/nodes/n1
certificate-controller approve CSR/signers/kubernetes.io%2Fkubelet-serving
legacy-service-account-token-cleaner GET TEAM/secrets/s
"""

POD = {
    "metadata": {"namespace": "team", "name": "mine"},
    "spec": {
        "serviceAccountName": "runner",
        "imagePullSecrets": [{"name": "pull"}],
        "containers": [
            {
                "env": [
                    {"name": "a", "value": "b"},
                    {"name": "c", "valueFrom": {"secretKeyRef": {"name": "variable", "key": "k"}}},
                    {"name": "d", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                ],
                "envFrom": [{"secretRef": {"name": "all-variables"}}],
            }
        ],
        "volumes": [
            {"name": "a", "secret": {"secretName": "volume"}},
            {"name": "b", "configMap": {"name": "settings"}},
            {"name": "c", "persistentVolumeClaim": {"claimName": "data"}},
            {"name": "scratch", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}},
            {"name": "e", "csi": {"driver": "d", "nodePublishSecretRef": {"name": "of-driver"}}},
            {"name": "f", "projected": {"sources": [{"secret": {"name": "projected"}}, {"configMap": {"name": "projected"}}]}},
        ],
    },
}  # fmt: skip
THEIRS = {
    "metadata": {"namespace": "team", "name": "theirs"},
    "spec": {
        "serviceAccountName": "theirs",
        "imagePullSecrets": [{"name": "theirs"}],
        "volumes": [
            {"name": "a", "configMap": {"name": "theirs"}},
            {"name": "b", "persistentVolumeClaim": {"claimName": "theirs"}},
        ],
    },
}
CLUSTER = {
    ("persistentvolumeclaims", "team", "data"): {"spec": {"volumeName": "disk"}},
    ("persistentvolumes", "", "disk"): {
        "metadata": {"name": "disk"},
        "spec": {
            "claimRef": {"namespace": "team", "name": "data"},
            "csi": {"driver": "d", "nodeStageSecretRef": {"name": "of-volume", "namespace": "team"}},
        },
    },
    ("persistentvolumes", "", "other"): {
        "metadata": {"name": "other"},
        "spec": {"claimRef": {"namespace": "team", "name": "theirs"}},
    },
    ("volumeattachments", "", "here"): {"spec": {"nodeName": "n1"}},
    ("volumeattachments", "", "there"): {"spec": {"nodeName": "n2"}},
}


def _binding(kind: str, role: str, *subjects: Obj) -> Obj:
    return {"roleRef": {"kind": kind, "name": role}, "subjects": list(subjects)}


def _user(name: str) -> Obj:
    return {"kind": "User", "name": name}


@pytest.fixture(scope="module")
def authorizer() -> Authorizer:
    """With the defaults, aggregated, and a namespace `team` that has a viewer, an editor and an owner."""
    made = Authorizer()
    cluster_roles = list(default_roles.cluster_roles())
    for _ in range(3):
        for role in cluster_roles:
            if "aggregationRule" in role:
                role["rules"] = [rule.as_json() for rule in roles.collected(role, cluster_roles)]
    for role in (*cluster_roles, *default_roles.roles()):
        made.rbac.on_role(role["metadata"].get("namespace", ""), role["metadata"]["name"], role)
    for binding in (*default_roles.cluster_role_bindings(), *default_roles.role_bindings()):
        made.rbac.on_binding(binding["metadata"].get("namespace", ""), binding["metadata"]["name"], binding)
    for who, role_name in (("viewer", "view"), ("editor", "edit"), ("owner", "admin")):
        made.rbac.on_binding("team", who, _binding("ClusterRole", role_name, _user(who)))
    made.nodes.on_pod("team", "mine", "n1", Thing(POD))
    made.nodes.on_pod("team", "theirs", "n2", Thing(THEIRS))
    made.nodes.peek = lambda *key: CLUSTER.get(key)
    return made


def _cases(text: str) -> Iterator[tuple[str, str, str]]:
    shorts = {
        "CORE": CORE, "TEAM": TEAM, "OTHER": OTHER, "SYSTEM": SYSTEM, "APPS": APPS, "BATCH": BATCH, "LEASES": LEASES,
        "RBAC": RBAC, "CSR": CSR, "SAR": SAR,
    }  # fmt: skip
    for line in text.split("\n"):
        if line:
            who, verb, path = line.split()
            first, slash, rest = path.partition("/")
            yield who, verb, shorts[first] + slash + rest if first else path


def _who(name: str) -> User:
    """One of USERS, or the account of a controller (rbac/#controller-roles)."""
    return USERS.get(name) or account("kube-system", name)


def _asked(verb: str, url: str) -> RequestInfo:
    path, _, query = url.partition("?")
    asked = parse(verb if verb.isupper() else "GET", path, query)
    if not verb.isupper():
        asked.verb, asked.name = verb, asked.name.replace("%2F", "/")
    return asked


@pytest.mark.parametrize(("who", "verb", "path"), list(_cases(ALLOWED)))
def test_allowed(authorizer: Authorizer, who: str, verb: str, path: str) -> None:
    assert authorizer.allows(_who(who), _asked(verb, path))


@pytest.mark.parametrize(("who", "verb", "path"), list(_cases(REFUSED)))
def test_refused(authorizer: Authorizer, who: str, verb: str, path: str) -> None:
    assert not authorizer.allows(_who(who), _asked(verb, path))


def test_there_are_enough_cases() -> None:
    assert len([*_cases(ALLOWED), *_cases(REFUSED)]) >= 300


@pytest.mark.parametrize(
    ("method", "path", "text"),
    [
        ("GET", "/api/v1/namespaces/default/pods",
         'pods is forbidden: User "jane" cannot list resource "pods" in API group "" in the namespace "default"'),
        ("GET", "/apis/apps/v1/deployments",
         'deployments.apps is forbidden: User "jane" cannot list resource "deployments" in API group "apps" '
         "at the cluster scope"),
        ("GET", "/api/v1/namespaces/default/pods/web/log",
         'pods "web" is forbidden: User "jane" cannot get resource "pods/log" in API group "" '
         'in the namespace "default"'),
        ("GET", "/metrics", 'forbidden: User "jane" cannot get path "/metrics"'),
    ],
)  # fmt: skip
def test_the_refusal_is_worded_as_upstream(authorizer: Authorizer, method: str, path: str, text: str) -> None:
    with pytest.raises(Forbidden) as caught:
        authorizer.check(USERS["jane"], parse(method, path))
    assert caught.value.message == text


def test_a_node_hears_why() -> None:
    made = Authorizer()
    with pytest.raises(Forbidden) as caught:
        made.check(USERS["node"], parse("GET", f"{TEAM}/secrets/s"))
    assert caught.value.message.endswith(": no relationship found between node 'n1' and this object")


@pytest.mark.parametrize(
    ("who", "path", "reason"),
    [
        ("admin", f"{TEAM}/pods", ""),
        ("viewer", f"{TEAM}/pods", 'RBAC: allowed by RoleBinding "viewer/team" of ClusterRole "view" to User "viewer"'),
        ("jane", "/apis",
         'RBAC: allowed by ClusterRoleBinding "system:discovery" of ClusterRole "system:discovery" '
         'to Group "system:authenticated"'),
        ("job-controller", f"{CORE}/pods",
         'RBAC: allowed by ClusterRoleBinding "system:controller:job-controller" of ClusterRole '
         '"system:controller:job-controller" to ServiceAccount "job-controller/kube-system"'),
    ],
)  # fmt: skip
def test_the_reason_is_worded_as_upstream(authorizer: Authorizer, who: str, path: str, reason: str) -> None:
    assert authorizer.decide(USERS[who], parse("GET", path)) == (True, reason)


def test_the_mode_that_allows_everything() -> None:
    assert Authorizer(("AlwaysAllow",)).allows(ANONYMOUS, parse("DELETE", f"{CORE}/nodes/n1"))
    assert not Authorizer(("Node",)).allows(USERS["kubeadm-admin"], parse("GET", f"{CORE}/nodes/n1"))
