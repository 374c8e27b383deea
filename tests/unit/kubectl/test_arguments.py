"""What a command line means: global flags at any place, upstream's spellings, resource arguments."""

from __future__ import annotations

import pytest

from api.builtin import BUILTIN, DEPLOYMENTS, PODS, SERVICES
from api.registry import Resource
from kubectl.catalog import Catalog, from_discovery, from_json, to_json
from kubectl.failures import CliError
from kubectl.flags import duration, split_globals
from kubectl.marks import split_changes
from kubectl.parsing import Flag, normalise
from kubectl.targets import parse_arguments

FLAGS = [
    Flag(("-o", "--output")),
    Flag(("-w", "--watch"), switch=True),
    Flag(("--wait",), switch=True, off="--no-wait"),
    Flag(("-f", "--filename")),
    Flag(("-R", "--recursive"), switch=True),
    Flag(("-i", "--stdin"), switch=True),
    Flag(("-t", "--tty"), switch=True),
]


@pytest.mark.parametrize(
    ("line", "namespace", "rest"),
    [
        ("get pods -n kube-system", "kube-system", "get pods"),
        ("-n x get pods", "x", "get pods"),
        ("get -nx pods", "x", "get pods"),
        ("get -n=x pods", "x", "get pods"),
        ("get --namespace=x pods -o yaml", "x", "get pods -o yaml"),
        ("get pods", "", "get pods"),
    ],
)
def test_global_flags_stand_anywhere(line: str, namespace: str, rest: str) -> None:
    flags, remaining = split_globals(line.split())
    assert (flags.namespace, " ".join(remaining)) == (namespace, rest)


def test_what_follows_two_dashes_is_the_remote_command() -> None:
    flags, rest = split_globals(["exec", "-it", "web", "-n", "a", "--", "ls", "-n", "b"])
    assert flags.namespace == "a"
    assert flags.remote_command == ["ls", "-n", "b"]
    assert rest == ["exec", "-it", "web"]


def test_a_global_flag_needs_its_value() -> None:
    with pytest.raises(CliError, match="flag needs an argument: 'n' in -n"):
        split_globals(["get", "pods", "-n"])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["-o=yaml"], ["-o", "yaml"]),
        (["-oyaml"], ["-o", "yaml"]),
        (["--output", "yaml"], ["--output=yaml"]),
        (["--watch=true"], ["--watch"]),
        (["--watch=false"], []),
        (["--wait=false"], ["--no-wait"]),
        (["-it"], ["-i", "-t"]),
        (["-Rf", "x"], ["-R", "-f", "x"]),
        (["-f", "-"], ["--filename=-"]),
        (["pods", "-w", "x"], ["pods", "-w", "x"]),
    ],
)
def test_upstream_spellings(given: list[str], expected: list[str]) -> None:
    assert normalise(given, FLAGS, "kubectl get") == expected


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--frob"], "unknown flag: --frob\nSee 'kubectl get --help' for usage."),
        (["-z"], "unknown shorthand flag: 'z' in -z\nSee 'kubectl get --help' for usage."),
        (["-o"], "flag needs an argument: 'o' in -o\nSee 'kubectl get --help' for usage."),
        (["--output"], "flag needs an argument: --output\nSee 'kubectl get --help' for usage."),
        (["--watch=maybe"], 'invalid argument "maybe" for "--watch" flag'),
    ],
)
def test_bad_flags(given: list[str], message: str) -> None:
    with pytest.raises(CliError) as raised:
        normalise(given, FLAGS, "kubectl get")
    assert message in raised.value.message


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0), ("30s", 30), ("1m30s", 90), ("500ms", 0.5), ("1.5h", 5400), ("-1s", -1), ("7", 7)]
)
def test_durations(text: str, seconds: float) -> None:
    assert duration(text) == seconds


def test_malformed_duration() -> None:
    with pytest.raises(CliError, match='invalid duration "soon"'):
        duration("soon")


CATALOG = Catalog(BUILTIN)


@pytest.mark.parametrize(
    ("name", "plural"),
    [
        ("po", "pods"), ("pod", "pods"), ("Pods", "pods"), ("deploy", "deployments"), ("svc", "services"),
        ("deployments.apps", "deployments"), ("deploy.v1.apps", "deployments"), ("ns", "namespaces"),
        ("events", "events"), ("ev", "events"),
    ],
)  # fmt: skip
def test_resources_are_found_by_every_name(name: str, plural: str) -> None:
    found = CATALOG.find(name)
    assert found is not None
    assert found.plural == plural


@pytest.mark.parametrize("name", ["nope", "pods.apps", "deployments.v2.apps"])
def test_resources_that_are_not_there(name: str) -> None:
    assert CATALOG.find(name) is None


def test_category_all() -> None:
    assert {r.plural for r in CATALOG.category("all")} >= {"pods", "services", "deployments", "replicasets"}


def test_the_cache_keeps_everything_that_is_used() -> None:
    again = from_json(to_json(CATALOG))
    found = again.find("po")
    assert found is not None
    assert (found.kind, found.namespaced, found.subresources) == ("Pod", True, PODS.subresources)


def test_aggregated_discovery() -> None:
    document = {
        "kind": "APIGroupDiscoveryList",
        "items": [
            {
                "metadata": {"name": "apps"},
                "versions": [
                    {
                        "version": "v1",
                        "resources": [
                            {
                                "resource": "deployments",
                                "responseKind": {"group": "apps", "version": "v1", "kind": "Deployment"},
                                "scope": "Namespaced",
                                "singularResource": "deployment",
                                "verbs": ["get", "list"],
                                "shortNames": ["deploy"],
                                "categories": ["all"],
                                "subresources": [{"subresource": "scale", "verbs": ["get"]}],
                            }
                        ],
                    }
                ],
            }
        ],
    }
    row = from_discovery([document]).find("deploy")
    assert row is not None
    assert (row.api_version, row.kind, row.namespaced, row.subresources) == ("apps/v1", "Deployment", True, ("scale",))


async def _lookup(name: str) -> list[Resource]:
    row = CATALOG.find(name)
    if row is None:
        raise CliError(f'the server doesn\'t have a resource type "{name}"')
    return [row]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["pods"], [(PODS, "")]),
        (["po,svc"], [(PODS, ""), (SERVICES, "")]),
        (["pod", "a", "b"], [(PODS, "a"), (PODS, "b")]),
        (["pod/a", "deploy/b"], [(PODS, "a"), (DEPLOYMENTS, "b")]),
        (["pod,svc", "a"], [(PODS, "a"), (SERVICES, "a")]),
    ],
)
async def test_resource_arguments(arguments: list[str], expected: list[tuple[Resource, str]]) -> None:
    assert [(t.resource, t.name) for t in await parse_arguments(arguments, _lookup)] == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pod/a", "svc"], "there is no need to specify a resource type as a separate argument"),
        (["pod/a/b"], "arguments in resource/name form must have a single resource and name"),
        (["foo"], 'the server doesn\'t have a resource type "foo"'),
    ],
)
async def test_malformed_resource_arguments(arguments: list[str], message: str) -> None:
    with pytest.raises(CliError) as raised:
        await parse_arguments(arguments, _lookup)
    assert message in raised.value.message


def test_label_arguments() -> None:
    assert split_changes(["deploy/web", "a=b", "c-"]) == (["deploy/web"], {"a": "b"}, ["c"])
    with pytest.raises(CliError, match="all resources must be specified before label changes: late"):
        split_changes(["pod", "a=b", "late"])
