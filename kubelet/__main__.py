# ruff: noqa: E402  (what must not be imported has to be said before the imports)
"""`python -m kubelet`: runs the pods that are bound to this node."""

from __future__ import annotations

import os
import sys
import warnings
from typing import Any, cast

# aiohttp reads the system's certificates at import, for contexts of its own that we never use. OpenSSL's
# variable says where they are: nowhere, for so long. And the HTTP library under Docker's client loads tables to
# guess the encoding of texts, when it can: Docker's answers are JSON.
_certificates = os.environ.get("SSL_CERT_FILE")
os.environ["SSL_CERT_FILE"] = os.devnull
sys.modules["charset_normalizer"] = cast(Any, None)
warnings.filterwarnings("ignore", "Unable to find acceptable character detection dependency")

from client import daemon
from kubelet import agent, flags

if _certificates is None:
    del os.environ["SSL_CERT_FILE"]
else:
    os.environ["SSL_CERT_FILE"] = _certificates


def main() -> int:
    parser = daemon.flags("kubelet", "Runs the pods that are bound to this node.", healthz_port=10248)
    flags.add_flags(parser)
    return daemon.run("kubelet", agent.serve, parser)


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    # Not sys.exit: that would wait for threads in which a call to Docker, a pull perhaps, is still under way.
    os._exit(status)
