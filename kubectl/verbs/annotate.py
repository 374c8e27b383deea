"""`kubectl annotate`: set, change and remove annotations."""

from __future__ import annotations

from typing import Annotated

import typer

from kubectl import options as opt
from kubectl.marks import Marks, change_marks

_ANNOTATIONS = Marks("annotations", "annotation", "annotated", "annotated", "annotated")


def command(
    arguments: opt.Arguments = None,
    filename: opt.Filenames = None,
    recursive: opt.Recursive = False,
    selector: opt.Selector = "",
    field_selector: opt.FieldSelector = "",
    all_: opt.All = False,
    all_namespaces: opt.AllNamespaces = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Allow annotations to be changed")] = False,
    list_: Annotated[bool, typer.Option("--list", help="Show the annotations instead")] = False,
    dry_run: opt.DryRun = "none",
    output: opt.ResultOutput = "",
    resource_version: Annotated[str, typer.Option("--resource-version", help="Only at this version")] = "",
) -> None:
    change_marks(
        _ANNOTATIONS, arguments or [], filename, recursive, selector, field_selector, all_, all_namespaces, overwrite,
        list_, dry_run, output, resource_version,
    )  # fmt: skip
