"""What a pod's containers find in /etc/hosts and /etc/resolv.conf, and what it calls itself. Pure.

Sources: kubelet_pods.go (managed hosts file, GeneratePodHostNameAndDomain), network/dns/dns.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

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
_MOST_NAMESERVERS = 3


def hostname_and_domain(pod: Mapping[str, Any], cluster_domain: str) -> tuple[str, str]:
    """The pod's host name, and its domain when it has a subdomain, else ""."""
    spec, meta = pod["spec"], pod["metadata"]
    host = spec.get("hostname") or meta["name"][:_LONGEST_HOSTNAME].rstrip("-.")
    domain = ""
    if spec.get("subdomain"):
        domain = f"{spec['subdomain']}.{meta['namespace']}.svc.{cluster_domain}"
    return host, domain


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

    def text(self) -> str:
        lines = [f"search {' '.join(self.searches)}"] if self.searches else []
        lines += [f"nameserver {server}" for server in self.nameservers[:_MOST_NAMESERVERS]]
        if self.options:
            lines.append(f"options {' '.join(self.options)}")
        return "\n".join(lines) + "\n"


def parse_resolver(text: str) -> Resolver:
    resolver = Resolver()
    for line in text.splitlines():
        words = line.split("#")[0].split()
        if len(words) < 2:
            continue
        match words[0]:
            case "nameserver":
                resolver.nameservers.append(words[1])
            case "search" | "domain":
                resolver.searches = [w for w in words[1:] if w != "."]
            case "options":
                resolver.options += words[1:]
    return resolver


def pod_resolver(pod: Mapping[str, Any], host: Resolver, cluster_dns: str, cluster_domain: str) -> Resolver:
    spec = pod["spec"]
    policy = spec.get("dnsPolicy") or "ClusterFirst"
    if policy == "ClusterFirst" and spec.get("hostNetwork"):
        policy = "Default"
    if policy == "None":
        made = Resolver()
    elif policy == "Default" or not cluster_dns:
        made = Resolver(list(host.nameservers), list(host.searches), list(host.options))
    else:
        namespace = pod["metadata"]["namespace"]
        own = [f"{namespace}.svc.{cluster_domain}", f"svc.{cluster_domain}", cluster_domain]
        made = Resolver([cluster_dns], own + [s for s in host.searches if s not in own], ["ndots:5"])
    extra = spec.get("dnsConfig") or {}
    made.nameservers += [n for n in extra.get("nameservers") or [] if n not in made.nameservers]
    made.searches += [s for s in extra.get("searches") or [] if s not in made.searches]
    for option in extra.get("options") or []:
        name, value = option["name"], option.get("value")
        made.options = [o for o in made.options if o.split(":")[0] != name]
        made.options.append(f"{name}:{value}" if value else name)
    return made
