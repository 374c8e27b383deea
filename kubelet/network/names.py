"""What a pod's containers find in /etc/hosts and /etc/resolv.conf, and what it calls itself. Pure.

Sources: kubelet_pods.go (managed hosts file, GeneratePodHostNameAndDomain), network/dns/dns.go
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kubelet.pods.environment import ConfigError

_HEADER = "# Kubernetes-managed hosts file.\n"
_HEADER_HOST_NETWORK = "# Kubernetes-managed hosts file (host network).\n"
_STANDARD = """127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
fe00::0\tip6-mcastprefix
fe00::1\tip6-allnodes
fe00::2\tip6-allrouters
"""
_LONGEST_HOSTNAME = 63
_LONGEST_NODENAME = 64
_MOST_NAMESERVERS, _MOST_SEARCHES = 3, 32
_LONGEST_SEARCH, _LONGEST_SEARCHES = 253, 2048


def hostname_and_domain(pod: Mapping[str, Any], cluster_domain: str) -> tuple[str, str]:
    """The pod's host name, and its domain when it has a subdomain, else "". What hostnameOverride says is the whole
    name (KEP-4762)."""
    spec, meta = pod["spec"], pod["metadata"]
    host = spec.get("hostnameOverride") or spec.get("hostname") or meta["name"]
    if len(host) > _LONGEST_HOSTNAME:
        host = host[:_LONGEST_HOSTNAME].rstrip("-.")
    domain = ""
    if spec.get("subdomain") and not spec.get("hostnameOverride"):
        domain = f"{spec['subdomain']}.{meta['namespace']}.svc.{cluster_domain}"
    return host, domain


def kernel_hostname(pod: Mapping[str, Any], cluster_domain: str) -> str:
    """What `hostname` says in the pod. ConfigError when it is to be the whole name and the kernel cannot hold that.

    Source: pkg/kubelet/util, GetNodenameForKernel
    """
    host, domain = hostname_and_domain(pod, cluster_domain)
    if not domain or not pod["spec"].get("setHostnameAsFQDN"):
        return host
    whole = f"{host}.{domain}"
    if len(whole) > _LONGEST_NODENAME:
        raise ConfigError(
            f"failed to construct FQDN from pod hostname and cluster domain, FQDN {whole} is too long "
            f"({_LONGEST_NODENAME} characters is the max, {len(whole)} characters requested)"
        )
    return whole


def hosts_file(pod: Mapping[str, Any], ips: tuple[str, ...], cluster_domain: str, host_file: str) -> str:
    """`host_file` is the machine's own, which a pod on the host network gets."""
    if pod["spec"].get("hostNetwork"):
        text = _HEADER_HOST_NETWORK + host_file
    else:
        host, domain = hostname_and_domain(pod, cluster_domain)
        names = f"{host}.{domain}\t{host}" if domain else host
        text = _HEADER + _STANDARD + "".join(f"{ip}\t{names}\n" for ip in ips)
    aliases = pod["spec"].get("hostAliases") or []
    if aliases:
        text += "\n# Entries added by HostAliases.\n"
        text += "".join(f"{a['ip']}\t{chr(9).join(a.get('hostnames') or [])}\n" for a in aliases)
    return text


@dataclass(slots=True)
class Resolver:
    nameservers: list[str] = field(default_factory=list)
    searches: list[str] = field(default_factory=list)
    options: list[str] = field(default_factory=list)

    def set_options(self, options: Iterable[str]) -> None:
        """Each replaces the one of its name."""
        for option in options:
            name = option.split(":")[0]
            self.options = [*(o for o in self.options if o.split(":")[0] != name), option]

    def text(self) -> str:
        lines = [f"search {' '.join(self.searches)}"] if self.searches else []
        lines += [f"nameserver {server}" for server in self.nameservers]
        if self.options:
            lines.append(f"options {' '.join(self.options)}")
        return "\n".join(lines) + "\n"

    def fit(self) -> list[str]:
        """Leave out what resolvers do not read; returns what there is to say of it."""
        told = []
        if len(self.nameservers) > _MOST_NAMESERVERS:
            del self.nameservers[_MOST_NAMESERVERS:]
            told.append("Nameserver limits were exceeded, some nameservers have been omitted, "
                        f"the applied nameserver line is: {' '.join(self.nameservers)}")  # fmt: skip
        kept = [s for s in self.searches[:_MOST_SEARCHES] if len(s) <= _LONGEST_SEARCH]
        while len(" ".join(kept)) > _LONGEST_SEARCHES:
            kept.pop()
        if kept != self.searches:
            self.searches = kept
            told.append("Search Line limits were exceeded, some search paths have been omitted, "
                        f"the applied search line is: {' '.join(kept)}")  # fmt: skip
        return told


NOWHERE = Resolver(["127.0.0.1"], ["."])
"""For a node whose resolver configuration is said to be none: what a resolver without one asks."""


def parse_resolver(text: str) -> Resolver:
    """Of searches the last line counts, of options the last of each name; `domain` is not read (parseResolvConf)."""
    resolver = Resolver()
    for line in text.splitlines():
        words = line.split("#")[0].split()
        match words[:1]:
            case ["nameserver"] if len(words) > 1:
                resolver.nameservers.append(words[1])
            case ["search"]:
                resolver.searches = [w.removesuffix(".") for w in words[1:] if w != "."]
            case ["options"]:
                resolver.set_options(words[1:])
    return resolver


def pod_resolver(
    pod: Mapping[str, Any], host: Resolver, cluster_dns: Sequence[str], cluster_domain: str
) -> tuple[Resolver, list[tuple[str, str]]]:
    """What the pod's resolver is told, and reasons and messages of the events that tell what it is not."""
    spec, meta = pod["spec"], pod["metadata"]
    policy = spec.get("dnsPolicy") or "ClusterFirst"
    events = []
    if policy == "ClusterFirst" and spec.get("hostNetwork"):
        policy = "Default"
    if policy.startswith("ClusterFirst") and not cluster_dns:
        where = f'pod: "{meta["name"]}_{meta["namespace"]}({meta["uid"]})"'
        events.append(("MissingClusterDNS",
            f'{where}. kubelet does not have ClusterDNS IP configured and cannot create Pod using "ClusterFirst" '
            'policy. Falling back to "Default" policy.'))  # fmt: skip
        policy = "Default"
    if policy == "None":
        made = Resolver()
    elif policy == "Default":
        made = Resolver(list(host.nameservers), list(host.searches), list(host.options))
    else:
        own = [f"{meta['namespace']}.svc.{cluster_domain}", f"svc.{cluster_domain}", cluster_domain]
        made = Resolver(
            list(cluster_dns), (own if cluster_domain else []) + [s for s in host.searches if s != "."], ["ndots:5"]
        )
    extra = spec.get("dnsConfig") or {}
    made.nameservers = list(dict.fromkeys([*made.nameservers, *(extra.get("nameservers") or [])]))
    made.searches = list(dict.fromkeys([*made.searches, *(extra.get("searches") or [])]))
    made.set_options(
        f"{option['name']}:{option['value']}" if option.get("value") else option["name"]
        for option in extra.get("options") or []
    )
    return made, events + [("DNSConfigForming", text) for text in made.fit()]
