"""Node labels as columns: per label key, an array with each node's value as a small number. PURE.

A requirement then is one table lookup over all nodes. Columns are made when a selector first names the key.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from api.selectors import Requirement

Mask = NDArray[np.bool_]


class LabelColumns:
    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._labels: list[Mapping[str, str]] = [{}] * capacity
        self._columns: dict[str, NDArray[np.int32]] = {}
        self._values: dict[str, dict[str, int]] = {}  # value → number; 0 is "absent"

    def grow(self, capacity: int) -> None:
        self._labels += [{}] * (capacity - self._capacity)
        for key, column in self._columns.items():
            self._columns[key] = np.pad(column, (0, capacity - self._capacity))
        self._capacity = capacity

    def set(self, row: int, labels: Mapping[str, str]) -> None:
        self._labels[row] = labels
        for key, column in self._columns.items():
            column[row] = self._number(key, labels.get(key))

    def get(self, row: int) -> Mapping[str, str]:
        return self._labels[row]

    def column(self, key: str) -> NDArray[np.int32]:
        """Numbers of the values of `key`: equal where values are equal, 0 where absent."""
        if key not in self._columns:
            self._values[key] = {}
            numbers = [self._number(key, labels.get(key)) for labels in self._labels]
            self._columns[key] = np.array(numbers, dtype=np.int32)
        return self._columns[key]

    def matches(self, requirement: Requirement) -> Mask:
        column = self.column(requirement.key)
        values = self._values[requirement.key]
        table = np.zeros(len(values) + 1, dtype=np.bool_)
        if requirement.operator in ("In", "NotIn"):
            table[[values[v] for v in requirement.values if v in values]] = True
            if requirement.operator == "NotIn":
                table = ~table
        else:
            table[0] = requirement.matches({})
            for value, number in values.items():
                table[number] = requirement.matches({requirement.key: value})
        return table[column]

    def _number(self, key: str, value: str | None) -> int:
        if value is None:
            return 0
        values = self._values[key]
        return values.setdefault(value, len(values) + 1)
