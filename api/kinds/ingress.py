"""Ingress and IngressClass: defaults, validation, columns.

Rules and wording follow k8s.io/kubernetes/pkg/apis/networking/validation.
"""

from __future__ import annotations

import re

from api import meta
from api.columns import AGE, Cell, at, tabled
from api.errors import forbidden_field, invalid, required, too_long
from api.meta import Obj
from api.registry import Hooks
from api.rules import SUBDOMAIN, Row, check, each, given, needed, needed_as, needed_of, of, rows, when
from api.validation import (
    Errors,
    dns_1035_label,
    dns_label,
    dns_subdomain,
    immutable,
    path_segment,
    port_name,
    port_number,
    shown,
)
from api.validation import ip_address as an_address

_SHOWN_HOSTS = 3
_CONTROLLER_LENGTH = 250
_PATH = re.compile(r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+")
_WILDCARD_HOST = re.compile(r"\*\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_NOT_IN_PATHS = ("//", "/./", "/../", "%2f", "%2F")
_CLASS_ANNOTATION = "kubernetes.io/ingress.class"


# --- Ingress -----------------------------------------------------------------------------------------------


def _host(value: str, field: str) -> Errors:
    if "*" not in value:
        return dns_subdomain(value, field)
    if _WILDCARD_HOST.fullmatch(value):
        return []
    text = (
        "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of "
        "lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. "
        f"'*.example.com', regex used for validation is '{_WILDCARD_HOST.pattern}')"
    )
    return [invalid(field, value, text)]


def _no_address(value: str, field: str) -> Errors:
    return [] if an_address(value, field) else [invalid(field, value, "must be a DNS name, not an IP address")]


def _backend(backend: Obj | None, field: str) -> Errors:
    backend = backend or {}
    resource, service = backend.get("resource"), backend.get("service")
    if resource is not None and service is not None:
        return [invalid(field, "", "cannot set both resource and service backends")]
    if resource is not None:
        return _reference(resource, f"{field}.resource")
    if service is None:
        return [invalid(field, "", "resource or service backend is required")]
    errors = needed_as(dns_1035_label)(service.get("name"), f"{field}.service.name")
    port = service.get("port") or {}
    if port.get("name") and port.get("number"):
        errors.append(invalid(field, "", "cannot set both port name & port number"))
    elif port.get("name"):
        errors += port_name(port["name"], f"{field}.service.port.name")
    elif port.get("number"):
        errors += port_number(port["number"], f"{field}.service.port.number")
    else:
        errors.append(required(field, "port name or number is required"))
    return errors


def _reference(reference: Obj, field: str) -> Errors:
    """A TypedLocalObjectReference."""
    errors = given(dns_subdomain)(reference.get("apiGroup"), f"{field}.apiGroup")
    for name in ("kind", "name"):
        value = reference.get(name)
        at_field = f"{field}.{name}"
        errors += path_segment(value, at_field) if value else [required(at_field, f"{name} is required")]
    return errors


def _path(path: Obj, field: str) -> Errors:
    kind, text = path.get("pathType"), path.get("path") or ""
    if kind is None:
        return [required(f"{field}.pathType", "pathType must be specified")]
    errors = of("Exact", "ImplementationSpecific", "Prefix")(kind, f"{field}.pathType")
    at_path = f"{field}.path"
    if not errors and not text.startswith("/") and (text or kind != "ImplementationSpecific"):
        errors.append(invalid(at_path, text, "must be an absolute path"))
    if kind in ("Exact", "Prefix"):
        errors += [invalid(at_path, text, f"must not contain '{s}'") for s in _NOT_IN_PATHS if s in text]
        errors += [invalid(at_path, text, f"cannot end with '{s}'") for s in ("/..", "/.") if text.endswith(s)]
    return errors + _backend(path.get("backend"), f"{field}.backend")


def _rule(rule: Obj, field: str) -> Errors:
    host, http = rule.get("host"), rule.get("http")
    errors = _no_address(host, f"{field}.host") + _host(host, f"{field}.host") if host else []
    if http is not None:
        errors += check(http, f"{field}.http", (("paths", needed()), ("paths", each(_path))))
    return errors


_INGRESS: tuple[Row, ...] = (
    ("defaultBackend", given(_backend)),
    ("rules", each(_rule)),
    ("tls", each(rows(("hosts", each(_host)), ("secretName", SUBDOMAIN)))),
    ("ingressClassName", given(dns_subdomain)),
)


def _validate_ingress(ingress: Obj, old: Obj | None) -> Errors:
    spec = ingress.get("spec") or {}
    errors: Errors = []
    if not spec.get("rules") and spec.get("defaultBackend") is None:
        shown_rules = shown(spec.get("rules"))
        errors.append(invalid("spec", shown_rules, "either `defaultBackend` or `rules` must be specified"))
    errors += check(spec, "spec", _INGRESS)
    annotated, name = meta.annotations(ingress).get(_CLASS_ANNOTATION), spec.get("ingressClassName")
    if old is None and annotated is not None and name is not None and annotated != name:
        why = "must match `ingressClassName` when both are specified"
        errors.append(invalid(f"annotations.{_CLASS_ANNOTATION}", annotated, why))
    return errors


def _ingress_status(ingress: Obj, _: Obj | None) -> Errors:
    row = rows(("ip", when(an_address)), ("hostname", SUBDOMAIN), ("hostname", when(_no_address)))
    return check(ingress.get("status") or {}, "status", (("loadBalancer.ingress", each(row)),))


def _hosts(ingress: Obj) -> str:
    rules = (ingress.get("spec") or {}).get("rules") or []
    hosts = [r["host"] for r in rules[:_SHOWN_HOSTS] if r.get("host")]
    if not hosts:
        return "*"
    more = f" + {len(rules) - _SHOWN_HOSTS} more..." if len(rules) > _SHOWN_HOSTS else ""
    return ",".join(hosts) + more


def _addresses(ingress: Obj) -> str:
    balancer = (ingress.get("status") or {}).get("loadBalancer") or {}
    return ",".join(sorted({i.get("ip") or i.get("hostname") or "" for i in balancer.get("ingress") or []} - {""}))


def _clear_balancer(ingress: Obj, old: Obj | None) -> None:
    if old is None:
        ingress["status"] = {"loadBalancer": {}}


INGRESS = tabled(
    Hooks(prepare=_clear_balancer, validate=_validate_ingress, validate_status=_ingress_status),
    Cell("Class", at("spec", "ingressClassName", absent="<none>")),
    Cell("Hosts", _hosts),
    Cell("Address", _addresses),
    Cell("Ports", lambda i: "80, 443" if (i.get("spec") or {}).get("tls") else "80"),
    AGE,
)

# --- IngressClass ------------------------------------------------------------------------------------------


def _default_class(ingress_class: Obj) -> None:
    parameters = (ingress_class.get("spec") or {}).get("parameters")
    if parameters:
        parameters.setdefault("scope", "Cluster")


def domain_prefixed_path(value: str | None, field: str) -> Errors:
    if not value:
        return [required(field)]
    host, _, path = value.partition("/")
    if not host or not path:
        return [invalid(field, value, 'must be a domain-prefixed path (such as "acme.io/foo")')]
    errors = dns_subdomain(host, field)
    if not _PATH.fullmatch(path):
        errors.append(invalid(field, path, f"Invalid path (regex used for validation is '{_PATH.pattern}')"))
    return errors


def _class_parameters(parameters: Obj, field: str) -> Errors:
    errors = _reference(parameters, field)
    scope, namespace = parameters.get("scope"), parameters.get("namespace")
    errors += needed_of("Cluster", "Namespace")(scope, f"{field}.scope")
    if scope == "Namespace":
        if namespace is None:
            errors.append(required(f"{field}.namespace", "`parameters.scope` is set to 'Namespace'"))
        else:
            errors += dns_label(namespace, f"{field}.namespace")
    elif scope == "Cluster" and namespace is not None:
        errors.append(forbidden_field(f"{field}.namespace", "`parameters.scope` is set to 'Cluster'"))
    return errors


def _validate_class(ingress_class: Obj, old: Obj | None) -> Errors:
    spec = ingress_class.get("spec") or {}
    controller = spec.get("controller")
    errors: Errors = []
    if old is not None:
        errors += immutable(controller, (old.get("spec") or {}).get("controller"), "spec.controller")
    if len(controller or "") > _CONTROLLER_LENGTH:
        errors.append(too_long("spec.controller", _CONTROLLER_LENGTH))
    errors += domain_prefixed_path(controller, "spec.controller")
    return errors + given(_class_parameters)(spec.get("parameters"), "spec.parameters")


def _parameters(ingress_class: Obj) -> str:
    parameters = (ingress_class.get("spec") or {}).get("parameters")
    if not parameters:
        return "<none>"
    group = f".{parameters['apiGroup']}" if parameters.get("apiGroup") is not None else ""
    return f"{parameters.get('kind', '')}{group}/{parameters.get('name', '')}"


INGRESS_CLASS = tabled(
    Hooks(default=_default_class, validate=_validate_class),
    Cell("Controller", at("spec", "controller")),
    Cell("Parameters", _parameters),
    AGE,
)
