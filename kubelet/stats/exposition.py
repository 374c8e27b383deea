"""/metrics/resource and /metrics/cadvisor: looks at the node as Prometheus reads them. Pure.

Names, labels and meaning: pkg/kubelet/metrics/collectors/resource_metrics.go, cAdvisor's metrics/prometheus.go with
the kubelet's labels. Of cAdvisor's, those that have something to tell here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from kubelet.pods.model import Container
from kubelet.stats.filesystems import Filesystem
from kubelet.stats.model import DiskUsage, Interface, Look, Reading
from kubelet.stats.summary import Surroundings

_NANO = 1e-9
Labels = Mapping[str, str]
_NODE: Labels = {"id": "/", "container": "", "image": "", "name": "", "namespace": "", "pod": ""}


class Sample(NamedTuple):
    labels: Labels
    value: float
    milliseconds: int | None = None
    """When it was so; None: now."""


class Family(NamedTuple):
    name: str
    kind: str
    text: str
    samples: list[Sample]


def render(families: Iterable[Family]) -> str:
    """The text format, version 0.0.4. What has no samples is left out."""
    lines = []
    for name, kind, text, samples in families:
        if samples:
            lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
            lines += [_line(name, sample) for sample in samples]
    return "".join(f"{line}\n" for line in lines)


def _line(name: str, sample: Sample) -> str:
    labels = ",".join(f'{key}="{_escaped(value)}"' for key, value in sorted(sample.labels.items()))
    moment = "" if sample.milliseconds is None else f" {sample.milliseconds}"
    return f"{name}{{{labels}}} {sample.value!r}{moment}" if labels else f"{name} {sample.value!r}{moment}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def resource(look: Look) -> list[Family]:
    """/metrics/resource."""
    at = int(look.time.timestamp() * 1000)
    made: dict[str, list[Sample]] = {}

    def tell(prefix: str, labels: Labels, reading: Reading) -> None:
        made.setdefault(f"{prefix}_cpu_usage_seconds_total", []).append(Sample(labels, reading.cpu * _NANO, at))
        made.setdefault(f"{prefix}_memory_working_set_bytes", []).append(Sample(labels, reading.working_set, at))
        made.setdefault(f"{prefix}_swap_usage_bytes", []).append(Sample(labels, reading.swap, at))

    tell("node", {}, look.node)
    for pod in look.pods.values():
        any_of_it = pod.any_container
        of_pod = {"namespace": any_of_it.pod_namespace, "pod": any_of_it.pod_name}
        for name, (container, reading) in pod.containers.items():
            labels = {"container": name, **of_pod}
            tell("container", labels, reading)
            made.setdefault("container_swap_limit_bytes", []).append(
                Sample(labels, max(reading.swap_limit, reading.swap), at)
            )
            if container.started_at is not None:
                began = Sample(labels, container.started_at.timestamp())
                made.setdefault("container_start_time_seconds", []).append(began)
        tell("pod", of_pod, pod.total)
    made["resource_scrape_error"] = [Sample({}, 0)]
    return [Family(name, kind, text, made.get(name, [])) for name, kind, text in _RESOURCE]


_RESOURCE = [
    (f"{of}_{name}", kind, text.format(of=of))
    for of in ("node", "container", "pod")
    for name, kind, text in (
        ("cpu_usage_seconds_total", "counter", "[STABLE] Cumulative cpu time consumed by the {of} in core-seconds"),
        ("memory_working_set_bytes", "gauge", "[STABLE] Current working set of the {of} in bytes"),
        ("swap_usage_bytes", "gauge", "[ALPHA] Current swap usage of the {of} in bytes."),
    )
] + [
    ("container_swap_limit_bytes", "gauge", "[ALPHA] Current amount of the container swap limit in bytes."),
    ("container_start_time_seconds", "gauge",
     "[STABLE] Start time of the container since unix epoch in seconds"),
    ("resource_scrape_error", "gauge",
     "[STABLE] 1 if there was an error while getting container metrics, 0 otherwise"),
]  # fmt: skip


def cadvisor(look: Look, disks: Mapping[str, DiskUsage], around: Surroundings, versions: Labels) -> list[Family]:
    """/metrics/cadvisor."""
    at = int(look.time.timestamp() * 1000)
    groups = list(_groups(look))
    families = [
        Family("cadvisor_version_info", "gauge", "Where these figures come from.", [Sample(versions, 1)]),
        Family("machine_cpu_cores", "gauge", "Number of logical CPU cores.", [Sample({}, around.cpus)]),
        Family("machine_memory_bytes", "gauge", "Amount of memory of the machine.", [Sample({}, around.memory)]),
        Family("container_scrape_error", "gauge", "1 if there was an error while getting container metrics.",
               [Sample({}, 0)]),
    ]  # fmt: skip
    for name, kind, text, tell in _OF_GROUPS:
        samples = [Sample({**labels, **more}, value, at) for labels, r in groups for more, value in tell(r)]
        families.append(Family(name, kind, text, samples))
    families += _of_containers(look, disks, around.images, at)
    for direction, prefix in (("receive", "rx"), ("transmit", "tx")):
        for what, field in (("bytes", "bytes"), ("packets", "packets"), ("errors", "errors"),
                            ("packets_dropped", "dropped")):  # fmt: skip
            samples = [
                Sample({**labels, "interface": each.name}, getattr(each, f"{prefix}_{field}"), at)
                for labels, interfaces in _networks(look)
                for each in interfaces
            ]
            name = f"container_network_{direction}_{what}_total"
            families.append(Family(name, "counter", f"Cumulative count of {what} ({direction})", samples))
    return families


def _of_containers(look: Look, disks: Mapping[str, DiskUsage], images: Filesystem, at: int) -> list[Family]:
    limits, used, inodes, starts, seen = [], [], [], [], []
    for uid, usage in look.pods.items():
        disk = disks.get(uid)
        for name, (container, _) in usage.containers.items():
            labels = _labels(container)
            seen.append(Sample(labels, look.time.timestamp(), at))
            if container.started_at is not None:
                starts.append(Sample(labels, container.started_at.timestamp(), at))
            if disk is not None and name in disk.layers:
                on = {**labels, "device": ""}
                used.append(Sample(on, disk.layers[name].bytes, at))
                inodes.append(Sample(on, images.inodes, at))
                limits.append(Sample(on, images.capacity, at))
    return [
        Family("container_last_seen", "gauge", "Last time a container was seen by the exporter", seen),
        Family("container_start_time_seconds", "gauge", "Start time since unix epoch in seconds.", starts),
        Family("container_fs_usage_bytes", "gauge", "Number of bytes that are consumed by the container.", used),
        Family("container_fs_limit_bytes", "gauge", "Number of bytes that can be consumed.", limits),
        Family("container_fs_inodes_total", "gauge", "Number of Inodes", inodes),
    ]


def claims(disks: Mapping[str, DiskUsage], claimed: Mapping[str, Mapping[str, Labels]]) -> list[Family]:
    """kubelet_volume_stats_…, of claims. `claimed` is their labels, by uid of the pod and name of the volume."""
    found = [
        (labels, disks[uid].filesystems[name])
        for uid, volumes in claimed.items()
        for name, labels in volumes.items()
        if uid in disks and name in disks[uid].filesystems
    ]
    return [
        Family(f"kubelet_volume_stats_{name}", "gauge", text, [Sample(labels, value(f)) for labels, f in found])
        for name, text, value in _OF_CLAIMS
    ]


_OF_CLAIMS: list[tuple[str, str, Callable[[Filesystem], float]]] = [
    ("capacity_bytes", "Capacity in bytes of the volume", lambda f: f.capacity),
    ("available_bytes", "Number of available bytes in the volume", lambda f: f.available),
    ("used_bytes", "Number of used bytes in the volume", lambda f: f.used),
    ("inodes", "Maximum number of inodes in the volume", lambda f: f.inodes),
    ("inodes_free", "Number of free inodes in the volume", lambda f: f.inodes_free),
    ("inodes_used", "Number of used inodes in the volume", lambda f: f.inodes_used),
]

Told = list[tuple[Labels, float]]


def _one(value: Callable[[Reading], float], **labels: str) -> Callable[[Reading], Told]:
    return lambda reading: [(labels, value(reading))]


def _faults(reading: Reading) -> Told:
    return [
        ({"failure_type": kind, "scope": scope}, count)
        for kind, count in (("pgfault", reading.faults), ("pgmajfault", reading.major_faults))
        for scope in ("container", "hierarchy")
    ]


def _pressure(resource: str, level: str) -> Callable[[Reading], Told]:
    def tell(reading: Reading) -> Told:
        found = reading.pressure.get(resource, {}).get(level)
        return [] if found is None else [({}, found["total"] * 1e-6)]

    return tell


_OF_GROUPS: list[tuple[str, str, str, Callable[[Reading], Told]]] = [
    ("container_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed in seconds.",
     _one(lambda r: r.cpu * _NANO, cpu="total")),
    ("container_cpu_user_seconds_total", "counter", "Cumulative user cpu time consumed in seconds.",
     _one(lambda r: r.user * _NANO)),
    ("container_cpu_system_seconds_total", "counter", "Cumulative system cpu time consumed in seconds.",
     _one(lambda r: r.system * _NANO)),
    ("container_cpu_cfs_periods_total", "counter", "Number of elapsed enforcement period intervals.",
     _one(lambda r: r.periods)),
    ("container_cpu_cfs_throttled_periods_total", "counter", "Number of throttled period intervals.",
     _one(lambda r: r.throttled_periods)),
    ("container_cpu_cfs_throttled_seconds_total", "counter", "Total time duration the container has been throttled.",
     _one(lambda r: r.throttled * _NANO)),
    ("container_memory_usage_bytes", "gauge", "Current memory usage in bytes, whenever it was accessed",
     _one(lambda r: r.memory)),
    ("container_memory_working_set_bytes", "gauge", "Current working set in bytes.", _one(lambda r: r.working_set)),
    ("container_memory_rss", "gauge", "Size of RSS in bytes.", _one(lambda r: r.rss)),
    ("container_memory_cache", "gauge", "Number of bytes of page cache memory.", _one(lambda r: r.cache)),
    ("container_memory_mapped_file", "gauge", "Size of memory mapped files in bytes.", _one(lambda r: r.mapped)),
    ("container_memory_swap", "gauge", "Container swap usage in bytes.", _one(lambda r: r.swap)),
    ("container_memory_max_usage_bytes", "gauge", "Maximum memory usage recorded in bytes", _one(lambda r: r.peak)),
    ("container_memory_failures_total", "counter", "Cumulative count of memory allocation failures.", _faults),
    ("container_oom_events_total", "counter", "Count of out of memory events observed", _one(lambda r: r.oom_kills)),
    ("container_spec_memory_limit_bytes", "gauge", "Memory limit for the container.", _one(lambda r: r.limit)),
    ("container_threads", "gauge", "Number of threads running inside the container", _one(lambda r: r.pids)),
    *(
        (f"container_pressure_{resource}_{word}_seconds_total", "counter",
         f"Total time duration tasks have waited ({level}) due to {resource}.", _pressure(resource, level))
        for resource in ("cpu", "memory", "io")
        for level, word in (("some", "waiting"), ("full", "stalled"))
    ),
]  # fmt: skip


def _groups(look: Look) -> Iterator[tuple[Labels, Reading]]:
    """The node, each pod, each container, with cAdvisor's labels."""
    yield _NODE, look.node
    for pod in look.pods.values():
        any_of_it = pod.any_container
        labels = {"namespace": any_of_it.pod_namespace, "pod": any_of_it.pod_name}
        nobody = {"id": f"/kubepods/pod{any_of_it.pod_uid}", "container": "", "image": "", "name": ""}
        yield {**nobody, **labels}, pod.total
        for container, reading in pod.containers.values():
            yield _labels(container), reading


def _networks(look: Look) -> Iterator[tuple[Labels, tuple[Interface, ...]]]:
    yield _NODE, look.interfaces
    for pod in look.pods.values():
        if pod.sandbox is not None:
            yield {**_labels(pod.sandbox), "container": ""}, pod.interfaces


def _labels(container: Container) -> Labels:
    return {
        "id": f"/docker/{container.id}",
        "container": container.name,
        "image": container.image,
        "name": container.id,
        "namespace": container.pod_namespace,
        "pod": container.pod_name,
    }
