from __future__ import annotations

import pytest

from api.errors import NotAcceptable
from apiserver.negotiate import OBJECT, Form, choose, choose_stream, media, wants_aggregated_discovery

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", OBJECT),
        ("*/*", OBJECT),
        ("application/json", OBJECT),
        ("application/json, */*", OBJECT),
        (f"{TABLE},application/json", Form("Table")),
        ("application/json;as=Table;v=v1beta1;g=meta.k8s.io", Form("Table", "v1beta1")),
        (f"{TABLE};q=0.1,application/json", OBJECT),
        ("application/json; as=PartialObjectMetadataList; g=meta.k8s.io; v=v1", Form("Metadata")),
        ("application/json;g=meta.k8s.io;v=v1;as=PartialObjectMetadata", Form("Metadata")),
        ("application/vnd.kubernetes.protobuf,application/json", OBJECT),
        ("application/vnd.kubernetes.protobuf", OBJECT),
        ("application/json;stream=watch", OBJECT),
        ("application/yaml", OBJECT),
        ("application/json;as=Unknown;v=v1;g=meta.k8s.io,application/json", OBJECT),
        ("text/html,*/*;q=0.1", OBJECT),
    ],
)
def test_the_first_form_we_have_wins(accept: str, form: Form) -> None:
    assert choose(accept) == form


@pytest.mark.parametrize(
    "accept",
    [
        "application/xml",
        "application/cbor",
        "application/json;q=0",
        "application/json;as=Other;v=v1",
    ],
)
def test_what_we_do_not_have_is_not_acceptable(accept: str) -> None:
    with pytest.raises(NotAcceptable, match="application/json, application/yaml, application/vnd.kubernetes.protobuf"):
        choose(accept)
    assert media(accept) == "application/json", "the error itself is written all the same"


def test_yaml_is_for_answers_that_end() -> None:
    """A watch has no YAML form: k8s.io/apiserver/pkg/endpoints/handlers/negotiation, NegotiateOutputMediaTypeStream."""
    assert media("application/yaml, application/json") == "application/yaml"
    assert media("application/json, application/yaml") == "application/json"
    assert choose_stream("application/yaml, application/json") == OBJECT
    with pytest.raises(NotAcceptable):
        choose_stream("application/yaml")


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json", True),
        ("application/json;as=APIGroupDiscoveryList;v=v2;g=apidiscovery.k8s.io", True),
        ("application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json", False),
        ("application/json", False),
        ("", False),
    ],
)
def test_aggregated_discovery_is_for_those_who_ask(accept: str, wanted: bool) -> None:
    assert wants_aggregated_discovery(accept) is wanted
