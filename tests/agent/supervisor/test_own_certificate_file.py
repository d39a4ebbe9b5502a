"""The certificate that agent.yaml names: it counts where a trusted key has signed it for this very bundle."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from tidegate.config import AgentConfig, load_config
from tidegate.models.bundle import open_bundle
from tidegate.models.bundle.statement import PAYLOAD_TYPE, Statement, statement_of
from tidegate.models.ladder import Certificate, Risk
from tidegate.paths import profiles_directory
from tidegate.supervisor.own_certificate import OwnCertificateError, certified, keys_in_force, read_own_certificate
from tidegate.trust.dsse import Envelope
from tidegate.trust.keys import PrivateKey

BUNDLE = open_bundle(profiles_directory() / "bundles" / "digits")
KEY, OTHER = PrivateKey.new(), PrivateKey.new()
HELD = {
    "full": Certificate(Risk.NEWLY_WRONG, 0.0, 0.05, 600, 0, 0),
    "int8": Certificate(Risk.NEWLY_WRONG, 0.02, 0.05, 600, 3, 21),
}
STATEMENT = statement_of(
    BUNDLE,
    HELD,
    data="footage of 2027-01-01 to 2027-01-31",
    data_sha256="ab" * 32,
    inputs=600,
    clip=1,
    labelled=21,
    delta=0.05,
    engines=("onnx",),
    placement="onnx on cpu, onnxruntime 1.0, debian 1",
    counted_at=datetime(2027, 2, 1, tzinfo=UTC),
)


def config(directory: Path, statement: Statement | bytes = STATEMENT, **changed: object) -> AgentConfig:
    path = directory / "camera.json"
    payload = statement if isinstance(statement, bytes) else statement.model_dump_json().encode()
    envelope = Envelope(str(changed.pop("kind", PAYLOAD_TYPE)), payload)
    path.write_bytes(envelope.signed_by([changed.pop("key", KEY)]).to_json())  # type: ignore[list-item]
    document = {
        "device": "gate-7",
        "bundle": str(BUNDLE.path),
        "policy": "policy.yaml",
        "state_dir": str(directory / "state"),
        "listen": {"tcp": 0},
        "certificate": str(path),
        "trusted_keys": [{"name": "yard", "key": KEY.public.text, "roles": ["certificate"]}],
        **changed,
    }
    file = directory / "agent.yaml"
    file.write_text(yaml.safe_dump(document))
    return load_config(file)


def test_its_certificates_replace_all_of_the_bundles(tmp_path: Path) -> None:
    found = certified(BUNDLE, config(tmp_path))
    assert found.certificates == HELD
    assert {point.name: point.certificate for point in found.bundle.ladder.points if point.certificate} == HELD
    assert found.identity.startswith(f"{BUNDLE.sha256}+")
    assert found.trouble is None
    assert found.report is not None
    assert (found.report.state, found.report.signed_by, found.report.labelled) == ("in_force", ("yard",), 21)
    assert found.report.here != found.report.placement
    int8 = found.bundle.ladder.points[1]
    assert int8.certificate is not None
    # The harmless disagreements are this camera's, not those of the build.
    assert int8.certificate.harmless(int8.figures) == pytest.approx(18 / 600)


def test_other_numbers_are_another_identity(tmp_path: Path) -> None:
    first = certified(BUNDLE, config(tmp_path)).identity
    later = STATEMENT.model_copy(update={"inputs": 601})
    assert len({first, certified(BUNDLE, config(tmp_path, later)).identity, BUNDLE.sha256}) == 3


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"key": OTHER}, "signed by a key that is not trusted here"),
        ({"trusted_keys": [{"name": "yard", "key": KEY.public.text}]}, "no signer may sign a certificate"),
        ({"kind": "application/vnd.tidegate.policy"}, "is no certificate"),
        ({"statement": b"{}"}, "at model: is missing"),
        (
            {"statement": STATEMENT.model_copy(update={"bundle_sha256": "0" * 64})},
            "for a bundle of SHA-256 000000",
        ),
    ],
)
def test_what_can_not_be_gone_by_leaves_the_bundles_own(
    tmp_path: Path, changed: dict[str, object], words: str
) -> None:
    found = certified(BUNDLE, config(tmp_path, **changed))  # type: ignore[arg-type]
    assert found.bundle is BUNDLE
    assert (found.identity, found.certificates) == (BUNDLE.sha256, None)
    assert found.trouble is not None
    assert words in found.trouble
    assert "the bundle's own certificates count" in found.trouble


def test_a_file_that_is_not_there_is_said_and_no_certificate_is_no_trouble(tmp_path: Path) -> None:
    wanted = config(tmp_path)
    (tmp_path / "camera.json").unlink()
    with pytest.raises(OwnCertificateError, match="No such file"):
        read_own_certificate(tmp_path / "camera.json", keys_in_force(wanted))
    none = certified(BUNDLE, wanted.model_copy(update={"certificate": None}))
    assert (none.report, none.trouble, none.bundle) == (None, None, replace(BUNDLE))
