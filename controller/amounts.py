"""Numbers that a manifest writes as a count or a percentage. Pure."""

from __future__ import annotations


def resolve(value: int | str | None, total: int, *, round_up: bool, default: int | str = 0) -> int:
    """`3` → 3, `"25%"` of `total` rounded as asked, None → `default`. ValueError on anything else.

    https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#max-unavailable
    """
    if value is None:
        value = default
    if isinstance(value, int):
        return value
    if not value.endswith("%"):
        raise ValueError(f"invalid value for IntOrString: invalid type: string is not a percentage: {value!r}")
    hundredths = int(value[:-1]) * total
    return -(-hundredths // 100) if round_up else hundredths // 100
