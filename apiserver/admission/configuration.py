"""Which admission steps run, and the file that tells some of them how.

The file is an AdmissionConfiguration, which holds each plugin's configuration or the path of its file, relative to its
own. Unlike upstream, one for a plugin that is not there is refused: a name mistyped would leave a rule out.
https://kubernetes.io/docs/reference/config-api/apiserver-config.v1/#apiserver-config-k8s-io-v1-AdmissionConfiguration
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from api.meta import Obj
from apiserver import configfile
from apiserver.admission.chain import Step
from apiserver.configfile import ConfigError, Kinds
from apiserver.options import Options

_PLUGIN = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1},
        "path": {"type": "string"},
        "configuration": {"type": ["object", "null"]},
    },
    "required": ["name"],
    "additionalProperties": False,
}
_FILE: Obj = {"properties": {"plugins": {"type": ["array", "null"], "items": _PLUGIN}}}
_KINDS: Kinds = {
    (f"apiserver.config.k8s.io/{version}", "AdmissionConfiguration"): _FILE for version in ("v1", "v1alpha1")
}
_ON_REQUEST = ("EventRateLimit",)
_ALWAYS = ("CertificateApproval", "CertificateSigning", "CertificateSubjectRestriction")  # the rules of a kind


def load(path: str) -> dict[str, Obj]:
    """Plugin → its configuration, which the plugin itself checks: `configfile.checked(it, kinds, name)`.

    Without a path there is none. ConfigError when a file cannot be used.
    """
    if not path:
        return {}
    found: dict[str, Obj] = {}
    for plugin in configfile.read(path, _KINDS).get("plugins") or []:
        name, configuration = plugin["name"], plugin.get("configuration")
        if name in found:
            raise ConfigError(f"{path}: plugin {name} is given twice")
        if configuration is None and plugin.get("path"):
            configuration = configfile.document(str(Path(path).parent / plugin["path"]))
        if configuration is not None:
            found[name] = configuration
    return found


def chosen(steps: Sequence[Step], options: Options, configured: Collection[str]) -> list[Step]:
    """The steps that run: those that are on by default or enabled, without the disabled. One without a name is no
    plugin and always runs. ConfigError for a plugin that is not there."""
    enabled, disabled = options.enable_admission_plugins, options.disable_admission_plugins
    names = {step.name for step in steps if step.name}
    for what, given, known in (
        ("--enable-admission-plugins", enabled, names.union(_ALWAYS)),
        ("--disable-admission-plugins", disabled, names),
        ("--admission-control-config-file", configured, names),
    ):
        if unknown := sorted(set(given) - known):
            raise ConfigError(f"{what}: there is no plugin {', '.join(unknown)} that it could mean")
    if both := sorted(set(enabled) & set(disabled)):
        raise ConfigError(f"--enable-admission-plugins and --disable-admission-plugins both name {', '.join(both)}")
    off = (set(_ON_REQUEST) - set(enabled)).union(disabled)
    return [step for step in steps if step.name not in off]
