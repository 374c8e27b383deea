"""`kubectl create`: new objects from files, or from flags by a subcommand per kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from api.errors import ApiError
from api.meta import Obj
from kubectl import generators
from kubectl import options as opt
from kubectl import session as sessions
from kubectl.cli import Verb, VerbGroup
from kubectl.documents import read_documents
from kubectl.failures import CliError, raise_all, with_source
from kubectl.results import Results
from kubectl.session import Session, run
from kubectl.targets import no_match, scope
from kubectl.verbs.apply import field_validation, with_last_applied

app = typer.Typer(cls=VerbGroup, rich_markup_mode=None, help="Create a resource from a file or from stdin")
_secret = typer.Typer(cls=VerbGroup, rich_markup_mode=None, no_args_is_help=True)
_service = typer.Typer(cls=VerbGroup, rich_markup_mode=None, no_args_is_help=True)
app.add_typer(_secret, name="secret", help="Create a secret using a specified subcommand")
app.add_typer(_service, name="service", help="Create a service using a specified subcommand")

Name = Annotated[str, typer.Argument(metavar="NAME")]
Literals = Annotated[list[str] | None, typer.Option("--from-literal", help="key=value")]
Files = Annotated[list[str] | None, typer.Option("--from-file", help="[key=]path of a file, or a directory")]
EnvFiles = Annotated[list[str] | None, typer.Option("--from-env-file", help="A file of key=value lines")]
SaveConfig = Annotated[bool, typer.Option("--save-config", help="Store the configuration for a later apply")]
Validate = Annotated[str, typer.Option("--validate", help="strict (or true), warn, ignore (or false)")]
Ports = Annotated[list[str] | None, typer.Option("--tcp", help="port or port:targetPort")]


@app.callback(invoke_without_command=True)
def create(
    ctx: typer.Context,
    filename: opt.Filenames = None,
    recursive: opt.Recursive = False,
    selector: opt.Selector = "",
    output: opt.ResultOutput = "",
    dry_run: opt.DryRun = "none",
    save_config: SaveConfig = False,
    validate: Validate = "strict",
    field_manager: opt.FieldManager = "kubectl-create",
) -> None:
    if ctx.invoked_subcommand:
        return
    if not filename:
        raise CliError("must specify one of -f and -k")
    results = Results(output, dry_run)
    params = {**results.params, "fieldManager": field_manager, "fieldValidation": field_validation(validate)}

    async def verb(session: Session) -> None:
        from api.selectors import parse_labels  # noqa: PLC0415

        wanted = parse_labels(selector)
        errors: list[Exception] = []
        count = 0
        try:
            for document in read_documents(filename, recursive=recursive):
                if not wanted.matches(document.obj["metadata"].get("labels") or {}):
                    continue
                count += 1
                try:
                    await _send(session, document.obj, results, params, document.source, save_config)
                except (ApiError, CliError) as error:
                    errors.append(error)
        except CliError as error:
            errors.append(error)
        if not count and not errors:
            raise CliError("no objects passed to create")
        raise_all(errors)

    run(verb)


async def _send(
    session: Session, obj: Obj, results: Results, params: dict[str, Any], source: str = "", save_config: bool = False
) -> None:
    resource = await session.resource_of(obj)
    if resource is None:
        raise no_match(obj, source)
    namespace = scope(session, resource, obj["metadata"].get("namespace") or "")
    if namespace:
        obj["metadata"]["namespace"] = namespace
    if save_config:
        obj = with_last_applied(obj)
    if results.pretend:
        results.show(resource, obj, "created")
        return
    try:
        created = await session.call("POST", resource.path(namespace), params=params, body=obj)
    except ApiError as error:
        raise (with_source(error, "creating", source) if source else _failed(error, resource.plural)) from error
    results.show(resource, created, "created")


def _failed(error: ApiError, plural: str) -> ApiError:
    """`failed to create configmap: …`, as upstream's generators say."""
    if error.code == 422:
        return error
    changed = type(error)(f"failed to create {plural.removesuffix('s')}: {error.message}", error.details)
    return changed if plural in ("configmaps", "secrets", "deployments") else error


def _generate(obj: Obj, output: str, dry_run: str, save_config: bool = False, namespaced: bool = True) -> None:
    results = Results(output, dry_run)
    if namespaced and sessions.flags.namespace:
        obj["metadata"]["namespace"] = sessions.flags.namespace
    if results.pretend:
        _show_unsent(obj, results)
        return
    params = {**results.params, "fieldManager": "kubectl-create", "fieldValidation": "Strict"}
    run(lambda session: _send(session, obj, results, params, save_config=save_config))


def _show_unsent(obj: Obj, results: Results) -> None:
    """--dry-run=client of a generator needs no server."""
    from api.builtin import BUILTIN  # noqa: PLC0415

    resource = BUILTIN.of(obj)
    assert resource is not None  # generators make built-in kinds only
    results.show(resource, obj, "created")


@app.command("namespace", cls=Verb)
def namespace(name: Name, output: opt.ResultOutput = "", dry_run: opt.DryRun = "none") -> None:
    """Create a namespace with the specified name"""
    _generate(generators.namespace(name), output, dry_run, namespaced=False)


app.command("ns", cls=Verb, hidden=True)(namespace)


@app.command("serviceaccount", cls=Verb)
def service_account(name: Name, output: opt.ResultOutput = "", dry_run: opt.DryRun = "none") -> None:
    """Create a service account with the specified name"""
    _generate(generators.service_account(name), output, dry_run)


app.command("sa", cls=Verb, hidden=True)(service_account)


@app.command("configmap", cls=Verb)
def config_map(
    name: Name,
    from_literal: Literals = None,
    from_file: Files = None,
    from_env_file: EnvFiles = None,
    output: opt.ResultOutput = "",
    dry_run: opt.DryRun = "none",
    save_config: SaveConfig = False,
) -> None:
    """Create a config map from a local file, directory or literal value"""
    obj = generators.config_map(name, from_literal or [], from_file or [], from_env_file or [])
    _generate(obj, output, dry_run, save_config)


app.command("cm", cls=Verb, hidden=True)(config_map)


@_secret.command("generic", cls=Verb)
def secret_generic(
    name: Name,
    from_literal: Literals = None,
    from_file: Files = None,
    from_env_file: EnvFiles = None,
    type_: Annotated[str, typer.Option("--type", help="The type of secret to create")] = "",
    output: opt.ResultOutput = "",
    dry_run: opt.DryRun = "none",
    save_config: SaveConfig = False,
) -> None:
    """Create a secret from a local file, directory, or literal value"""
    obj = generators.secret(name, from_literal or [], from_file or [], from_env_file or [], type_)
    _generate(obj, output, dry_run, save_config)


@app.command("deployment", cls=Verb)
def deployment(
    name: Name,
    image: Annotated[list[str] | None, typer.Option("--image", help="Image names to run")] = None,
    replicas: Annotated[int, typer.Option("-r", "--replicas", help="Number of replicas to create")] = 1,
    port: Annotated[int, typer.Option("--port", help="The container port that this deployment exposes")] = -1,
    output: opt.ResultOutput = "",
    dry_run: opt.DryRun = "none",
    save_config: SaveConfig = False,
) -> None:
    """Create a deployment with the specified name"""
    obj = generators.deployment(name, image or [], replicas, port, sessions.flags.remote_command or [])
    _generate(obj, output, dry_run, save_config)


app.command("deploy", cls=Verb, hidden=True)(deployment)


def _made_service(name: str, kind: str, tcp: Sequence[str] | None, output: str, dry_run: str, **more: Any) -> None:
    if not tcp and kind in ("NodePort", "LoadBalancer"):
        raise CliError("at least one tcp port specifier must be provided")
    _generate(generators.service(name, kind, tcp or [], **more), output, dry_run)


@_service.command("clusterip", cls=Verb)
def service_cluster_ip(
    name: Name,
    tcp: Ports = None,
    clusterip: Annotated[str, typer.Option("--clusterip", help="Own ClusterIP; None makes it headless")] = "",
    output: opt.ResultOutput = "",
    dry_run: opt.DryRun = "none",
) -> None:
    """Create a ClusterIP service"""
    if not tcp and clusterip != "None":
        raise CliError("at least one tcp port specifier must be provided")
    _made_service(name, "ClusterIP", tcp, output, dry_run, cluster_ip=clusterip)


@_service.command("nodeport", cls=Verb)
def service_node_port(
    name: Name,
    tcp: Ports = None,
    node_port: Annotated[int, typer.Option("--node-port", help="Port used on each node")] = 0,
    output: opt.ResultOutput = "",
    dry_run: opt.DryRun = "none",
) -> None:
    """Create a NodePort service"""
    _made_service(name, "NodePort", tcp, output, dry_run, node_port=node_port)


@_service.command("loadbalancer", cls=Verb)
def service_load_balancer(
    name: Name, tcp: Ports = None, output: opt.ResultOutput = "", dry_run: opt.DryRun = "none"
) -> None:
    """Create a LoadBalancer service"""
    _made_service(name, "LoadBalancer", tcp, output, dry_run)


@_service.command("externalname", cls=Verb)
def service_external_name(
    name: Name,
    external_name: Annotated[str, typer.Option("--external-name", help="External name of service")] = "",
    tcp: Ports = None,
    output: opt.ResultOutput = "",
    dry_run: opt.DryRun = "none",
) -> None:
    """Create an ExternalName service"""
    _made_service(name, "ExternalName", tcp, output, dry_run, external_name=external_name)
