"""What a node's kubelet is told in its configuration file: KubeletConfiguration of kubelet.config.k8s.io/v1beta1.

    configuration = read("/var/lib/sampan/nodes/one/kubelet.yaml")
    configuration.max_pods

A row of `Configuration` is a field: its name in the file (dotted where it is nested), how its value is read
(configuration_values.py), and the default as it would be written there. What upstream knows and this node cannot do
is a row of `UNSUPPORTED` (configuration_unsupported.py). A file with anything else in it, or a value that does not
fit, is refused as a whole.

Fields and defaults: https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/,
pkg/kubelet/apis/config/v1beta1/defaults.go.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

import yaml

from api import quantities
from api.meta import Obj
from kubelet.configuration_unsupported import UNSUPPORTED
from kubelet.configuration_values import (
    enforcement,
    flag,
    objects,
    one_of,
    reserved,
    restart_delay,
    seconds,
    size,
    sysctls,
    text,
    whole,
    words,
)
from kubelet.eviction.thresholds import HARD_DEFAULTS, Amount, Threshold, amounts, periods, thresholds
from kubelet.images.records import verification

T = TypeVar("T")
API_VERSION, KIND = "kubelet.config.k8s.io/v1beta1", "KubeletConfiguration"
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class ConfigurationError(argparse.ArgumentTypeError):
    """The file cannot be used, and why."""


def _row(name: str, read_value: Callable[[Any], T], default: Any) -> T:
    metadata = {"name": name, "read": read_value, "default": default}
    return field(default_factory=lambda: read_value(default), metadata=metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    # The node as an object.
    max_pods: int = _row("maxPods", whole(1), 110)
    pods_per_core: int = _row("podsPerCore", whole(), 0)
    """0: as many as max_pods says."""
    register_node: bool = _row("registerNode", flag, True)
    register_with_taints: tuple[Obj, ...] = _row("registerWithTaints", objects("key", "value", "effect"), [])
    provider_id: str = _row("providerID", text, "")
    status_update_seconds: float = _row("nodeStatusUpdateFrequency", seconds, "10s")
    status_report_seconds: float = _row("nodeStatusReportFrequency", seconds, "5m0s")
    lease_seconds: int = _row("nodeLeaseDurationSeconds", whole(1), 40)
    status_max_images: int = _row("nodeStatusMaxImages", whole(-1), 50)
    """-1: all."""
    # What pods do not get.
    kube_reserved: Mapping[str, str] = _row("kubeReserved", reserved, {})
    system_reserved: Mapping[str, str] = _row("systemReserved", reserved, {})
    enforce_allocatable: bool = _row("enforceNodeAllocatable", enforcement, ["pods"])
    """By eviction: pods have no control group together that could bound them."""
    # When pods have to go.
    eviction_hard: Mapping[str, Amount] = _row("evictionHard", amounts, dict(HARD_DEFAULTS))
    eviction_soft: Mapping[str, Amount] = _row("evictionSoft", amounts, {})
    eviction_soft_grace: Mapping[str, float] = _row("evictionSoftGracePeriod", periods, {})
    eviction_reclaim: Mapping[str, Amount] = _row("evictionMinimumReclaim", amounts, {})
    eviction_transition_seconds: float = _row("evictionPressureTransitionPeriod", seconds, "5m0s")
    eviction_most_grace: int = _row("evictionMaxPodGracePeriod", whole(), 0)
    merge_eviction_defaults: bool = _row("mergeDefaultEvictionSettings", flag, False)
    """Signals that evictionHard leaves out keep their defaults."""
    local_storage_limits: bool = _row("localStorageCapacityIsolation", flag, True)
    shutdown_seconds: float = _row("shutdownGracePeriod", seconds, "0s")
    shutdown_critical_seconds: float = _row("shutdownGracePeriodCriticalPods", seconds, "0s")
    shutdown_by_priority: tuple[Obj, ...] = _row(
        "shutdownGracePeriodByPodPriority", objects("priority", "shutdownGracePeriodSeconds"), []
    )
    # Logs.
    log_size: int = _row("containerLogMaxSize", size, "10Mi")
    log_files: int = _row("containerLogMaxFiles", whole(2), 5)
    # Volumes.
    sync_seconds: float = _row("syncFrequency", seconds, "1m0s")
    longest_restart_delay_seconds: float = _row("crashLoopBackOff.maxContainerRestartPeriod", restart_delay, "5m0s")
    # Names that pods look up.
    cluster_dns: tuple[str, ...] = _row("clusterDNS", words, [])
    cluster_domain: str = _row("clusterDomain", text, "")
    resolv_conf: str = _row("resolvConf", text, "/etc/resolv.conf")
    """What pods' own are made of; "": none."""
    # What containers may.
    seccomp_default: bool = _row("seccompDefault", flag, False)
    allowed_unsafe_sysctls: tuple[str, ...] = _row("allowedUnsafeSysctls", sysctls, [])
    pod_pids_limit: int = _row("podPidsLimit", whole(-1), -1)
    """-1: as many as the node has."""
    # Images.
    serialize_image_pulls: bool = _row("serializeImagePulls", flag, False)
    """Unlike upstream's default, which is from the time of an old Docker: pulls do not wait for one another."""
    max_parallel_image_pulls: int = _row("maxParallelImagePulls", whole(), 0)
    """0: no limit."""
    image_pull_verification: str = _row("imagePullCredentialsVerificationPolicy", one_of(
        "NeverVerify", "NeverVerifyPreloadedImages", "NeverVerifyAllowlistedImages", "AlwaysVerify"
    ), "NeverVerifyPreloadedImages")  # fmt: skip
    preloaded_images_allowed: tuple[str, ...] = _row("preloadedImagesVerificationAllowlist", words, [])
    image_least_age: float = _row("imageMinimumGCAge", seconds, "2m0s")
    image_most_age: float = _row("imageMaximumGCAge", seconds, "0s")
    """Of an image that nobody uses; 0: any."""
    image_gc_high_percent: int = _row("imageGCHighThresholdPercent", whole(0, 100), 85)
    image_gc_low_percent: int = _row("imageGCLowThresholdPercent", whole(0, 100), 80)

    static_pod_path: str = _row("staticPodPath", text, "")
    """A folder of manifests, or one; "": none."""
    # The server.
    token_review_seconds: float = _row("authentication.webhook.cacheTTL", seconds, "2m0s")
    allowed_seconds: float = _row("authorization.webhook.cacheAuthorizedTTL", seconds, "5m0s")
    denied_seconds: float = _row("authorization.webhook.cacheUnauthorizedTTL", seconds, "30s")
    stream_idle_seconds: float = _row("streamingConnectionIdleTimeout", seconds, "4h0m0s")

    given: Obj = field(default_factory=dict, repr=False, compare=False)
    """The file's own fields."""

    def thresholds(self) -> tuple[Threshold, ...]:
        return thresholds(
            self.eviction_hard, self.eviction_soft, self.eviction_soft_grace, self.eviction_reclaim,
            allocatable=self.reserved_memory > 0,
        )  # fmt: skip

    @property
    def reserved_memory(self) -> int:
        """Bytes that pods are kept from using; 0 when nothing is to be enforced."""
        reserves = (self.kube_reserved, self.system_reserved)
        return (
            sum(quantities.units(of["memory"]) for of in reserves if "memory" in of) if self.enforce_allocatable else 0
        )

    def document(self) -> Obj:
        """The whole configuration, defaults included, as a file would say it."""
        whole_document: Obj = {"apiVersion": API_VERSION, "kind": KIND}
        for row in _rows():
            *parents, last = row["name"].split(".")
            into = whole_document
            for parent in parents:
                into = into.setdefault(parent, {})
            given = _find(self.given, row["name"])
            into[last] = row["default"] if given is None else given
        return whole_document


def _rows() -> Iterator[Mapping[str, Any]]:
    return (f.metadata for f in fields(Configuration) if f.metadata)


def read(path: str) -> Configuration:
    """ConfigurationError tells everything that is wrong with the file."""
    try:
        document = yaml.load(Path(path).read_bytes(), _Loader)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path}: {error}") from error
    return parse(document, path)


def parse(document: Any, where: str = "kubelet configuration") -> Configuration:
    if not isinstance(document, dict):
        raise ConfigurationError(f"{where}: must be an object")
    if (document.get("apiVersion"), document.get("kind")) != (API_VERSION, KIND):
        raise ConfigurationError(f"{where}: must be {KIND} of {API_VERSION}")
    given = {k: v for k, v in document.items() if k not in ("apiVersion", "kind")}
    if given.get("mergeDefaultEvictionSettings") is True and isinstance(given.get("evictionHard"), dict):
        given["evictionHard"] = {**HARD_DEFAULTS, **given["evictionHard"]}
    wrong = list(_unknown(given, ""))
    values: dict[str, Any] = {}
    for row in fields(Configuration):
        value = _find(given, row.metadata["name"]) if row.metadata else None
        if value is None or (row.metadata["read"] is seconds and value in ("0", "0s")):
            continue  # upstream takes a duration of zero for one that is not given
        try:
            values[row.name] = row.metadata["read"](value)
        except (TypeError, ValueError) as error:
            wrong.append(f"{row.metadata['name']} {error}")
    configuration = Configuration(**values, given=given)
    if wrong or (wrong := list(_contradictions(configuration))):
        raise ConfigurationError(f"{where}: {'; '.join(wrong)}")
    return configuration


def _contradictions(given: Configuration) -> Iterator[str]:
    """What only several fields together get wrong (pkg/kubelet/apis/config/validation)."""
    try:
        given.thresholds()
    except ValueError as error:
        yield str(error)
    if given.shutdown_critical_seconds > given.shutdown_seconds:
        yield "shutdownGracePeriodCriticalPods must not be longer than shutdownGracePeriod"
    if given.shutdown_by_priority and given.shutdown_seconds:
        yield "shutdownGracePeriodByPodPriority and shutdownGracePeriod exclude each other"
    if given.image_gc_low_percent >= given.image_gc_high_percent:
        yield "imageGCLowThresholdPercent must be less than imageGCHighThresholdPercent"
    if 0 < given.image_most_age <= given.image_least_age:
        yield "imageMaximumGCAge must be longer than imageMinimumGCAge"
    if given.serialize_image_pulls and given.max_parallel_image_pulls > 1:
        yield "maxParallelImagePulls can be more than 1 only when serializeImagePulls is false"
    try:
        verification(given.image_pull_verification, given.preloaded_images_allowed)
    except ValueError as error:
        yield f"preloadedImagesVerificationAllowlist: {error}"


def _find(document: Mapping[str, Any], name: str) -> Any:
    value: Any = document
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _unknown(given: Mapping[str, Any], prefix: str) -> Iterator[str]:
    """What is wrong with fields that no row reads."""
    known = {row["name"] for row in _rows()}
    for key, value in given.items():
        name = f"{prefix}{key}"
        if name in known or value is None:
            continue
        if name in UNSUPPORTED:
            accepted, why = UNSUPPORTED[name]
            if accepted is None or value != accepted:
                yield f"{name} is not supported: {why}"
        elif isinstance(value, dict) and any(n.startswith(f"{name}.") for n in (*known, *UNSUPPORTED)):
            yield from _unknown(value, f"{name}.")
        else:
            yield f"{name} is no field of {KIND}"
