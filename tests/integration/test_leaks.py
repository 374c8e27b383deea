"""Tokens, keys and the values of Secrets reach no log, audit log, metric or event, and no error beyond what the sender
is told of his own request: with every log at its most talkative, and clients that do everything wrong that can be done
wrong with a credential.

https://kubernetes.io/docs/concepts/security/secrets-good-practices/
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.harness.apiserver import ApiServer
from tests.harness.daemon import daemon
from tests.harness.etcd import EtcdServer
from tests.harness.eventually import eventually_sync
from tests.harness.pki import Pki
from tests.harness.process import Process
from tests.harness.raw import Raw
from tests.harness.upstream import Kubectl

PASSWORD = "Sesame-open-4711"
TOKEN = "sometoken-abcdef0123456789"
KEY = base64.b64encode(os.urandom(32)).decode()
NS = "leaks"
SECRETS = f"/api/v1/namespaces/{NS}/secrets"
POLICY = """
apiVersion: audit.k8s.io/v1
kind: Policy
rules:
- level: Metadata
  resources:
  - {group: "", resources: [secrets, serviceaccounts/token]}
  - {group: authentication.k8s.io, resources: [tokenreviews]}
- level: RequestResponse
"""


class World:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.etcd = EtcdServer(directory / "etcd", Pki(directory / "pki"))
        (directory / "policy.yaml").write_text(POLICY)
        entry = {"resources": ["secrets"], "providers": [{"aesgcm": {"keys": [{"name": "k", "secret": KEY}]}}]}
        kind = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration"}
        (directory / "encryption.yaml").write_text(yaml.safe_dump({**kind, "resources": [entry]}))
        self.server = ApiServer(
            directory / "a", self.etcd, "-v", "4", "--enable-bootstrap-token-auth",
            "--audit-policy-file", str(directory / "policy.yaml"), "--audit-log-path", str(directory / "audit.log"),
            "--encryption-provider-config", str(directory / "encryption.yaml"),
        )  # fmt: skip
        pki = self.etcd.pki
        self.controller: Process = daemon(
            "controller", "system:kube-controller-manager", self.server, "--root-ca-file", pki.file("ca.crt"),
            "--service-account-private-key-file", pki.file("sa.key"), "-v", "4",
        )  # fmt: skip

    def start(self) -> None:
        for process in (self.etcd, self.server, self.controller):
            process.start()

    def stop(self) -> None:
        for process in (self.controller, self.server, self.etcd):
            process.stop()

    def written(self) -> dict[str, str]:
        """Everything that anybody may come to read."""
        http = Raw(self.server.admin())
        texts = {
            "log": self.server.log.read_text(),
            "controller's log": self.controller.log.read_text(),
            "audit log": (self.directory / "audit.log").read_text(),
            "metrics": http.get("/metrics").text,
            "events": http.get("/api/v1/events").text,
        }
        http.close()
        return texts


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("leaks"))
    try:
        made.start()
        yield made
    finally:
        made.stop()


def forms(secret: str) -> set[str]:
    """The ways it may show: itself, and in base64, wherever it stands in what is encoded."""
    shifted = (base64.b64encode(b"x" * pad + secret.encode()).decode() for pad in range(3))
    return {secret, *(text[4:-4] for text in shifted)}


def assert_kept(world: World, *secrets: str) -> None:
    for where, text in world.written().items():
        for secret in secrets:
            shown = [form for form in forms(secret) if form in text]
            assert not shown, f"{where}: {[line for line in text.splitlines() if shown[0] in line][:3]}"


def secret(name: str, **fields: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, **fields}


def test_secrets_that_are_right_and_wrong_in_every_way(world: World) -> None:
    kubectl = Kubectl(world.server.kubeconfig(world.server.admin()), NS)
    encoded = base64.b64encode(PASSWORD.encode()).decode()
    kubectl.run("create", "namespace", NS).ok()
    kubectl.run("create", "secret", "generic", "good", f"--from-literal=password={PASSWORD}").ok()
    kubectl.run("apply", "--server-side", "-f", "-", stdin=secret("applied", data={"password": encoded})).ok()
    kubectl.run("apply", "-f", "-", stdin=secret("fixed", stringData={"password": PASSWORD}, immutable=True)).ok()
    kubectl.run("get", "secrets", "-o", "yaml").ok()
    http, visitor = Raw(world.server.admin()), Raw(world.server.bearer("visitor-token"))
    media = "application/strategic-merge-patch+json"
    wrong = [
        http.send("POST", SECRETS, secret("not base64", data={"password": PASSWORD})),
        http.send("POST", SECRETS, secret("typed", type="kubernetes.io/tls", data={"tls.key": encoded})),
        http.send("POST", SECRETS, secret("auth", type="kubernetes.io/basic-auth", data={"x": encoded})),
        http.send("POST", SECRETS, secret("docker", type="kubernetes.io/dockerconfigjson",
                                          data={".dockerconfigjson": encoded})),
        http.send("POST", SECRETS, secret("keys", stringData={"a/b": PASSWORD})),
        http.send("POST", SECRETS, secret("shape", data=[PASSWORD])),
        http.send("POST", SECRETS, secret("shape", stringData={"password": {"value": PASSWORD}})),
        http.send("POST", SECRETS, secret("big", stringData={"password": PASSWORD * 100_000})),
        http.send("POST", SECRETS, secret("good", stringData={"password": PASSWORD})),
        http.send("POST", f"{SECRETS}?fieldValidation=Strict", secret("strict", datas={"password": PASSWORD})),
        http.send("POST", SECRETS, b'{"kind":"Secret","stringData":{"password":"' + PASSWORD.encode()),
        http.send("POST", SECRETS, f"kind: Secret\nstringData: {{p: {PASSWORD}".encode(),
                  content_type="application/yaml"),
        http.send("POST", SECRETS, b"k8s\x00" + PASSWORD.encode(), content_type="application/vnd.kubernetes.protobuf"),
        http.send("POST", SECRETS, PASSWORD.encode(), content_type="application/unheard-of"),
        http.send("PUT", f"{SECRETS}/fixed", secret("fixed", stringData={"password": PASSWORD + "!"}, immutable=True)),
        http.send("PUT", f"{SECRETS}/other", secret("good", stringData={"password": PASSWORD})),
        http.send("PATCH", f"{SECRETS}/good", {"data": {"password": PASSWORD}}, content_type=media),
        http.send("PATCH", f"{SECRETS}/fixed", {"stringData": {"password": PASSWORD + "!"}}, content_type=media),
        http.send("PATCH", f"{SECRETS}/good", [{"op": "test", "path": "/data/password", "value": PASSWORD}],
                  content_type="application/json-patch+json"),
        http.send("PATCH", f"{SECRETS}/applied?fieldManager=other", secret("applied", data={"password": "eA=="}),
                  content_type="application/apply-patch+yaml"),
        visitor.send("POST", SECRETS, secret("mine", stringData={"password": PASSWORD})),
    ]  # fmt: skip
    fine = [answer.status_code for answer in wrong if answer.status_code < 400]
    assert not fine, f"these were to be refused: {[answer.text for answer in wrong if answer.status_code < 400]}"
    told = [answer.text for answer in wrong if any(form in answer.text for form in forms(PASSWORD))]
    assert not told, told
    with http.lines(f"{SECRETS}?watch=1&timeoutSeconds=1") as lines:
        assert any(encoded in line for line in lines), "who may read it does"
    http.send("DELETE", SECRETS)
    http.close()
    visitor.close()
    assert_kept(world, PASSWORD)


def test_tokens_that_are_right_and_wrong(world: World) -> None:
    kubectl = Kubectl(world.server.kubeconfig(world.server.admin()), "default")
    http = Raw(world.server.admin())
    eventually_sync(
        lambda: http.get("/api/v1/namespaces/default/serviceaccounts/default").status_code == 200, "account"
    )
    good = kubectl.run("create", "token", "default").ok().stdout.strip()
    kind = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview"}
    for token in (good, TOKEN, good[:-4] + "AAAA"):
        bearer = Raw(world.server.bearer(token))
        bearer.get("/api/v1/pods")
        bearer.get(f"/api/v1/pods?access_token={token}")
        bearer.close()
        assert http.send("POST", "/apis/authentication.k8s.io/v1/tokenreviews",
                         {**kind, "spec": {"token": token}}).status_code == 201  # fmt: skip
    nobody = Raw(world.server.anonymous())
    nobody.get("/api/v1/pods", authorization=f"Basic {base64.b64encode(f'x:{TOKEN}'.encode()).decode()}")
    nobody.get("/api/v1/pods", authorization=f"Unheard {TOKEN}")
    protocol = "base64url.bearer.authorization.k8s.io." + base64.urlsafe_b64encode(TOKEN.encode()).decode().rstrip("=")
    nobody.get("/api/v1/pods?watch=1", connection="Upgrade", upgrade="websocket", sec_websocket_version="13",
               sec_websocket_key="dGhlIHNhbXBsZSBub25jZQ==", sec_websocket_protocol=protocol)  # fmt: skip
    nobody.close()
    legacy = secret("legacy", type="kubernetes.io/service-account-token")
    legacy["metadata"]["annotations"] = {"kubernetes.io/service-account.name": "default"}
    http.send("POST", "/api/v1/namespaces/default/secrets", legacy)
    id_, part = "abcdef", "0123456789abcdef"
    fields = {"token-id": id_, "token-secret": part, "usage-bootstrap-authentication": "true"}
    kube_system = "/api/v1/namespaces/kube-system/secrets"
    bootstrap = secret(f"bootstrap-token-{id_}", type="bootstrap.kubernetes.io/token", stringData=fields)
    assert http.send("POST", kube_system, bootstrap).status_code == 201
    joining = Raw(world.server.bearer(f"{id_}.{part}"))
    assert joining.get("/version").status_code == 200
    joining.close()

    def filled() -> str:
        found = http.get("/api/v1/namespaces/default/secrets/legacy").json()
        return base64.b64decode((found.get("data") or {}).get("token", "")).decode()

    made = eventually_sync(filled, "a legacy token is made")
    http.close()
    assert_kept(world, good, good.rpartition(".")[2], TOKEN, part, made, made.rpartition(".")[2])


def test_keys_stay_where_they_are(world: World) -> None:
    """Those of the server, and of a client."""
    pki = world.etcd.pki
    private = [Path(pki.file(name)).read_text() for name in ("apiserver.key", "sa.key", "front-proxy-client.key")]
    lines = [line for text in private for line in text.splitlines() if line and "-----" not in line]
    assert lines
    assert_kept(world, KEY)
    for where, text in world.written().items():
        assert not any(line in text for line in lines), where


def test_a_server_that_ends_says_nothing_of_them_either(world: World) -> None:
    """Last of all. What a failed start says included: the wrong key file is named, not shown."""
    world.server.kill()
    wrong = {"aesgcm": {"keys": [{"name": "k", "secret": "dG9vIHNob3J0LCBidXQgc2VjcmV0"}]}}
    broken = world.directory / "encryption.yaml"
    document = yaml.safe_load(broken.read_text())
    document["resources"][0]["providers"] = [wrong]
    broken.write_text(yaml.safe_dump(document))
    with pytest.raises(RuntimeError, match="ended by itself"):
        world.server.start()
    said = world.server.log.read_text()
    assert str(broken) in said and "dG9vIHNob3J0LCBidXQgc2VjcmV0" not in said
    tokens = world.server.directory / "tokens.csv"
    tokens.write_text(f"{TOKEN},,\n")
    document["resources"][0]["providers"] = [{"identity": {}}]
    broken.write_text(yaml.safe_dump(document))
    with pytest.raises(RuntimeError, match="ended by itself"):
        world.server.start()
    assert TOKEN not in world.server.log.read_text()
