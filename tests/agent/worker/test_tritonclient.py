"""`tritonclient[http]` as it is installed: each call of its client works or is refused in words."""

import io
import os
from collections.abc import Iterator
from multiprocessing import shared_memory
from pathlib import Path

import numpy as np
import pytest

from tidegate.models.bundle import open_bundle
from tidegate.paths import profiles_directory

pytest.importorskip("tritonclient.http", reason="needs tritonclient[http]")

from tritonclient.http import (
    InferenceServerClient,
    InferInput,
    InferRequestedOutput,
    InferResult,
)
from tritonclient.utils import InferenceServerException

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

BUNDLE = open_bundle(profiles_directory() / "bundles" / "digits")
PICTURES = BUNDLE.samples().raw[:3].astype(np.uint8)
MODEL, CLASSES = BUNDLE.model, len(BUNDLE.labels)


@pytest.fixture(scope="module")
def client(port: int) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(f"127.0.0.1:{port}", concurrency=4) as connected:
        yield connected


def pictures(binary: bool = True) -> list[InferInput]:
    tensor = InferInput(BUNDLE.input.name, list(PICTURES.shape), "UINT8")
    tensor.set_data_from_numpy(PICTURES, binary_data=binary)
    return [tensor]


def logits(endpoint_client: InferenceServerClient) -> np.ndarray:
    found = endpoint_client.infer(MODEL, pictures()).as_numpy("logits")
    assert found is not None
    return found


def test_health_metadata_and_configuration(client: InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(MODEL)
    assert client.is_model_ready(MODEL, "1")
    assert not client.is_model_ready(MODEL, "2")
    assert not client.is_model_ready("other")
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    assert client.get_model_metadata(MODEL) == client.get_model_metadata(MODEL, "1")
    assert client.get_model_metadata(MODEL)["versions"] == ["1"]
    assert client.get_model_config(MODEL, "1")["max_batch_size"] == 64
    with pytest.raises(InferenceServerException, match="this server's only model is at /v2/models/digits"):
        client.get_model_metadata("other")
    with pytest.raises(InferenceServerException, match=r"version '7'.*allowed is '1'"):
        client.get_model_config(MODEL, "7")


def test_the_repository(client: InferenceServerClient) -> None:
    assert client.get_model_repository_index() == [{"name": MODEL, "version": "1", "state": "READY"}]
    client.load_model(MODEL)
    with pytest.raises(InferenceServerException, match="loaded as its bundle says"):
        client.load_model(MODEL, config='{"max_batch_size": 1}')
    with pytest.raises(InferenceServerException, match="not here"):
        client.load_model("other")
    with pytest.raises(InferenceServerException, match="serves it as long as it runs"):
        client.unload_model(MODEL)


def test_statistics_count_what_was_asked(client: InferenceServerClient) -> None:
    def counted() -> tuple[int, int, int, int]:
        (one,) = client.get_inference_statistics(MODEL, "1")["model_stats"]
        parts = one["inference_stats"]
        assert parts["success"]["ns"] >= parts["compute_infer"]["ns"] > 0
        return one["inference_count"], one["execution_count"], parts["fail"]["count"], one["last_inference"]

    logits(client)
    before = counted()
    logits(client)
    with pytest.raises(InferenceServerException):
        client.infer(MODEL, [InferInput("other", [1], "UINT8").set_data_from_numpy(np.zeros(1, np.uint8))])
    after = counted()
    assert [new - old for new, old in zip(after[:3], before[:3], strict=True)] == [3, 1, 1]
    assert client.get_inference_statistics().keys() == {"model_stats"}


def test_statistics_tell_requests_apart_by_their_samples(client: InferenceServerClient) -> None:
    def counted() -> dict[int, int]:
        (one,) = client.get_inference_statistics(MODEL)["model_stats"]
        sizes = one["batch_stats"]
        parts = ("compute_input", "compute_infer", "compute_output")
        assert all(each.keys() == {"batch_size", *parts} for each in sizes)
        for part in parts:
            for unit in ("count", "ns"):
                assert sum(each[part][unit] for each in sizes) == one["inference_stats"][part][unit]
        return {each["batch_size"]: each["compute_infer"]["count"] for each in sizes}

    logits(client)
    before = counted()
    for samples in (1, 2, 2):
        tensor = InferInput(BUNDLE.input.name, [samples, *PICTURES.shape[1:]], "UINT8")
        client.infer(MODEL, [tensor.set_data_from_numpy(PICTURES[:samples])])
    after = counted()
    assert {size: after[size] - before.get(size, 0) for size in after} == {1: 1, 2: 2, len(PICTURES): 0}


@pytest.mark.parametrize("coding", [None, "gzip", "deflate"])
@pytest.mark.parametrize("binary", [True, False])
def test_inference_in_every_form(client: InferenceServerClient, coding: str | None, binary: bool) -> None:
    wanted = [InferRequestedOutput("logits", binary_data=binary)]
    answer = client.infer(
        MODEL,
        pictures(binary),
        model_version="1",
        outputs=wanted,
        request_id="17",
        request_compression_algorithm=coding,
        response_compression_algorithm=coding,
        parameters={"anything": 1},
        priority=1,
        timeout=1_000_000,
    )
    np.testing.assert_allclose(answer.as_numpy("logits"), logits(client), rtol=1e-6)
    response = answer.get_response()
    assert (response["id"], response["model_name"], response["model_version"]) == ("17", MODEL, "1")
    assert response["parameters"]["operating_point"] == "full"
    assert answer.get_output("logits")["shape"] == [len(PICTURES), CLASSES]


@pytest.mark.parametrize("binary", [True, False])
def test_classification(client: InferenceServerClient, binary: bool) -> None:
    wanted = [InferRequestedOutput("logits", binary_data=binary, class_count=2)]
    found = client.infer(MODEL, pictures(), outputs=wanted).as_numpy("logits")
    assert found is not None
    best = logits(client).argmax(axis=1)
    assert found.shape == (len(PICTURES), 2)
    for row, index in zip(found, best, strict=True):
        text = row[0].decode() if isinstance(row[0], bytes) else row[0]
        assert text.split(":")[1:] == [str(index), BUNDLE.labels[index]]


def test_asynchronous_inference(client: InferenceServerClient) -> None:
    asked = [client.async_infer(MODEL, pictures(), request_id=str(number)) for number in range(8)]
    answers = [each.get_result(timeout=30) for each in asked]
    assert [answer.get_response()["id"] for answer in answers] == [str(number) for number in range(8)]


def test_bodies_made_and_read_apart(client: InferenceServerClient) -> None:
    body, json_bytes = InferenceServerClient.generate_request_body(pictures())
    response = client._post(
        f"v2/models/{MODEL}/infer", body, {"Inference-Header-Content-Length": json_bytes}, None
    )
    read = InferenceServerClient.parse_response_body(
        response.read(), header_length=int(response.get("Inference-Header-Content-Length"))
    )
    assert isinstance(read, InferResult)
    np.testing.assert_array_equal(read.as_numpy("logits"), logits(client))


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no shared memory of Linux's")
def test_system_shared_memory(client: InferenceServerClient) -> None:
    region = shared_memory.SharedMemory(create=True, size=4096)
    try:
        client.register_system_shared_memory("both", f"/{region.name}", 4096 - 64, offset=64)
        assert client.get_system_shared_memory_status("both") == [
            {"name": "both", "key": f"/{region.name}", "offset": 64, "byte_size": 4096 - 64}
        ]
        region.buf[64 : 64 + PICTURES.nbytes] = PICTURES.tobytes()
        tensor = InferInput(BUNDLE.input.name, list(PICTURES.shape), "UINT8")
        tensor.set_shared_memory("both", PICTURES.nbytes)
        wanted = InferRequestedOutput("logits")
        size = len(PICTURES) * CLASSES * 4
        wanted.set_shared_memory("both", size, offset=1024)
        answer = client.infer(MODEL, [tensor], outputs=[wanted])
        assert answer.get_output("logits")["parameters"]["shared_memory_byte_size"] == size
        found = np.frombuffer(bytes(region.buf[1088 : 1088 + size]), np.float32).reshape(-1, CLASSES)
        np.testing.assert_array_equal(found, logits(client))

        with pytest.raises(InferenceServerException, match="registered already"):
            client.register_system_shared_memory("both", f"/{region.name}", 64)
        with pytest.raises(InferenceServerException, match="has 4096 bytes"):
            client.register_system_shared_memory("long", f"/{region.name}", 8192)
        for key in ("/../etc/passwd", "/no-such-region", "/", ""):
            with pytest.raises(InferenceServerException, match="key: "):
                client.register_system_shared_memory("bad", key, 64)
        wanted.set_shared_memory("both", size - 1, offset=0)
        with pytest.raises(InferenceServerException, match="the output has"):
            client.infer(MODEL, [tensor], outputs=[wanted])
        tensor.set_shared_memory("both", PICTURES.nbytes, offset=4096 - 64)
        with pytest.raises(InferenceServerException, match="has 4032 bytes"):
            client.infer(MODEL, [tensor])
        tensor = InferInput(BUNDLE.input.name, list(PICTURES.shape), "UINT8")
        tensor.set_shared_memory("both", PICTURES.nbytes)
        os.truncate(Path("/dev/shm", region.name), 100)
        with pytest.raises(InferenceServerException, match="cut short"):
            client.infer(MODEL, [tensor])

        client.unregister_system_shared_memory("both")
        with pytest.raises(InferenceServerException, match="no such region"):
            client.infer(MODEL, [tensor])
        with pytest.raises(InferenceServerException, match="not registered"):
            client.get_system_shared_memory_status("both")
        client.unregister_system_shared_memory()
        assert client.get_system_shared_memory_status() == []
    finally:
        region.close()
        region.unlink()


def test_what_is_refused_is_refused_in_words(client: InferenceServerClient) -> None:
    for call, words in (
        (client.get_cuda_shared_memory_status, "CUDA shared memory: not here"),
        (lambda: client.register_cuda_shared_memory("r", b"x", 0, 64), "CUDA shared memory: not here"),
        (lambda: client.unregister_cuda_shared_memory("r"), "CUDA shared memory: not here"),
        (lambda: client.get_trace_settings(MODEL), "trace settings: none here"),
        (lambda: client.update_trace_settings(settings={"trace_level": ["OFF"]}), "trace settings: none here"),
        (client.get_log_settings, "log settings: none here"),
        (lambda: client.update_log_settings({"log_info": True}), "log settings: none here"),
    ):
        with pytest.raises(InferenceServerException, match=words):
            call()


@pytest.mark.parametrize("count", [1, 3])
def test_text_is_refused_in_words(client: InferenceServerClient, count: int) -> None:
    texts = np.array([b"0"] * count * 64, dtype=object).reshape(count, 1, 8, 8)
    tensor = InferInput(BUNDLE.input.name, list(texts.shape), "BYTES").set_data_from_numpy(texts)
    with pytest.raises(InferenceServerException, match=r"BYTES are pictures, \[1\.\.64\]"):
        client.infer(MODEL, [tensor])


def as_png(pixels: np.ndarray) -> bytes:
    image = pytest.importorskip("PIL.Image", reason="needs Pillow")
    written = io.BytesIO()
    image.fromarray(pixels[0]).save(written, "PNG")
    return written.getvalue()


@pytest.mark.parametrize("shape", [[3], [3, 1]])
def test_pictures_as_files_have_them(client: InferenceServerClient, shape: list[int]) -> None:
    files = np.array([as_png(each) for each in PICTURES], dtype=object).reshape(shape)
    tensor = InferInput(BUNDLE.input.name, shape, "BYTES")
    found = client.infer(MODEL, [tensor.set_data_from_numpy(files)]).as_numpy("logits")
    assert np.array_equal(found, logits(client))
    with pytest.raises(InferenceServerException, match=r"inputs\.0: picture 0: no picture that can be read"):
        client.infer(
            MODEL, [InferInput(BUNDLE.input.name, [1], "BYTES").set_data_from_numpy(np.array([b"x"], object))]
        )
    tensor.set_data_from_numpy(np.full(shape, "text", object), binary_data=False)
    with pytest.raises(InferenceServerException, match="pictures are no text"):
        client.infer(MODEL, [tensor])
