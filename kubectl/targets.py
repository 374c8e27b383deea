"""What a command is about: `pods`, `pods,svc`, `pod a b`, `pod/a svc/b`, `all`, or the objects of files."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from api.registry import Resource
from kubectl.documents import read_documents
from kubectl.failures import CliError
from kubectl.session import Session

Lookup = Callable[[str], Awaitable[list[Resource]]]

_SLASHES = (
    "there is no need to specify a resource type as a separate argument when passing arguments in "
    "resource/name form (e.g. '{program} get resource/<resource_name>' instead of '{program} get resource "
    "resource/<resource_name>'"
).format(program="kubectl")


@dataclass(slots=True)
class Target:
    resource: Resource
    name: str = ""
    """Empty: every object, or those a selector picks."""
    namespace: str = ""
    source: str = ""
    """The file that named it."""


async def parse_arguments(arguments: list[str], lookup: Lookup) -> list[Target]:
    """`lookup` turns one name of a resource or category into its resources. CliError when malformed."""
    if any("/" in a for a in arguments):
        if not all("/" in a for a in arguments):
            raise CliError(_SLASHES)
        targets = []
        for argument in arguments:
            kind, _, name = argument.partition("/")
            if not kind or not name or "/" in name or "," in kind:
                raise CliError("arguments in resource/name form must have a single resource and name")
            targets += [Target(resource, name) for resource in await lookup(kind)]
        return targets
    first, *names = arguments
    resources: list[Resource] = []
    for kind in first.split(","):
        if not kind:
            raise CliError("arguments in resource/name form must have a single resource and name")
        resources += [r for r in await lookup(kind) if r not in resources]
    return [Target(r, n) for r in resources for n in names] if names else [Target(r) for r in resources]


async def find_targets(
    session: Session,
    arguments: list[str],
    *,
    filenames: list[str] | None = None,
    recursive: bool = False,
    selector: str = "",
    all_namespaces: bool = False,
    everything: bool = False,
    need_name: bool = False,
) -> list[Target]:
    """Targets with their namespaces. `everything` is --all; `need_name` forbids a bare kind without selector."""
    if filenames:
        if arguments:
            raise CliError(
                "when paths, URLs, or stdin is provided as input, you may not specify resource arguments as well"
            )
        return [
            await document_target(session, document.obj, document.source)
            for document in read_documents(filenames, recursive=recursive)
        ]
    if not arguments:
        raise CliError("You must provide one or more resources by argument or filename.\n"
                       "Example resource specifications include:\n   '-f rsrc.yaml'\n   '--filename=rsrc.json'\n"
                       "   '<resource> <name>'\n   '<resource>'")  # fmt: skip

    async def lookup(name: str) -> list[Resource]:
        row = (await session.catalog()).find(name)
        if row is not None:
            return [row]
        members = (await session.catalog()).category(name)
        return members or [await session.resource(name)]

    targets = await parse_arguments(arguments, lookup)
    named = any(t.name for t in targets)
    if named and selector:
        raise CliError("name cannot be provided when a selector is specified")
    if named and all_namespaces:
        raise CliError("a resource cannot be retrieved by name across all namespaces")
    if need_name and not named and not selector and not everything:
        raise CliError("resource(s) were provided, but no name was specified")
    for target in targets:
        if target.resource.namespaced and not all_namespaces:
            target.namespace = session.namespace
    return targets


async def document_target(session: Session, obj: dict[str, object], source: str) -> Target:
    metadata = obj["metadata"]
    assert isinstance(metadata, dict)
    resource = await session.resource_of(obj)
    if resource is None:
        raise no_match(obj, source)
    namespace = scope(session, resource, str(metadata.get("namespace") or ""))
    return Target(resource, str(metadata.get("name") or ""), namespace, source)


def scope(session: Session, resource: Resource, namespace: str) -> str:
    """The namespace an object of a file goes to. CliError when it contradicts --namespace."""
    if not resource.namespaced:
        return ""
    if session.namespace_given and namespace and namespace != session.namespace:
        raise CliError(
            f'the namespace from the provided object "{namespace}" does not match the namespace '
            f"\"{session.namespace}\". You must pass '--namespace={namespace}' to perform this operation."
        )
    return namespace or session.namespace


def no_match(obj: dict[str, object], source: str) -> CliError:
    metadata = obj["metadata"]
    assert isinstance(metadata, dict)
    return CliError(
        f'resource mapping not found for name: "{metadata.get("name") or ""}" namespace: '
        f'"{metadata.get("namespace") or ""}" from "{source}": no matches for kind "{obj["kind"]}" in '
        f'version "{obj["apiVersion"]}"\nensure CRDs are installed first'
    )
