"""Sentences and exit codes: errors, apply, rollout, the remote command's end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from api.errors import (
    BadRequest,
    FieldError,
    ServiceUnavailable,
    Unauthorized,
    invalid_object,
    not_found,
)
from kubectl.channels import exit_code
from kubectl.documents import read_documents
from kubectl.failures import CliError, Failures, Silent, explain, raise_all, with_source
from kubectl.rollouts import deployment_status, history, rollback_target
from kubectl.templates import new_replica_set, without_hash
from kubectl.verbs.apply import LAST_APPLIED, field_validation, last_applied, with_last_applied
from kubectl.verbs.logs import log_params
from kubectl.verbs.wait import parse_test
from kubectl.yamlio import dump, load

REQUIRED = FieldError("FieldValueRequired", "spec.containers", "Required value")
BAD_NAME = FieldError("FieldValueInvalid", "metadata.name", 'Invalid value: "X": no')


@pytest.mark.parametrize(
    ("error", "text", "code"),
    [
        (not_found("", "pods", "x"), 'Error from server (NotFound): pods "x" not found', 1),
        (CliError("no objects passed to apply"), "error: no objects passed to apply", 1),
        (CliError("all of it", bare=True), "all of it", 1),
        (Unauthorized(), "error: You must be logged in to the server (Unauthorized)", 1),
        (invalid_object("", "Pod", "x", [REQUIRED]), 'The Pod "x" is invalid: spec.containers: Required value', 1),
        (
            invalid_object("", "Pod", "X", [BAD_NAME, REQUIRED]),
            'The Pod "X" is invalid: \n* metadata.name: Invalid value: "X": no\n* spec.containers: Required value',
            1,
        ),
        (
            ServiceUnavailable("no connection to h:1: [Connect call failed ('127.0.0.1', 1)]"),
            "The connection to the server h:1 was refused - did you specify the right host or port?",
            1,
        ),
        (ServiceUnavailable("etcd is away"), "Error from server (ServiceUnavailable): etcd is away", 1),
        (Silent(3), "", 3),
        (
            Failures([not_found("", "pods", "a"), CliError("b")]),
            'Error from server (NotFound): pods "a" not found\nerror: b',
            1,
        ),
    ],
)
def test_how_a_failure_reads(error: Exception, text: str, code: int) -> None:
    assert explain(error, "h:1") == (text, code)


def test_errors_name_their_file() -> None:
    error = with_source(BadRequest("strict decoding error"), "creating", "x.yaml")
    assert explain(error)[0] == 'Error from server (BadRequest): error when creating "x.yaml": strict decoding error'


def test_one_failure_is_raised_as_it_is() -> None:
    error = CliError("x")
    with pytest.raises(CliError):
        raise_all([error])
    with pytest.raises(Failures):
        raise_all([error, error])
    raise_all([])


def test_last_applied_is_the_object_without_itself() -> None:
    obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "annotations": {LAST_APPLIED: "old"}},
           "data": {"a": "<b>"}}  # fmt: skip
    marked = with_last_applied(obj)
    text = marked["metadata"]["annotations"][LAST_APPLIED]
    assert text == (
        '{"apiVersion":"v1","data":{"a":"\\u003cb\\u003e"},"kind":"ConfigMap",'
        '"metadata":{"annotations":{},"name":"c"}}\n'
    )
    assert last_applied(marked) == json.loads(text)
    assert obj["metadata"]["annotations"] == {LAST_APPLIED: "old"}  # type: ignore[index]


@pytest.mark.parametrize(("word", "expected"), [("strict", "Strict"), ("true", "Strict"), ("false", "Ignore")])
def test_validate(word: str, expected: str) -> None:
    assert field_validation(word) == expected


def deployment(**status: int) -> dict[str, Any]:
    return {
        "metadata": {"name": "web", "generation": 2},
        "spec": {"replicas": 3},
        "status": {"observedGeneration": 2, **status},
    }


@pytest.mark.parametrize(
    ("status", "message", "done"),
    [
        ({"observedGeneration": 1}, "Waiting for deployment spec update to be observed...", False),
        (
            {"updatedReplicas": 1, "replicas": 4},
            'Waiting for deployment "web" rollout to finish: 1 out of 3 new replicas have been updated...',
            False,
        ),
        (
            {"updatedReplicas": 3, "replicas": 5},
            'Waiting for deployment "web" rollout to finish: 2 old replicas are pending termination...',
            False,
        ),
        (
            {"updatedReplicas": 3, "replicas": 3, "availableReplicas": 1},
            'Waiting for deployment "web" rollout to finish: 1 of 3 updated replicas are available...',
            False,
        ),
        (
            {"updatedReplicas": 3, "replicas": 3, "availableReplicas": 3},
            'deployment "web" successfully rolled out',
            True,
        ),
    ],
)
def test_rollout_status(status: dict[str, int], message: str, done: bool) -> None:
    assert deployment_status(deployment(**status)) == (f"{message}\n", done)


def test_a_stuck_rollout_fails() -> None:
    obj = deployment()
    obj["status"]["conditions"] = [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]
    with pytest.raises(CliError, match='deployment "web" exceeded its progress deadline'):
        deployment_status(obj)


def replica_set(revision: int, image: str, cause: str = "") -> dict[str, Any]:
    annotations = {"deployment.kubernetes.io/revision": str(revision)}
    if cause:
        annotations["kubernetes.io/change-cause"] = cause
    labels = {"app": "web", "pod-template-hash": f"h{revision}"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "a", "image": image}]}}
    metadata = {"name": f"web-{revision}", "annotations": annotations, "creationTimestamp": f"2026-01-0{revision}"}
    return {"metadata": metadata, "spec": {"template": template}}


def test_undo_goes_to_the_revision_before() -> None:
    sets = [replica_set(1, "a"), replica_set(3, "c"), replica_set(2, "b")]
    assert rollback_target("web", sets, 0)["metadata"]["name"] == "web-2"
    assert rollback_target("web", sets, 1)["metadata"]["name"] == "web-1"
    with pytest.raises(CliError, match="unable to find specified revision 9 in history"):
        rollback_target("web", sets, 9)
    with pytest.raises(CliError, match='no rollout history found for deployment "web"'):
        rollback_target("web", sets[:1], 0)


def test_history() -> None:
    text = history([replica_set(2, "b", "kubectl set image"), replica_set(1, "a")])
    assert text == "REVISION  CHANGE-CAUSE\n1         <none>\n2         kubectl set image\n"


def test_the_new_replica_set_has_the_deployments_template() -> None:
    old, new = replica_set(1, "a"), replica_set(2, "b")
    web = {"spec": {"template": without_hash(new["spec"]["template"])}}
    assert new_replica_set(web, [old, new]) is new
    assert new_replica_set({"spec": {"template": {}}}, [old, new]) is None


def test_the_remote_commands_code() -> None:
    assert exit_code({"status": "Success"}) == 0
    causes = [{"reason": "ExitCode", "message": "3"}]
    failed = {"status": "Failure", "reason": "NonZeroExitCode", "details": {"causes": causes}}
    assert exit_code(failed) == 3
    with pytest.raises(CliError, match="no such container"):
        exit_code({"status": "Failure", "message": "no such container"})


def test_log_parameters() -> None:
    assert log_params(True, False, 5, "90s", "", True, 0) == {
        "follow": "true", "tailLines": "5", "sinceSeconds": "90", "timestamps": "true",
    }  # fmt: skip
    assert log_params(False, True, -1, "0s", "", False, 0) == {"previous": "true"}


@pytest.mark.parametrize(
    ("wanted", "met"),
    [
        ("condition=Ready", True),
        ("condition=ready=true", True),
        ("condition=Ready=False", False),
        ("condition=Other", False),
        ("jsonpath={.status.phase}=Running", True),
        ("jsonpath='{.status.phase}'=Failed", False),
        ("jsonpath={.status.podIP}", False),
        ("jsonpath=.status.phase=running", True),
    ],
)
def test_wait_conditions(wanted: str, met: bool) -> None:
    conditions = [{"type": "Ready", "status": "True"}]
    pod = {"metadata": {"name": "x"}, "status": {"phase": "Running", "conditions": conditions}}
    assert parse_test(wanted)(pod) is met


def test_wait_rejects_other_words() -> None:
    with pytest.raises(CliError, match='unrecognized condition: "foo"'):
        parse_test("foo")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1\nb: c\n", "error parsing {f}: error converting YAML to JSON: yaml: line 1: did not find expected"),
        ("kind: x\n", 'unable to decode "{f}": Object \'apiVersion\' is missing in \'{{"kind":"x"}}\''),
        ("text\n", 'unable to decode "{f}": json: cannot unmarshal string into Go value'),
        ('{{"a":', "error parsing {f}: unexpected EOF"),
    ],
)
def test_unreadable_files(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text.replace("{{", "{"))
    with pytest.raises(CliError) as raised:
        list(read_documents([str(path)]))
    assert message.format(f=path) in raised.value.message


def test_documents_of_files_folders_lists_and_stdin(tmp_path: Path) -> None:
    item = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\n"
    (tmp_path / "b.yaml").write_text(item % "b1" + "---\n# nothing\n---\n" + item % "b2")
    (tmp_path / "a.json").write_text('{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a"}}')
    (tmp_path / "skip.txt").write_text("not an object")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "c.yml").write_text(
        "apiVersion: v1\nkind: List\nitems:\n- " + (item % "c").replace("\n", "\n  ")
    )
    names = [d.obj["metadata"]["name"] for d in read_documents([str(tmp_path)])]
    assert names == ["a", "b1", "b2"]
    everything = [d.obj["metadata"]["name"] for d in read_documents([str(tmp_path)], recursive=True)]
    assert sorted(everything) == ["a", "b1", "b2", "c"]
    assert [d.source for d in read_documents(["-"], stdin=item % "s")] == ["STDIN"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2001-01-01", "2001-01-01"), ("1:30", "1:30"), ("yes", True), ("y", True), ("off", False), ("0x10", 16),
        ("010", 8), ("1e3", 1000), ("1.5", 1.5), ("5", 5), ('"5"', "5"), ("<<", "<<"), ("=", "="), ("~", None),
    ],
)  # fmt: skip
def test_yaml_scalars_read_as_upstream_reads_them(text: str, value: Any) -> None:
    assert load(f"a: {text}\n") == {"a": value}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("true", '"true"'), ("y", '"y"'), ("5", '"5"'), ("1e3", '"1e3"'), ("", '""'), ("null", '"null"'),
        ("2001-01-01", '"2001-01-01"'), ("a: b", "'a: b'"), ("plain", "plain"), ("1.2.3", "1.2.3"),
        ("two\nlines", "|-\n  two\n  lines"), ("é", "é"), (" lead", "' lead'"), (5, "5"), (None, "null"),
    ],
)  # fmt: skip
def test_yaml_strings_are_quoted_as_upstream_quotes_them(value: Any, text: str) -> None:
    assert dump({"a": value}) == f"a: {text}\n"
