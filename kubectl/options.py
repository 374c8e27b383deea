"""Flags that several verbs share, as typer annotations."""

from __future__ import annotations

from typing import Annotated

import typer

Arguments = Annotated[list[str] | None, typer.Argument(metavar="[TYPE[/NAME]] [NAME]...", show_default=False)]
Filenames = Annotated[
    list[str] | None,
    typer.Option("-f", "--filename", help="Files or directories with the objects; - is stdin", show_default=False),
]
Recursive = Annotated[bool, typer.Option("-R", "--recursive", help="Follow the directories of -f")]
Selector = Annotated[str, typer.Option("-l", "--selector", help="Label query, e.g. -l key1=value1,key2!=value2")]
FieldSelector = Annotated[str, typer.Option("--field-selector", help="Field query, e.g. status.phase=Running")]
AllNamespaces = Annotated[bool, typer.Option("-A", "--all-namespaces", help="Objects of every namespace")]
All = Annotated[bool, typer.Option("--all", help="Every object of the kinds in the namespace")]
Output = Annotated[
    str,
    typer.Option("-o", "--output", help="json, yaml, name, wide, jsonpath=…, custom-columns=… (and -file=… forms)"),
]
ResultOutput = Annotated[str, typer.Option("-o", "--output", help="json, yaml, name or jsonpath=…")]
DryRun = Annotated[str, typer.Option("--dry-run", help='"none", "server" or "client"')]
ShowManagedFields = Annotated[bool, typer.Option("--show-managed-fields", help="Keep managedFields in JSON and YAML")]
FieldManager = Annotated[str, typer.Option("--field-manager", help="Who is recorded as the author of the change")]
Timeout = Annotated[str, typer.Option("--timeout", help="How long to wait, e.g. 30s; 0 is for ever")]
Container = Annotated[str, typer.Option("-c", "--container", help="Container name")]
