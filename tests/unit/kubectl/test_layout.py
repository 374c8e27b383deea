"""Columns, tables and output formats, byte for byte."""

from __future__ import annotations

from typing import Any

import pytest

from kubectl import tabwriter
from kubectl.failures import CliError
from kubectl.outputs import printer, qualified_name, to_json
from kubectl.tables import TablePrinter, View, cell_text, sort_rows
from kubectl.tabwriter import Columns

PODS_TABLE: dict[str, Any] = {
    "kind": "Table",
    "columnDefinitions": [
        {"name": "Name", "priority": 0},
        {"name": "Ready", "priority": 0},
        {"name": "Status", "priority": 0},
        {"name": "Restarts", "priority": 0},
        {"name": "Age", "priority": 0},
        {"name": "IP", "priority": 1},
    ],
    "rows": [
        {
            "cells": ["web-1", "1/1", "Running", 0, "5m", "10.244.0.2"],
            "object": {"metadata": {"name": "web-1", "namespace": "default", "labels": {"app": "web", "a": "b"}}},
        },
        {
            "cells": ["web-10", "0/1", "CrashLoopBackOff", "3 (10s ago)", "5m", "<none>"],
            "object": {"metadata": {"name": "web-10", "namespace": "default"}},
        },
    ],
}


def test_table() -> None:
    assert TablePrinter(View()).write(PODS_TABLE) == (
        "NAME     READY   STATUS             RESTARTS      AGE\n"
        "web-1    1/1     Running            0             5m\n"
        "web-10   0/1     CrashLoopBackOff   3 (10s ago)   5m\n"
    )


def test_wide_namespaces_and_labels() -> None:
    view = View(wide=True, namespaces=True, labels=True, label_columns=["app"])
    assert TablePrinter(view).write(PODS_TABLE) == (
        "NAMESPACE   NAME     READY   STATUS             RESTARTS      AGE   IP           APP   LABELS\n"
        "default     web-1    1/1     Running            0             5m    10.244.0.2   web   a=b,app=web\n"
        "default     web-10   0/1     CrashLoopBackOff   3 (10s ago)   5m    <none>             <none>\n"
    )


def test_a_watch_prints_headers_once_and_keeps_its_widths() -> None:
    out = TablePrinter(View())
    out.write(PODS_TABLE)
    later = {"kind": "Table", "rows": [{"cells": ["a", "1/1", "Running", 0, "1s", ""]}]}
    assert out.write(later) == "a        1/1     Running            0             1s\n"


def test_kind_goes_before_the_name() -> None:
    text = TablePrinter(View(kind="pod", headers=False)).write(PODS_TABLE)
    assert text.splitlines()[0].startswith("pod/web-1    1/1")


def test_narrow_columns_are_six_wide() -> None:
    assert Columns().write([["A", "B"], ["", "x"]]) == "A     B\n      x\n"


@pytest.mark.parametrize(
    ("cell", "expected"),
    [(3, "3"), (True, "true"), (None, "<nil>"), ("two\nlines", "two..."), ("\x1b[31mred", "^[[31mred")],
)
def test_cells(cell: Any, expected: str) -> None:
    assert cell_text(cell) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["pod-2", "pod-10", "pod-1"], ["pod-1", "pod-10", "pod-2"]),
        (["1Gi", "500Mi", "2"], ["2", "500Mi", "1Gi"]),
        ([10, 9, None], [None, 9, 10]),
    ],
    ids=["text", "quantities", "numbers after nothing"],
)
def test_rows_sort(values: list[Any], expected: list[Any]) -> None:
    rows = [{"object": {"spec": {"x": value}}} for value in values]
    assert [row["object"]["spec"]["x"] for row in sort_rows(rows, ".spec.x")] == expected


def test_a_line_without_tabs_ends_the_columns() -> None:
    text = "Name:\tweb\nLabels:\ta=b\nContainers:\n  long-container-name:\n    Image:\tx\n"
    assert tabwriter.describe(text) == (
        "Name:    web\nLabels:  a=b\nContainers:\n  long-container-name:\n    Image:  x\n"
    )


POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web", "labels": {"a": "<b>"}, "managedFields": [{"manager": "x"}]},
    "spec": {"containers": [{"name": "a", "image": "i:1"}, {"name": "b", "image": "i:2"}]},
}


def shown(output: str, obj: dict[str, Any] = POD, **options: bool) -> str:
    found = printer(output, **options)
    assert found is not None
    return found(obj)


def test_json_sorts_escapes_and_drops_managed_fields() -> None:
    text = shown("json")
    assert '"a": "\\u003cb\\u003e"' in text
    assert "managedFields" not in text
    assert "managedFields" in shown("json", show_managed_fields=True)
    assert to_json({"b": 1, "a": 2}) == '{\n    "a": 2,\n    "b": 1\n}\n'


def test_yaml_separates_documents() -> None:
    found = printer("yaml")
    assert found is not None
    assert found({"metadata": {"name": "a"}}) == "metadata:\n  name: a\n"
    assert found({"metadata": {"name": "b"}}).startswith("---\n")


def test_names() -> None:
    assert shown("name") == "pod/web\n"
    assert qualified_name({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x"}}) == (
        "deployment.apps/x"
    )


def test_custom_columns() -> None:
    text = shown("custom-columns=NAME:.metadata.name,IMAGES:.spec.containers[*].image,NONE:{.x.y}")
    assert text == "NAME   IMAGES    NONE\nweb    i:1,i:2   <none>\n"


def test_unknown_format() -> None:
    with pytest.raises(CliError, match='unable to match a printer suitable for the output format "foo"'):
        printer("foo")


def test_tables_are_nobodys_printer() -> None:
    assert printer("") is None
    assert printer("wide") is None
