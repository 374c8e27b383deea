"""`python -m kubelet`: runs the pods that are bound to this node."""

from __future__ import annotations

import os
import sys

from client import daemon
from kubelet import agent


def main() -> int:
    parser = daemon.flags("kubelet", "Runs the pods that are bound to this node.", healthz_port=10248)
    agent.add_flags(parser)
    return daemon.run("kubelet", agent.serve, parser)


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    # Not sys.exit: that would wait for threads in which a call to Docker, a pull perhaps, is still under way.
    os._exit(status)
