"""A real etcd of one member on free loopback ports, with TLS as the product runs it, in a directory of its own."""

from __future__ import annotations

import http.client
import ssl
from pathlib import Path

from tests.harness.pki import Pki
from tests.harness.process import Process, free_port


class EtcdServer(Process):
    """`kill()` and `start()` keep ports and data."""

    def __init__(self, directory: Path, pki: Pki) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.pki = pki
        self.port = free_port()
        self.data = directory / "data"
        self.url = f"https://127.0.0.1:{self.port}"
        peer = f"https://127.0.0.1:{free_port()}"
        argv = [
            "etcd", "--name", "test", "--data-dir", str(self.data),
            "--listen-client-urls", self.url, "--advertise-client-urls", self.url,
            "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
            "--initial-cluster", f"test={peer}",
            "--heartbeat-interval", "50", "--election-timeout", "500",
        ]  # fmt: skip
        for flag in ("", "peer-"):
            argv += [
                f"--{flag}client-cert-auth", f"--{flag}trusted-ca-file", pki.file("etcd-ca.crt"),
                f"--{flag}cert-file", pki.file("etcd-server.crt"), f"--{flag}key-file", pki.file("etcd-server.key"),
            ]  # fmt: skip
        super().__init__("etcd", argv, directory / "etcd.log", ready=self.healthy)

    @property
    def ca_file(self) -> str:
        return self.pki.file("etcd-ca.crt")

    @property
    def cert_file(self) -> str:
        return self.pki.file("apiserver-etcd-client.crt")

    @property
    def key_file(self) -> str:
        return self.pki.file("apiserver-etcd-client.key")

    def healthy(self) -> bool:
        context = ssl.create_default_context(cafile=self.ca_file)
        context.load_cert_chain(self.cert_file, self.key_file)
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=2)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()
