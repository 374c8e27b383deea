"""Who may use an image that is on the node already (KEP-2535).

What the kubelet pulled with a pod's secrets, it gives to other pods only if they have credentials that were good
for it too; others must pull for themselves, and the registry decides. What it pulled without any, or with the
node's own, is for all, and so, unless configured otherwise, is what somebody else put onto the node.

A record per image lies in `<root>/image_manager/pulled`; what is being pulled is noted in `pulling`, so that
after a crash in between nobody takes the image for one that was always there.

Rules: pkg/kubelet/images/pullmanager/{image_pull_manager,image_pull_policies}.go.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from api.meta import Obj, parse_time, rfc3339
from client import log
from client.clock import Clock
from kubelet.images import reference
from kubelet.images.keyring import Credential

_log = log.get("images")
_API_VERSION = "kubelet.config.k8s.io/v1beta1"
_MOST_SECRETS = 100
"""So many of an image are remembered while pods of ever new namespaces use it."""

Verification = Callable[[str, bool], bool]
"""(repository, pulled by this kubelet) → whether a pod must have credentials for it."""


def verification(policy: str, allowed: Sequence[str]) -> Verification:
    """imagePullCredentialsVerificationPolicy, and preloadedImagesVerificationAllowlist: names of repositories in full,
    or `registry/path/*`. ValueError for anything else."""
    for each in allowed:
        _check_allowed(each, policy)

    def is_allowed(repository: str) -> bool:
        return any(
            repository.startswith(each.removesuffix("*")) if each.endswith("/*") else repository == each
            for each in allowed
        )

    return {
        "NeverVerify": lambda _, __: False,
        "NeverVerifyPreloadedImages": lambda _, pulled: pulled,
        "NeverVerifyAllowlistedImages": lambda repository, _: not is_allowed(repository),
        "AlwaysVerify": lambda _, __: True,
    }[policy]


def _check_allowed(pattern: str, policy: str) -> None:
    if policy != "NeverVerifyAllowlistedImages":
        raise ValueError(f"has no meaning with the policy {policy}")
    prefix = pattern.removesuffix("*") if pattern.endswith("/*") else ""
    if "*" in (prefix or pattern):
        raise ValueError(f"not a valid wildcard pattern, only patterns ending with '/*' are allowed: {pattern}")
    if prefix == "/":
        raise ValueError("at least registry hostname is required")
    if not prefix and pattern != reference.parse(pattern).repository:
        raise ValueError(f"not the full name of a repository: {pattern}")


def must_pull(record: Obj | None, repository: str, credentials: Sequence[Credential]) -> bool:
    """Whether what is known of an image gives a pod with these credentials no right to it."""
    known = ((record or {}).get("credentialMapping") or {}).get(repository)
    if known is None or known.get("nodePodsAccessible"):
        return known is None
    secrets = known.get("kubernetesSecrets") or []
    digests = {secret["credentialHash"] for secret in secrets}
    places = {(secret["uid"], secret["namespace"], secret["name"]) for secret in secrets}
    return not any(
        credential.digest in digests or _place(credential) in places
        for credential in credentials
        if credential.source is not None
    )


def with_credential(record: Obj, repository: str, used: Credential | None) -> Obj:
    """The record after a pull that succeeded with `used`; None or the node's own open the image to every pod."""
    known: Obj = (record.get("credentialMapping") or {}).get(repository) or {}
    if used is None or used.source is None:
        known = {"nodePodsAccessible": True}
    elif not known.get("nodePodsAccessible"):
        uid, namespace, name = _place(used)
        secret = {"uid": uid, "namespace": namespace, "name": name, "credentialHash": used.digest}
        others = [
            each
            for each in known.get("kubernetesSecrets") or []
            if (each["uid"], each["namespace"], each["name"]) != (uid, namespace, name)
        ]
        known = {"kubernetesSecrets": [*others, secret][-_MOST_SECRETS:]}
    return {**record, "credentialMapping": {**(record.get("credentialMapping") or {}), repository: known}}


def _place(credential: Credential) -> tuple[str, str, str]:
    source = credential.source
    return (source.uid, source.namespace, source.name) if source is not None else ("", "", "")


class Records:
    """The files, and what they say. Reading is from memory; writing blocks: call it off the event loop."""

    def __init__(self, root: Path, clock: Clock) -> None:
        self._pulled, self._pulling = root / "image_manager" / "pulled", root / "image_manager" / "pulling"
        self._clock = clock
        self._records: dict[str, Obj] = {}
        """By file name. An empty one could not be read: the image is ours, and nobody's credentials are known."""
        self._intents: dict[str, int] = {}
        """By image name: how many pulls of it are under way, or were when the last kubelet ended."""

    def load(self) -> list[str]:
        """Reads what is there. Returns what was being pulled when the last kubelet ended."""
        for directory in (self._pulled, self._pulling):
            directory.mkdir(0o700, parents=True, exist_ok=True)
        self._records = _read_all(self._pulled)
        left = [str(each["image"]) for each in _read_all(self._pulling).values() if each]
        self._intents = dict.fromkeys(left, 1)
        return left

    def get(self, image_id: str) -> Obj | None:
        return self._records.get(_file_name(image_id))

    def is_ours(self, image: str, image_id: str) -> bool:
        return _file_name(image_id) in self._records or image in self._intents

    def begin(self, image: str) -> None:
        self._intents[image] = self._intents.get(image, 0) + 1
        if self._intents[image] == 1:
            _write(self._pulling, image, {"kind": "ImagePullIntent", "apiVersion": _API_VERSION, "image": image})

    def end(self, image: str) -> None:
        self._intents[image] = self._intents.get(image, 0) - 1
        if self._intents[image] <= 0:
            (self._pulling / _file_name(image)).unlink(missing_ok=True)
            del self._intents[image]

    def add(self, image_id: str, repository: str, used: Credential | None) -> None:
        record = self.get(image_id)
        self._put(with_credential(record or self._new(image_id), repository, used), record)

    def add_unknown(self, image_id: str) -> None:
        """It came from a pull of ours, whose credentials nobody remembers."""
        if not self.get(image_id):
            self._put(self._new(image_id), None)

    def _new(self, image_id: str) -> Obj:
        return {"kind": "ImagePulledRecord", "apiVersion": _API_VERSION, "imageRef": image_id, "credentialMapping": {}}

    def _put(self, record: Obj, before: Obj | None) -> None:
        if record != before:
            record = {**record, "lastUpdatedTime": rfc3339(self._clock.now())}
            _write(self._pulled, record["imageRef"], record)
            self._records[_file_name(record["imageRef"])] = record

    def prune(self, images: Iterable[str], before: datetime) -> None:
        """Forgets images that are no more, unless their record is newer than the list."""
        there = {_file_name(image) for image in images}
        for name, record in list(self._records.items()):
            if name not in there and (not record or parse_time(record["lastUpdatedTime"]) < before):
                (self._pulled / name).unlink(missing_ok=True)
                del self._records[name]


def _file_name(name: str) -> str:
    return f"sha256-{sha256(name.encode()).hexdigest()}"


def _write(directory: Path, name: str, content: Mapping[str, object]) -> None:
    """All of it or nothing, whenever we are killed."""
    path = directory / _file_name(name)
    new = path.with_suffix(".tmp")
    new.write_text(json.dumps(content))
    new.rename(path)


def _read_all(directory: Path) -> dict[str, Obj]:
    return {path.name: _read(path) for path in directory.glob("sha256-*") if not path.suffix}


def _read(path: Path) -> Obj:
    try:
        document: Obj = json.loads(path.read_text())
    except ValueError as error:  # the machine went down before it reached the disk
        _log.warning("unreadable record of an image", file=str(path), why=str(error))
        return {}
    return document
