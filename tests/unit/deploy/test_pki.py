"""Certificates: identities, names, renewal, and that nothing is touched without need."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from deploy.certificates import CERTIFICATE_LIFE, Pair, Request, issue, new_authority, unfit
from deploy.pki import NodeName, apiserver_names, ensure, wanted

NOW = datetime(2026, 3, 1, tzinfo=UTC)
NAMES = apiserver_names(["192.0.2.7"], "10.96.0.0/16", "cluster.local")


def node(directory: Path) -> NodeName:
    return NodeName("worker", ("192.0.2.7",), directory / "nodes" / "worker")


def run(directory: Path, now: datetime = NOW, names: tuple[str, ...] = NAMES) -> dict[Path, str]:
    return ensure(directory / "pki", [node(directory)], names, now)


def subject(path: Path) -> tuple[str, str]:
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    organization = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
    return str(common), str(organization[0].value) if organization else ""


@pytest.mark.parametrize(
    ("file", "common_name", "organization"),
    [
        ("pki/admin.crt", "kubernetes-admin", "system:masters"),
        ("pki/scheduler.crt", "system:kube-scheduler", ""),
        ("pki/controller.crt", "system:kube-controller-manager", ""),
        ("pki/proxy.crt", "system:kube-proxy", ""),
        ("pki/front-proxy-client.crt", "front-proxy-client", ""),
        ("pki/apiserver-kubelet-client.crt", "kube-apiserver-kubelet-client", "kubeadm:cluster-admins"),
        ("nodes/worker/kubelet-client.crt", "system:node:worker", "system:nodes"),
        ("nodes/worker/kubelet.crt", "system:node:worker", "system:nodes"),
    ],
)
def test_identities_are_the_upstream_ones(tmp_path: Path, file: str, common_name: str, organization: str) -> None:
    run(tmp_path)
    assert subject(tmp_path / file) == (common_name, organization)


def test_the_second_call_changes_nothing(tmp_path: Path) -> None:
    assert len(run(tmp_path)) == len(wanted(tmp_path, [node(tmp_path)], NAMES)) + 4
    assert run(tmp_path, NOW + timedelta(days=30)) == {}


def test_a_certificate_renews_when_less_than_a_third_of_its_life_is_left(tmp_path: Path) -> None:
    run(tmp_path)
    assert run(tmp_path, NOW + CERTIFICATE_LIFE * 0.6) == {}
    written = run(tmp_path, NOW + CERTIFICATE_LIFE * 0.7)
    assert tmp_path / "pki" / "admin" in written
    assert tmp_path / "pki" / "ca" not in written


def test_a_new_address_renews_only_the_servers_that_have_it(tmp_path: Path) -> None:
    run(tmp_path)
    written = run(tmp_path, names=(*NAMES, "198.51.100.3"))
    assert written == {tmp_path / "pki" / "apiserver": "has other names or addresses"}


def test_keys_are_for_root_alone(tmp_path: Path) -> None:
    run(tmp_path)
    keys = list(tmp_path.rglob("*.key"))
    assert len(keys) == 15
    assert {key.stat().st_mode & 0o777 for key in keys} == {0o600}
    assert not list(tmp_path.rglob("*.tmp"))


def test_the_two_authorities_do_not_vouch_for_each_other(tmp_path: Path) -> None:
    run(tmp_path)
    ca, etcd = (
        x509.load_pem_x509_certificate((tmp_path / "pki" / f"{name}.crt").read_bytes()) for name in ("ca", "etcd-ca")
    )
    client = x509.load_pem_x509_certificate((tmp_path / "pki/apiserver-etcd-client.crt").read_bytes())
    client.verify_directly_issued_by(etcd)
    with pytest.raises(ValueError, match="Issuer"):
        client.verify_directly_issued_by(ca)


def test_unfit_says_why() -> None:
    authority, other = new_authority("a", NOW), new_authority("a", NOW)
    request = Request("x", "y", ("localhost", "::1", "127.0.0.1"), server=True)
    pair = issue(authority, request, NOW)
    assert unfit(pair, authority, request, NOW) == ""
    assert "authority" in unfit(pair, other, request, NOW)
    assert "key" in unfit(Pair(pair.certificate, other.key), authority, request, NOW)
    assert "clock" in unfit(pair, authority, request, NOW - timedelta(hours=1))
    assert "subject" in unfit(pair, authority, Request("z", "y", request.names), NOW)
    assert "read" in unfit(Pair(b"", b""), authority, request, NOW)


def test_an_interrupted_renewal_is_finished(tmp_path: Path) -> None:
    run(tmp_path)
    key = tmp_path / "pki/admin.key"
    key.write_bytes((tmp_path / "pki/proxy.key").read_bytes())
    assert run(tmp_path) == {tmp_path / "pki" / "admin": "does not match its key"}


def test_the_api_is_called_by_these_names() -> None:
    assert {"kubernetes.default.svc.cluster.local", "10.96.0.1", "127.0.0.1", "192.0.2.7"} <= set(NAMES)
