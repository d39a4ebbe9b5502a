"""The self-test of the private kernels: what it offers here, and what it refuses when something is wrong."""

import json
import os
import subprocess
import sys

import pytest
from random_networks import token_network

from tidegate.engines.engine import UnsupportedPoint
from tidegate.engines.packed import probe as probe_module
from tidegate.engines.packed.engine import PackedEngine
from tidegate.engines.packed.offer import Offer
from tidegate.engines.packed.probe import probe
from tidegate.engines.processor import cpu_flags
from tidegate.engines.quantization import WEIGHT_LIMIT, WEIGHT_LIMIT_WITHOUT_VNNI
from tidegate.models.ladder import Precision

HAS_VNNI = bool(cpu_flags() & {"avx512_vnni", "avx_vnni"})
X86 = pytest.mark.skipif("avx2" not in cpu_flags(), reason="ONEDNN_MAX_CPU_ISA simulates x86 processors")


def test_fp32_is_offered_here() -> None:
    assert Precision.FP32 in probe().precisions


@X86
@pytest.mark.skipif(not HAS_VNNI, reason="this processor has no VNNI")
def test_with_vnni_int8_weights_have_8_bits() -> None:
    offer = probe()
    assert Precision.INT8 in offer.precisions
    assert offer.weight_limit == WEIGHT_LIMIT


@X86
def test_an_older_processor_gets_7_bit_weights_and_no_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    offer = probe()
    assert offer.weight_limit == WEIGHT_LIMIT_WITHOUT_VNNI
    assert Precision.INT8 in offer.precisions
    assert Precision.BF16 not in offer.precisions
    assert "bf16" in offer.reason


@pytest.mark.parametrize(
    ("child", "told"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGFPE)", "killed by signal 8"),
        ("raise SystemExit('no kernels')", "no kernels"),
        ("pass", "said nothing"),
    ],
)
def test_a_child_that_dies_costs_the_precision_it_was_at(
    monkeypatch: pytest.MonkeyPatch, child: str, told: str
) -> None:
    """The child proper passes fp32; the next ones die as told."""
    fine = json.dumps({"precision": "fp32", "fault": "", "weight_limit": WEIGHT_LIMIT})
    run = subprocess.run

    def dying(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        code = f"print('{fine}', flush=True); {child}" if "fp32" in command else child
        return run([sys.executable, "-c", code], **options)

    monkeypatch.setattr(probe_module.subprocess, "run", dying)
    offer = probe()
    assert offer.precisions == {Precision.FP32}
    assert told in offer.reason
    assert offer.reason.count(told) == 2


def test_what_is_not_offered_is_refused() -> None:
    network = token_network(1, 8, 0)
    with pytest.raises(UnsupportedPoint, match="killed by signal 8"):
        PackedEngine(network, lambda: None, Offer(frozenset(), WEIGHT_LIMIT, "fp32: killed by signal 8"))


def test_the_parent_stays_free_of_torch() -> None:
    code = (
        "from tidegate.engines.packed.probe import probe; probe()\n"
        "maps = open('/proc/self/maps').read() if __import__('os').path.exists('/proc/self/maps') else ''\n"
        "import sys; sys.exit('torch' in sys.modules or 'libtorch' in maps)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=90, env=os.environ).returncode == 0
