"""Encryption at rest, as https://kubernetes.io/docs/tasks/administer-cluster/encrypt-data/ describes it."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.builtin import BUILTIN
from apiserver.configfile import ConfigError
from apiserver.storage.encryption import Encryption, Unreadable, load

SECRET = "/registry/core/secrets/default/a"
PLAIN = b'{"kind":"Secret","data":{"password":"aHVudGVyMg=="}}'
ONE, TWO = (base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2))
IDENTITY: dict[str, Any] = {"identity": {}}


def provider(kind: str, *keys: tuple[str, str]) -> dict[str, Any]:
    return {kind: {"keys": [{"name": name, "secret": secret} for name, secret in keys]}}


@pytest.fixture
def of(tmp_path: Path) -> Any:
    """A configuration of these providers."""

    def made(*providers: dict[str, Any], resources: tuple[str, ...] = ("secrets",)) -> Encryption:
        return written(tmp_path / "file.yaml", [{"resources": list(resources), "providers": list(providers)}])

    return made


def written(path: Path, resources: Any) -> Encryption:
    kind = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration"}
    path.write_text(yaml.safe_dump({**kind, "resources": resources}))
    return load(str(path), BUILTIN)


@pytest.mark.parametrize("kind", ["aesgcm", "aescbc"])
def test_a_value_names_its_provider_and_key_and_nothing_of_itself(of: Any, kind: str) -> None:
    encryption = of(provider(kind, ("key1", ONE)))
    value = encryption.seal(SECRET, PLAIN)
    assert value.startswith(f"k8s:enc:{kind}:v1:key1:".encode())
    assert b"hunter" not in value and b"password" not in value
    assert encryption.seal(SECRET, PLAIN) != value, "each time with a nonce of its own"
    assert encryption.open(SECRET, value) == (PLAIN, False)


def test_keys_are_rotated_by_listing_both(of: Any) -> None:
    """Read with any, written with the first; what the first did not write is stale."""
    old, both = of(provider("aesgcm", ("key1", ONE))), of(provider("aesgcm", ("key2", TWO), ("key1", ONE)))
    assert both.open(SECRET, old.seal(SECRET, PLAIN)) == (PLAIN, True)
    assert both.seal(SECRET, PLAIN).startswith(b"k8s:enc:aesgcm:v1:key2:")
    with pytest.raises(Unreadable, match=r"k8s:enc:aesgcm:v1:key2\)"):
        old.open(SECRET, both.seal(SECRET, PLAIN))


def test_plain_text_is_read_only_where_identity_is_listed(of: Any) -> None:
    assert of(provider("aesgcm", ("key1", ONE)), IDENTITY).open(SECRET, PLAIN) == (PLAIN, True)
    with pytest.raises(Unreadable, match="plain text"):
        of(provider("aesgcm", ("key1", ONE))).open(SECRET, PLAIN)


def test_identity_first_decrypts_everything_step_by_step(of: Any) -> None:
    """https://kubernetes.io/docs/tasks/administer-cluster/decrypt-data/"""
    back = of(IDENTITY, provider("aescbc", ("key1", ONE)))
    assert back.open(SECRET, of(provider("aescbc", ("key1", ONE))).seal(SECRET, PLAIN)) == (PLAIN, True)
    assert back.seal(SECRET, PLAIN) == PLAIN
    assert back.open(SECRET, PLAIN) == (PLAIN, False)


def test_what_was_altered_moved_or_written_with_another_key_of_that_name_is_not_read(of: Any) -> None:
    encryption = of(provider("aesgcm", ("key1", ONE)), IDENTITY)
    value = encryption.seal(SECRET, PLAIN)
    for key, other in ((SECRET, value[:-1] + bytes([value[-1] ^ 1])), (SECRET + "b", value), (SECRET, value[:30])):
        with pytest.raises(Unreadable):
            encryption.open(key, other)
    with pytest.raises(Unreadable):
        of(provider("aesgcm", ("key1", TWO))).open(SECRET, value)
    with pytest.raises(Unreadable):
        of(provider("aescbc", ("key1", ONE))).open(SECRET, b"k8s:enc:aescbc:v1:key1:" + b"short")


@pytest.mark.parametrize(
    ("resources", "covered"),
    [
        (["secrets"], "core/secrets"),
        (["configmaps", "deployments.apps"], "core/configmaps apps/deployments"),
        (["*."], "core/secrets core/configmaps"),
        (["*.apps"], "apps/deployments"),
        (["*.*"], "core/secrets core/configmaps apps/deployments example.com/pandas"),
        (["pandas.example.com"], "example.com/pandas"),
    ],
)
def test_resources_and_wildcards_as_documented(of: Any, resources: list[str], covered: str) -> None:
    encryption = of(provider("aesgcm", ("key1", ONE)), resources=tuple(resources))
    collections = ("core/secrets", "core/configmaps", "apps/deployments", "example.com/pandas")
    sealed = [c for c in collections if encryption.seal(f"/registry/{c}/x/y", PLAIN) != PLAIN]
    assert sealed == covered.split()
    assert encryption.seal("/claims/clusterip/10.96.0.1", b"x") == b"x"
    assert encryption.seal("/registry/.nudge", b"") == b""


def test_of_several_entries_the_first_that_names_a_resource_counts(tmp_path: Path) -> None:
    rows = [
        {"resources": ["configmaps"], "providers": [IDENTITY]},
        {"resources": ["*.*"], "providers": [provider("aesgcm", ("key1", ONE))]},
    ]
    encryption = written(tmp_path / "file.yaml", rows)
    assert encryption.seal("/registry/core/configmaps/x/y", PLAIN) == PLAIN
    assert encryption.seal(SECRET, PLAIN) != PLAIN


def test_an_encrypted_value_of_a_kind_that_is_not_listed_is_refused(of: Any) -> None:
    value = of(provider("aesgcm", ("key1", ONE))).seal(SECRET, PLAIN)
    with pytest.raises(Unreadable):
        of(provider("aesgcm", ("key1", ONE)), resources=("configmaps",)).open(SECRET, value)


@pytest.mark.parametrize(
    ("resources", "providers", "told"),
    [
        (["secrets"], [], "providers"),
        ([], [IDENTITY], "resources"),
        (["secrets"], [{"aesgcm": {"keys": []}}], "keys"),
        (["secrets"], [{**provider("aesgcm", ("k", ONE)), **IDENTITY}], "more than 1 property"),
        (["secrets"], [provider("aesgcm", ("", ONE))], "name"),
        (["secrets"], [provider("aesgcm", ("k", "c2hvcnQ="))], "not of the expected length, got 5"),
        (["secrets"], [provider("aesgcm", ("k", "no*base64"))], "must be base64 encoded"),
        (["secrets"], [{"kms": {"name": "x"}}], "kms"),
        (["*"], [IDENTITY], "names no resource"),
        (["secrets.*"], [IDENTITY], "names no resource"),
        (["Secrets"], [IDENTITY], "names no resource"),
        (["events.events.k8s.io"], [IDENTITY], "core group"),
        (["secrets", "*."], [IDENTITY], "masked"),
        (["secrets", "secrets"], [IDENTITY], "twice"),
    ],
)
def test_a_file_that_is_wrong_is_refused_without_a_word_of_its_keys(
    tmp_path: Path, resources: list[str], providers: list[Any], told: str
) -> None:
    """validation_encryption.go of k8s.io/apiserver"""
    with pytest.raises(ConfigError, match=told) as caught:
        written(tmp_path / "file.yaml", [{"resources": resources, "providers": providers}])
    assert not any(secret in str(caught.value) for secret in (ONE, "c2hvcnQ=", "no*base64"))
