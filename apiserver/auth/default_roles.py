"""The roles and bindings of every cluster: one table (pure).

Upstream's defaults for 1.35, under upstream's names
(https://kubernetes.io/docs/reference/access-authn-authz/rbac/#default-roles-and-role-bindings), and `sampan:` ones
for what our daemons do beyond them.

A line is a rule: verbs, then group:resources (`core` is the group ""), then the names it is limited to; or verbs and
paths. R is get,list,watch; W the verbs that change something; RW both; E may report events.
"""

from __future__ import annotations

from collections.abc import Iterator

from api.meta import Obj
from apiserver.auth.rules import Rule

_GROUP = "rbac.authorization.k8s.io"
LABEL = {"kubernetes.io/bootstrapping": "rbac-defaults"}
AUTO_UPDATE = "rbac.authorization.kubernetes.io/autoupdate"
_CONTROLLER = "system:controller:"
_VERBS = {"R": "get,list,watch", "W": "create,delete,deletecollection,patch,update"}
_VERBS["RW"] = f"{_VERBS['R']},{_VERBS['W']}"
_E = "create,patch,update core,events.k8s.io:events"
_REVIEWS = """
    create authentication.k8s.io:tokenreviews
    create authorization.k8s.io:subjectaccessreviews"""
_SIGNERS = "kubernetes.io/"

_CLUSTER_ROLES = {
    "cluster-admin": """
        * *:*
        * *""",
    "system:discovery": """
        get /api,/api/*,/apis,/apis/*,/healthz,/livez,/openapi,/openapi/*,/readyz,/version,/version/""",
    "system:public-info-viewer": "get /healthz,/livez,/readyz,/version,/version/",
    "system:monitoring": "get /healthz,/healthz/*,/livez,/livez/*,/metrics,/metrics/slis,/readyz,/readyz/*",
    "system:service-account-issuer-discovery": """
        get /.well-known/openid-configuration,/.well-known/openid-configuration/,/openid/v1/jwks,/openid/v1/jwks/""",
    "system:basic-user": """
        create authorization.k8s.io:selfsubjectaccessreviews,selfsubjectrulesreviews
        create authentication.k8s.io:selfsubjectreviews""",
    "system:aggregate-to-admin": """
        create authorization.k8s.io:localsubjectaccessreviews
        RW rbac.authorization.k8s.io:rolebindings,roles""",
    "system:aggregate-to-edit": """
        R core:pods/attach,pods/exec,pods/portforward,pods/proxy,secrets,services/proxy
        impersonate core:serviceaccounts
        W core:pods,pods/attach,pods/exec,pods/portforward,pods/proxy
        create core:pods/eviction
        W core:configmaps,events,persistentvolumeclaims,replicationcontrollers,replicationcontrollers/scale
        W core:secrets,serviceaccounts,services,services/proxy
        create core:serviceaccounts/token
        W apps:daemonsets,deployments,deployments/rollback,deployments/scale,replicasets,replicasets/scale
        W apps:statefulsets,statefulsets/scale
        W autoscaling:horizontalpodautoscalers
        W batch:cronjobs,jobs
        W extensions:daemonsets,deployments,deployments/rollback,deployments/scale,ingresses,networkpolicies
        W extensions:replicasets,replicasets/scale,replicationcontrollers/scale
        W policy:poddisruptionbudgets
        W networking.k8s.io:ingresses,networkpolicies
        RW coordination.k8s.io:leases
        W resource.k8s.io:resourceclaims,resourceclaimtemplates""",
    "system:aggregate-to-view": """
        R core:configmaps,endpoints,persistentvolumeclaims,persistentvolumeclaims/status,pods
        R core:replicationcontrollers,replicationcontrollers/scale,serviceaccounts,services,services/status
        R core:bindings,events,limitranges,namespaces/status,pods/log,pods/status,replicationcontrollers/status
        R core:resourcequotas,resourcequotas/status
        R core:namespaces
        R discovery.k8s.io:endpointslices
        R apps:controllerrevisions,daemonsets,daemonsets/status,deployments,deployments/scale,deployments/status
        R apps:replicasets,replicasets/scale,replicasets/status,statefulsets,statefulsets/scale,statefulsets/status
        R autoscaling:horizontalpodautoscalers,horizontalpodautoscalers/status
        R batch:cronjobs,cronjobs/status,jobs,jobs/status
        R extensions:daemonsets,daemonsets/status,deployments,deployments/scale,deployments/status,ingresses
        R extensions:ingresses/status,networkpolicies,replicasets,replicasets/scale,replicasets/status
        R extensions:replicationcontrollers/scale
        R policy:poddisruptionbudgets,poddisruptionbudgets/status
        R networking.k8s.io:ingresses,ingresses/status,networkpolicies
        R resource.k8s.io:resourceclaims,resourceclaims/status,resourceclaimtemplates""",
    "system:heapster": """
        R core:events,namespaces,nodes,pods
        R extensions:deployments""",
    "system:node": f"""{_REVIEWS}
        create authorization.k8s.io:localsubjectaccessreviews
        R core:services
        create,get,list,watch core:nodes
        patch,update core:nodes/status
        patch,update core:nodes
        create,patch,update core:events
        R core:pods
        create,delete core:pods
        patch,update core:pods/status
        create core:pods/eviction
        R core:configmaps,secrets
        get core:persistentvolumeclaims,persistentvolumes
        get core:endpoints
        create,get,list,watch certificates.k8s.io:certificatesigningrequests
        create,delete,get,patch,update coordination.k8s.io:leases
        get storage.k8s.io:volumeattachments
        get,patch,update core:persistentvolumeclaims/status
        create core:serviceaccounts/token
        R storage.k8s.io:csidrivers
        create,delete,get,patch,update storage.k8s.io:csinodes
        R node.k8s.io:runtimeclasses
        get resource.k8s.io:resourceclaims
        create,delete,deletecollection,get,list,patch,update,watch resource.k8s.io:resourceslices""",
    "system:node-problem-detector": """
        get core:nodes
        patch core:nodes/status
        E""",
    "system:kubelet-api-admin": """
        R core:nodes
        proxy core:nodes
        * core:nodes/configz,nodes/healthz,nodes/log,nodes/metrics,nodes/pods,nodes/proxy,nodes/spec,nodes/stats""",
    "system:node-bootstrapper": "create,get,list,watch certificates.k8s.io:certificatesigningrequests",
    "system:auth-delegator": _REVIEWS,
    "system:kube-aggregator": "R core:endpoints,services",
    "system:kube-controller-manager": f"""
        E
        create coordination.k8s.io:leases
        get,update coordination.k8s.io:leases kube-controller-manager
        create core:secrets,serviceaccounts
        delete core:secrets
        get core:configmaps,namespaces,secrets,serviceaccounts
        update core:secrets,serviceaccounts{_REVIEWS}
        list,watch *:*
        create core:serviceaccounts/token""",
    "system:kube-dns": "list,watch core:endpoints,services",
    "system:persistent-volume-provisioner": """
        create,delete,get,list,watch core:persistentvolumes
        get,list,update,watch core:persistentvolumeclaims
        R storage.k8s.io:storageclasses
        watch core:events
        E""",
    "system:certificates.k8s.io:certificatesigningrequests:nodeclient": """
        create certificates.k8s.io:certificatesigningrequests/nodeclient""",
    "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient": """
        create certificates.k8s.io:certificatesigningrequests/selfnodeclient""",
    "system:volume-scheduler": """
        get,list,patch,update,watch core:persistentvolumes
        R storage.k8s.io:storageclasses
        get,list,patch,update,watch core:persistentvolumeclaims""",
    **{
        f"system:certificates.k8s.io:{signer}-approver": f"approve certificates.k8s.io:signers {_SIGNERS}{signer}"
        for signer in ("legacy-unknown", "kubelet-serving", "kube-apiserver-client", "kube-apiserver-client-kubelet")
    },
    "system:node-proxier": """
        list,watch core:endpoints,services
        R core:nodes
        E
        list,watch discovery.k8s.io:endpointslices
        list,watch networking.k8s.io:servicecidrs""",
    "system:kube-scheduler": f"""
        E
        create coordination.k8s.io:leases
        get,list,update,watch coordination.k8s.io:leases kube-scheduler
        R core:nodes
        delete,get,list,watch core:pods
        create core:bindings,pods/binding
        patch,update core:pods/status
        R core:replicationcontrollers,services
        R apps,extensions:replicasets
        R apps:statefulsets
        R policy:poddisruptionbudgets
        R core:persistentvolumeclaims,persistentvolumes{_REVIEWS}
        R storage.k8s.io:csinodes
        R core:namespaces
        R storage.k8s.io:csidrivers
        R storage.k8s.io:csistoragecapacities
        R storage.k8s.io:volumeattachments
        R resource.k8s.io:deviceclasses
        get,list,patch,update,watch resource.k8s.io:resourceclaims
        patch,update resource.k8s.io:resourceclaims/status
        R resource.k8s.io:resourceslices
        update core:pods/finalizers""",
}

_CONTROLLERS = {
    "attachdetach-controller": """
        list,watch core:persistentvolumeclaims,persistentvolumes
        R core:nodes
        patch,update core:nodes/status
        list,watch core:pods
        E
        create,delete,get,list,watch storage.k8s.io:volumeattachments
        R storage.k8s.io:csidrivers
        R storage.k8s.io:csinodes""",
    "clusterrole-aggregation-controller": "escalate,get,list,patch,update,watch rbac.authorization.k8s.io:clusterroles",
    "cronjob-controller": """
        get,list,update,watch batch:cronjobs
        create,delete,get,list,patch,update,watch batch:jobs
        update batch:cronjobs/status
        update batch:cronjobs/finalizers
        delete,list core:pods
        E""",
    "daemon-set-controller": """
        R apps,extensions:daemonsets
        update apps,extensions:daemonsets/status
        update apps,extensions:daemonsets/finalizers
        list,watch core:nodes
        create,delete,list,patch,watch core:pods
        create core:pods/binding
        create,delete,get,list,patch,update,watch apps:controllerrevisions
        E""",
    "deployment-controller": """
        get,list,update,watch apps,extensions:deployments
        update apps,extensions:deployments/status
        update apps,extensions:deployments/finalizers
        create,delete,get,list,patch,update,watch apps,extensions:replicasets
        get,list,update,watch core:pods
        E""",
    "disruption-controller": """
        R apps,extensions:deployments
        R apps,extensions:replicasets
        R core:replicationcontrollers
        R policy:poddisruptionbudgets
        R apps:statefulsets
        update policy:poddisruptionbudgets/status
        patch,update core:pods/status
        get *:*/scale
        E""",
    "endpoint-controller": """
        R core:pods,services
        create,delete,get,list,update core:endpoints
        create core:endpoints/restricted
        E""",
    "endpointslice-controller": """
        R core:nodes,pods,services
        update core:services/finalizers
        create,delete,get,list,update discovery.k8s.io:endpointslices
        E""",
    "endpointslicemirroring-controller": """
        R core:endpoints,services
        update core:services/finalizers
        update core:endpoints/finalizers
        create,delete,get,list,update discovery.k8s.io:endpointslices
        E""",
    "expand-controller": """
        get,list,patch,update,watch core:persistentvolumes
        patch,update core:persistentvolumeclaims/status
        R core:persistentvolumeclaims
        R storage.k8s.io:storageclasses
        get core:endpoints,services
        get core:secrets
        E""",
    "ephemeral-volume-controller": """
        R core:pods
        update core:pods/finalizers
        create,get,list,watch core:persistentvolumeclaims
        E""",
    "resource-claim-controller": """
        R core:pods
        update core:pods/finalizers
        create,delete,get,list,watch resource.k8s.io:resourceclaims
        patch,update resource.k8s.io:resourceclaims,resourceclaims/status
        patch,update core:pods/status
        E""",
    "generic-garbage-collector": """
        delete,get,list,patch,update,watch *:*
        E""",
    "horizontal-pod-autoscaler": """
        R autoscaling:horizontalpodautoscalers
        update autoscaling:horizontalpodautoscalers/status
        get,update *:*/scale
        list core:pods
        list metrics.k8s.io:pods
        get,list custom.metrics.k8s.io:*
        get,list external.metrics.k8s.io:*
        E""",
    "job-controller": """
        get,list,patch,update,watch batch:jobs
        update batch:jobs/status
        update batch:jobs/finalizers
        create,delete,list,patch,watch core:pods
        E""",
    "namespace-controller": """
        delete,get,list,watch core:namespaces
        update core:namespaces/finalize,namespaces/status
        delete,deletecollection,get,list *:*""",
    "node-controller": """
        delete,get,list,patch,update core:nodes
        patch,update core:nodes/status
        patch,update core:pods/status
        delete,get,list core:pods
        E""",
    "persistent-volume-binder": """
        create,delete,get,list,update,watch core:persistentvolumes
        update core:persistentvolumes/status
        get,list,update,watch core:persistentvolumeclaims
        update core:persistentvolumeclaims/status
        create,delete,get,list,watch core:pods
        R storage.k8s.io:storageclasses
        create,delete,get,update core:endpoints
        create,delete,get core:services
        get core:secrets
        get,list core:nodes
        watch core:events
        E""",
    "pod-garbage-collector": """
        delete,list,watch core:pods
        get,list core:nodes
        patch core:pods/status""",
    "replicaset-controller": """
        get,list,update,watch apps,extensions:replicasets
        update apps,extensions:replicasets/status
        update apps,extensions:replicasets/finalizers
        create,delete,list,patch,watch core:pods
        E""",
    "replication-controller": """
        get,list,update,watch core:replicationcontrollers
        update core:replicationcontrollers/status
        update core:replicationcontrollers/finalizers
        create,delete,list,patch,watch core:pods
        E""",
    "resourcequota-controller": """
        list,watch *:*
        update core:resourcequotas/status
        E""",
    "route-controller": """
        list,watch core:nodes
        patch core:nodes/status
        E""",
    "service-account-controller": """
        create core:serviceaccounts
        E""",
    "service-controller": """
        R core:services
        patch,update core:services/status
        list,watch core:nodes
        E""",
    "service-cidrs-controller": """
        get,list,patch,update,watch networking.k8s.io:servicecidrs
        patch,update networking.k8s.io:servicecidrs/finalizers
        patch,update networking.k8s.io:servicecidrs/status
        R networking.k8s.io:ipaddresses
        E""",
    "statefulset-controller": """
        list,watch core:pods
        R apps:statefulsets
        update apps:statefulsets/status
        update apps:statefulsets/finalizers
        create,delete,get,patch,update core:pods
        create,delete,get,list,patch,update,watch apps:controllerrevisions
        create,get core:persistentvolumeclaims
        E
        delete,update core:persistentvolumeclaims""",
    "ttl-controller": """
        list,patch,update,watch core:nodes
        E""",
    "certificate-controller": f"""
        delete,get,list,watch certificates.k8s.io:certificatesigningrequests
        update certificates.k8s.io:certificatesigningrequests/approval,certificatesigningrequests/status
        approve certificates.k8s.io:signers {_SIGNERS}kube-apiserver-client-kubelet
        sign certificates.k8s.io:signers {_SIGNERS}kube-apiserver-client,{_SIGNERS}kube-apiserver-client-kubelet,\
{_SIGNERS}kubelet-serving,{_SIGNERS}legacy-unknown
        create authorization.k8s.io:subjectaccessreviews
        E""",
    "pvc-protection-controller": """
        get,list,update,watch core:persistentvolumeclaims
        R core:pods
        E""",
    "pv-protection-controller": """
        get,list,update,watch core:persistentvolumes
        E""",
    "volumeattributesclass-protection-controller": """
        R core:persistentvolumeclaims
        R core:persistentvolumes
        get,list,update,watch storage.k8s.io:volumeattributesclasses
        E""",
    "ttl-after-finished-controller": """
        delete,get,list,watch batch:jobs
        E""",
    "root-ca-cert-publisher": """
        create,update core:configmaps
        E""",
    "validatingadmissionpolicy-status-controller": """
        R admissionregistration.k8s.io:validatingadmissionpolicies
        get,patch,update admissionregistration.k8s.io:validatingadmissionpolicies/status
        E""",
    "legacy-service-account-token-cleaner": """
        get core:configmaps kube-apiserver-legacy-service-account-token-tracking
        delete,patch core:secrets""",
}

_ROLES = {  # namespace → name → rules
    "kube-system": {
        "extension-apiserver-authentication-reader": "R core:configmaps extension-apiserver-authentication",
        "system:controller:bootstrap-signer": "R core:secrets",
        "system:controller:cloud-provider": "create,get,list,watch core:configmaps",
        "system:controller:token-cleaner": """
            delete,get,list,watch core:secrets
            E""",
        "system::leader-locking-kube-controller-manager": """
            watch core:configmaps
            get,update core:configmaps kube-controller-manager""",
        "system::leader-locking-kube-scheduler": """
            watch core:configmaps
            get,update core:configmaps kube-scheduler""",
    },
    "kube-public": {
        "system:controller:bootstrap-signer": """
            R core:configmaps
            update core:configmaps cluster-info
            E""",
    },
}

_AGGREGATE = "rbac.authorization.k8s.io/aggregate-to-"
_AGGREGATED = {"admin": "", "edit": "admin", "view": "edit"}  # what each is itself aggregated to

# Our controller process runs all loops under the identity of the manager; upstream's, in that case, is to be granted
# the role of each (its --use-service-account-credentials).
_OUR_CONTROLLERS = "sampan:kube-controller-manager"
_THE_SERVERS = ("clusterrole-aggregation-controller",)  # a loop of the server itself

# user: or group: or account: the subjects of the binding that has the ClusterRole's name
_CLUSTER_BINDINGS: dict[str, tuple[str, ...]] = {
    "cluster-admin": ("group:system:masters",),
    "system:monitoring": ("group:system:monitoring",),
    "system:discovery": ("group:system:authenticated",),
    "system:basic-user": ("group:system:authenticated",),
    "system:public-info-viewer": ("group:system:authenticated", "group:system:unauthenticated"),
    "system:node-proxier": ("user:system:kube-proxy",),
    "system:kube-controller-manager": ("user:system:kube-controller-manager",),
    "system:kube-dns": ("account:kube-dns",),
    "system:kube-scheduler": ("user:system:kube-scheduler",),
    "system:volume-scheduler": ("user:system:kube-scheduler",),
    "system:node": (),
    "system:service-account-issuer-discovery": ("group:system:serviceaccounts",),
    _OUR_CONTROLLERS: ("user:system:kube-controller-manager",),
}
_MANAGER, _SCHEDULER = "kube-controller-manager", "kube-scheduler"
_BINDINGS: dict[str, dict[str, tuple[str, tuple[str, ...]]]] = {  # namespace → name → (role, subjects)
    "kube-system": {
        "system::extension-apiserver-authentication-reader": (
            "extension-apiserver-authentication-reader",
            (f"user:system:{_MANAGER}", f"user:system:{_SCHEDULER}"),
        ),
        **{
            f"system::leader-locking-{name}": (
                f"system::leader-locking-{name}",
                (f"user:system:{name}", f"account:{name}"),
            )
            for name in (_MANAGER, _SCHEDULER)
        },
        **{
            _CONTROLLER + name: (_CONTROLLER + name, (f"account:{name}",))
            for name in ("bootstrap-signer", "cloud-provider", "token-cleaner")
        },
    },
    "kube-public": {
        "system:controller:bootstrap-signer": ("system:controller:bootstrap-signer", ("account:bootstrap-signer",)),
    },
}


def rules_of(text: str) -> tuple[Rule, ...]:
    lines = (line.strip() for line in text.strip().splitlines())
    return tuple(_rule(_E if line == "E" else line) for line in lines)


def _rule(line: str) -> Rule:
    verbs, what, *names = line.split()
    verb = _sorted(_VERBS.get(verbs, verbs))
    groups, colon, resources = what.partition(":")
    if not colon:
        return Rule((), (), _sorted(what), (), verb)
    return Rule(_sorted(groups), _sorted(resources), (), _sorted(names[0]) if names else (), verb)


def _sorted(values: str) -> tuple[str, ...]:
    return tuple(sorted("" if value == "core" else value for value in values.split(",")))


def _named(name: str, namespace: str = "", labels: dict[str, str] | None = None) -> Obj:
    metadata: Obj = {"name": name, "annotations": {AUTO_UPDATE: "true"}, "labels": {**LABEL, **(labels or {})}}
    return {**metadata, "namespace": namespace} if namespace else metadata


def _rules(text: str) -> list[Obj]:
    return [rule.as_json() for rule in rules_of(text)]


def node_rules() -> tuple[Rule, ...]:
    return rules_of(_CLUSTER_ROLES["system:node"])


def cluster_roles() -> Iterator[Obj]:
    for name, text in _CLUSTER_ROLES.items():
        to = name.removeprefix("system:aggregate-to-")
        labels = {f"{_AGGREGATE}{to}": "true"} if to in _AGGREGATED else {}
        yield {"metadata": _named(name, labels=labels), "rules": _rules(text)}
    for name, to in _AGGREGATED.items():
        picked = {"clusterRoleSelectors": [{"matchLabels": {f"{_AGGREGATE}{name}": "true"}}]}
        labels = {f"{_AGGREGATE}{to}": "true"} if to else {}
        yield {"metadata": _named(name, labels=labels), "aggregationRule": picked, "rules": []}
    for name, text in _CONTROLLERS.items():
        yield {"metadata": _named(_CONTROLLER + name), "rules": _rules(text)}
    ours = dict.fromkeys(
        rule for name, text in _CONTROLLERS.items() if name not in _THE_SERVERS for rule in rules_of(text)
    )
    yield {"metadata": _named(_OUR_CONTROLLERS), "rules": [rule.as_json() for rule in ours]}


def cluster_role_bindings() -> Iterator[Obj]:
    for name, subjects in _CLUSTER_BINDINGS.items():
        yield _binding(_named(name), "ClusterRole", name, subjects)
    for name in _CONTROLLERS:
        yield _binding(_named(_CONTROLLER + name), "ClusterRole", _CONTROLLER + name, (f"account:{name}",))
    # the identity under which the server calls kubelets, and kubeadm's of administrators
    yield _binding(_named("kubeadm:cluster-admins"), "ClusterRole", "cluster-admin", ("group:kubeadm:cluster-admins",))


def roles() -> Iterator[Obj]:
    for namespace, named in _ROLES.items():
        for name, text in named.items():
            yield {"metadata": _named(name, namespace), "rules": _rules(text)}


def role_bindings() -> Iterator[Obj]:
    for namespace, named in _BINDINGS.items():
        for name, (role, subjects) in named.items():
            yield _binding(_named(name, namespace), "Role", role, subjects)


def _binding(metadata: Obj, kind: str, role: str, subjects: tuple[str, ...]) -> Obj:
    made: Obj = {"metadata": metadata, "roleRef": {"apiGroup": _GROUP, "kind": kind, "name": role}}
    return {**made, "subjects": [_subject(text) for text in subjects]} if subjects else made


def _subject(text: str) -> Obj:
    kind, _, name = text.partition(":")
    if kind == "account":
        return {"kind": "ServiceAccount", "name": name, "namespace": "kube-system"}
    return {"apiGroup": _GROUP, "kind": kind.capitalize(), "name": name}
