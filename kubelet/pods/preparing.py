"""What a sandbox or container is put into, gathered: objects it refers to, volumes, and the files that are its own."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from api.meta import Obj
from client.events import EventRecorder
from kubelet.docker import accounts
from kubelet.docker.config import security, users
from kubelet.docker.config.parts import Mount, Surroundings
from kubelet.docker.images import Image
from kubelet.docker.labels import IMAGE
from kubelet.docker.observer import Observer
from kubelet.docker.runtime import DockerRuntime
from kubelet.network import names
from kubelet.pods import environment, kernel, pod_cgroup
from kubelet.pods.environment import ConfigError, Sources
from kubelet.pods.facts import Facts, host_resolver, read
from kubelet.pods.lookup import Lookup
from kubelet.pods.model import Container, field_path
from kubelet.volumes import sub_path
from kubelet.volumes.manager import Volumes

_LARGEST_ENV_FILE = 1 << 20


class Preparing:
    """Failures are ConfigError, ApiError, VolumeError, RuntimeFailure and OSError."""

    def __init__(
        self,
        runtime: DockerRuntime,
        observer: Observer,
        volumes: Volumes,
        lookup: Lookup,
        services: Callable[[], Iterable[Obj]],
        recorder: EventRecorder,
        facts: Facts,
    ) -> None:
        self._runtime, self._observer, self._volumes, self._lookup = runtime, observer, volumes, lookup
        self._services, self._recorder, self._facts = services, recorder, facts
        self._driver = ""

    def _surroundings(self, image: str) -> Surroundings:
        facts = self._facts
        return Surroundings(
            self._runtime.labels,
            image=image,
            node_memory=facts.memory,
            lower_oom_score=facts.lower_oom_score,
            selinux=facts.selinux,
            app_armor=facts.app_armor,
            seccomp_default=facts.configuration.seccomp_default,
            log={"max-size": str(facts.configuration.log_size), "max-file": str(facts.configuration.log_files)},
            cluster_domain=facts.configuration.cluster_domain,
        )

    async def sandbox(self, pod: Obj, image: str) -> Surroundings:
        around = self._surroundings(image)
        if self._limits(pod):
            around.cgroup_parent = pod_cgroup.parent(pod["metadata"]["uid"], await self._cgroup_driver())
        if pod["spec"].get("runtimeClassName"):
            around.runtime = await self._lookup.runtime_handler(pod["spec"]["runtimeClassName"])
        return around

    async def container(
        self, pod: Obj, spec: Mapping[str, Any], attempt: int, sandbox: Container, image: Image
    ) -> Surroundings:
        uid = pod["metadata"]["uid"]
        around = self._surroundings(image.id)
        around.labels = {**around.labels, IMAGE: image.image_id}
        around.sandbox_id, around.image_user = sandbox.id, image.user
        around.accounts = await asyncio.to_thread(accounts.of_image, image.layers)
        self._tell_groups(pod, spec, attempt, around)
        around.environment = environment.build(spec, await self._sources(pod, spec, sandbox))
        around.mounts = await self._volumes.mounts(pod, spec, around.environment)
        around.devices = await self._volumes.devices(pod, spec)
        around.groups = await self._volumes.groups(pod)
        if pod["spec"].get("runtimeClassName"):
            around.runtime = sandbox.runtime
        if sandbox.cgroup_parent:
            around.cgroup_parent = sandbox.cgroup_parent
            await asyncio.to_thread(pod_cgroup.apply, sandbox.pid, sandbox.cgroup_parent, self._limits(pod))
        if spec.get("targetContainerName"):
            seen = self._observer.of_pod(uid).latest(spec["targetContainerName"])
            if seen is None or not seen.running:
                raise ConfigError(f'target container "{spec["targetContainerName"]}" is not running')
            around.target_id = seen.id
        profile = security.seccomp_file(security.effective(spec, pod))
        if profile:
            around.seccomp = await asyncio.to_thread(self._seccomp, profile)
        self._own_files(uid, spec, attempt, around)
        return around

    def _limits(self, pod: Obj) -> pod_cgroup.Limits:
        return pod_cgroup.limits(pod, self._facts.configuration.pod_pids_limit)

    async def _cgroup_driver(self) -> str:
        if not self._driver:
            self._driver = str((await self._runtime.info()).get("CgroupDriver") or "")
        return self._driver

    async def _sources(self, pod: Obj, spec: Mapping[str, Any], sandbox: Container) -> Sources:
        namespace = pod["metadata"]["namespace"]
        config_maps, secrets = environment.references(spec)
        found_maps = {n: await self._lookup.config_map(namespace, n) for n in sorted(config_maps)}
        found_secrets = {n: await self._lookup.secret(namespace, n) for n in sorted(secrets)}
        files = environment.env_files(spec)
        own = (self._facts.host_ip,)
        return Sources(
            pod,
            {k: v for k, v in found_maps.items() if v is not None},
            {k: v for k, v in found_secrets.items() if v is not None},
            self._services(),
            self._facts.host_ip,
            own if pod["spec"].get("hostNetwork") else sandbox.ips,
            self._facts.allocatable,
            await asyncio.to_thread(self._env_files, pod["metadata"]["uid"], files) if files else {},
        )

    def _env_files(self, uid: str, wanted: Iterable[tuple[str, str]]) -> dict[str, str | None]:
        empty_dirs = self._volumes.pod_directory(uid) / "volumes" / "kubernetes.io~empty-dir"
        return {f"{volume}/{path}": _env_file(empty_dirs / volume, path) for volume, path in wanted}

    def _seccomp(self, profile: str) -> str:
        path = self._facts.root / "seccomp" / profile
        try:
            return path.read_text()
        except OSError as error:
            raise ConfigError(
                f'cannot load seccomp profile "{path}": open {path}: {(error.strerror or "").lower()}',
                "CreateContainerError",
            ) from error

    def _own_files(self, uid: str, spec: Mapping[str, Any], attempt: int, around: Surroundings) -> None:
        """Names, the resolver's configuration and the termination log, unless the pod mounts something there."""
        directory = self._volumes.pod_directory(uid)
        targets = {mount.target for mount in around.mounts}
        for file, target in (("etc-hosts", "/etc/hosts"), ("resolv.conf", "/etc/resolv.conf")):
            if target not in targets and (directory / file).exists():
                around.mounts.append(Mount(str(directory / file), target))
        log_file = directory / "containers" / spec["name"] / str(attempt)
        log_file.parent.mkdir(parents=True, exist_ok=True)
        log_file.touch()
        log_file.chmod(0o666)
        around.mounts.append(Mount(str(log_file), spec.get("terminationMessagePath") or "/dev/termination-log"))
        around.termination_log = str(log_file)

    def tell_without_effect(self, pod: Obj) -> None:
        for message in kernel.without_effect(pod, selinux=self._facts.selinux):
            self._recorder.event(pod, "Warning", "FieldWithoutEffect", message)

    def _tell_groups(self, pod: Obj, spec: Mapping[str, Any], attempt: int, around: Surroundings) -> None:
        message = users.without_effect(security.effective(spec, pod), security.of_pod(pod), around.accounts)
        if message and attempt == 0:
            where = field_path(pod, spec["name"])
            self._recorder.event(pod, "Warning", "FieldWithoutEffect", message, field_path=where)

    async def write_names(self, pod: Obj, ips: tuple[str, ...]) -> None:
        """Unless it is done."""
        for reason, message in await asyncio.to_thread(self._write_names, pod, ips):
            self._recorder.event(pod, "Warning", reason, message)

    def _write_names(self, pod: Obj, ips: tuple[str, ...]) -> list[tuple[str, str]]:
        configuration, directory = self._facts.configuration, self._volumes.pod_directory(pod["metadata"]["uid"])
        directory.mkdir(parents=True, exist_ok=True)
        machine = read(Path("/etc/hosts")) if pod["spec"].get("hostNetwork") else ""
        host = host_resolver(configuration.resolv_conf)
        resolver, events = names.pod_resolver(pod, host, configuration.cluster_dns, configuration.cluster_domain)
        hosts = names.hosts_file(pod, ips, configuration.cluster_domain, machine)
        wanted = {directory / "etc-hosts": hosts, directory / "resolv.conf": resolver.text()}
        missing = {file: text.encode() for file, text in wanted.items() if not _holds(file, text.encode())}
        for file, text in missing.items():
            file.write_bytes(text)
        return events if missing else []


def _holds(file: Path, text: bytes) -> bool:
    """A container may have written anything there, and as much as it liked."""
    if not file.exists():
        return False
    with file.open("rb") as found:
        return found.read(len(text) + 1) == text


def _env_file(volume: Path, path: str) -> str | None:
    """Of a file that a container wrote: no link in it leads out of the volume, and nothing but a file is read."""
    if not os.path.isfile(volume / path):
        return None
    found = sub_path.walk(volume, path)
    try:
        descriptor = os.open(f"/proc/self/fd/{found}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    finally:
        os.close(found)
    with open(descriptor, "rb") as file:
        is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
        return file.read(_LARGEST_ENV_FILE).decode(errors="surrogateescape") if is_file else None
