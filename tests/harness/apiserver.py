"""A real apiserver process over a real etcd, and kubeconfigs for whoever a test wants to be."""

from __future__ import annotations

import http.client
import json
import ssl
import sys
from pathlib import Path
from typing import Any

import yaml

from client.kubeconfig import RestConfig, document_for
from tests.harness.etcd import EtcdServer
from tests.harness.process import Process, free_port

ROOT = Path(__file__).parents[2]

TOKENS = """\
visitor-token,visitor,1000,
steward-token,steward,1001,system:masters
"""


class ApiServer(Process):
    """`kill()` and `start()` keep the port and, in etcd, the data. etcd must be running."""

    def __init__(self, directory: Path, etcd: EtcdServer, *arguments: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.pki = etcd.pki
        self.port = free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        tokens = directory / "tokens.csv"
        tokens.write_text(TOKENS)
        tokens.chmod(0o600)
        pki = self.pki
        argv = [
            sys.executable, "-m", "apiserver",
            "--bind-address", "127.0.0.1", "--advertise-address", "192.0.2.1", "--secure-port", str(self.port),
            "--tls-cert-file", pki.file("apiserver.crt"), "--tls-private-key-file", pki.file("apiserver.key"),
            "--client-ca-file", pki.file("ca.crt"), "--token-auth-file", str(tokens),
            "--etcd-servers", etcd.url, "--etcd-cafile", etcd.ca_file,
            "--etcd-certfile", etcd.cert_file, "--etcd-keyfile", etcd.key_file,
            "--kubelet-client-certificate", pki.file("apiserver-kubelet-client.crt"),
            "--kubelet-client-key", pki.file("apiserver-kubelet-client.key"),
            "--kubelet-certificate-authority", pki.file("ca.crt"),
            "--proxy-client-cert-file", pki.file("front-proxy-client.crt"),
            "--proxy-client-key-file", pki.file("front-proxy-client.key"),
            "--requestheader-client-ca-file", pki.file("front-proxy-ca.crt"),
            "--requestheader-allowed-names", "front-proxy-client",
            "--service-account-key-file", pki.file("sa.pub"),
            "--service-account-signing-key-file", pki.file("sa.key"), "--enable-bootstrap-token-auth",
            *arguments,
        ]  # fmt: skip
        super().__init__("apiserver", argv, directory / "apiserver.log", ready=self.is_ready, cwd=ROOT)

    def is_ready(self) -> bool:
        context = ssl.create_default_context(cafile=self.pki.file("ca.crt"))
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=2)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    # ---- who may come in

    def _config(self) -> RestConfig:
        return RestConfig(self.url, ca_data=Path(self.pki.file("ca.crt")).read_bytes())

    def admin(self) -> RestConfig:
        return self.identity("kubernetes-admin", "system:masters")

    def identity(self, user: str, group: str = "") -> RestConfig:
        """Anyone with a certificate of the cluster's CA: CN is the user, O the group."""
        config, pair = self._config(), self.pki.client(user, group)
        config.cert_data, config.key_data = pair.certificate, pair.key
        return config

    def bearer(self, token: str) -> RestConfig:
        """Anyone with a token, good or bad. TOKENS lists the good ones."""
        config = self._config()
        config.token = token
        return config

    def anonymous(self) -> RestConfig:
        return self._config()

    def audited(self) -> list[dict[str, Any]]:
        """The events in audit.log so far. Those of the last moments may be missing: a request is noted once it has been
        answered."""
        log = self.directory / "audit.log"
        whole, _, _ = (log.read_text() if log.exists() else "").rpartition("\n")
        return [json.loads(line) for line in whole.splitlines()]

    def kubeconfig(self, config: RestConfig, name: str = "admin") -> Path:
        """`config` as a file, for programs."""
        path = self.directory / f"{name}.kubeconfig"
        path.write_text(yaml.safe_dump(document_for(config, name)))
        path.chmod(0o600)
        return path
