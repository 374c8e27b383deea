"""What a pod spec means when it leaves things out (k8s.io/kubernetes/pkg/apis/core/v1/defaults.go)."""

from __future__ import annotations

from api import quantities
from api.kinds import volumes
from api.kinds.images import pull_policy
from api.meta import Obj

_CONTAINERS = ("initContainers", "containers", "ephemeralContainers")


def spec(spec: Obj) -> None:
    """Defaults of a pod spec or of a pod template's spec, filled in place."""
    spec.pop("workloadRef", None)
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("securityContext", {})
    spec.setdefault("schedulerName", "default-scheduler")
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    for volume in spec.get("volumes") or ():
        volumes.default(volume)
    host_network = bool(spec.get("hostNetwork"))
    for kind in _CONTAINERS:
        for container in spec.get(kind) or ():
            _container(container)
            if host_network and kind != "ephemeralContainers":
                _host_ports(container)


def pod(pod_spec: Obj) -> None:
    """What only pods get, not templates: where nothing is asked for, as much as is allowed is."""
    for kind in ("initContainers", "containers"):
        for container in pod_spec.get(kind) or ():
            _requests(container.get("resources") or {})
    if (pod_spec.get("resources") or {}).get("limits"):
        _pod_requests(pod_spec)
    pod_spec.setdefault("enableServiceLinks", True)


def _requests(resources: Obj) -> None:
    if resources.get("limits"):
        resources["requests"] = {**resources["limits"], **(resources.get("requests") or {})}


def _pod_requests(pod_spec: Obj) -> None:
    """Pod-level requests (KEP-2837): what the containers ask for together, otherwise the limit."""
    resources = pod_spec["resources"]
    requests = resources.get("requests") or {}
    totals: dict[str, int] = {}
    for container in pod_spec.get("containers") or ():
        for name, value in ((container.get("resources") or {}).get("requests") or {}).items():
            if quantities.is_valid(value):
                totals[name] = totals.get(name, 0) + quantities.millis(value)
    found = {name: quantities.format_millis(total) for name, total in totals.items() if name in resources["limits"]}
    resources["requests"] = {**resources["limits"], **found, **requests}


def _container(container: Obj) -> None:
    container.setdefault("resources", {})
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    if not container.get("imagePullPolicy"):
        container["imagePullPolicy"] = pull_policy(container.get("image") or "")
    for port in container.get("ports") or ():
        port.setdefault("protocol", "TCP")
    for variable in container.get("env") or ():
        source = variable.get("valueFrom") or {}
        volumes.default_references(source)
        if source.get("fileKeyRef") is not None:
            source["fileKeyRef"].setdefault("optional", False)
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(name) is not None:
            _probe(container[name])
    lifecycle = container.get("lifecycle") or {}
    lifecycle.pop("stopSignal", None)  # off in v1.35, as `workloadRef`
    for hook in ("postStart", "preStop"):
        if (lifecycle.get(hook) or {}).get("httpGet") is not None:
            _http_get(lifecycle[hook]["httpGet"])


def _host_ports(container: Obj) -> None:
    for port in container.get("ports") or ():
        if not port.get("hostPort") and port.get("containerPort"):
            port["hostPort"] = port["containerPort"]


def _probe(probe: Obj) -> None:
    for name, value in (("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)):
        if not probe.get(name):
            probe[name] = value
    if probe.get("httpGet") is not None:
        _http_get(probe["httpGet"])
    if probe.get("grpc") is not None:
        probe["grpc"].setdefault("service", "")


def _http_get(action: Obj) -> None:
    for name, value in (("path", "/"), ("scheme", "HTTP")):
        if not action.get(name):
            action[name] = value
