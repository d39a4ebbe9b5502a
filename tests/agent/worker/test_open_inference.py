"""`open-inference-openapi` as it is installed, the protocol's generated client: each of its calls, both ways."""

import inspect

import numpy as np
import pytest

from tidegate.models.bundle import open_bundle
from tidegate.paths import profiles_directory

pytest.importorskip("open_inference.openapi", reason="needs open-inference-openapi")

from open_inference.openapi import (
    BadRequestError,
    InferenceRequest,
    InferenceResponse,
    RequestInput,
    RequestOutput,
    TensorData,
)
from open_inference.openapi.client import OpenInferenceClient
from open_inference.openapi.core.api_error import ApiError

BUNDLE = open_bundle(profiles_directory() / "bundles" / "digits")
PICTURES = BUNDLE.samples().raw[:2].astype(int)
MODEL, SHAPE = BUNDLE.model, list(PICTURES.shape)
VERSION = {"model_version": "1"}
WORK = {
    "check_server_liveness": {},
    "check_server_readiness": {},
    "check_model_readiness": {"model_name": MODEL},
    "check_model_version_readiness": {"model_name": MODEL, **VERSION},
    "read_server_metadata": {},
    "read_model_metadata": {"model_name": MODEL},
    "read_model_version_metadata": {"model_name": MODEL, **VERSION},
    "model_infer": {"model_name": MODEL},
    "model_version_infer": {"model_name": MODEL, **VERSION},
}
OF_A_MODEL = [name for name, arguments in WORK.items() if arguments]


@pytest.fixture(scope="module")
def client(port: int) -> OpenInferenceClient:
    return OpenInferenceClient(base_url=f"http://127.0.0.1:{port}")


def asked(name: str, **changed: object) -> dict[str, object]:
    """The arguments of a call; requests of inference get one."""
    tensor = {"name": BUNDLE.input.name, "shape": SHAPE, "datatype": "UINT8"}
    request = InferenceRequest(
        id="17",
        inputs=[RequestInput(**tensor, data=TensorData(__root__=PICTURES.ravel().tolist()))],
        outputs=[RequestOutput(name="logits")],
    )
    return {**WORK[name], **({"request": request} if name.endswith("_infer") else {}), **changed}


def test_none_of_its_calls_is_left_out() -> None:
    assert {name for name, _ in inspect.getmembers(OpenInferenceClient) if not name.startswith("_")} == {*WORK}


@pytest.mark.parametrize("name", WORK)
def test_a_call_works(client: OpenInferenceClient, name: str) -> None:
    answer = getattr(client, name)(**asked(name))
    if name.endswith("_infer"):
        assert isinstance(answer, InferenceResponse)
        assert (answer.id, answer.model_name, answer.model_version) == ("17", MODEL, "1")
        logits = np.reshape(answer.outputs[0].data.__root__, (len(PICTURES), -1))
        labels = BUNDLE.samples().labels
        assert labels is not None
        assert logits.argmax(axis=1).tolist() == labels[: len(PICTURES)].tolist()
        assert answer.parameters is not None
        assert answer.parameters["operating_point"] == "full"
    elif name == "read_server_metadata":
        assert answer.name == "tidegate"
    elif name.startswith("read_"):
        assert (answer.name, answer.versions) == (MODEL, ["1"])
        assert [(each.name, each.datatype) for each in answer.inputs] == [(BUNDLE.input.name, "FP32")]
    else:
        assert answer is None


@pytest.mark.parametrize("name", OF_A_MODEL)
def test_another_model_is_refused_in_words(client: OpenInferenceClient, name: str) -> None:
    with pytest.raises(ApiError) as refused:
        getattr(client, name)(**asked(name, model_name="nobody"))
    assert refused.value.status_code == 404
    assert "nobody" in str(refused.value.body)


@pytest.mark.parametrize("name", [name for name in WORK if name.endswith("_infer")])
def test_a_bound_that_no_point_keeps_is_refused_in_words(client: OpenInferenceClient, name: str) -> None:
    request = asked(name)["request"]
    assert isinstance(request, InferenceRequest)
    bound = request.copy(update={"parameters": {"max_certified_risk": -1.0}})
    with pytest.raises(BadRequestError, match="max_certified_risk"):
        getattr(client, name)(**asked(name, request=bound))
