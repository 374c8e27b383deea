"""Building blocks of every description: indented lines, label blocks, times. Layout is left to tabwriter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from api.meta import Obj, controller_of
from api.printing import age

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_LONGEST_ANNOTATION = 140


class Sheet:
    """Text under construction; cells are separated by tabs, levels indent by two spaces."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self._parts: list[str] = []

    def line(self, level: int, text: str) -> None:
        self._parts.append(f"{'  ' * level}{text}\n")

    def text(self) -> str:
        return "".join(self._parts)

    def block(self, title: str, values: Iterable[str], indent: str = "") -> None:
        """`Title:  a` and each further value under it; `<none>` when there is none."""
        listed = list(values) or ["<none>"]
        self.line(0, f"{indent}{title}:\t{listed[0]}")
        for value in listed[1:]:
            self.line(0, f"\t{value}")

    def labels(self, title: str, labels: Mapping[str, str] | None, indent: str = "") -> None:
        self.block(title, [f"{k}={v}" for k, v in sorted((labels or {}).items())], indent)

    def annotations(self, annotations: Mapping[str, str] | None, indent: str = "") -> None:
        self.block("Annotations", _annotation_lines(annotations or {}), indent)

    def since(self, stamp: str | None) -> str:
        moment = parse_time(stamp)
        return "<unknown>" if moment is None else age((self.now - moment).total_seconds())


def _annotation_lines(annotations: Mapping[str, str]) -> list[str]:
    lines: list[str] = []
    for key, raw in sorted(annotations.items()):
        if key == LAST_APPLIED:
            continue
        value = raw.removesuffix("\n")
        if len(value) + len(key) + 2 <= _LONGEST_ANNOTATION and "\n" not in value:
            lines.append(f"{key}: {value}")
            continue
        lines.append(f"{key}:")
        lines += [f"  {_shorten(part, _LONGEST_ANNOTATION - 2)}" for part in value.split("\n")]
    return lines


def _shorten(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[:length]}..."


def parse_time(stamp: str | None) -> datetime | None:
    """A metav1.Time or MicroTime; None for none."""
    return datetime.fromisoformat(stamp.replace("Z", "+00:00")) if stamp else None


def rfc1123z(stamp: str | None) -> str:
    """`Mon, 02 Jan 2006 15:04:05 +0000`, in the local time zone as upstream prints it."""
    moment = parse_time(stamp)
    if moment is None:
        return "Mon, 01 Jan 0001 00:00:00 +0000"
    return moment.astimezone().strftime("%a, %d %b %Y %H:%M:%S %z")


def controlled_by(obj: Obj) -> str:
    owner = controller_of(obj)
    return f"{owner['kind']}/{owner['name']}" if owner else ""


def title(value: bool | None) -> str:
    return "True" if value else "False"


def lower(value: bool | None) -> str:
    return "true" if value else "false"


def pairs(labels: Mapping[str, str] | None) -> str:
    """`a=b,c=d`, or `<none>`."""
    return ",".join(f"{k}={v}" for k, v in sorted((labels or {}).items())) or "<none>"


def status(obj: Obj) -> Obj:
    found: Any = obj.get("status")
    return found or {}
