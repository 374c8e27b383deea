"""The flags that every command takes, at any place of the command line. Pure.

Upstream accepts them before and after the verb, so they are taken out of the arguments before the verb's own
parser sees the rest. What follows `--` belongs to the command run in a container and is never touched.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields

from kubectl.failures import CliError


@dataclass(slots=True)
class GlobalFlags:
    kubeconfig: str = ""
    context: str = ""
    cluster: str = ""
    user: str = ""
    namespace: str = ""
    server: str = ""
    token: str = ""
    certificate_authority: str = ""
    client_certificate: str = ""
    client_key: str = ""
    tls_server_name: str = ""
    cache_dir: str = ""
    request_timeout: str = "0"
    v: str = "0"
    insecure_skip_tls_verify: bool = False
    remote_command: list[str] | None = None
    """What stood after `--`; None when there was none."""

    @property
    def verbosity(self) -> int:
        return int(self.v) if self.v.isdigit() else 0


_SHORT = {"-n": "namespace", "-s": "server", "-v": "v"}
_SWITCHES = {"insecure_skip_tls_verify"}
_LONG = {f"--{f.name.replace('_', '-')}": f.name for f in fields(GlobalFlags) if f.name != "remote_command"}
GLOBAL_HELP = {
    "--kubeconfig": "Path to the kubeconfig file to use for CLI requests.",
    "--context": "The name of the kubeconfig context to use",
    "--cluster": "The name of the kubeconfig cluster to use",
    "--user": "The name of the kubeconfig user to use",
    "-n, --namespace": "If present, the namespace scope for this CLI request",
    "-s, --server": "The address and port of the Kubernetes API server",
    "--token": "Bearer token for authentication to the API server",
    "--certificate-authority": "Path to a cert file for the certificate authority",
    "--client-certificate": "Path to a client certificate file for TLS",
    "--client-key": "Path to a client key file for TLS",
    "--tls-server-name": "Server name to use for server certificate validation.",
    "--insecure-skip-tls-verify": "If true, the server's certificate will not be checked for validity.",
    "--cache-dir": "Default cache directory",
    "--request-timeout": "The length of time to wait before giving up on a single server request.",
    "-v, --v": "number for the log level verbosity (6 and more show each request)",
}


def split_globals(arguments: list[str]) -> tuple[GlobalFlags, list[str]]:
    """(the global flags, everything else in order)."""
    flags = GlobalFlags()
    if "--" in arguments:
        at = arguments.index("--")
        flags.remote_command = arguments[at + 1 :]
        arguments = arguments[:at]
    rest: list[str] = []
    position = 0
    while position < len(arguments):
        argument = arguments[position]
        position += 1
        name, value = _recognise(argument)
        if not name:
            rest.append(argument)
            continue
        if name in _SWITCHES:
            if value not in (None, "true", "false"):
                raise CliError(f'invalid argument "{value}" for "{argument.split("=")[0]}" flag')
            setattr(flags, name, value != "false")
            continue
        if value is None:
            if position == len(arguments):
                raise CliError(f"flag needs an argument: {_needs(argument)}")
            value = arguments[position]
            position += 1
        setattr(flags, name, value)
    return flags, rest


def _needs(argument: str) -> str:
    return argument if argument.startswith("--") else f"'{argument[1]}' in {argument}"


def _recognise(argument: str) -> tuple[str, str | None]:
    """(field of GlobalFlags or "", value when it is part of the argument)."""
    if argument.startswith("--"):
        flag, equals, value = argument.partition("=")
        return _LONG.get(flag, ""), value if equals else None
    name = _SHORT.get(argument[:2], "")
    if not name:
        return "", None
    return name, argument[2:].removeprefix("=") if len(argument) > 2 else None


def duration(text: str) -> float:
    """Seconds of a Go duration: `90s`, `1m30s`, `500ms`, `0`; a bare number is seconds. CliError when malformed."""

    if re.fullmatch(r"-?\d+", text):
        return float(text)
    parts = re.findall(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)", text)
    if not parts or "".join(a + b for a, b in parts) != text.removeprefix("-").removeprefix("+"):
        raise CliError(f'time: invalid duration "{text}"')
    units = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
    seconds = sum(float(number) * units[unit] for number, unit in parts)
    return -seconds if text.startswith("-") else seconds
