"""Our context in a user's kubeconfig: in, out, and nothing else moved."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from client import kubeconfig
from deploy import credentials, pki
from deploy.host import User
from deploy.layout import Layout
from deploy.nodes import Node, Places

OTHER = """\
# mine, with a comment
apiVersion: v1
kind: Config
clusters: [{name: other, cluster: {server: 'https://other:6443'}}]
contexts: [{name: other, context: {cluster: other, user: other}}]
users: [{name: other, user: {token: t}}]
current-context: other
"""


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path / "data")
    node = Node("n", "192.0.2.7", layout.node("n"))
    pki.ensure(layout.pki, [pki.NodeName("n", ("192.0.2.7",), node.directory)], ("127.0.0.1",), datetime.now(UTC))
    credentials.write_all(layout, Places("192.0.2.7", (node,)))
    return layout


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> User:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    home = tmp_path / "home"
    home.mkdir()
    return User("somebody", os.getuid(), os.getgid(), home)


def test_a_user_without_a_kubeconfig_gets_one_and_loses_it_again(layout: Layout, user: User) -> None:
    assert "current context" in credentials.merge(layout, user)
    assert user.kubeconfig.stat().st_mode & 0o777 == 0o600
    assert kubeconfig.load(user.kubeconfig).server == "https://127.0.0.1:6443"
    assert credentials.merge(layout, user) == ""
    credentials.unmerge(layout)
    assert list(user.home.iterdir()) == []


def test_other_contexts_stay_to_the_letter(layout: Layout, user: User) -> None:
    user.kubeconfig.parent.mkdir()
    user.kubeconfig.write_text(OTHER)
    assert "was 'other'" in credentials.merge(layout, user)
    document = yaml.safe_load(user.kubeconfig.read_text())
    assert [each["name"] for each in document["contexts"]] == ["other", "sampan"]
    credentials.unmerge(layout)
    assert user.kubeconfig.read_text() == OTHER


def test_what_the_user_adds_meanwhile_stays(layout: Layout, user: User) -> None:
    credentials.merge(layout, user)
    document = yaml.safe_load(user.kubeconfig.read_text())
    document["users"].append({"name": "new", "user": {"token": "t"}})
    user.kubeconfig.write_text(yaml.safe_dump(document))
    credentials.unmerge(layout)
    assert [each["name"] for each in yaml.safe_load(user.kubeconfig.read_text())["users"]] == ["new"]


def test_the_daemons_have_their_own(layout: Layout) -> None:
    for file in ("admin", "controller", "scheduler", "nodes/n/kubelet", "nodes/n/proxy"):
        path = layout.root / f"{file}.kubeconfig"
        assert path.stat().st_mode & 0o777 == 0o600
        assert kubeconfig.load(path).key_data
