"""Objects in the formats of `-o`: json, yaml, name, jsonpath, custom-columns. Pure: text out, nothing printed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from api.jsonpath import JSONPathError, Template, relaxed, shown
from api.meta import Obj
from kubectl.failures import CliError
from kubectl.tabwriter import Columns

Printer = Callable[[Obj], str]
_FORMATS = ("custom-columns", "custom-columns-file", "json", "jsonpath", "jsonpath-as-json", "jsonpath-file",
            "name", "wide", "yaml")  # fmt: skip


def to_json(value: Any) -> str:
    """Indented by four, keys sorted, `<`, `>` and `&` escaped, as Go's encoder writes it."""
    return escape_html(json.dumps(value, indent=4, sort_keys=True, ensure_ascii=False)) + "\n"


def escape_html(text: str) -> str:
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text


def to_yaml(value: Any) -> str:
    from kubectl.yamlio import dump  # noqa: PLC0415  # a table needs no YAML library

    return dump(value)


def qualified_name(obj: Obj, group: str | None = None) -> str:
    """`pod/web`, `deployment.apps/web`."""
    if group is None:
        group = str(obj.get("apiVersion", "")).rpartition("/")[0]
    kind = str(obj.get("kind", "")).lower()
    return f"{kind}.{group}/{obj['metadata'].get('name', '')}" if group else f"{kind}/{obj['metadata'].get('name', '')}"


def without_managed_fields(obj: Obj) -> Obj:
    if "managedFields" not in obj.get("metadata", {}):
        return obj
    metadata = {k: v for k, v in obj["metadata"].items() if k != "managedFields"}
    return {**obj, "metadata": metadata}


def printer(output: str, *, show_managed_fields: bool = False, no_headers: bool = False) -> Printer | None:
    """The printer of an output format; None for the human tables (`` and `wide`). CliError for no format."""
    name, _, argument = output.partition("=")
    keep: Callable[[Obj], Obj] = (lambda o: o) if show_managed_fields else _each(without_managed_fields)
    if name in ("", "wide") and not argument:
        return None
    if name == "json":
        return lambda obj: to_json(keep(obj))
    if name == "yaml":
        return _yaml_printer(keep)
    if name == "name":
        return _names
    if name in ("jsonpath", "jsonpath-file", "jsonpath-as-json"):
        return _jsonpath_printer(name, argument)
    if name in ("custom-columns", "custom-columns-file"):
        return _columns_printer(name, argument, no_headers)
    raise CliError(
        f'unable to match a printer suitable for the output format "{output}", allowed formats are: '
        + ",".join(_FORMATS)
    )


def _each(change: Callable[[Obj], Obj]) -> Callable[[Obj], Obj]:
    def apply(obj: Obj) -> Obj:
        if isinstance(obj.get("items"), list):
            return {**obj, "items": [change(item) for item in obj["items"]]}
        return change(obj)

    return apply


def _yaml_printer(keep: Callable[[Obj], Obj]) -> Printer:
    printed = 0

    def show(obj: Obj) -> str:
        nonlocal printed
        printed += 1
        return ("---\n" if printed > 1 else "") + to_yaml(keep(obj))

    return show


def _names(obj: Obj) -> str:
    items = obj["items"] if isinstance(obj.get("items"), list) else [obj]
    return "".join(f"{qualified_name(item)}\n" for item in items)


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError as error:
        raise CliError(f"error reading --template {path}, {error.strerror}") from error


def _jsonpath_printer(name: str, argument: str) -> Printer:
    if not argument:
        raise CliError("template format specified but no template given")
    text = _read(argument) if name == "jsonpath-file" else argument
    try:
        template = Template(text)
    except JSONPathError as error:
        raise CliError(f"error parsing jsonpath {text}, {error}") from error

    def show(obj: Obj) -> str:
        try:
            if name == "jsonpath-as-json":
                return json.dumps([v for found in template.find(obj) for v in found], indent=4) + "\n"
            return template.render(obj)
        except JSONPathError as error:
            raise CliError(
                f'error executing jsonpath "{text}": Error executing template: {error}. Printing more '
                "information for debugging the template:\n"
                f"\ttemplate was:\n\t\t{text}\n\tobject given to jsonpath engine was:\n\t\t{json.dumps(obj)}\n\n"
            ) from error

    return show


def _columns_printer(name: str, argument: str, no_headers: bool) -> Printer:
    """Columns keep their widths from one call to the next; headers are printed once."""
    columns = column_file(_read(argument)) if name == "custom-columns-file" else column_specs(argument)
    layout, started = Columns(), no_headers

    def show(obj: Obj) -> str:
        nonlocal started
        rows = [] if started else [[header for header, _ in columns]]
        started = True
        items = obj["items"] if isinstance(obj.get("items"), list) else [obj]
        rows += [[_cell(template, item) for _, template in columns] for item in items]
        return layout.write(rows)

    return show


def _cell(template: Template, item: Obj) -> str:
    try:
        found = [value for values in template.find(item) for value in values]
    except JSONPathError as error:
        raise CliError(str(error)) from error
    return ",".join(shown(value) for value in found) or "<none>"


def column_specs(text: str) -> list[tuple[str, Template]]:
    """`NAME:.metadata.name,IMAGE:.spec.containers[*].image`."""
    if not text:
        raise CliError("custom-columns format specified but no custom columns given")
    columns = []
    for part in text.split(","):
        header, colon, path = part.partition(":")
        if not colon:
            raise CliError(f"unexpected custom-columns spec: {part}, expected <header>:<json-path-expr>")
        columns.append((header, _template(path)))
    return columns


def column_file(text: str) -> list[tuple[str, Template]]:
    """Two lines: headers, then paths, both separated by spaces."""
    lines = text.splitlines()
    if len(lines) < 2:
        raise CliError("custom-columns-file must have two lines: headers and JSON paths")
    headers, paths = lines[0].split(), lines[1].split()
    if len(headers) != len(paths):
        raise CliError(f"number of headers ({len(headers)}) and field specifications ({len(paths)}) don't match")
    return [(h, _template(p)) for h, p in zip(headers, paths, strict=True)]


def _template(path: str) -> Template:
    try:
        return Template(relaxed(path))
    except JSONPathError as error:
        raise CliError(str(error)) from error
