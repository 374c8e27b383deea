"""ServiceAccount: every pod runs as an account that is there, `default` when it names none, and is given the account's
token, the cluster's CA and its namespace as files, and the account's pull secrets.

https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#serviceaccount-admission-controller ;
texts as in k8s.io/kubernetes/plugin/pkg/admission/serviceaccount. The kubelet fills the volume
(kubelet/volumes/projected.py); kube-root-ca.crt comes from controller/service_account.py.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator

from api import meta
from api.builtin import PODS, SERVICE_ACCOUNTS
from api.errors import NotFound
from api.meta import Obj
from api.objects import generate_name
from api.registry import Resource
from apiserver.admission.chain import Attempt, Plugin
from apiserver.auth.node import references
from apiserver.storage.store import Store

_MIRROR = "kubernetes.io/config.mirror"
_ENFORCED = "kubernetes.io/enforce-mountable-secrets"
_TRUE = ("1", "t", "T", "true", "TRUE", "True")  # as Go's strconv.ParseBool
_DEFAULT = "default"
_TRIES, _PAUSE = 10, (0.1, 0.2)  # the controller may be about to make the default account
_VOLUME, _MOUNT = "kube-api-access-", "/var/run/secrets/kubernetes.io/serviceaccount"
_SECONDS = 3607  # upstream's mark of a token that nobody asked for
_KINDS = {"initContainers": "init container", "containers": "container"}
_EPHEMERAL = "ephemeralcontainers"


class ServiceAccount(Plugin):
    name = "ServiceAccount"

    def __init__(self, store: Store) -> None:
        self._store = store

    def handles(self, verb: str, res: Resource, subresource: str) -> bool:
        return res is PODS and (verb, subresource) in (("create", ""), ("update", _EPHEMERAL))

    async def mutate(self, attempt: Attempt) -> None:
        pod = attempt.new()
        if attempt.subresource or _is_mirror(pod):
            return
        spec = pod["spec"]
        name = spec.get("serviceAccountName") or spec.get("serviceAccount") or _DEFAULT
        spec["serviceAccountName"] = spec["serviceAccount"] = name
        account = await self._account(attempt, name)
        if spec.get("automountServiceAccountToken", account.get("automountServiceAccountToken")) is not False:
            _mount_token(spec)
        if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
            spec["imagePullSecrets"] = account["imagePullSecrets"]

    async def validate(self, attempt: Attempt) -> None:
        pod = attempt.new()
        spec = pod["spec"]
        if not attempt.subresource and _is_mirror(pod):
            _check_mirror(attempt, pod)
            return
        if not spec.get("serviceAccountName"):
            raise attempt.forbidden(f"no service account specified for pod {attempt.namespace}/{attempt.name}")
        account = await self._account(attempt, spec["serviceAccountName"])
        if meta.annotations(account).get(_ENFORCED) in _TRUE:
            found = _of_containers(spec, {"ephemeralContainers": "ephemeral container"})
            for what, secret in found if attempt.subresource else _secrets(spec):
                if not any(ref.get("name") == secret for ref in account.get("secrets") or ()):
                    raise _unreferenced(attempt, f'{what} secret.secretName="{secret}"', account, "secret")
            if not attempt.subresource:
                _check_pull_secrets(attempt, spec, account)

    async def _account(self, attempt: Attempt, name: str) -> Obj:
        """From the cache; one that is not in it is asked for with a consistent read."""
        found = self._store.peek(SERVICE_ACCOUNTS, attempt.namespace, name)
        tries = _TRIES if name == _DEFAULT else 1
        while found is None:
            try:
                found = await self._store.get(SERVICE_ACCOUNTS, attempt.namespace, name)
            except NotFound as error:
                tries -= 1
                if not tries:
                    raise attempt.forbidden(
                        f"error looking up service account {attempt.namespace}/{name}: "
                        f'serviceaccount "{name}" not found'
                    ) from error
                await asyncio.sleep(random.uniform(*_PAUSE))
        return found.obj()


def _is_mirror(pod: Obj) -> bool:
    return _MIRROR in meta.annotations(pod)


def _check_mirror(attempt: Attempt, pod: Obj) -> None:
    """What the kubelet read from a file has no identity."""
    spec = pod["spec"]
    if spec.get("serviceAccountName") or spec.get("serviceAccount"):
        raise attempt.forbidden("a mirror pod may not reference service accounts")
    if any(plural == "secrets" for plural, _, _ in references(pod)):
        raise attempt.forbidden("a mirror pod may not reference secrets")
    sources = [s for volume in spec.get("volumes") or () for s in (volume.get("projected") or {}).get("sources") or ()]
    if any(source.get("serviceAccountToken") is not None for source in sources):
        raise attempt.forbidden("a mirror pod may not use ServiceAccountToken volume projections")


def _mount_token(spec: Obj) -> None:
    """A volume with the token for every container that has nothing at its place yet."""
    volumes = spec.get("volumes") or []
    present = next((volume["name"] for volume in volumes if volume.get("name", "").startswith(_VOLUME)), "")
    name, needed = present or generate_name(_VOLUME), False
    for kind in _KINDS:
        for container in spec.get(kind) or ():
            mounts = container.get("volumeMounts") or []
            if not any(mount.get("mountPath") == _MOUNT for mount in mounts):
                container["volumeMounts"] = [*mounts, {"name": name, "readOnly": True, "mountPath": _MOUNT}]
                needed = True
    if needed and not present:
        spec["volumes"] = [*volumes, _volume(name)]


def _volume(name: str) -> Obj:
    namespace = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    sources = [
        {"serviceAccountToken": {"expirationSeconds": _SECONDS, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [namespace]}},
    ]
    return {"name": name, "projected": {"sources": sources, "defaultMode": 0o644}}


def _secrets(spec: Obj) -> Iterator[tuple[str, str]]:
    """(what refers to it, the name of a secret)"""
    for volume in spec.get("volumes") or ():
        if volume.get("secret") is not None:
            yield "volume with", volume["secret"].get("secretName", "")
    yield from _of_containers(spec, _KINDS)


def _of_containers(spec: Obj, kinds: dict[str, str]) -> Iterator[tuple[str, str]]:
    for kind, what in kinds.items():
        for container in spec.get(kind) or ():
            whose = f"{what} {container.get('name', '')} with"
            for variable in container.get("env") or ():
                ref = (variable.get("valueFrom") or {}).get("secretKeyRef")
                if ref is not None:
                    yield f"{whose} envVar {variable.get('name', '')} referencing", ref.get("name", "")
            for source in container.get("envFrom") or ():
                if source.get("secretRef") is not None:
                    yield f"{whose} envFrom referencing", source["secretRef"].get("name", "")


def _check_pull_secrets(attempt: Attempt, spec: Obj, account: Obj) -> None:
    allowed = [ref.get("name") for ref in account.get("imagePullSecrets") or ()]
    for index, ref in enumerate(spec.get("imagePullSecrets") or ()):
        if ref.get("name") not in allowed:
            raise _unreferenced(attempt, f'imagePullSecrets[{index}].name="{ref.get("name", "")}"', account,
                "imagePullSecret")  # fmt: skip


def _unreferenced(attempt: Attempt, what: str, account: Obj, kind: str) -> Exception:
    return attempt.forbidden(
        f"{what} is not allowed because service account {meta.name(account)} does not reference that {kind}"
    )
