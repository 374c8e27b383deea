"""What a command that changed something says about it: `pod/web created`, or the object with `-o`."""

from __future__ import annotations

from typing import Any

from api.meta import Obj
from api.registry import Resource
from kubectl.failures import CliError
from kubectl.outputs import Printer, printer

DRY_RUNS = {"none": "", "client": " (dry run)", "server": " (server dry run)"}


class Results:
    """`dry_run` is none, client or server; CliError for anything else."""

    def __init__(self, output: str, dry_run: str = "none", *, show_managed_fields: bool = False) -> None:
        if dry_run not in DRY_RUNS:
            raise CliError(f'Invalid dry-run value ({dry_run}). Must be "none", "server", or "client".')
        if output == "wide":
            raise CliError(f'unable to match a printer suitable for the output format "{output}", '
                           "allowed formats are: json,jsonpath,jsonpath-as-json,jsonpath-file,name,yaml")  # fmt: skip
        self._printer: Printer | None = printer(output, show_managed_fields=show_managed_fields)
        self.dry_run = dry_run

    @property
    def asked(self) -> bool:
        """The object itself is wanted, not a sentence."""
        return self._printer is not None

    @property
    def params(self) -> dict[str, Any]:
        return {"dryRun": "All"} if self.dry_run == "server" else {}

    @property
    def pretend(self) -> bool:
        return self.dry_run == "client"

    def show(self, resource: Resource, obj: Obj, operation: str) -> None:
        text = self._printer(obj) if self._printer else self.sentence(resource, obj, operation)
        print(text, end="", flush=True)

    def sentence(self, resource: Resource, obj: Obj, operation: str) -> str:
        return f"{reference(resource, str(obj['metadata'].get('name', '')))} {operation}{DRY_RUNS[self.dry_run]}\n"

    def show_list(self, items: list[Obj]) -> None:
        """For -o with several objects at once."""
        if self._printer is not None and items:
            listed = {**as_list(items), "metadata": {}}
            print(self._printer(items[0] if len(items) == 1 else listed), end="", flush=True)


def reference(resource: Resource, name: str) -> str:
    """`pod/web`, `deployment.apps/web`."""
    kind = resource.kind.lower()
    return f"{kind}.{resource.group}/{name}" if resource.group else f"{kind}/{name}"


def as_list(items: list[Obj]) -> Obj:
    return {"apiVersion": "v1", "kind": "List", "items": items, "metadata": {"resourceVersion": ""}}
