"""The body of Docker's create call for a container in its pod's sandbox. Pure.

Source: kuberuntime_container.go (generateContainerConfig)
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from api.meta import Obj
from kubelet.docker.config import security, users
from kubelet.docker.config.parts import Surroundings, labels, oom_score, place
from kubelet.docker.labels import RESOURCES, SANDBOX_ID, SPEC_HASH, TERMINATION_LOG, TERMINATION_POLICY, USER
from kubelet.pods import qos
from kubelet.pods.environment import expand
from kubelet.pods.model import spec_hash


def body(spec: Mapping[str, Any], pod: Mapping[str, Any], attempt: int, around: Surroundings) -> Obj:
    """ConfigError when the security context cannot be met."""
    name, of_pod = spec["name"], pod["spec"]
    sandbox = f"container:{around.sandbox_id}"
    context = security.effective(spec, pod)
    user = users.of(context, of_pod.get("securityContext") or {}, around)
    notes = labels(name, pod, attempt, around)
    notes |= {SANDBOX_ID: around.sandbox_id, SPEC_HASH: spec_hash(spec)}
    notes[RESOURCES] = json.dumps(spec.get("resources") or {})
    if user.known:
        notes[USER] = user.known
    if around.termination_log:
        notes[TERMINATION_LOG] = around.termination_log
        notes[TERMINATION_POLICY] = spec.get("terminationMessagePolicy") or "File"
    host: Obj = {
        "NetworkMode": "host" if of_pod.get("hostNetwork") else sandbox,
        "IpcMode": "host" if of_pod.get("hostIPC") else sandbox,
        "LogConfig": {"Type": "json-file", "Config": dict(around.log)},
        "OomScoreAdj": oom_score(qos.oom_score_adj(pod, spec, around.node_memory), around),
        "Mounts": [mount.body() for mount in around.mounts],
        "Devices": around.devices,
        **qos.docker_resources(spec),
        **security.host_fields(context, around),
        **place(around),
    }
    if user.groups:
        host["GroupAdd"] = list(user.groups)
    if of_pod.get("hostPID"):
        host["PidMode"] = "host"
    elif around.target_id:
        host["PidMode"] = f"container:{around.target_id}"
    elif of_pod.get("shareProcessNamespace"):
        host["PidMode"] = sandbox
    config: Obj = {
        "Image": around.image,
        "Labels": notes,
        "Env": [f"{key}={value}" for key, value in around.environment.items()],
        "HostConfig": host,
        "Tty": bool(spec.get("tty")),
        "OpenStdin": bool(spec.get("stdin")),
        "StdinOnce": bool(spec.get("stdinOnce")),
        # Docker's own health checks would run beside the pod's probes.
        "Healthcheck": {"Test": ["NONE"]},
    }
    if user.name:
        config["User"] = user.name
    if spec.get("command"):
        config["Entrypoint"] = [expand(word, around.environment) for word in spec["command"]]
        config["Cmd"] = []
    if spec.get("args"):
        config["Cmd"] = [expand(word, around.environment) for word in spec["args"]]
    if spec.get("workingDir"):
        config["WorkingDir"] = spec["workingDir"]
    if context.get("runAsNonRoot"):
        users.check_not_root(context.get("runAsUser"), around.image_user, spec, pod)
    return config
