"""The kubelet's flags: what they are read as, and what is refused."""

from __future__ import annotations

from argparse import ArgumentTypeError

import pytest

from kubelet.flags import labels, own_address


def test_labels() -> None:
    assert labels("") == {}
    assert labels("disk=ssd,example.com/zone=a,empty=") == {"disk": "ssd", "example.com/zone": "a", "empty": ""}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("disk", "'disk' is not KEY=VALUE"),
        ("good=1,-bad=2", "'-bad' is not the key of a label"),
        ("=x", "'' is not the key of a label"),
        ("disk=very fast", "'very fast' is not the value of a label"),
        ("a=b=c", "'b=c' is not the value of a label"),
    ],
)
def test_what_is_no_label_is_refused(text: str, why: str) -> None:
    with pytest.raises(ArgumentTypeError) as error:
        labels(text)
    assert str(error.value) == why


@pytest.mark.parametrize(("server", "own"), [("https://127.0.0.1:6443", "127.0.0.1"), ("https://[::1]:6443/x", "::1")])
def test_the_address_towards_the_apiserver(server: str, own: str) -> None:
    assert own_address(server) == own
