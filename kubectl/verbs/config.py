"""`kubectl config`: look at and change kubeconfig files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from client.kubeconfig import KubeconfigError, default_paths, read, write
from kubectl import options as opt
from kubectl import session as sessions
from kubectl.cli import Verb, VerbGroup
from kubectl.failures import CliError
from kubectl.outputs import to_json, to_yaml
from kubectl.tabwriter import Columns

app = typer.Typer(cls=VerbGroup, rich_markup_mode=None, no_args_is_help=True, help="Modify kubeconfig files")
Name = Annotated[str, typer.Argument(metavar="NAME")]
_REDACTED = ("client-key-data", "token", "password")
_OMITTED = ("certificate-authority-data", "client-certificate-data", "client-key-data")


def _paths() -> list[Path]:
    given = sessions.flags.kubeconfig
    return [Path(given)] if given else default_paths()


def _read(path: Path) -> dict[str, Any]:
    try:
        return read(path)
    except KubeconfigError as error:
        raise CliError(str(error)) from error


def _merged() -> dict[str, Any]:
    """All files as one: the first to name a thing wins."""
    merged: dict[str, Any] = {"apiVersion": "v1", "kind": "Config", "clusters": [], "contexts": [], "users": [],
                              "current-context": ""}  # fmt: skip
    for path in _paths():
        document = _read(path)
        for section in ("clusters", "contexts", "users"):
            have = {entry["name"] for entry in merged[section]}
            merged[section] += [e for e in document.get(section) or [] if e["name"] not in have]
        merged["current-context"] = merged["current-context"] or document.get("current-context") or ""
    return merged


def _holding(section: str, name: str) -> tuple[Path, dict[str, Any]]:
    """The file that has the entry, or the first one."""
    paths = _paths()
    for path in paths:
        document = _read(path)
        if any(e["name"] == name for e in document.get(section) or []):
            return path, document
    return paths[0], _read(paths[0])


@app.command("view", cls=Verb)
def view(
    minify: Annotated[bool, typer.Option("--minify", help="Only what the current context uses")] = False,
    raw: Annotated[bool, typer.Option("--raw", help="With certificates and secrets")] = False,
    flatten: Annotated[bool, typer.Option("--flatten", help="With the contents of the files it points at")] = False,
    output: opt.ResultOutput = "yaml",
) -> None:
    """Display merged kubeconfig settings or a specified kubeconfig file"""
    document = _merged()
    document["preferences"] = {}
    if minify:
        document = _minified(document)
    if flatten:
        _flatten(document)
    if not raw and not flatten:
        _hide(document)
    for section in ("clusters", "contexts", "users"):
        document[section] = sorted(document[section], key=lambda e: str(e["name"])) or None
    document.pop("preferences")
    print(to_json(document) if output == "json" else to_yaml(document), end="")


def _minified(document: dict[str, Any]) -> dict[str, Any]:
    name = sessions.flags.context or document["current-context"]
    context = next((c for c in document["contexts"] if c["name"] == name), None)
    if context is None:
        raise CliError("current-context must exist in order to minify" if not name else
                       f'cannot locate context {name}')  # fmt: skip
    body = context["context"]
    return {
        **document,
        "current-context": name,
        "contexts": [context],
        "clusters": [c for c in document["clusters"] if c["name"] == body.get("cluster")],
        "users": [u for u in document["users"] if u["name"] == body.get("user")],
    }


def _flatten(document: dict[str, Any]) -> None:
    import base64  # noqa: PLC0415

    for section in ("clusters", "users"):
        for entry in document[section]:
            body = entry.get(section[:-1]) or {}
            for field in ("certificate-authority", "client-certificate", "client-key"):
                path = body.pop(field, None)
                if path:
                    body[f"{field}-data"] = base64.b64encode(Path(path).read_bytes()).decode()


def _hide(document: dict[str, Any]) -> None:
    for section in ("clusters", "users"):
        for entry in document[section]:
            body = entry.get(section[:-1]) or {}
            for field in _OMITTED:
                if field in body:
                    body[field] = "DATA+OMITTED"
            for field in _REDACTED:
                if body.get(field) and field not in _OMITTED:
                    body[field] = "REDACTED"


@app.command("current-context", cls=Verb)
def current_context() -> None:
    """Display the current-context"""
    name = _merged()["current-context"]
    if not name:
        raise CliError("current-context is not set")
    print(name)


@app.command("get-contexts", cls=Verb)
def get_contexts(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...")] = None,
    no_headers: Annotated[bool, typer.Option("--no-headers")] = False,
    output: Annotated[str, typer.Option("-o", "--output", help="name")] = "",
) -> None:
    """Describe one or many contexts"""
    document = _merged()
    contexts = {c["name"]: c.get("context") or {} for c in document["contexts"]}
    missing = [n for n in names or [] if n not in contexts]
    chosen = sorted(n for n in contexts if not names or n in names)
    if output == "name":
        print("".join(f"{n}\n" for n in chosen), end="")
    else:
        rows = [] if no_headers else [["CURRENT", "NAME", "CLUSTER", "AUTHINFO", "NAMESPACE"]]
        for name in chosen:
            context = contexts[name]
            current = "*" if name == document["current-context"] else ""
            rows.append([current, name, *(context.get(k) or "" for k in ("cluster", "user", "namespace"))])
        print(Columns().write(rows), end="")
    if missing:
        raise CliError("\n".join(f"context {n} not found" for n in missing))


def _print_names(section: str) -> None:
    print("\n".join(["NAME", *sorted(str(entry["name"]) for entry in _merged()[section])]))


@app.command("get-clusters", cls=Verb)
def get_clusters() -> None:
    """Display clusters defined in the kubeconfig"""
    _print_names("clusters")


@app.command("get-users", cls=Verb)
def get_users() -> None:
    """Display users defined in the kubeconfig"""
    _print_names("users")


@app.command("use-context", cls=Verb)
def use_context(name: Name) -> None:
    """Set the current-context in a kubeconfig file"""
    if all(c["name"] != name for c in _merged()["contexts"]):
        raise CliError(f'no context exists with the name: "{name}"')
    path = next((p for p in _paths() if _read(p).get("current-context")), _paths()[0])
    _edit(path, lambda document: document.update({"current-context": name}))
    print(f'Switched to context "{name}".')


app.command("use", cls=Verb, hidden=True)(use_context)


@app.command("set-context", cls=Verb)
def set_context(
    name: Annotated[str, typer.Argument(metavar="[NAME | --current]")] = "",
    current: Annotated[bool, typer.Option("--current", help="Modify the current context")] = False,
) -> None:
    """Set a context entry in kubeconfig (with --cluster, --user, --namespace)"""
    if current:
        name = _merged()["current-context"]
    if not name:
        raise CliError("you must specify a non-empty context name or --current" if not current else
                       "no current context is set")  # fmt: skip
    path, document = _holding("contexts", name)
    flags = sessions.flags
    given = {k: v for k, v in (("cluster", flags.cluster), ("user", flags.user), ("namespace", flags.namespace)) if v}
    known = any(e["name"] == name for e in document.get("contexts") or [])

    def change(raw: dict[str, Any]) -> None:
        entries = raw.setdefault("contexts", None) or []
        entry = next((e for e in entries if e["name"] == name), None)
        if entry is None:
            entry = {"name": name, "context": {}}
            entries.append(entry)
        entry["context"] = {**(entry.get("context") or {}), **given}
        raw["contexts"] = entries

    _edit(path, change)
    print(f'Context "{name}" {"modified" if known else "created"}.')


@app.command("delete-context", cls=Verb)
def delete_context(name: Name) -> None:
    """Delete the specified context from the kubeconfig"""
    path, document = _holding("contexts", name)
    if all(e["name"] != name for e in document.get("contexts") or []):
        raise CliError(f"cannot delete context {name}, not in {path}")

    def change(raw: dict[str, Any]) -> None:
        raw["contexts"] = [e for e in raw.get("contexts") or [] if e["name"] != name]

    _edit(path, change)
    print(f"deleted context {name} from {path}")


def _edit(path: Path, change: Any) -> None:
    """Change the file as it is written: relative paths inside stay relative."""
    from kubectl.yamlio import load  # noqa: PLC0415

    raw: dict[str, Any] = (load(path.read_text()) if path.is_file() else None) or {"apiVersion": "v1", "kind": "Config"}
    change(raw)
    write(path, raw)
