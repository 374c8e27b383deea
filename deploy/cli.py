"""The `sampan` command: options in, one verb called, failures told as a cause and the one thing to do."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from deploy import cluster
from deploy.errors import Failure
from deploy.machine_links import MachineError
from deploy.steps import Steps

app = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None,
    help="A Kubernetes-compatible cluster on this machine.",
)  # fmt: skip

image_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Images on the nodes.")
app.add_typer(image_app, name="image")

DataDir = Annotated[Path | None, typer.Option(help="Where the cluster lives. [default: /var/lib/sampan]")]


@app.command()
def up(
    nodes: Annotated[int | None, typer.Option(help="Nodes; more than one are namespaces of this machine.")] = None,
    data_dir: DataDir = None,
    etcd_endpoints: Annotated[str, typer.Option(help="Use this etcd: https://HOST:PORT,… instead of our own.")] = "",
    etcd_cafile: Annotated[str, typer.Option(help="Authority of that etcd's certificate.")] = "",
    etcd_certfile: Annotated[str, typer.Option(help="Our certificate to it.")] = "",
    etcd_keyfile: Annotated[str, typer.Option(help="The key of that certificate.")] = "",
    example: Annotated[bool, typer.Option(help="Deploy the example the first time.")] = True,
) -> None:
    """Start a cluster, or whatever of it does not run."""
    from deploy.verbs.up import up  # noqa: PLC0415 - each verb loads what it needs, to keep all of them fast

    endpoints = tuple(each for each in etcd_endpoints.split(",") if each)
    files = [str(Path(file).absolute()) if file else "" for file in (etcd_cafile, etcd_certfile, etcd_keyfile)]
    external = cluster.ExternalEtcd(endpoints, *files)
    up(cluster.data_dir_option(data_dir), nodes, external, example=example, steps=Steps())


@app.command()
def down(data_dir: DataDir = None) -> None:
    """Stop the daemons. Pods keep running, data stays."""
    from deploy.verbs.down import down  # noqa: PLC0415

    down(cluster.data_dir_option(data_dir), Steps())


@app.command()
def reset(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False, data_dir: DataDir = None
) -> None:
    """Remove the cluster: pods, data, networks, files. Nothing else is touched."""
    from deploy.verbs.reset import reset  # noqa: PLC0415

    layout = cluster.data_dir_option(data_dir)
    if not yes:
        typer.confirm(f"Remove the cluster in {layout.root} with all its pods and data?", abort=True)
    reset(layout, Steps())


@app.command()
def status(data_dir: DataDir = None) -> None:
    """Show daemons and nodes. Exit code 0 when all is well, 1 with the reasons when not."""
    from deploy.verbs.status import status  # noqa: PLC0415

    wrong = status(cluster.data_dir_option(data_dir))
    for line in wrong:
        typer.echo(f"! {line}", err=True)
    if wrong:
        raise typer.Exit(1)


@app.command()
def kubeconfig(data_dir: DataDir = None) -> None:
    """Print the administrator's kubeconfig."""
    from deploy.verbs.kubeconfig import kubeconfig  # noqa: PLC0415

    typer.echo(kubeconfig(cluster.data_dir_option(data_dir)), nl=False)


@app.command()
def logs(
    component: Annotated[str, typer.Argument(help="etcd, apiserver, controller, scheduler, kubelet, proxy, audit, …")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as more is written.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", help="How many of the last lines.")] = 100,
    data_dir: DataDir = None,
) -> None:
    """Show what a daemon has written."""
    from deploy.verbs.logs import logs  # noqa: PLC0415

    logs(cluster.data_dir_option(data_dir), component, follow=follow, lines=lines)


@image_app.command("load")
def image_load(
    sources: Annotated[
        list[str], typer.Argument(help="Archives of `docker save`, or names of images of this machine.")
    ],
    data_dir: DataDir = None,
) -> None:
    """Put local images onto all nodes that do not have them."""
    from deploy.verbs.image import load  # noqa: PLC0415

    load(cluster.data_dir_option(data_dir), sources, Steps())


@image_app.command("list")
def image_list(data_dir: DataDir = None) -> None:
    """Show which images are on which nodes."""
    from deploy.verbs.image import show  # noqa: PLC0415

    show(cluster.data_dir_option(data_dir))


@image_app.command("rm")
def image_rm(names: Annotated[list[str], typer.Argument()], data_dir: DataDir = None) -> None:
    """Remove images from all nodes."""
    from deploy.verbs.image import remove  # noqa: PLC0415

    remove(cluster.data_dir_option(data_dir), names, Steps())


def main() -> None:
    try:
        app()
    except (Failure, MachineError) as error:
        print(f"sampan: {getattr(error, 'cause', error)}", file=sys.stderr)
        remedy = getattr(error, "remedy", "")
        if remedy:
            print(f"  → {remedy}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
