"""Bringing raw scores to 0..100 among the nodes that are possible. PURE."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from scheduler.labels import Mask

Scores = NDArray[np.float64]


def to_hundred(raw: NDArray[Any], possible: Mask, *, reverse: bool = False) -> Scores:
    """The highest becomes 100; with `reverse` the lowest does. All zero: 0, or 100 when reversed."""
    highest = float(raw[possible].max(initial=0))
    if highest == 0:
        return np.full(len(raw), 100.0 if reverse else 0.0)
    scaled: Scores = np.floor(raw * (100.0 / highest))
    return 100.0 - scaled if reverse else scaled
