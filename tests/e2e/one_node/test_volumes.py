"""Volumes as containers see them, while they run and after they are gone."""

from __future__ import annotations

import base64
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.manifests import SLEEP, documents, pod, shell
from tests.harness.cluster import HELLO, Cluster, Obj, statuses
from tests.harness.eventually import eventually_sync

KUBELET = ("-m", "kubelet")


def _object(kind: str, name: str, **more: Any) -> Obj:
    group = "storage.k8s.io/v1" if kind == "StorageClass" else "v1"
    return {"apiVersion": group, "kind": kind, "metadata": {"name": name}, **more}


def _pod(
    name: str, volumes: dict[str, Obj], script: str = SLEEP, mounts: dict[str, Obj] | None = None, **spec: Any
) -> Obj:
    """Each volume is mounted at /<its name> unless `mounts` says more of it."""
    mounts = mounts if mounts is not None else {v: {} for v in volumes}
    container = shell(script, volumeMounts=[{"name": re.sub("[0-9]+$", "", v), "mountPath": f"/{v}", **more}
                                            for v, more in mounts.items()])  # fmt: skip
    return pod(name, container, volumes=[{"name": v, **source} for v, source in volumes.items()], **spec)


def _run(cluster: Cluster, namespace: str, name: str, script: str, check: bool = True) -> str:
    done = cluster.kubectl("exec", name, "--", "sh", "-c", f"({script}) 2>&1", namespace=namespace, check=check)
    return done.stdout.strip()


def _told(cluster: Cluster, namespace: str, name: str, reason: str, text: str, within: float = 40) -> None:
    """An event with the reason whose message has the text."""

    def told() -> bool:
        messages = [e["message"] for e in cluster.events(namespace, reason) if e["involvedObject"]["name"] == name]
        assert any(text in m for m in messages), messages
        return True

    eventually_sync(told, f"{reason} for {name}: {text}", within=within, pause=0.3)


def _runs(cluster: Cluster, namespace: str, *names: str, within: float = 60) -> None:
    for name in names:
        cluster.wait_ready(f"app={name}", 1, namespace, within=within)


def _pods_directory(cluster: Cluster) -> Path:
    (found,) = cluster.data.glob("nodes/*/kubelet/pods")
    return found


def _mounts_below(directory: Path) -> list[str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line.split()[4] for line in lines if line.split()[4].startswith(f"{directory}/")]


def _sh(script: str) -> None:
    subprocess.run(["sh", "-ec", script], check=True)


@pytest.fixture
def shared_mount(tmp_path: Path) -> Iterator[Path]:
    """A file system on the machine whose mounts are told to those who ask for it."""
    _sh(f"mount -t tmpfs tmpfs {tmp_path}; mount --make-shared {tmp_path}")
    try:
        yield tmp_path
    finally:
        _sh(f"umount -R -l {tmp_path}")


def test_files_from_objects_and_how_their_changes_arrive(cluster: Cluster, namespace: str) -> None:
    """test/e2e/common/storage/{configmap,secrets,projected_*,downwardapi}_volume.go: items, modes, binaryData, optional,
    fsGroup; "updates should be reflected in volume", in one step; a subPath keeps what it began with
    (https://kubernetes.io/docs/concepts/storage/volumes/#using-subpath)."""
    secret = base64.b64encode(b"sesame").decode()
    one = _object("ConfigMap", "one", data={"a": "1", "b": "1"}, binaryData={"bytes": "AAEC"})
    sources = [
        {"configMap": {"name": "one", "items": [{"key": "a", "path": "deep/a", "mode": 0o400}]}},
        {"secret": {"name": "s"}},
        {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
                                   {"path": "cpu", "resourceFieldRef": {"containerName": "main", "resource": "limits.cpu",
                                                                        "divisor": "1m"}}]}},
        {"configMap": {"name": "none", "optional": True}},
    ]  # fmt: skip
    volumes: dict[str, Obj] = {
        "c": {"configMap": {"name": "one", "defaultMode": 0o440}},
        "s": {"secret": {"secretName": "s", "defaultMode": 0o400}},
        "p": {"projected": {"sources": sources}},
        "none": {"secret": {"secretName": "none", "optional": True}},
    }
    mounts: dict[str, Obj] = {v: {} for v in volumes} | {"c1": {"subPath": "a"}}
    # A reader that would see a half: both keys always have one value.
    script = f"while cd /c/..data/ && [ $(cat a) = $(cat b) ]; do sleep 0.01; done & {SLEEP}"
    files = _pod("files", volumes, script, mounts, securityContext={"fsGroup": 1234})
    files["spec"]["containers"][0]["resources"] = {"limits": {"cpu": "250m"}}
    late = _pod("late", {"c": {"configMap": {"name": "late"}}})
    cluster.apply(documents(one, _object("Secret", "s", data={"key": secret}), files, late), namespace)
    _runs(cluster, namespace, "files")

    script = (
        "cd /; stat -L -c '%a %g %n' c/a s/key p/deep/a p/key; echo $(ls none c); "
        "echo $(cat s/key) $(cat c1) $(cat p/cpu) $(cat p/deep/a) $(od -An -tx1 c/bytes); "
        "mount | grep -c 'on /[sp] type tmpfs'; touch c/new || true"
    )
    assert _run(cluster, namespace, "files", script).splitlines() == [
        "440 1234 c/a",
        "440 1234 s/key",
        "440 1234 p/deep/a",
        "644 1234 p/key",
        "c: a b bytes none:",
        "sesame 1 250 1 00 01 02",
        "2",
        "touch: c/new: Read-only file system",
    ]

    _told(
        cluster,
        namespace,
        "late",
        "FailedMount",
        'MountVolume.SetUp failed for volume "c" : configmap "late" not found',
    )
    changed = {**one, "data": {"a": "2", "b": "2"}}
    new_secret = _object("Secret", "s", data={"key": base64.b64encode(b"changed").decode()})
    cluster.apply(documents(changed, new_secret, _object("ConfigMap", "late", data={"x": "y"})), namespace)
    cluster.kubectl("label", "pod", "files", "tier=front", namespace=namespace)

    def arrived() -> bool:
        seen = _run(cluster, namespace, "files", "cat /c/a /c/b /s/key /p/deep/a /c1; grep tier /p/labels")
        assert seen == '22changed21tier="front"', seen
        return True

    eventually_sync(arrived, "the changes are in the running pod", within=45, pause=0.3)
    _runs(cluster, namespace, "late")
    files = cluster.get("pod", "files", namespace=namespace)
    assert statuses(files)["main"]["restartCount"] == 0
    mounted = {m["mountPath"]: m for m in statuses(files)["main"]["volumeMounts"]}
    assert mounted["/c"] == {"name": "c", "mountPath": "/c"}
    token = mounted["/var/run/secrets/kubernetes.io/serviceaccount"]
    assert (token["readOnly"], token["recursiveReadOnly"]) == (True, "Disabled")


def test_directories_of_the_node_and_of_nobody(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    """emptyDir: mode 0777, fsGroup, in memory bounded by sizeLimit (KEP-1967); hostPath types
    (https://kubernetes.io/docs/concepts/storage/volumes/#hostpath-volume-types); kinds that this node has not."""
    path = {name: str(tmp_path / name) for name in ("new", "new-file", "file", "no")}
    (tmp_path / "file").write_text("of the machine\n")

    def host(name: str, kind: str) -> Obj:
        return {"hostPath": {"path": path.get(name, name), "type": kind}}

    here: dict[str, Obj] = {
        "disk": {"emptyDir": {}}, "mem": {"emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
        "new": host("new", "DirectoryOrCreate"), "newfile": host("new-file", "FileOrCreate"),
        "file": host("file", "File"), "null": host("/dev/null", "CharDevice"),
        "docker": host("/var/run/docker.sock", "Socket"),
    }  # fmt: skip
    wrong = {
        "directory": (host("file", "Directory"), f"hostPath type check failed: {path['file']} is not a directory"),
        "socket": (host("file", "Socket"), f"hostPath type check failed: {path['file']} is not a socket file"),
        "block": (host("/dev/null", "BlockDevice"), "hostPath type check failed: /dev/null is not a block device"),
        "absent": (host("no", "File"), f"hostPath type check failed: {path['no']} is not a file"),
        "csi": ({"csi": {"driver": "none.example.com"}}, "volumes of kind csi are not supported on this node"),
        "pages": ({"emptyDir": {"medium": "HugePages"}}, "medium HugePages: huge pages are not supported on this node"),
    }  # fmt: skip
    bad = [_pod(name, {"v": source}) for name, (source, _) in wrong.items()]
    bad[-1]["spec"]["containers"][0]["resources"] = {"requests": {}, "limits": {}}
    cluster.apply(documents(_pod("here", here, securityContext={"fsGroup": 1234})), namespace)
    for each in bad:
        cluster.kubectl("create", "-f", "-", namespace=namespace, stdin=documents(each))
    _runs(cluster, namespace, "here")
    shown = _run(cluster, namespace, "here", "stat -c '%a %g' /disk /mem; cat /file; [ -d /new ] && [ -f /newfile ] && "
                 "[ -c /null ] && [ -S /docker ] && echo types; head -c 2097152 /dev/zero > /mem/x || wc -c < /mem/x")  # fmt: skip
    lines = shown.splitlines()
    assert lines[:4] == ["2777 1234", "2777 1234", "of the machine", "types"], shown
    assert lines[-1] == "1048576", f"a volume of 1Mi takes no more: {shown}"
    assert (tmp_path / "new").is_dir() and (tmp_path / "new-file").is_file()
    for name, (_, text) in wrong.items():
        _told(cluster, namespace, name, "FailedMount", f'MountVolume.SetUp failed for volume "v" : {text}')
    waiting = statuses(cluster.get("pod", "absent", namespace=namespace))["main"]["state"]["waiting"]
    assert waiting["reason"] == "ContainerCreating"


def test_parts_of_volumes_and_who_sees_which_mounts(cluster: Cluster, namespace: str, shared_mount: Path) -> None:
    """test/e2e/storage/testsuites/subpath.go: directory, file, expression, "should fail if subpath directory is outside
    the volume"; KEP-3857: recursive read-only and its status; mountPropagation as in
    test/e2e/node/mount_propagation.go; KEP-4639: image volumes, read-only and noexec."""
    (shared_mount / "below").mkdir()
    _sh(f"mount -t tmpfs tmpfs {shared_mount}/below")
    host = {"hostPath": {"path": str(shared_mount)}}
    env = [{"name": "ME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]
    parts = _pod(
        "parts",
        {"v": {"emptyDir": {}}, "h": host, "i": {"image": {"reference": HELLO, "pullPolicy": "IfNotPresent"}}},
        mounts={
            "v": {}, "v1": {"subPath": "a/b"}, "v2": {"subPathExpr": "$(ME)/x"}, "v3": {"subPath": "a/b", "readOnly": True},
            "h1": {"readOnly": True}, "h2": {"readOnly": True, "recursiveReadOnly": "Enabled"},
            "h3": {"mountPropagation": "HostToContainer"}, "i": {}, "i1": {"subPath": "etc", "readOnly": True},
        },
    )  # fmt: skip
    parts["spec"]["containers"][0]["env"] = env
    both = _pod("both", {"h": host}, mounts={"h": {"mountPropagation": "Bidirectional"}})
    both["spec"]["containers"][0]["securityContext"] = {"privileged": True}
    escape = _pod("escape", {"v": {"emptyDir": {}}}, mounts={"v": {"subPath": "out"}})
    link = shell("ln -s /etc /v/out", "link", volumeMounts=[{"name": "v", "mountPath": "/v"}])
    escape["spec"]["initContainers"] = [link]
    missing = _pod("missing", {"i": {"image": {"reference": "sampan/none:1", "pullPolicy": "Never"}}})
    cluster.apply(documents(parts, both, escape, missing), namespace)
    _runs(cluster, namespace, "parts")

    shown = _run(cluster, namespace, "parts", "cd /; echo x > v1/file; cat v/a/b/file v3/file; [ -d v/parts/x ] && echo made; "
                 "touch v3/y h1/x h2/x h2/below/x i/x; touch h1/below/x && echo nested; [ -e i1/passwd ] && echo part; "
                 "i$(readlink -f /bin/sh) sh -c 'echo ran'; true")  # fmt: skip
    lines = shown.splitlines()
    assert lines[:3] == ["x", "x", "made"], shown
    assert sum("Read-only file system" in line for line in lines) == 5, shown
    assert "nested" in lines and "part" in lines and "ran" not in lines and "Permission denied" in lines[-1], shown

    (shared_mount / "later").mkdir()
    _sh(f"mount -t tmpfs tmpfs {shared_mount}/later; touch {shared_mount}/later/seen")
    assert _run(cluster, namespace, "parts", "cd /; ls h3/later h1/later") == "h1/later:\n\nh3/later:\nseen"
    # A machine may not let a container be privileged, as this asks for: then it is made and does not start.
    by_uid = f"label=io.kubernetes.pod.uid={cluster.get('pod', 'both', namespace=namespace)['metadata']['uid']}"
    by_name = "label=io.kubernetes.container.name=main"

    def made() -> list[str]:
        return cluster.docker("ps", "-aq", "--filter", by_uid, "--filter", by_name).split()

    container = eventually_sync(made, "a container with Bidirectional mounts", within=40)[0]
    assert '"Propagation":"rshared"' in cluster.docker("inspect", "-f", "{{json .HostConfig.Mounts}}", container)

    mounted = {
        m["mountPath"]: m for m in statuses(cluster.get("pod", "parts", namespace=namespace))["main"]["volumeMounts"]
    }
    assert (mounted["/h1"]["recursiveReadOnly"], mounted["/h2"]["recursiveReadOnly"]) == ("Disabled", "Enabled")

    def waits(name: str, reason: str, text: str) -> bool:
        state = statuses(cluster.get("pod", name, namespace=namespace))["main"]["state"].get("waiting", {})
        assert state.get("reason") == reason and text in state.get("message", ""), state
        return True

    refused = 'failed to prepare subPath for volumeMount "v" of container "main"'
    eventually_sync(lambda: waits("escape", "CreateContainerConfigError", refused), "no way out", within=40)
    eventually_sync(lambda: waits("missing", "ErrImageNeverPull", "sampan/none:1"), "no image", within=40)


def test_what_a_container_finds_when_it_starts_again(cluster: Cluster, namespace: str) -> None:
    """Its part of a volume, mounted once however often it starts, and its own names, whatever it has written there."""
    script = "echo x >> /v/f; [ $(wc -l < /v/f) -lt 3 ] && head -c 3000000 /dev/urandom > /etc/hosts && exit 1; "
    cluster.apply(
        documents(_pod("again", {"v": {"emptyDir": {}}}, script=script + SLEEP, mounts={"v": {"subPath": "p"}})),
        namespace,
    )
    eventually_sync(
        lambda: statuses(cluster.get("pod", "again", namespace=namespace)).get("main", {}).get("restartCount") == 2,
        "it has failed twice", within=60, pause=0.5,
    )  # fmt: skip
    _runs(cluster, namespace, "again")
    found = cluster.get("pod", "again", namespace=namespace)
    assert _run(cluster, namespace, "again", "wc -l < /v/f; grep -c again /etc/hosts") == "3\n1"
    mounted = [m for m in _mounts_below(_pods_directory(cluster)) if found["metadata"]["uid"] in m and "subpaths" in m]
    assert len(mounted) == 1, mounted


def test_storage_that_was_claimed(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    """persistentVolumeClaim on hostPath, local and NFS, generic ephemeral volumes
    (https://kubernetes.io/docs/concepts/storage/ephemeral-volumes/#generic-ephemeral-volumes); a claim that is not bound:
    pkg/kubelet/volumemanager/populator/desired_state_of_world_populator.go."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "kept").write_text("kept\n")
    (tmp_path / "disk" / "kept").chmod(0o600)
    node = cluster.node()["metadata"]["name"]
    here = [{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}]

    def volume(name: str, **source: Any) -> Obj:
        spec = {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": f"{namespace}-{name}",
        }
        return _object("PersistentVolume", f"{namespace}-{name}", spec={**spec, **source})

    def claim(name: str, **more: Any) -> Obj:
        return _object("PersistentVolumeClaim", name, spec={**_claim_spec(f"{namespace}-{name}"), **more})

    on_node = {"nodeAffinity": {"required": {"nodeSelectorTerms": here}}}
    device = next(path for path in Path("/dev").iterdir() if path.is_block_device())
    volumes = [
        volume("host", hostPath={"path": str(tmp_path / "host"), "type": "DirectoryOrCreate"}),
        volume("local", local={"path": str(tmp_path / "disk")}, **on_node),
        volume("block", local={"path": str(device)}, volumeMode="Block", **on_node),
        volume("own", hostPath={"path": str(tmp_path / "own")}),
        volume("nfs", nfs={"server": "127.0.0.1", "path": "/none"}, mountOptions=["soft", "retry=0", "timeo=5"]),
    ]
    of = {name: {"persistentVolumeClaim": {"claimName": name}} for name in ("host", "local", "nfs", "unbound")}
    template = {"volumeClaimTemplate": {"spec": _claim_spec(f"{namespace}-own")}}
    uses = _pod("uses", {"host": of["host"], "local": of["local"], "own": {"ephemeral": template}},
                securityContext={"fsGroup": 1234})  # fmt: skip
    uses["spec"]["volumes"].append({"name": "block", "persistentVolumeClaim": {"claimName": "block"}})
    uses["spec"]["containers"][0]["volumeDevices"] = [{"name": "block", "devicePath": "/dev/claimed"}]
    volumes[0]["metadata"]["annotations"] = {"pv.beta.kubernetes.io/gid": "4321"}
    reads = _pod("reads", {"local": {"persistentVolumeClaim": {"claimName": "local", "readOnly": True}}})
    try:
        cluster.apply(documents(*volumes, *map(claim, of), claim("block", volumeMode="Block"), uses, reads, _pod("nfs", {"v": of["nfs"]}),
                                _pod("unbound", {"v": of["unbound"]}, nodeName=node)), namespace)  # fmt: skip
        _runs(cluster, namespace, "uses", "reads")
        shown = _run(
            cluster,
            namespace,
            "uses",
            "cd /; touch host/x own/x local/y; stat -c '%a %g' local local/kept; cat local/kept; "
            "[ -b /dev/claimed ] && echo device; id -G",
        )
        *lines, groups = shown.splitlines()
        assert lines == ["2775 1234", "660 1234", "kept", "device"] and {"1234", "4321"} <= set(groups.split()), shown
        assert (tmp_path / "host" / "x").exists()
        assert "Read-only file system" in _run(cluster, namespace, "reads", "touch /local/z; true")
        failed = f'MountVolume.SetUp failed for volume "{namespace}-nfs" : mount failed: exit status'
        _told(cluster, namespace, "nfs", "FailedMount", failed)
        _told(
            cluster,
            namespace,
            "nfs",
            "FailedMount",
            "Mounting arguments: -t nfs -o soft,retry=0,timeo=5 127.0.0.1:/none ",
        )
        text = f"error processing PVC {namespace}/unbound: PVC is not bound"
        _told(cluster, namespace, "unbound", "FailedMount", "Unable to attach or mount volumes: unmounted volumes=[v], "
              f"unattached volumes=[], failed to process volumes=[v]: {text}")  # fmt: skip
    finally:
        cluster.kubectl("delete", "pods", "--all", namespace=namespace)
        cluster.kubectl("delete", "pv", *(v["metadata"]["name"] for v in volumes), "--wait=false", "--ignore-not-found")


def _claim_spec(storage_class: str) -> Obj:
    requests = {"requests": {"storage": "1Gi"}}
    return {"accessModes": ["ReadWriteOnce"], "storageClassName": storage_class, "resources": requests}


def test_a_killed_kubelet_renews_tokens_and_leaves_no_mount(cluster: Cluster, namespace: str) -> None:
    """Within a sync period a running pod has a new token file (the kubelet remembers none over a restart; when it renews
    them by age is tests/unit/kubelet/test_tokens.py), and no container restarts for it. Volumes of a pod that ended while
    nobody watched are unmounted and its directory goes (kubelet_volumes.go cleanupOrphanedPodDirs)."""
    volumes: dict[str, Obj] = {"mem": {"emptyDir": {"medium": "Memory"}}, "v": {"emptyDir": {}}}
    mounts: dict[str, Obj] = {"mem": {}, "v1": {"subPath": "x"}}
    cluster.apply(documents(*(_pod(name, volumes, mounts=mounts) for name in ("stays", "goes"))), namespace)
    _runs(cluster, namespace, "stays", "goes")
    goes = cluster.get("pod", "goes", namespace=namespace)["metadata"]["uid"]
    directory = _pods_directory(cluster) / goes
    assert len(_mounts_below(directory)) == 3
    token = "/var/run/secrets/kubernetes.io/serviceaccount/token"
    first = _run(cluster, namespace, "stays", f"cat {token}")

    (config,) = cluster.data.glob("nodes/*/kubelet.yaml")
    before = config.read_text()
    config.write_text(yaml.safe_dump({**yaml.safe_load(before), "syncFrequency": "2s"}))
    try:
        cluster.kubectl("delete", "pod", "goes", "--wait=false", namespace=namespace)
        cluster.kill(cluster.pid(*KUBELET))

        def renewed() -> bool:
            return _run(cluster, namespace, "stays", f"cat {token}", check=False).count(".") == 2 and (
                _run(cluster, namespace, "stays", f"cat {token}", check=False) != first
            )

        eventually_sync(renewed, "the token is another one", within=60, pause=0.5)
        eventually_sync(lambda: not directory.exists() and not _mounts_below(directory), "nothing is left", within=60)
        assert statuses(cluster.get("pod", "stays", namespace=namespace))["main"]["restartCount"] == 0
    finally:
        config.write_text(before)
        cluster.kill(cluster.pid(*KUBELET))


def test_a_pod_that_has_ended_keeps_its_words_and_lets_its_volumes_go(cluster: Cluster, namespace: str) -> None:
    """kubelet.go SyncTerminatedPod: what it held, memory among it, is free before anybody deletes it."""
    volumes: dict[str, Obj] = {"mem": {"emptyDir": {"medium": "Memory"}}, "v": {"emptyDir": {}}}
    ended = _pod("ended", volumes, "echo kept > /v/file; echo words; echo last > /dev/termination-log")
    ended["spec"]["restartPolicy"] = "Never"
    cluster.apply(documents(ended), namespace)

    def succeeded() -> Obj:
        found = cluster.get("pod", "ended", namespace=namespace)
        assert found["status"].get("phase") == "Succeeded", found["status"]
        return found

    found = eventually_sync(succeeded, "it has ended", within=60)
    assert statuses(found)["main"]["state"]["terminated"]["message"] == "last\n"
    uid = found["metadata"]["uid"]
    directory = _pods_directory(cluster) / uid
    eventually_sync(
        lambda: not _mounts_below(directory) and not (directory / "volumes").exists(), "nothing is held", within=15
    )
    assert cluster.kubectl("logs", "ended", namespace=namespace).stdout == "words\n"
    cluster.kill(cluster.pid(*KUBELET))
    cluster.kubectl("delete", "pod", "ended", namespace=namespace)
    eventually_sync(lambda: not directory.exists(), "and then nothing is there", within=30)
