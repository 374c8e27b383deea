"""The flags of `python -m apiserver`, under upstream's names."""

from __future__ import annotations

import argparse
import ipaddress
from dataclasses import dataclass
from typing import NamedTuple

from api.cel.values import EvaluationError, parse_duration
from apiserver.audit import backend as audit
from apiserver.auth import oidc
from apiserver.auth.authorizer import MODES

_ISSUER = "https://kubernetes.default.svc.cluster.local"


class AuditLog(NamedTuple):
    """Of what is noted where, under the names of upstream's flags."""

    policy_file: str
    log_path: str
    log_maxage: int
    log_maxbackup: int
    log_maxsize: int
    log_compress: bool
    log_mode: str
    log_batch_buffer_size: int
    log_batch_max_size: int
    log_batch_max_wait: float


@dataclass(frozen=True, slots=True)
class Options:
    advertise_address: str
    bind_address: str
    secure_port: int
    tls_cert_file: str
    tls_private_key_file: str
    client_ca_file: str
    etcd_servers: tuple[str, ...]
    etcd_cafile: str
    etcd_certfile: str
    etcd_keyfile: str
    encryption_provider_config: str
    encryption_provider_config_automatic_reload: bool
    kubelet_client_certificate: str
    kubelet_client_key: str
    kubelet_certificate_authority: str
    proxy_client_cert_file: str
    proxy_client_key_file: str
    requestheader_client_ca_file: str
    requestheader_allowed_names: tuple[str, ...]
    token_auth_file: str
    authorization_modes: tuple[str, ...]
    service_range: ipaddress.IPv4Network | ipaddress.IPv6Network
    node_ports: tuple[int, int]  # first and last, inclusive
    account_key_files: tuple[str, ...]
    account_signing_key_file: str
    account_issuers: tuple[str, ...]  # the first signs
    account_jwks_uri: str
    account_max_seconds: int  # 0 = no limit
    account_extend: bool
    api_audiences: tuple[str, ...]
    anonymous: bool | None  # None = not said
    authentication_config: str
    bootstrap_tokens: bool
    oidc: oidc.Settings | None
    admission_control_config_file: str
    enable_admission_plugins: frozenset[str]
    disable_admission_plugins: frozenset[str]
    audit: AuditLog | None
    max_requests_inflight: int
    max_mutating_requests_inflight: int
    max_streams_per_user: int
    verbosity: int


def parse(arguments: list[str] | None = None) -> Options:
    parser = argparse.ArgumentParser(prog="apiserver", description=__doc__, allow_abbrev=False)
    add = parser.add_argument
    add("--advertise-address", default="", help="address at which others reach this server")
    add("--bind-address", default="0.0.0.0")
    add("--secure-port", type=int, default=6443)
    add("--tls-cert-file", required=True)
    add("--tls-private-key-file", required=True)
    add("--client-ca-file", default="", help="clients with a certificate of this CA are known by its CN and O")
    add("--etcd-servers", required=True, help="comma-separated, scheme://host:port")
    add("--etcd-cafile", default="")
    add("--etcd-certfile", default="")
    add("--etcd-keyfile", default="")
    add("--encryption-provider-config", default="", help="EncryptionConfiguration: which kinds are encrypted in etcd")
    add("--encryption-provider-config-automatic-reload", action="store_true", help="whenever that file changes")
    add("--kubelet-client-certificate", default="")
    add("--kubelet-client-key", default="")
    add("--kubelet-certificate-authority", default="")
    add("--proxy-client-cert-file", default="", help="proves to API servers behind this one who sends them requests")
    add("--proxy-client-key-file", default="")
    add("--requestheader-client-ca-file", default="", help="proxies with a certificate of this CA say who asks")
    add("--requestheader-allowed-names", default="", help="comma-separated CNs of such proxies; without, any")
    add("--token-auth-file", default="", help='CSV lines: token,user,uid,group or token,user,uid,"g1,g2"')
    add("--authorization-mode", type=_modes, default=("Node", "RBAC"), help="comma-separated: Node, RBAC, AlwaysAllow")
    add("--service-cluster-ip-range", type=_network, default=_network("10.96.0.0/16"))
    add("--service-node-port-range", type=_ports, default=(30000, 32767), help="first-last")
    add("--service-account-key-file", action="append", default=[], help="public key that verifies tokens")
    add("--service-account-signing-key-file", default="", help="private key that signs tokens")
    add("--service-account-issuer", action="append", help="the first given signs tokens, all are believed")
    add("--service-account-jwks-uri", default="", help="where others find the keys, when not at this server")
    add("--service-account-max-token-expiration", type=_duration, default=0, help="limit of a token's life")
    add("--service-account-extend-token-expiration", type=_truth, default=True,
        help="tokens of pods that ask for 3607s last a year, for programs that do not read them again")  # fmt: skip
    add("--api-audiences", default="", help="comma-separated; tokens for one of them are good here (default: issuers)")
    add("--anonymous-auth", type=_truth, help="requests without credentials are system:anonymous's (default: true)")
    add("--authentication-config", default="", help="AuthenticationConfiguration: OpenID Connect providers, anonymity")
    add("--enable-bootstrap-token-auth", type=_truth, nargs="?", const=True, default=False,
        help="Secrets of type bootstrap.kubernetes.io/token in kube-system are tokens")  # fmt: skip
    add("--oidc-issuer-url", default="", help="OpenID Connect provider whose ID tokens are believed")
    add("--oidc-client-id", default="", help="for whom they must be")
    add("--oidc-ca-file", default="", help="CA of the provider (default: the system's)")
    add("--oidc-username-claim", default="sub")
    add(
        "--oidc-username-prefix",
        default="",
        help="before user names; - for none (default: the URL and #, but for email)",
    )
    add("--oidc-groups-claim", default="")
    add("--oidc-groups-prefix", default="")
    add(
        "--oidc-required-claim",
        action="append",
        type=_pair,
        default=[],
        metavar="KEY=VALUE",
        help="that tokens must have",
    )
    add("--oidc-signing-algs", default="RS256", help=f"comma-separated, of {', '.join(oidc.ALGORITHMS)}")
    add("--admission-control-config-file", default="", help="AdmissionConfiguration: how some plugins work")
    add("--enable-admission-plugins", type=_names, default=frozenset(), help="comma-separated, beside the default ones")
    add("--disable-admission-plugins", type=_names, default=frozenset(), help="comma-separated; all are on else")
    add(
        "--audit-policy-file",
        default="",
        help="Policy: which requests are noted in the audit log, and how much of them",
    )
    add("--audit-log-path", default="", help="the audit log; - is standard output")
    add("--audit-log-maxage", type=int, default=0, help="days to keep full log files; 0 = for ever")
    add("--audit-log-maxbackup", type=int, default=0, help="how many of them to keep; 0 = all")
    add("--audit-log-maxsize", type=int, default=100, help="megabytes at which a log file is full; 0 = never")
    add("--audit-log-compress", action="store_true", help="full log files, by gzip")
    add("--audit-log-mode", choices=audit.MODES, default=audit.BLOCKING, help="whether requests wait for the log")
    add("--audit-log-batch-buffer-size", type=int, default=10000, help="events that may wait; more are dropped")
    add("--audit-log-batch-max-size", type=int, default=1, help="events that are written at once")
    add("--audit-log-batch-max-wait", type=_seconds, default=0.0, help="how long for so many to come together")
    add(
        "--max-requests-inflight", type=int, default=400, help="with the next one, the seats that priority levels share"
    )
    add("--max-mutating-requests-inflight", type=int, default=200)
    add("--max-streams-per-user", type=int, default=5000, help="watches, followed logs, exec … at once; 0 = no limit")
    add("-v", type=int, default=0, dest="verbosity", help="2 and more logs every request")
    given = parser.parse_args(arguments)
    advertise = given.advertise_address or given.bind_address
    if ipaddress.ip_address(advertise).is_unspecified:
        parser.error("--advertise-address is needed when --bind-address is all interfaces")
    if min(given.max_requests_inflight, given.max_mutating_requests_inflight) < 0 or not (
        given.max_requests_inflight + given.max_mutating_requests_inflight
    ):
        parser.error("--max-requests-inflight and --max-mutating-requests-inflight must add up to a seat at least")
    return Options(
        advertise_address=advertise,
        bind_address=given.bind_address,
        secure_port=given.secure_port,
        tls_cert_file=given.tls_cert_file,
        tls_private_key_file=given.tls_private_key_file,
        client_ca_file=given.client_ca_file,
        etcd_servers=tuple(s.strip() for s in given.etcd_servers.split(",") if s.strip()),
        etcd_cafile=given.etcd_cafile,
        etcd_certfile=given.etcd_certfile,
        etcd_keyfile=given.etcd_keyfile,
        encryption_provider_config=given.encryption_provider_config,
        encryption_provider_config_automatic_reload=given.encryption_provider_config_automatic_reload,
        kubelet_client_certificate=given.kubelet_client_certificate,
        kubelet_client_key=given.kubelet_client_key,
        kubelet_certificate_authority=given.kubelet_certificate_authority,
        proxy_client_cert_file=given.proxy_client_cert_file,
        proxy_client_key_file=given.proxy_client_key_file,
        requestheader_client_ca_file=given.requestheader_client_ca_file,
        requestheader_allowed_names=tuple(n for n in given.requestheader_allowed_names.split(",") if n),
        token_auth_file=given.token_auth_file,
        authorization_modes=given.authorization_mode,
        service_range=given.service_cluster_ip_range,
        node_ports=given.service_node_port_range,
        account_key_files=tuple(given.service_account_key_file),
        account_signing_key_file=given.service_account_signing_key_file,
        account_issuers=tuple(given.service_account_issuer or (_ISSUER,)),
        account_jwks_uri=given.service_account_jwks_uri,
        account_max_seconds=given.service_account_max_token_expiration,
        account_extend=given.service_account_extend_token_expiration,
        api_audiences=tuple(a for a in given.api_audiences.split(",") if a),
        anonymous=given.anonymous_auth,
        authentication_config=given.authentication_config,
        bootstrap_tokens=given.enable_bootstrap_token_auth,
        oidc=_oidc(given, parser),
        admission_control_config_file=given.admission_control_config_file,
        enable_admission_plugins=given.enable_admission_plugins,
        disable_admission_plugins=given.disable_admission_plugins,
        audit=_audit(given, parser),
        max_requests_inflight=given.max_requests_inflight,
        max_mutating_requests_inflight=given.max_mutating_requests_inflight,
        max_streams_per_user=given.max_streams_per_user,
        verbosity=given.verbosity,
    )


def _names(text: str) -> frozenset[str]:
    return frozenset(name for name in text.split(",") if name)


def _oidc(given: argparse.Namespace, parser: argparse.ArgumentParser) -> oidc.Settings | None:
    if not given.oidc_issuer_url:
        return None
    if given.oidc_issuer_url in (given.service_account_issuer or (_ISSUER,)):
        parser.error("--oidc-issuer-url must not be a --service-account-issuer")
    settings = oidc.Settings(
        given.oidc_issuer_url,
        given.oidc_client_id,
        given.oidc_ca_file,
        given.oidc_username_claim,
        given.oidc_username_prefix,
        given.oidc_groups_claim,
        given.oidc_groups_prefix,
        tuple(given.oidc_required_claim),
        tuple(given.oidc_signing_algs.split(",")),
    )
    try:
        settings.check()
    except ValueError as error:
        parser.error(str(error))
    return settings


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise argparse.ArgumentTypeError("expected key=value")
    return key, value


def _truth(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError("expected true or false")
    return text.lower() == "true"


def _duration(text: str) -> int:
    return int(_seconds(text))


def _seconds(text: str) -> float:
    try:
        return parse_duration(text).nanos / 1e9
    except EvaluationError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _audit(given: argparse.Namespace, parser: argparse.ArgumentParser) -> AuditLog | None:
    chosen = AuditLog(**{name: getattr(given, f"audit_{name}") for name in AuditLog._fields})
    if bool(chosen.policy_file) != bool(chosen.log_path):
        parser.error("--audit-policy-file and --audit-log-path need each other")
    return chosen if chosen.log_path else None


def _modes(text: str) -> tuple[str, ...]:
    modes = tuple(text.split(","))
    for mode in modes:
        if mode not in MODES:
            raise argparse.ArgumentTypeError(f"unknown authorization mode {mode}")
    return modes


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    network = ipaddress.ip_network(text)
    if network.num_addresses < 8:
        raise argparse.ArgumentTypeError("the service range needs at least 8 addresses")
    return network


def _ports(text: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    if not dash or not 0 < int(first) <= int(last) <= 65535:
        raise argparse.ArgumentTypeError("expected first-last, such as 30000-32767")
    return int(first), int(last)
