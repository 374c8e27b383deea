"""Credentials: what gets in, and what ends with the object it came from or was bound to.

https://kubernetes.io/docs/reference/access-authn-authz/authentication/ ,
https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/ ,
https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/ ,
https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/
"""

from __future__ import annotations

import base64
import hmac
import json
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from kubernetes.client import CoreV1Api

from api import signing
from client.kubeconfig import RestConfig
from controller.account_tokens import ACCOUNT_NAME, ACCOUNT_TOKEN, ACCOUNT_UID
from controller.bootstrap_signer import signature
from deploy.certificates import Pair, Request, issue, new_authority
from tests.harness.apiserver import ApiServer
from tests.harness.eventually import eventually_sync
from tests.harness.raw import Raw
from tests.harness.upstream import Kubectl
from tests.integration.conftest import Start
from tests.integration.manifests import pod

WHO = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"
UNAUTHORIZED = {
    "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": "Unauthorized",
    "reason": "Unauthorized", "code": 401,
}  # fmt: skip


@contextmanager
def bearing(apiserver: ApiServer, token: str) -> Iterator[Raw]:
    raw = Raw(apiserver.bearer(token))
    try:
        yield raw
    finally:
        raw.close()


def who(apiserver: ApiServer, token: str) -> dict[str, Any] | None:
    """The server's word on whose token it is; None when it is nobody's, in constant shape."""
    with bearing(apiserver, token) as raw:
        answer = raw.send("POST", WHO, {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"})
    if answer.status_code == 201:
        info: dict[str, Any] = answer.json()["status"]["userInfo"]
        return info
    assert (answer.status_code, answer.json()) == (401, UNAUTHORIZED)
    return None


def bound(kubectl: Kubectl, kind: str, name: str, *flags: str) -> str:
    told = kubectl.run("create", "token", "default", f"--bound-object-kind={kind}", f"--bound-object-name={name}",
                       *flags)  # fmt: skip
    return told.ok().stdout.strip()


def test_a_token_of_a_pod_ends_with_the_pod(apiserver: ApiServer, core: CoreV1Api, kubectl: Kubectl) -> None:
    """#bound-service-account-tokens: also that it tells of the pod and of its node."""
    namespace, node = kubectl.namespace, f"node-{kubectl.namespace}"
    core.create_node({"metadata": {"name": node}})
    body = pod("web")
    body["spec"]["nodeName"] = node
    made = core.create_namespaced_pod(namespace, body)
    token = bound(kubectl, "Pod", "web", f"--bound-object-uid={made.metadata.uid}")
    told = who(apiserver, token)
    assert told is not None
    assert told["username"] == f"system:serviceaccount:{namespace}:default"
    assert told["groups"] == ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"]
    claims = jwt.decode(token, options={"verify_signature": False})
    extra = {key.removeprefix("authentication.kubernetes.io/"): value for key, value in told["extra"].items()}
    uid = core.read_node(node).metadata.uid
    assert extra == {
        "credential-id": [f"JTI={claims['jti']}"], "pod-name": ["web"], "pod-uid": [made.metadata.uid],
        "node-name": [node], "node-uid": [uid],
    }  # fmt: skip
    assert claims["kubernetes.io"]["node"] == {"name": node, "uid": uid}
    core.delete_node(node)
    assert who(apiserver, token) is not None, "where the pod is, is told and not asked"
    core.delete_namespaced_pod("web", namespace, grace_period_seconds=0)
    assert who(apiserver, token) is None
    core.create_namespaced_pod(namespace, pod("web"))
    assert who(apiserver, token) is None, "another pod of that name"


@pytest.mark.parametrize("kind", ["Secret", "Node"])
def test_a_token_ends_with_what_it_is_bound_to(
    apiserver: ApiServer, core: CoreV1Api, kubectl: Kubectl, kind: str
) -> None:
    name = f"b-{kubectl.namespace}"
    manifest = {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}}
    kubectl.run("create", "-f", "-", stdin=json.dumps(manifest)).ok()
    token = bound(kubectl, kind, name)
    assert who(apiserver, token) is not None
    kubectl.run("delete", kind.lower(), name).ok()
    assert who(apiserver, token) is None
    wrong = kubectl.run("create", "token", "default", f"--bound-object-kind={kind}", f"--bound-object-name={name}")
    assert f'{kind.lower()}s "{name}" not found' in wrong.failed().stderr


def test_what_a_token_cannot_be_bound_to(core: CoreV1Api, kubectl: Kubectl) -> None:
    """Texts of k8s.io/kubernetes/pkg/registry/core/serviceaccount/storage/token.go"""
    core.create_namespaced_service_account(kubectl.namespace, {"metadata": {"name": "other"}})
    core.create_namespaced_pod(kubectl.namespace, pod("web"))
    asked = ("create", "token", "other", "--bound-object-kind=Pod", "--bound-object-name=web")
    refused = kubectl.run(*asked).failed().stderr
    assert 'cannot bind token for serviceaccount "other" to pod running with different serviceaccount name.' in refused
    uid = "--bound-object-uid=00000000-0000-0000-0000-000000000000"
    asked = ("create", "token", "default", "--bound-object-kind=Pod", "--bound-object-name=web", uid)
    refused = kubectl.run(*asked).failed().stderr
    assert "the UID in the bound object reference (00000000-0000-0000-0000-000000000000) does not match" in refused
    refused = kubectl.run("create", "token", "default", "--duration=1m").failed().stderr
    assert "spec.expirationSeconds: Invalid value: 60: may not specify a duration less than 10 minutes" in refused


def test_the_token_of_a_pod_lives_longer_than_it_asks(core: CoreV1Api, namespace: str) -> None:
    """--service-account-extend-token-expiration of kube-apiserver's reference, on unless it is turned off."""
    core.create_namespaced_pod(namespace, pod("web"))
    spec = {"expirationSeconds": 3607, "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "web"}}
    told = core.create_namespaced_service_account_token("default", namespace, {"spec": spec}).status
    claims = jwt.decode(told.token, options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == 365 * 24 * 3600
    assert claims["kubernetes.io"]["warnafter"] - claims["iat"] == 3607
    left = (told.expiration_timestamp - datetime.now(UTC)).total_seconds()
    assert 3590 < left < 3608


def test_audiences(apiserver: ApiServer, kubectl: Kubectl, http: Raw) -> None:
    """TokenReview answers for the audiences it is asked of; only the server's own open the server."""
    token = kubectl.run("create", "token", "default", "--audience=vault", "--audience=shop").ok().stdout.strip()
    assert who(apiserver, token) is None

    def review(*audiences: str) -> dict[str, Any]:
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "metadata": {},
                "spec": {"token": token, "audiences": list(audiences)}}  # fmt: skip
        status: dict[str, Any] = http.send("POST", REVIEWS, body).json()["status"]
        return status

    told = review("bank", "vault")
    assert told["authenticated"] and told["audiences"] == ["vault"]
    assert told["user"]["username"] == f"system:serviceaccount:{kubectl.namespace}:default"
    for audiences in ((), ("bank",)):
        assert review(*audiences) == {"authenticated": False, "user": {}, "error": "invalid bearer token"}


def bad_tokens(apiserver: ApiServer, good: str) -> dict[str, str]:
    """Every way in which a token of an account can be wrong."""
    key = signing.private_key(Path(apiserver.pki.file("sa.key")).read_bytes())
    stranger = ec.generate_private_key(ec.SECP256R1())
    claims = jwt.decode(good, options={"verify_signature": False})
    now = int(time.time())

    def made(key: signing.PrivateKey = key, **changes: Any) -> str:
        return signing.signed({k: v for k, v in (claims | changes).items() if v is not None}, key)

    header, payload, tail = good.split(".")
    kid = {"kid": signing.key_id(key.public_key())}
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    other = base64.urlsafe_b64encode(json.dumps({**claims, "sub": "system:admin"}).encode()).rstrip(b"=").decode()
    private = claims["kubernetes.io"]
    return {
        "expired": made(exp=now - 61),
        "not yet valid": made(nbf=now + 90),
        "issued in the future": made(iat=now + 90, nbf=now + 90),
        "wrong audience": made(aud=["somebody else"]),
        "no audience": made(aud=[]),
        "wrong issuer": made(iss="https://elsewhere.example"),
        "no issuer": made(iss=None),
        "no expiry": made(exp=None),
        "expiry of a wrong type": made(exp="soon"),
        "another subject": made(sub="system:serviceaccount:kube-system:default"),
        "another account": made(**{"kubernetes.io": {**private, "serviceaccount": {"name": "default", "uid": "u"}}}),
        "no account": made(**{"kubernetes.io": {"namespace": private["namespace"]}}),
        "claims of a wrong type": made(**{"kubernetes.io": "x"}),
        "wrong signature": f"{header}.{payload}.{tail[:-8]}{'A' * 8}",
        "no signature": f"{header}.{payload}.",
        "other content": f"{header}.{other}.{tail}",
        "another key": jwt.encode(claims, stranger, "ES256", headers=kid),
        "an unknown key": made(stranger),
        "alg none": jwt.encode(claims, None, "none", headers=kid),
        "alg none, no kid": jwt.encode(claims, None, "none"),
        "hmac with the public key": _hmac(claims, public, kid),
        "a crit header": jwt.encode(claims, key, "ES256", headers={**kid, "crit": ["exp"]}),
        "garbage": "garbage",
        "dots": "..",
        "many dots": "a.b.c.d.e",
        "not base64": "!!.!!.!!",
        "not json": f"{_b64(b'{')}.{payload}.{tail}",
        "header is a list": f"{_b64(b'[]')}.{payload}.{tail}",
        "kid is a list": f"{_b64(json.dumps({'alg': 'ES256', 'kid': ['x']}).encode())}.{payload}.{tail}",
        "payload is a list": f"{header}.{_b64(b'[]')}.{tail}",
        "long": "a" * 8000,
    }  # fmt: skip


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _hmac(claims: dict[str, Any], secret: bytes, headers: dict[str, str]) -> str:
    """As one would do it who hopes that the server takes its public key for a shared secret."""
    signed = (
        f"{_b64(json.dumps({'alg': 'HS256', 'typ': 'JWT', **headers}).encode())}.{_b64(json.dumps(claims).encode())}"
    )
    return f"{signed}.{_b64(hmac.digest(secret, signed.encode(), 'sha256'))}"


def test_a_wrong_token_is_401_in_constant_shape(apiserver: ApiServer, kubectl: Kubectl, http: Raw) -> None:
    good = kubectl.run("create", "token", "default").ok().stdout.strip()
    assert who(apiserver, good) is not None
    let_in = [name for name, token in bad_tokens(apiserver, good).items() if who(apiserver, token) is not None]
    assert let_in == []
    for header in ("Basic YTpi", "Bearer", "Negotiate x", "x"):
        answer = http.http.get("/api", headers={"Authorization": header})
        # the certificate of this client speaks for it, whatever the header says
        assert answer.status_code == 200
        anonymous = Raw(apiserver.anonymous())
        answer = anonymous.http.get("/api", headers={"Authorization": header})
        anonymous.close()
        assert (answer.status_code, answer.json()) == (401, UNAUTHORIZED), header
    log = (apiserver.directory / "apiserver.log").read_text()
    assert good not in log and good.split(".")[2] not in log


# ---- certificates


def answer(
    apiserver: ApiServer, pair: Pair | None, token: str = "", *, times: int = 1
) -> list[tuple[int, dict[str, Any]]]:
    """What a client with that certificate is told, on connections of one TLS session."""
    config = apiserver.bearer(token) if token else apiserver.anonymous()
    if pair is not None:
        config.cert_data, config.key_data = pair.certificate, pair.key
    told = []
    tls = config.ssl_context()
    assert tls is not None
    session: ssl.SSLSession | None = None
    for _ in range(times):
        connection = HTTPSConnection("127.0.0.1", apiserver.port, context=tls, timeout=10)
        raw = socket.create_connection(("127.0.0.1", apiserver.port), timeout=10)
        connection.sock = tls.wrap_socket(raw, server_hostname="127.0.0.1", session=session)
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        body = json.dumps({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"})
        connection.request("POST", WHO, body, headers)
        reply = connection.getresponse()
        told.append((reply.status, json.loads(reply.read())))
        assert session is None or connection.sock.session_reused
        session = connection.sock.session
        connection.close()
    return told


def test_a_wrong_certificate_is_401_in_constant_shape(apiserver: ApiServer) -> None:
    """authentication/#x509-client-certificates: also on resumed TLS sessions, and health is no exception."""
    now = datetime.now(UTC)
    ours, admin = apiserver.pki.pair("ca"), Request("kubernetes-admin", "system:masters", client=True)
    double = new_authority("sampan-ca", now)
    wrong = {
        "of another authority": issue(new_authority("stranger", now), admin, now),
        "of another authority of that name": issue(double, admin, now),
        "self-signed": Pair(double.certificate, double.key),
        "expired": issue(ours, admin, now - timedelta(days=370)),
        "not yet valid": issue(ours, admin, now + timedelta(days=2)),
        "a server's": issue(ours, Request("kubernetes-admin", "system:masters", server=True), now),
        "a stranger's proxy": issue(apiserver.pki.pair("front-proxy-ca"), admin, now),
    }
    for name, pair in wrong.items():
        assert answer(apiserver, pair, times=2) == [(401, UNAUTHORIZED)] * 2, name
        code, told = answer(apiserver, pair, "visitor-token")[0]
        assert (code, told["status"]["userInfo"]["username"]) == (201, "visitor"), "a good token is enough"
        assert answer(apiserver, pair, "wrong") == [(401, UNAUTHORIZED)]
    raw = Raw(_config(apiserver, wrong["expired"]))
    assert raw.get("/healthz").status_code == 401
    raw.close()


def _config(apiserver: ApiServer, pair: Pair) -> RestConfig:
    config = apiserver.anonymous()
    config.cert_data, config.key_data = pair.certificate, pair.key
    return config


def test_a_good_certificate_speaks_first(apiserver: ApiServer) -> None:
    now = datetime.now(UTC)
    pair = issue(apiserver.pki.pair("ca"), Request("jane", "dev", client=True), now)
    der = x509.load_pem_x509_certificate(pair.certificate).fingerprint(hashes.SHA256()).hex()
    for code, told in (*answer(apiserver, pair, times=2), *answer(apiserver, pair, "wrong")):
        assert (code, told.get("status", {}).get("userInfo")) == (201, {
            "username": "jane", "groups": ["dev", "system:authenticated"],
            "extra": {"authentication.kubernetes.io/credential-id": [f"X509SHA256={der}"]},
        })  # fmt: skip


def test_a_certificate_that_expires_on_an_open_connection(apiserver: ApiServer) -> None:
    now = datetime.now(UTC)
    life = timedelta(days=365, seconds=-2)
    pair = issue(apiserver.pki.pair("ca"), Request("jane", client=True), now - life)
    raw = Raw(_config(apiserver, pair))
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    assert raw.send("POST", WHO, body).status_code == 201
    time.sleep(3)
    late = raw.send("POST", WHO, body)
    assert (late.status_code, late.json()) == (401, UNAUTHORIZED)
    raw.close()


def test_a_token_of_a_deleted_account(apiserver: ApiServer, core: CoreV1Api, namespace: str) -> None:
    core.create_namespaced_service_account(namespace, {"metadata": {"name": "bot"}})
    token = core.create_namespaced_service_account_token("bot", namespace, {"spec": {}}).status.token
    assert who(apiserver, token) is not None
    core.delete_namespaced_service_account("bot", namespace)
    assert who(apiserver, token) is None
    core.create_namespaced_service_account(namespace, {"metadata": {"name": "bot"}})
    assert who(apiserver, token) is None, "another account of that name"


# ---- tokens in Secrets


def token_secret(name: str, account: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "annotations": {ACCOUNT_NAME: account}}, "type": ACCOUNT_TOKEN,
    }  # fmt: skip


def test_tokens_in_secrets(
    apiserver: ApiServer, core: CoreV1Api, namespace: str, start_controller: Start, kubectl: Kubectl
) -> None:
    """service-accounts-admin/#manually-create-an-api-token-for-a-serviceaccount and #token-controller"""
    pki = apiserver.pki
    start_controller("--service-account-private-key-file", pki.file("sa.key"), "--root-ca-file", pki.file("ca.crt"))
    for name in ("bot", "doomed"):
        core.create_namespaced_service_account(namespace, {"metadata": {"name": name}})
        core.create_namespaced_secret(namespace, token_secret(f"{name}-token", name))

    def filled(name: str) -> dict[str, str]:
        data: dict[str, str] = core.read_namespaced_secret(name, namespace).data or {}
        assert set(data) == {"token", "ca.crt", "namespace"}
        return data

    data = eventually_sync(lambda: filled("bot-token"), "the Secret is filled")
    token = base64.b64decode(data["token"]).decode()
    assert base64.b64decode(data["namespace"]).decode() == namespace
    assert base64.b64decode(data["ca.crt"]) == Path(pki.file("ca.crt")).read_bytes()
    uid = core.read_namespaced_service_account("bot", namespace).metadata.uid
    assert core.read_namespaced_secret("bot-token", namespace).metadata.annotations[ACCOUNT_UID] == uid
    told = who(apiserver, token)
    assert told is not None
    assert (told["username"], told["uid"]) == (f"system:serviceaccount:{namespace}:bot", uid)
    assert "extra" not in told

    mark = "kubernetes.io/legacy-token-invalid-since"
    kubectl.run("label", "secret", "bot-token", f"{mark}=2026-01-01").ok()
    assert who(apiserver, token) is None
    kubectl.run("label", "secret", "bot-token", f"{mark}-").ok()
    assert who(apiserver, token) is not None
    core.delete_namespaced_secret("bot-token", namespace)
    assert who(apiserver, token) is None

    doomed = base64.b64decode(eventually_sync(lambda: filled("doomed-token"), "the Secret is filled")["token"]).decode()
    assert who(apiserver, doomed) is not None
    core.delete_namespaced_service_account("doomed", namespace)
    assert who(apiserver, doomed) is None

    def gone() -> bool:
        return not [s for s in core.list_namespaced_secret(namespace).items if s.metadata.name == "doomed-token"]

    eventually_sync(gone, "the Secret goes with the account")


# ---- bootstrap tokens


def bootstrap_secret(token_id: str, token_secret: str, **data: str) -> dict[str, Any]:
    usual = {"usage-bootstrap-authentication": "true", "usage-bootstrap-signing": "true"}
    return {
        "metadata": {"name": f"bootstrap-token-{token_id}"}, "type": "bootstrap.kubernetes.io/token",
        "stringData": {"token-id": token_id, "token-secret": token_secret, **usual, **data},
    }  # fmt: skip


def test_bootstrap_tokens(apiserver: ApiServer, core: CoreV1Api, start_controller: Start, kubectl: Kubectl) -> None:
    """bootstrap-tokens/#bootstrap-token-secret-format; cluster-info is signed with them, expired ones are removed."""
    system, part = "kube-system", "0123456789abcdef"
    soon = (datetime.now(UTC) + timedelta(seconds=3)).strftime("%Y-%m-%dT%H:%M:%SZ")
    past = "2020-01-01T00:00:00Z"
    made = {
        "goodid": {"auth-extra-groups": "system:bootstrappers:workers,system:bootstrappers:a"},
        "shorty": {"expiration": soon},
        "nouse0": {"usage-bootstrap-authentication": "false"},
        "badgrp": {"auth-extra-groups": "system:masters"},
        "oldone": {"expiration": past},
    }
    for token_id, data in made.items():
        core.create_namespaced_secret(system, bootstrap_secret(token_id, part, **data))
    opaque = {**bootstrap_secret("opaque", part), "type": "Opaque"}
    core.create_namespaced_secret(system, opaque)
    told = who(apiserver, f"goodid.{part}")
    assert told is not None
    assert told["username"] == "system:bootstrap:goodid"
    assert told["groups"] == [
        "system:bootstrappers", "system:bootstrappers:a", "system:bootstrappers:workers", "system:authenticated",
    ]  # fmt: skip
    assert who(apiserver, f"shorty.{part}") is not None
    for wrong in (
        f"nouse0.{part}", f"badgrp.{part}", f"oldone.{part}", f"opaque.{part}", f"nobody.{part}", "goodid.0123456789abcdee",
        "goodid.", f"goodid.{part}0", f"GOODID.{part}", f"goodid.{part.upper()}",
    ):  # fmt: skip
        assert who(apiserver, wrong) is None, wrong
    start_controller()
    info = json.dumps({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cluster-info", "namespace": "kube-public"},
        "data": {"kubeconfig": "a: b\n", "jws-kubeconfig-oldone": "x"},
    })  # fmt: skip
    kubectl.run("apply", "-n", "kube-public", "-f", "-", stdin=info).ok()

    def signed() -> bool:
        data = core.read_namespaced_config_map("cluster-info", "kube-public").data
        assert data.get("jws-kubeconfig-goodid") == signature("a: b\n", "goodid", part)
        return "jws-kubeconfig-oldone" not in data

    eventually_sync(signed, "the config map is signed")
    header = jwt.get_unverified_header(signature("a: b\n", "goodid", part).replace("..", f".{_b64(b'{}')}."))
    assert header == {"alg": "HS256", "kid": "goodid"}

    def names() -> set[str]:
        return {secret.metadata.name for secret in core.list_namespaced_secret(system).items}

    eventually_sync(lambda: "bootstrap-token-oldone" not in names(), "the expired token is removed")
    eventually_sync(lambda: "bootstrap-token-shorty" not in names(), "and one that expires", within=15)
    assert who(apiserver, f"shorty.{part}") is None
    core.delete_namespaced_secret("bootstrap-token-goodid", system)
    assert who(apiserver, f"goodid.{part}") is None
    for token_id in ("nouse0", "badgrp", "opaque"):
        core.delete_namespaced_secret(f"bootstrap-token-{token_id}", system)
    core.delete_namespaced_config_map("cluster-info", "kube-public")


# ---- certificates that are asked for


def request(name: str, *organizations: str, names: tuple[str, ...] = ()) -> str:
    """Base64 of PEM, as in spec.request."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, one) for one in organizations]
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([*subject, x509.NameAttribute(NameOID.COMMON_NAME, name)])
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), critical=False)
    pem = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    return base64.b64encode(pem).decode()


def manifest(name: str, signer: str, wanted: str, *usages: str, **spec: Any) -> str:
    return json.dumps({
        "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": name},
        "spec": {"request": wanted, "signerName": f"kubernetes.io/{signer}", "usages": list(usages), **spec},
    })  # fmt: skip


def test_certificates_are_signed(apiserver: ApiServer, start_controller: Start, kubectl: Kubectl) -> None:
    """certificate-signing-requests/#kubernetes-signers, and its example: a certificate for a user."""
    pki, run = apiserver.pki, kubectl.namespace
    start_controller(
        "--cluster-signing-cert-file", pki.file("ca.crt"), "--cluster-signing-key-file", pki.file("ca.key")
    )
    client, server = ("digital signature", "client auth"), ("digital signature", "key encipherment", "server auth")
    node = ("system:node:n1", "system:nodes")
    cases = {
        "user": manifest(
            f"u-{run}", "kube-apiserver-client", request("jane", "dev"), "client auth", expirationSeconds=86400
        ),
        "kubelet": manifest(f"k-{run}", "kube-apiserver-client-kubelet", request(*node), *client),
        "serving": manifest(f"s-{run}", "kubelet-serving", request(*node, names=("n1",)), *server),
        "no-names": manifest(f"n-{run}", "kubelet-serving", request(*node), *server),
        "no-client": manifest(f"c-{run}", "kube-apiserver-client", request("jane"), "server auth"),
    }
    kubectl.run("create", "-f", "-", stdin="\n---\n".join(cases.values())).ok()
    kubectl.run("certificate", "approve", *(json.loads(text)["metadata"]["name"] for text in cases.values())).ok()

    def status(letter: str) -> dict[str, Any]:
        found: dict[str, Any] = kubectl.run("get", "csr", f"{letter}-{run}", "-o", "json").ok().json["status"]
        return found

    def issued(letter: str) -> x509.Certificate:
        text = eventually_sync(lambda: status(letter).get("certificate"), f"{letter} is signed")
        return x509.load_pem_x509_certificate(base64.b64decode(text))

    user = issued("u")
    user.verify_directly_issued_by(x509.load_pem_x509_certificate(Path(pki.file("ca.crt")).read_bytes()))
    assert user.subject.rfc4514_string() in ("CN=jane,O=dev", "O=dev,CN=jane")
    life = user.not_valid_after_utc - user.not_valid_before_utc
    assert life == timedelta(days=1, minutes=5)
    assert not user.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    names = issued("s").extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["n1"]
    assert issued("k")
    for letter, why in (
        ("n", "DNS or IP subjectAltName is required"),
        ("c", "invalid usage for client certificate: server auth"),
    ):
        failed = eventually_sync(
            lambda letter=letter: [c for c in status(letter)["conditions"] if c["type"] == "Failed"],  # type: ignore[misc]
            f"{letter} fails",
        )
        assert (failed[0]["reason"], failed[0]["message"]) == ("SignerValidationFailure", why)
        assert "certificate" not in status(letter)
    kubectl.run("delete", "csr", *(f"{letter}-{run}" for letter in "uksnc")).ok()
    nodes_are_approved(kubectl, run)


def nodes_are_approved(kubectl: Kubectl, run: str) -> None:
    """kubelet-tls-bootstrapping/#approval: those who are granted nodeclient get certificates of nodes."""
    usages = ("digital signature", "client auth")
    wanted = request(f"system:node:{run}", "system:nodes")
    text = manifest(f"j-{run}", "kube-apiserver-client-kubelet", wanted, *usages)
    kubectl.run("create", "-f", "-", stdin=text).ok()
    found = eventually_sync(
        lambda: kubectl.run("get", "csr", f"j-{run}", "-o", "json").ok().json["status"].get("certificate"), "signed"
    )
    assert found
    conditions = kubectl.run("get", "csr", f"j-{run}", "-o", "json").ok().json["status"]["conditions"]
    assert [(c["type"], c["reason"], c["message"]) for c in conditions] == [
        ("Approved", "AutoApproved", "Auto approving kubelet client certificate after SubjectAccessReview.")
    ]
    kubectl.run("create", "clusterrolebinding", f"j-{run}", "--clusterrole=system:node-bootstrapper", "--user=jo").ok()
    kubectl.run("create", "--as=jo", "-f", "-", stdin=text.replace(f"j-{run}", f"x-{run}")).ok()
    time.sleep(0.3)
    left = kubectl.run("get", "csr", f"x-{run}", "-o", "json").ok().json
    assert left.get("status", {}) == {}, "jo may ask, and nobody granted that it be approved of itself"
    kubectl.run("delete", "csr", f"j-{run}", f"x-{run}").ok()
    kubectl.run("delete", "clusterrolebinding", f"j-{run}").ok()
