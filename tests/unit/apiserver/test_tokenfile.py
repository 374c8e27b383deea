from __future__ import annotations

import pytest

from apiserver.auth.tokenfile import parse
from apiserver.auth.user import AUTHENTICATED


def test_a_known_token_is_its_user() -> None:
    tokens = parse('secret,jane,u-1,"dev,ops"\nother,bob,u-2\n\n# a comment\n')
    jane, bob = tokens.find("secret"), tokens.find("other")
    assert jane is not None
    assert (jane.name, jane.uid, jane.groups) == ("jane", "u-1", ("dev", "ops", AUTHENTICATED))
    assert bob is not None
    assert bob.groups == (AUTHENTICATED,)


@pytest.mark.parametrize("token", ["", "secre", "secret ", "SECRET", "jane"])
def test_any_other_token_is_nobody(token: str) -> None:
    assert parse("secret,jane,u-1").find(token) is None


@pytest.mark.parametrize("text", ["secret", "secret,jane", ",jane,u", "secret,,u"])
def test_a_malformed_line_is_told_by_number_and_without_the_token(text: str) -> None:
    with pytest.raises(ValueError, match="line 2") as caught:
        parse(f"good,a,b\n{text}\n")
    assert "secret" not in str(caught.value)
