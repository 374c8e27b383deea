"""How far a pull is, summed up from what Docker says of each layer. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_THERE = ("Already exists", "Pull complete")
_FETCHED = ("Download complete", "Verifying Checksum", "Extracting", *_THERE)


class Progress:
    def __init__(self) -> None:
        self._states: dict[str, str] = {}
        self._bytes: dict[str, tuple[int, int]] = {}
        self.latest = ""
        """What Docker said last."""

    def heard(self, line: Mapping[str, Any]) -> None:
        layer, status = str(line.get("id") or ""), str(line.get("status") or "")
        self.latest = " ".join(word for word in (f"{layer}:" if layer else "", status, line.get("progress")) if word)
        if status in ("Pulling fs layer", "Waiting", "Downloading", *_FETCHED):
            self._states[layer] = status
        detail = line.get("progressDetail") or {}
        if status == "Downloading" and detail.get("total"):
            self._bytes[layer] = (int(detail.get("current") or 0), int(detail["total"]))

    def summary(self) -> str:
        """`2 of 5 layers, 12.5 MB of 80.0 MB`; "" before anything is known."""
        if not self._states:
            return ""
        done = sum(state in _THERE for state in self._states.values())
        fetched = [(total if self._states[layer] in _FETCHED else now, total) for layer, (now, total) in
            self._bytes.items()]  # fmt: skip
        text = f"{done} of {len(self._states)} layers"
        if fetched:
            now, total = (sum(each) / 1e6 for each in zip(*fetched, strict=True))
            text += f", {now:.1f} MB of {total:.1f} MB"
        return text
