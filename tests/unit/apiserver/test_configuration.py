"""What the admission configuration file and the plugin flags may say."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from apiserver import configfile
from apiserver.admission.chain import Plugin, Step
from apiserver.admission.configuration import chosen, load
from apiserver.configfile import ConfigError
from apiserver.options import Options

HEAD = "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\n"


def file(folder: Path, text: str, name: str = "admission.yaml") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def test_plugins_are_configured_in_the_file_or_in_one_beside_it(tmp_path: Path) -> None:
    """config-api/apiserver-config.v1: `configuration` is an embedded object, `path` the place of a file."""
    file(tmp_path, "kind: Configuration\napiVersion: eventratelimit.admission.k8s.io/v1alpha1\n", "limits.yaml")
    found = load(
        file(
            tmp_path,
            HEAD + "plugins:\n- name: PodSecurity\n  configuration: {kind: PodSecurityConfiguration}\n"
            "- {name: EventRateLimit, path: limits.yaml}\n- {name: Priority, path: ''}\n",
        )
    )
    assert found == {
        "PodSecurity": {"kind": "PodSecurityConfiguration"},
        "EventRateLimit": {"kind": "Configuration", "apiVersion": "eventratelimit.admission.k8s.io/v1alpha1"},
    }


def test_the_older_version_is_read_too(tmp_path: Path) -> None:
    text = HEAD.replace("/v1", "/v1alpha1") + "plugins: [{name: A, configuration: {}}]\n"
    assert load(file(tmp_path, text)) == {"A": {}}


def test_without_a_file_nothing_is_configured() -> None:
    assert load("") == {}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "must be an object"),
        ("[]", "must be an object"),
        ("{", "must be one YAML document"),
        (HEAD + "kind: X\n", "gives no field twice"),
        ("apiVersion: v1\nkind: Pod\n", "must be AdmissionConfiguration of apiserver.config.k8s.io/v1"),
        (HEAD + "plugin: []\n", "'plugin' was unexpected"),
        (HEAD + "plugins: [{path: x}]\n", '"name" is a required property'),
        (HEAD + "plugins: [{name: A, config: {}}]\n", "'config' was unexpected"),
        (HEAD + "plugins: [{name: A, configuration: s3cret}]\n", r"plugins\[0\].configuration: value is not of type"),
        (HEAD + "plugins: [{name: A, configuration: {}}, {name: A, configuration: {}}]\n", "A is given twice"),
        (HEAD + "plugins: [{name: A, path: nowhere.yaml}]\n", "nowhere.yaml: No such file"),
    ],
)
def test_a_file_that_is_not_understood_is_refused(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as refused:
        load(file(tmp_path, text))
    assert "s3cret" not in str(refused.value)


def test_a_kind_is_checked_by_its_schema() -> None:
    kinds = {("a/v1", "A"): {"properties": {"n": {"type": "integer", "minimum": 1}}}}
    assert configfile.checked({"apiVersion": "a/v1", "kind": "A", "n": 1}, kinds, "here")["n"] == 1
    with pytest.raises(ConfigError, match="here: n: value is less than the minimum of 1"):
        configfile.checked({"apiVersion": "a/v1", "kind": "A", "n": 0}, kinds, "here")


class PodSecurity(Plugin):
    name = "PodSecurity"


class EventRateLimit(Plugin):
    name = "EventRateLimit"


STEPS = cast(list[Step], [PodSecurity(), EventRateLimit(), Plugin()])


def names(enable: str = "", disable: str = "", *configured: str) -> list[str]:
    given: Any = SimpleNamespace(
        enable_admission_plugins=frozenset(enable.split()), disable_admission_plugins=frozenset(disable.split())
    )
    return [step.name for step in chosen(STEPS, cast(Options, given), configured)]


def test_plugins_are_turned_on_and_off() -> None:
    """reference/access-authn-authz/admission-controllers: which are on by default, and the two flags."""
    assert names() == ["PodSecurity", ""]
    assert names("EventRateLimit CertificateApproval") == ["PodSecurity", "EventRateLimit", ""]
    assert names("", "PodSecurity", "PodSecurity") == [""]


@pytest.mark.parametrize(
    ("enable", "disable", "configured", "why"),
    [
        ("PodSecurty", "", (), "--enable-admission-plugins: .*PodSecurty"),
        ("", "CertificateSigning", (), "--disable-admission-plugins: .*CertificateSigning"),
        ("", "", ("PodSecurty",), "--admission-control-config-file: .*PodSecurty"),
        ("PodSecurity", "PodSecurity", (), "both name PodSecurity"),
    ],
)
def test_a_plugin_that_is_not_there_is_refused(enable: str, disable: str, configured: Any, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        names(enable, disable, *configured)
