"""Files become objects, whatever mixture of YAML and JSON they hold."""

import pytest

from kubectl.documents import parse
from kubectl.failures import CliError


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("a: 1\n---\na: 2\n", id="yaml"),
        pytest.param('{"a": 1}\n---\n{"a": 2}\n', id="json documents in a yaml stream"),
        pytest.param('{"a": 1} {"a": 2}', id="json after json"),
        pytest.param('---\n{"a": 1}\n---\na: 2\n', id="mixed"),
        pytest.param("---\n{a: 1,}\n---\n{\n  a: 2, # two\n}\n", id="yaml in braces"),
        pytest.param("# nothing\n---\na: 1\n---\n\n---\na: 2\n---\n", id="empty documents"),
    ],
)
def test_several_documents(text: str) -> None:
    assert list(parse("x.yaml", text)) == [{"a": 1}, {"a": 2}]


def test_a_broken_document_names_its_file() -> None:
    with pytest.raises(CliError, match="error parsing x.json: unexpected EOF"):
        list(parse("x.json", '{"a": '))
    with pytest.raises(CliError, match="error parsing x.json: json: line 1"):
        list(parse("x.json", '{"a": 1} {a: 2}'))
    with pytest.raises(CliError, match="error parsing x.yaml: error converting YAML to JSON"):
        list(parse("x.yaml", "a: [1"))
