"""`kubectl attach`: join the process that a container already runs."""

from __future__ import annotations

from typing import Annotated

import typer

from api.builtin import PODS
from kubectl import options as opt
from kubectl.failures import CliError
from kubectl.session import Session, run, say


def command(
    arguments: opt.Arguments = None,
    container: opt.Container = "",
    stdin: Annotated[bool, typer.Option("-i", "--stdin", help="Pass stdin to the container")] = False,
    tty: Annotated[bool, typer.Option("-t", "--tty", help="Stdin is a terminal")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Only the remote output")] = False,
) -> None:
    if not arguments:
        raise CliError("at least 1 argument is required for attach")
    run(lambda session: attach(session, arguments, container, stdin=stdin, tty=tty, quiet=quiet))


async def attach(session: Session, arguments: list[str], container: str, *, stdin: bool, tty: bool, quiet: bool) -> int:
    from kubectl.channels import remote, want_terminal  # noqa: PLC0415  # WebSockets: exec and attach alone
    from kubectl.pods import choose_container, pod_of  # noqa: PLC0415

    pod = await pod_of(session, arguments)
    metadata = pod["metadata"]
    phase = (pod.get("status") or {}).get("phase")
    if phase in ("Succeeded", "Failed"):
        raise CliError(f"cannot attach a container in a completed pod; current phase is {phase}")
    try:
        chosen = choose_container(pod, container, quiet=quiet)
    except CliError as error:
        raise CliError(f"cannot attach to the container: {error.message}") from error
    terminal = want_terminal(tty, stdin)
    if stdin and terminal and not quiet:
        say("If you don't see a command prompt, try pressing enter.")
    params = {
        "container": chosen,
        "stdout": "true",
        **({"stdin": "true"} if stdin else {}),
        **({"tty": "true"} if terminal else {"stderr": "true"}),
    }
    path = PODS.path(metadata["namespace"], metadata["name"], "attach")
    return await remote(session, path, params, stdin=stdin, tty=terminal)
