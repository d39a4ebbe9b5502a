"""Every peer that is installed computes the network that it was given, from what is kept for all of them."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from tidegate.engines.engine import Array
from tidegate.engines.reference.eager import EagerEngine
from tidegate.models.importing.export_network import export_network
from tidegate.models.network import TrainedNetwork
from tidegate_bench.engine.conversion import convert_all
from tidegate_bench.engine.fixed_peers import FIXED, Extent, Measured, fixed_peers, measure
from tidegate_bench.engine.networks import keep_network
from tidegate_bench.engine.peer_race import compete, entrant
from tidegate_bench.engine.peers import PEERS
from tidegate_bench.engine.runtimes.peer import Peer
from tidegate_bench.engine.runtimes.tidegate import unmeasured
from tidegate_bench.engine.store import open_network
from tidegate_bench.engine.traits import is_transformer, only_clamps
from tidegate_bench.engine.whole_module import whole_module
from tidegate_bench.zoo.encoder import Encoder
from tidegate_bench.zoo.folding import inference_segments
from tidegate_bench.zoo.resnet import BasicBlock, ResNet
from tidegate_bench.zoo.segmented import Segmented

pytestmark = pytest.mark.long

SHORT = Extent(turns=1, turn_s=0.01, paced_turns=1, paced=2, answers=True)
SUBJECTS = ("convolutions", "transformer")


def _net(subject: str) -> tuple[Segmented, tuple[int, ...]]:
    if subject == "convolutions":
        return ResNet(BasicBlock, (1, 1), 8, 1, 10), (1, 32, 32)
    return Encoder(1, 32, 4, 64, 5), (12, 32)


@cache
def _network(subject: str) -> tuple[TrainedNetwork, Array]:
    torch.manual_seed(0)
    net, shape = _net(subject)
    network = export_network(inference_segments(net), torch.zeros(2, *shape))
    return network, np.random.default_rng(0).normal(size=(6, *shape)).astype(np.float32)


@pytest.fixture(scope="module", params=SUBJECTS)
def kept(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Array]:
    """A directory with the network, and eager's answers on its inputs."""
    network, inputs = _network(request.param)
    directory = tmp_path_factory.mktemp(request.param)
    keep_network(network, directory, calibration=inputs, inputs=inputs[:3])
    expected = EagerEngine(network).prepare(unmeasured("eager", "fp32", 1)).run(inputs[:3]).outputs
    return directory, expected


@pytest.mark.slow
@pytest.mark.parametrize("name", FIXED)
def test_a_peer_answers_as_eager_does(name: str, kept: tuple[Path, Array]) -> None:
    peer = PEERS[name]
    directory, expected = kept
    if peer.missing:
        pytest.skip(f"{', '.join(peer.missing)} not installed")
    if not peer.suits(open_network(directory)):
        pytest.skip("not recommended for such a network")
    told: list[str] = []
    assert convert_all(directory, [peer], told.append) == {}
    measured = compete("here", [entrant(name, directory, 1)], SHORT, told.append)[name]
    assert measured.lost == ""
    assert measured.answers is not None
    assert measured.answers.shape == expected.shape
    off = np.linalg.norm(measured.answers - expected) / np.linalg.norm(expected)
    # Static 8 bits lose much of a transformer with random weights; unrelated answers are 1.4 off.
    assert off <= (0.6 if " int8" in name else 1e-3)
    assert _positive(measured)


def _positive(measured: Measured) -> bool:
    figures = (measured.latency_ms, measured.cpu_ms, measured.cpu_ms_at_10_hz, measured.rss_mib)
    return all(figure is not None and figure > 0 for figure in figures)


def test_one_that_is_not_installed_or_fails_to_convert_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, inputs = _network("convolutions")
    keep_network(network, tmp_path, calibration=inputs, inputs=inputs[:1])
    absent = Peer(FIXED[1], ("no-such-package",), PEERS["ort fp32"].open)
    monkeypatch.setitem(PEERS, absent.name, absent)
    monkeypatch.setattr("tidegate_bench.engine.fixed_peers.FIXED", ("ort fp32", absent.name))
    found = measure(tmp_path, 1, SHORT, lambda _: None)
    assert found[absent.name] == Measured(lost="not installed: no-such-package")
    assert _positive(found["ort fp32"])
    assert absent.name in {peer.name for peer in fixed_peers() if peer.missing == ("no-such-package",)}


def test_whole_module_is_the_network() -> None:
    for subject in SUBJECTS:
        network, inputs = _network(subject)
        expected = EagerEngine(network).prepare(unmeasured("eager", "fp32", 1)).run(inputs[:1]).outputs
        with torch.no_grad():
            found = whole_module(network)(torch.from_numpy(inputs[:1])).numpy()
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_traits_tell_transformers_and_functions_that_go_below_zero() -> None:
    networks = [_network(subject)[0] for subject in SUBJECTS]
    assert [is_transformer(network) for network in networks] == [False, True]
    assert [only_clamps(network) for network in networks] == [True, False]
