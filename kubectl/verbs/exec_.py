"""`kubectl exec`: run a command in a container, with this terminal when -it."""

from __future__ import annotations

from typing import Annotated

import typer

from api.builtin import PODS
from kubectl import options as opt
from kubectl import session as sessions
from kubectl.failures import CliError
from kubectl.session import Session, run, say


def command(
    arguments: opt.Arguments = None,
    container: opt.Container = "",
    stdin: Annotated[bool, typer.Option("-i", "--stdin", help="Pass stdin to the container")] = False,
    tty: Annotated[bool, typer.Option("-t", "--tty", help="Stdin is a terminal")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Only the remote output")] = False,
) -> None:
    remote_command = sessions.flags.remote_command
    words = arguments or []
    if remote_command is None and len(words) > 1:
        raise CliError(
            "exec [POD] [COMMAND] is not supported anymore. Use exec [POD] -- [COMMAND] instead\n"
            "See 'kubectl exec -h' for help and examples"
        )
    if not words:
        raise CliError("pod, type/name or --filename must be specified")
    if not remote_command:
        raise CliError("you must specify at least one command for the container")

    async def verb(session: Session) -> int:
        from kubectl.channels import remote, want_terminal  # noqa: PLC0415  # WebSockets: exec and attach alone
        from kubectl.pods import choose_container, pod_of  # noqa: PLC0415

        pod = await pod_of(session, words, announce=False)
        metadata = pod["metadata"]
        phase = (pod.get("status") or {}).get("phase")
        if phase in ("Succeeded", "Failed"):
            raise CliError(f"cannot exec into a container in a completed pod; current phase is {phase}")
        chosen = choose_container(pod, container, quiet=quiet)
        terminal = want_terminal(tty, stdin)
        params = {
            "command": remote_command,
            "container": chosen,
            "stdout": "true",
            **({"stdin": "true"} if stdin else {}),
            **({"tty": "true"} if terminal else {"stderr": "true"}),
        }
        path = PODS.path(metadata["namespace"], metadata["name"], "exec")
        code = await remote(session, path, params, stdin=stdin, tty=terminal)
        if code and not quiet:
            say(f"command terminated with exit code {code}")
        return code

    run(verb)
