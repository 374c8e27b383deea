"""`kubectl version`: of this client and of the server."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any

import typer

from kubectl.failures import CliError
from kubectl.outputs import to_json, to_yaml
from kubectl.session import Session, run

API_LEVEL = "v1.35.0"


def command(
    client: Annotated[bool, typer.Option("--client", help="Of the client alone")] = False,
    output: Annotated[str, typer.Option("-o", "--output", help="yaml or json")] = "",
) -> None:
    if output not in ("", "json", "yaml"):
        raise CliError("--output must be 'yaml' or 'json'")
    if client:
        _show(output, None)
        return

    async def verb(session: Session) -> None:
        try:
            found = await session.call("GET", "/version")
        except Exception:
            _show(output, None)
            raise
        _show(output, found)

    run(verb)


def client_version() -> str:
    try:
        return f"{API_LEVEL}+sampan.{version('sampan')}"
    except PackageNotFoundError:
        return API_LEVEL


def _show(output: str, server: dict[str, Any] | None) -> None:
    ours = client_version()
    if output:
        _, minor, _ = API_LEVEL.split(".")
        body: dict[str, Any] = {"clientVersion": {"major": "1", "minor": minor, "gitVersion": ours}}
        if server is not None:
            body["serverVersion"] = server
        print(to_json(body) if output == "json" else to_yaml(body), end="")
        return
    print(f"Client Version: {ours}")
    if server is not None:
        print(f"Server Version: {server.get('gitVersion', '')}")
