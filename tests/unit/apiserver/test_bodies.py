"""Bodies that would exhaust who reads them."""

from __future__ import annotations

import pytest

from api.errors import BadRequest
from apiserver import decode


@pytest.mark.parametrize(
    ("media", "body", "why"),
    [
        ("application/json", b'{"a":' * 300 + b"1" + b"}" * 300, "exceeded max depth"),
        ("application/yaml", b"[" * 100_000, "exceeded max depth"),
        ("application/yaml", b"- " * 100_000, "exceeded max depth"),
        ("application/yaml", b"a: &a [*a]", "excessive aliasing"),
        (
            "application/yaml",
            b"a0: &a0 [x]\n" + b"".join(b"a%d: &a%d [%s]\n" % (n, n, b", ".join([b"*a%d" % (n - 1)] * 9)) for n in range(1, 12)),
            "excessive aliasing",
        ),
        ("application/yaml", b"a: %d" % (1 << 70), "64-bit"),
    ],
    ids=["json", "flow", "block", "cycle", "laughs", "number"],
)  # fmt: skip
def test_what_would_exhaust_the_server_is_refused(media: str, body: bytes, why: str) -> None:
    with pytest.raises(BadRequest, match=why):
        decode.raw(body, media)


def test_yaml_stands_for_json() -> None:
    assert decode.raw(b"{a: &x [1], b: *x, 2: on, t: 2026-01-01}", "application/yaml") == {
        "a": [1], "b": [1], "2": True, "t": "2026-01-01"}  # fmt: skip
