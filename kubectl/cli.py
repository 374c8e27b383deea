"""The `kubectl` command: finds the verb, takes the global flags out, reports failures.

Each verb is a module of kubectl/verbs, imported only when it is asked for: a `get` pays for no other verb.
A module offers `command` (a function with typer annotations) or `app` (a typer application with subcommands).
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from kubectl.failures import CliError, explain
from kubectl.flags import GLOBAL_HELP, split_globals
from kubectl.parsing import flags_of, normalise

_BASIC, _DEPLOY, _CLUSTER, _TROUBLE, _ADVANCED, _SETTINGS, _OTHER = (
    "Basic Commands", "Deploy Commands", "Cluster Management Commands", "Troubleshooting and Debugging Commands",
    "Advanced Commands", "Settings Commands", "Other Commands",
)  # fmt: skip

VERBS: dict[str, tuple[str, str]] = {
    "create": (_BASIC, "Create a resource from a file or from stdin"),
    "expose": (_BASIC, "Take a deployment, replica set, service or pod and expose it as a new service"),
    "run": (_BASIC, "Run a particular image on the cluster"),
    "set": (_BASIC, "Set specific features on objects"),
    "get": (_BASIC, "Display one or many resources"),
    "delete": (_BASIC, "Delete resources by file names, stdin, resources and names, or by label selector"),
    "explain": (_BASIC, "Get documentation for a resource"),
    "edit": (_BASIC, "Edit a resource on the server"),
    "rollout": (_DEPLOY, "Manage the rollout of a resource"),
    "scale": (_DEPLOY, "Set a new size for a deployment or replica set"),
    "cluster-info": (_CLUSTER, "Display cluster information"),
    "cordon": (_CLUSTER, "Mark node as unschedulable"),
    "uncordon": (_CLUSTER, "Mark node as schedulable"),
    "taint": (_CLUSTER, "Update the taints on one or more nodes"),
    "describe": (_TROUBLE, "Show details of a specific resource or group of resources"),
    "logs": (_TROUBLE, "Print the logs for a container in a pod"),
    "attach": (_TROUBLE, "Attach to a running container"),
    "exec": (_TROUBLE, "Execute a command in a container"),
    "port-forward": (_TROUBLE, "Forward one or more local ports to a pod"),
    "proxy": (_TROUBLE, "Run a proxy to the Kubernetes API server"),
    "cp": (_TROUBLE, "Copy files and directories to and from containers"),
    "events": (_TROUBLE, "List events"),
    "diff": (_ADVANCED, "Diff the live version against a would-be applied version"),
    "apply": (_ADVANCED, "Apply a configuration to a resource by file name or stdin"),
    "patch": (_ADVANCED, "Update fields of a resource"),
    "replace": (_ADVANCED, "Replace a resource by file name or stdin"),
    "wait": (_ADVANCED, "Wait for a specific condition on one or many resources"),
    "label": (_SETTINGS, "Update the labels on a resource"),
    "annotate": (_SETTINGS, "Update the annotations on a resource"),
    "api-resources": (_OTHER, "Print the supported API resources on the server"),
    "api-versions": (_OTHER, 'Print the supported API versions on the server, in the form of "group/version"'),
    "config": (_OTHER, "Modify kubeconfig files"),
    "options": (_OTHER, "Print the list of flags inherited by all commands"),
    "version": (_OTHER, "Print the client and server version information"),
}
_ALIASES = {"run": "run_pod", "exec": "exec_", "set": "set_"}
_USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]


class Verb(TyperCommand):
    """A command whose flags may be spelled as upstream's."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, normalise(args, flags_of(self.params), ctx.command_path))


class VerbGroup(TyperGroup):
    """A verb with subcommands."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        found = super().get_command(ctx, cmd_name)
        if found is None:
            raise CliError(f'unknown command "{cmd_name}" for "{ctx.command_path}"')
        return found


class Verbs(TyperGroup):
    def list_commands(self, ctx: Any) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in VERBS:
            raise CliError(f'unknown command "{cmd_name}" for "kubectl"{_suggest(cmd_name)}')
        if cmd_name == "options":
            return _single(cmd_name, options)
        module = importlib.import_module(f"kubectl.verbs.{_ALIASES.get(cmd_name, cmd_name.replace('-', '_'))}")
        if hasattr(module, "app"):
            group = get_command(module.app)
            group.name = cmd_name
            return group
        return _single(cmd_name, module.command)


def _single(name: str, function: Any) -> Any:
    application = typer.Typer(add_completion=False, rich_markup_mode=None)
    application.command(name, cls=Verb, help=VERBS[name][1])(function)
    return get_command(application)


def _suggest(name: str) -> str:
    from difflib import get_close_matches  # noqa: PLC0415  # only a mistyped verb pays for it

    near = get_close_matches(name, VERBS, n=3, cutoff=0.6)
    return "\n\nDid you mean this?\n\t" + "\n\t".join(near) + "\n" if near else ""


def options() -> None:
    print("The following options can be passed to any command:\n")
    for name, text in GLOBAL_HELP.items():
        print(f"    {name}:\n\t{text}\n")


def overview() -> str:
    lines = ["kubectl controls the Kubernetes cluster manager.", ""]
    for section in dict.fromkeys(section for section, _ in VERBS.values()):
        lines.append(f"{section}:")
        lines += [f"  {name:<15} {text}" for name, (group, text) in VERBS.items() if group == section]
        lines.append("")
    lines += [
        "Usage:",
        "  kubectl [flags] [options]",
        "",
        'Use "kubectl <command> --help" for more information about a given command.',
        'Use "kubectl options" for a list of global command-line options (applies to all commands).',
    ]
    return "\n".join(lines)


def build() -> Any:
    application = typer.Typer(cls=Verbs, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

    @application.callback()
    def root() -> None:
        """kubectl controls the Kubernetes cluster manager."""

    return get_command(application)


def execute(arguments: list[str]) -> int:
    """Run one command line; its failure is on stderr. Returns the exit code."""
    from kubectl import session  # noqa: PLC0415  # `kubectl --help` needs no HTTP client

    try:
        flags, rest = split_globals(arguments)
        if not rest or rest[0] in ("--help", "-h", "help"):
            print(overview())
            return 0
        session.flags = flags
        if flags.remote_command is not None and rest[0] not in ("exec", "run", "create"):
            rest = [*rest, "--", *flags.remote_command]
        result = build().main(rest, prog_name="kubectl", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except KeyboardInterrupt:
        return 130
    except typer.Exit as stop:
        return int(getattr(stop, "exit_code", 0))
    except _USAGE_ERROR as error:
        print(f"error: {_usage_error(error)}", file=sys.stderr)
        return 1
    except Exception as error:
        return _report(error)


def _usage_error(error: Exception) -> str:
    """In upstream's words when an argument is missing."""
    param, ctx = getattr(error, "param", None), getattr(error, "ctx", None)
    if ctx is None or param is None or getattr(error, "param_type", None) is not None:
        return str(error)
    if getattr(param, "param_type_name", "") == "argument":
        path = ctx.command_path
        return f"exactly one NAME is required, got 0\nSee '{path} -h' for help and examples"
    return str(error)


def _report(error: Exception) -> int:
    """What upstream would print. An error that nobody foresaw is ours: it keeps its traceback."""
    from api.errors import ApiError  # noqa: PLC0415
    from kubectl import session  # noqa: PLC0415
    from kubectl.configuration import rest_config  # noqa: PLC0415
    from kubectl.failures import Failures, Silent  # noqa: PLC0415

    if not isinstance(error, ApiError | CliError | Failures | Silent):
        raise error
    host = ""
    with contextlib.suppress(CliError):
        host = rest_config(session.flags).server.split("://")[-1]
    text, code = explain(error, host)
    sys.stdout.flush()
    if text:
        print(text, file=sys.stderr)
    return code


def main() -> None:
    code = execute(sys.argv[1:])
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.flush()
    raise SystemExit(code)


if __name__ == "__main__":
    main()
