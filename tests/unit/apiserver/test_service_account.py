"""The ServiceAccount step, by
https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#serviceaccount-admission-controller and
https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/."""

from __future__ import annotations

from typing import Any

import pytest

from api.builtin import PODS, SERVICE_ACCOUNTS
from api.errors import Forbidden
from api.meta import Obj
from apiserver.admission import service_account
from apiserver.admission.service_account import ServiceAccount
from tests.unit.apiserver.admitting import Objects, admit, names

AT = "/var/run/secrets/kubernetes.io/serviceaccount"
MIRROR = {"kubernetes.io/config.mirror": "x"}


def account(name: str = "default", **more: Any) -> tuple[Any, Obj]:
    return SERVICE_ACCOUNTS, {"metadata": {"name": name, "namespace": "a", **more.pop("metadata", {})}, **more}


def pod(annotations: dict[str, str] | None = None, **spec: Any) -> Obj:
    metadata = {"name": "x", "namespace": "a", "annotations": annotations or {}}
    return {"metadata": metadata, "spec": {"containers": [{"name": "c"}], **spec}}


async def admitted(tried: Obj, *accounts: tuple[Any, Obj], **more: Any) -> Obj:
    step = ServiceAccount(Objects(*(accounts or (account(),))).store)
    spec: Obj = (await admit(step, PODS, tried, **more))["spec"]
    return spec


async def test_a_pod_runs_as_default_unless_it_says_otherwise() -> None:
    """Steps 1 of the document; the deprecated `serviceAccount` follows."""
    spec = await admitted(pod())
    assert (spec["serviceAccountName"], spec["serviceAccount"]) == ("default", "default")
    spec = await admitted(pod(serviceAccountName="app"), account("app"))
    assert spec["serviceAccount"] == "app"
    spec = await admitted(pod(serviceAccount="app"), account("app"))
    assert spec["serviceAccountName"] == "app"


async def test_an_account_that_is_not_there_is_refused() -> None:
    """Step 2 of the document."""
    why = 'pods "x" is forbidden: error looking up service account a/app: serviceaccount "app" not found'
    with pytest.raises(Forbidden) as caught:
        await admitted(pod(serviceAccountName="app"))
    assert caught.value.message == why


async def test_the_default_account_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A namespace and a pod in it right after: the controller is about to make the account."""
    monkeypatch.setattr(service_account, "_PAUSE", (0, 0))
    objects, asked = Objects(), []

    def missed() -> None:
        asked.append(1)
        if len(asked) == 3:
            objects.put(*account())

    objects.missed = missed
    made = await admit(ServiceAccount(objects.store), PODS, pod())
    assert made["spec"]["serviceAccountName"] == "default"
    objects.remove(SERVICE_ACCOUNTS, "a", "default")
    with pytest.raises(Forbidden, match="error looking up service account a/default"):
        await admit(ServiceAccount(objects.store), PODS, pod())
    assert len(asked) == 13


async def test_every_container_gets_the_token() -> None:
    """https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#bound-service-account-token-volume"""
    spec = await admitted(pod(initContainers=[{"name": "i", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]))
    (volume,) = spec["volumes"]
    name = volume["name"]
    assert name.startswith("kube-api-access-") and len(name) == len("kube-api-access-") + 5
    assert volume == {
        "name": name,
        "projected": {
            "defaultMode": 420,
            "sources": [
                {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {"downwardAPI": {"items": [
                    {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
            ],
        },
    }  # fmt: skip
    mount = {"name": name, "readOnly": True, "mountPath": AT}
    assert spec["containers"][0]["volumeMounts"] == [mount]
    assert spec["initContainers"][0]["volumeMounts"] == [{"name": "v", "mountPath": "/v"}, mount]


async def test_what_stands_at_the_place_stays() -> None:
    own = {"name": "own", "mountPath": AT}
    spec = await admitted(pod(containers=[{"name": "c", "volumeMounts": [own]}], volumes=[{"name": "own"}]))
    assert names(spec["volumes"]) == ["own"] and spec["containers"][0]["volumeMounts"] == [own]
    spec = await admitted(pod(volumes=[{"name": "kube-api-access-mine"}]))
    assert names(spec["volumes"]) == ["kube-api-access-mine"]
    assert names(spec["containers"][0]["volumeMounts"]) == ["kube-api-access-mine"]


@pytest.mark.parametrize(
    ("of_account", "of_pod", "mounted"),
    [(None, None, True), (False, None, False), (True, None, True), (False, True, True), (True, False, False)],
)
async def test_automount_can_be_opted_out_of(of_account: bool | None, of_pod: bool | None, mounted: bool) -> None:
    """https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/#opt-out-of-api-credential-automounting :
    the pod's word counts more than its account's."""
    given = account() if of_account is None else account(automountServiceAccountToken=of_account)
    asked = pod() if of_pod is None else pod(automountServiceAccountToken=of_pod)
    assert ("volumes" in await admitted(asked, given)) is mounted


async def test_pull_secrets_come_from_the_account() -> None:
    """https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/#add-imagepullsecrets-to-a-service-account"""
    given = account(imagePullSecrets=[{"name": "myregistrykey"}])
    assert (await admitted(pod(), given))["imagePullSecrets"] == [{"name": "myregistrykey"}]
    assert (await admitted(pod(imagePullSecrets=[{"name": "own"}]), given))["imagePullSecrets"] == [{"name": "own"}]
    assert "imagePullSecrets" not in await admitted(pod())


ENV = [{"name": "E", "valueFrom": {"secretKeyRef": {"name": "other", "key": "k"}}}]
FROM = [{"secretRef": {"name": "other"}}]


def container(**more: Any) -> list[Obj]:
    return [{"name": "c", **more}]


@pytest.mark.parametrize(
    ("spec", "what", "kind"),
    [
        ({"volumes": [{"name": "v", "secret": {"secretName": "other"}}]}, 'volume with secret.secretName="other"', ""),
        ({"containers": container(env=ENV)}, 'container c with envVar E referencing secret.secretName="other"', ""),
        ({"containers": container(envFrom=FROM)}, 'container c with envFrom referencing secret.secretName="other"', ""),
        ({"initContainers": container(env=ENV)},
         'init container c with envVar E referencing secret.secretName="other"', ""),
        ({"imagePullSecrets": [{"name": "other"}]}, 'imagePullSecrets[0].name="other"', "imagePullS"),
    ],
    ids=["volume", "variable", "variables", "init container", "pull secret"],
)  # fmt: skip
async def test_an_account_may_say_which_secrets_its_pods_mount(spec: Obj, what: str, kind: str) -> None:
    """https://kubernetes.io/docs/concepts/security/service-accounts/#enforce-mountable-secrets"""
    enforced = {"annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}}
    with pytest.raises(Forbidden) as caught:
        await admitted(pod(**spec), account(metadata=enforced, secrets=[{"name": "mine"}]))
    kind = "imagePullSecret" if kind else "secret"
    assert caught.value.message == (
        f'pods "x" is forbidden: {what} is not allowed because service account default does not reference that {kind}'
    )
    refers: Obj = {"secrets": [{"name": "other"}], "imagePullSecrets": [{"name": "other"}]}
    await admitted(pod(**spec), account(metadata=enforced, **refers))
    await admitted(pod(**spec), account())


async def test_an_ephemeral_container_is_held_to_the_same() -> None:
    """CVE-2023-2728 and CVE-2024-3177."""
    enforced = account(metadata={"annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}})
    old = pod(serviceAccountName="default")
    new = pod(serviceAccountName="default", ephemeralContainers=container(envFrom=FROM))
    with pytest.raises(Forbidden, match='ephemeral container c with envFrom referencing secret.secretName="other" is'):
        await admitted(new, enforced, old=old, subresource="ephemeralcontainers")
    await admitted(new, old=old, subresource="ephemeralcontainers")


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({"serviceAccountName": "default"}, "a mirror pod may not reference service accounts"),
        ({"volumes": [{"name": "v", "secret": {"secretName": "s"}}]}, "a mirror pod may not reference secrets"),
        ({"containers": container(env=ENV)}, "a mirror pod may not reference secrets"),
        ({"volumes": [{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]},
         "a mirror pod may not use ServiceAccountToken volume projections"),
    ],
)  # fmt: skip
async def test_a_mirror_pod_has_no_identity(spec: Obj, why: str) -> None:
    """What a kubelet read from a file of its own is left as it is, and refers to nothing of the cluster."""
    with pytest.raises(Forbidden, match=why):
        await admitted(pod(MIRROR, **spec))
    assert await admitted(pod(MIRROR)) == pod(MIRROR)["spec"]
