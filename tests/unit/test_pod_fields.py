"""docs/pod-fields.md says of every field of a pod what becomes of it, and of no field that is not there."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from api import schemas

_DOCUMENT = Path(__file__).parents[2] / "docs" / "pod-fields.md"
_CORE = "io.k8s.api.core.v1."
_ROOTS = ("PodSpec", "Container", "EphemeralContainer")
_STATES = ("done", "told", "done by the scheduler", "done by the apiserver", "refused")
_ROW = re.compile(r"^\| (\w+) \| ([\w ]+) \|(.*)\|$")


def tables() -> dict[str, dict[str, tuple[str, str]]]:
    """Struct → field → state and reason."""
    found: dict[str, dict[str, tuple[str, str]]] = defaultdict(dict)
    struct = ""
    for line in _DOCUMENT.read_text().splitlines():
        if line.startswith("## "):
            struct = line[3:]
        elif (row := _ROW.match(line)) and row[1] != "field":
            assert row[1] not in found[struct], f"{struct}.{row[1]} has two rows"
            found[struct][row[1]] = (row[2], row[3].strip())
    return found


def held(field: schemas.Schema) -> str:
    """The struct of core/v1 that a field holds, one or many; "" for none."""
    inner = field.get("items") or field.get("additionalProperties") or field
    name = str((inner if isinstance(inner, dict) else {}).get("$ref", "")).rpartition("/")[2]
    is_struct = name.startswith(_CORE) and schemas.definitions()[name].get("properties")
    return name.removeprefix(_CORE) if is_struct else ""


def test_every_field_has_a_row_and_every_row_a_field() -> None:
    written = tables()
    pending, wanted = list(_ROOTS), set[str]()
    while pending:
        struct = pending.pop()
        if struct in wanted:
            continue
        wanted.add(struct)
        fields = schemas.definitions()[_CORE + struct]["properties"]
        assert set(written.get(struct, {})) == set(fields), struct
        pending += [inner for name, (state, _) in written[struct].items() if state == "done"
                    and (inner := held(fields[name]))]  # fmt: skip
    assert set(written) == wanted


def test_every_row_says_one_of_the_states_and_why() -> None:
    for struct, fields in tables().items():
        for name, (state, why) in fields.items():
            assert state in _STATES, f"{struct}.{name}: {state}"
            assert why or state not in ("refused", "told"), f"{struct}.{name} does not say why"
