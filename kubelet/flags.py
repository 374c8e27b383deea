"""The kubelet's flags."""

from __future__ import annotations

import platform
import socket
from argparse import ArgumentParser, ArgumentTypeError

from api.selectors import is_label_value, is_qualified_name
from kubelet import configuration
from kubelet.configuration import Configuration


def add_flags(parser: ArgumentParser) -> None:
    parser.add_argument("--node-name", default=platform.node(), help="the Node's name (default: the host's)")
    parser.add_argument("--node-ip", default="", help="address other nodes reach this one at")
    parser.add_argument("--docker-host", default="unix:///var/run/docker.sock", metavar="URL")
    parser.add_argument("--root-dir", default="", metavar="DIR", help="where volumes and pod files are kept")
    parser.add_argument("--cluster-name", default="sampan", help="label value of this cluster's containers")
    parser.add_argument("--tls-cert-file", required=True, metavar="FILE")
    parser.add_argument("--tls-private-key-file", required=True, metavar="FILE")
    parser.add_argument("--client-ca-file", required=True, metavar="FILE")
    parser.add_argument("--port", type=int, default=10250, help="HTTPS port (default %(default)s)")
    parser.add_argument("--config", type=configuration.read, default=Configuration(), metavar="FILE",
        help="a KubeletConfiguration of kubelet.config.k8s.io/v1beta1")  # fmt: skip
    parser.add_argument("--node-labels", type=labels, default={}, metavar="KEY=VALUE,…",
        help="labels of a Node that is not there yet")  # fmt: skip


def labels(text: str) -> dict[str, str]:
    """What is no label is an error: a node without the label that was meant would get the wrong pods."""
    found = {}
    for pair in filter(None, text.split(",")):
        name, equals, value = pair.partition("=")
        if not equals:
            raise ArgumentTypeError(f"{pair!r} is not KEY=VALUE")
        if not is_qualified_name(name):
            raise ArgumentTypeError(f"{name!r} is not the key of a label")
        if not is_label_value(value):
            raise ArgumentTypeError(f"{value!r} is not the value of a label")
        found[name] = value
    return found


def own_address(server: str) -> str:
    """The address this machine would use towards the apiserver."""
    host = server.split("//")[-1].split("/")[0].rsplit(":", 1)[0].strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((host, 1))
        return str(probe.getsockname()[0])
