from __future__ import annotations

import base64
from pathlib import Path

import pytest
import yaml

from client import kubeconfig
from client.kubeconfig import KubeconfigError, RestConfig

CONFIG = RestConfig("https://127.0.0.1:6443", ca_data=b"CA", cert_data=b"CERT", key_data=b"KEY")


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "dir" / "admin.kubeconfig"
    kubeconfig.write(path, kubeconfig.document_for(CONFIG, "sampan"))
    assert path.stat().st_mode & 0o777 == 0o600
    read = kubeconfig.load(path)
    assert (read.server, read.ca_data, read.cert_data, read.key_data, read.namespace, read.context) == (
        CONFIG.server, b"CA", b"CERT", b"KEY", "default", "sampan",
    )  # fmt: skip


def test_files_are_relative_to_the_kubeconfig(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_bytes(b"FILE CA")
    (tmp_path / "token").write_text("secret\n")
    document = kubeconfig.document_for(RestConfig("https://x:1/"), "c")
    document["clusters"][0]["cluster"]["certificate-authority"] = "ca.crt"
    document["users"][0]["user"]["tokenFile"] = "token"
    (tmp_path / "config").write_text(yaml.safe_dump(document))
    read = kubeconfig.load(tmp_path / "config")
    assert (read.ca_data, read.token, read.server) == (b"FILE CA", "secret", "https://x:1")


def test_merging_leaves_everything_else_alone(tmp_path: Path) -> None:
    path = tmp_path / "config"
    other = {
        "apiVersion": "v1", "kind": "Config", "preferences": {"colors": True},
        "clusters": [{"name": "work", "cluster": {"server": "https://work", "certificate-authority": "w.crt"}}],
        "users": [{"name": "me", "user": {"exec": {"command": "login"}}}],
        "contexts": [{"name": "work", "context": {"cluster": "work", "user": "me"}}],
        "current-context": "work",
    }  # fmt: skip
    path.write_text(yaml.safe_dump(other))
    kubeconfig.merge_context(path, CONFIG, "sampan", make_current=False)
    kubeconfig.merge_context(path, CONFIG, "sampan", make_current=False)
    merged = yaml.safe_load(path.read_text())
    assert [c["name"] for c in merged["contexts"]] == ["work", "sampan"]
    assert merged["current-context"] == "work"
    assert merged["clusters"][0] == other["clusters"][0]  # type: ignore[index]
    kubeconfig.merge_context(path, CONFIG, "sampan")
    assert yaml.safe_load(path.read_text())["current-context"] == "sampan"
    kubeconfig.remove_context(path, "sampan")
    assert yaml.safe_load(path.read_text()) == {**other, "current-context": ""}


def test_several_files_the_first_to_name_a_thing_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kubeconfig.write(tmp_path / "a", kubeconfig.document_for(RestConfig("https://a"), "same"))
    kubeconfig.write(tmp_path / "b", kubeconfig.document_for(RestConfig("https://b"), "same"))
    kubeconfig.merge_context(tmp_path / "b", RestConfig("https://c", namespace="team"), "third")
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path}/a:{tmp_path}/missing:{tmp_path}/b")
    assert kubeconfig.load().server == "https://a"
    assert (kubeconfig.load(context="third").server, kubeconfig.load(context="third").namespace) == (
        "https://c", "team",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no current context"),
        ("current-context: x", 'context "x" does not exist'),
        ("- a", "not a mapping"),
        ("a: [", "error loading config file"),
    ],
    ids=["empty", "missing context", "a list", "not YAML"],
)
def test_errors_name_the_cause(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "config").write_text(text)
    with pytest.raises(KubeconfigError, match=message):
        kubeconfig.load(tmp_path / "config")


def test_a_missing_file_is_an_error_when_it_was_asked_for(tmp_path: Path) -> None:
    with pytest.raises(KubeconfigError, match="no such file"):
        kubeconfig.load(tmp_path / "nowhere")


def test_bad_base64_is_an_error() -> None:
    document = kubeconfig.document_for(CONFIG, "c")
    document["users"][0]["user"]["client-key-data"] = "%%%"
    with pytest.raises(KubeconfigError, match="client-key-data"):
        kubeconfig.from_document(document)
    document["users"][0]["user"]["client-key-data"] = base64.b64encode(b"K").decode()
    assert kubeconfig.from_document(document).key_data == b"K"
