"""A daemon of ours on a real apiserver: under its upstream identity, and ready when it says so."""

from __future__ import annotations

import http.client
import sys

from tests.harness.apiserver import ROOT, ApiServer
from tests.harness.process import Process, free_port


def daemon(package: str, user: str, apiserver: ApiServer, *flags: str) -> Process:
    """`python -m package` with the kubeconfig of `user`, not started yet."""
    port = free_port()

    def ready() -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    kubeconfig = apiserver.kubeconfig(apiserver.identity(user), package)
    argv = [sys.executable, "-m", package, "--kubeconfig", str(kubeconfig), "--healthz-port", str(port), *flags]
    return Process(package, argv, apiserver.directory / f"{package}.log", ready=ready, cwd=ROOT)
