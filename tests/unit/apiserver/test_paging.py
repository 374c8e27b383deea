import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.errors import BadRequest
from apiserver.storage.paging import ContinueExpired, Position, after, decode, encode


def token(**body: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(body).encode()).rstrip(b"=").decode()


@given(st.integers(1, 1 << 62), st.from_regex(r"[a-z0-9-]+/[a-z0-9.-]*[a-z0-9]", fullmatch=True))
def test_a_token_comes_back_as_it_was(revision: int, key: str) -> None:
    if ".." in key.split("/"):
        return
    position = Position(revision, after(key))
    assert decode(encode(position)) == position


def test_the_format_is_upstreams() -> None:
    assert json.loads(base64.urlsafe_b64decode(encode(Position(7, "ns/a\0")) + "==")) == {
        "v": "meta.k8s.io/v1", "rv": 7, "start": "ns/a\0",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("%%%", "continue key is not valid"),
        ("bm9qc29u", "continue key is not valid"),
        (token(v="meta.k8s.io/v1", rv=True, start="a"), "incorrect encoded start resourceVersion"),
        (token(v="v2", rv=1, start="a"), 'does not recognize this encoded version "v2"'),
        (token(v="meta.k8s.io/v1", rv=0, start="a"), "incorrect encoded start resourceVersion"),
        (token(v="meta.k8s.io/v1", rv="1", start="a"), "incorrect encoded start resourceVersion"),
        (token(v="meta.k8s.io/v1", rv=1, start=""), "encoded start key empty"),
        (token(v="meta.k8s.io/v1", rv=1, start="../etc"), "../etc"),
        (token(v="meta.k8s.io/v1", rv=1, start="/registry/core/secrets"), "/registry/core/secrets"),
    ],
)
def test_a_bad_token_is_refused(text: str, why: str) -> None:
    with pytest.raises(BadRequest) as caught:
        decode(text)
    assert why in caught.value.message


def test_an_expired_token_offers_an_inconsistent_one() -> None:
    status = ContinueExpired("ns/a\0").status()
    assert (status["code"], status["reason"]) == (410, "Expired")
    assert decode(status["metadata"]["continue"]) == Position(-1, "ns/a\0")
