"""A count on kept frames while the agent serves, in a process of its own that takes only what nobody else wants.

BUNDLE ENGINE CACHE FOOTAGE SINCE CERTIFICATE in, a line of JSON out: of each point how often it fails on all
frames, and how often it differs from full on those after SINCE. CERTIFICATE is a signed count to hold the first
against, empty for none; who has signed it is the supervisor's business.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from tidegate.calibration.certify.certification import certify, reachable
from tidegate.calibration.recertify.counting import failed
from tidegate.calibration.recertify.inputs import KeptInputs, read_footage
from tidegate.calibration.recertify.kept_answers import answered_sample
from tidegate.calibration.recertify.patient import PatientEngine, yields_to_all
from tidegate.calibration.recertify.recertify import LadderAnswers
from tidegate.engines.runtime.memory import keep_one_heap
from tidegate.engines.runtime.registry import open_engine
from tidegate.engines.runtime.resident import memory_is_short
from tidegate.errors import TidegateError
from tidegate.files import read_file
from tidegate.models.bundle import open_bundle
from tidegate.models.bundle.evidence import Indices
from tidegate.models.bundle.statement import MAX_BYTES, Statement, read_statement
from tidegate.models.comparing import Mask
from tidegate.models.ladder import Risk
from tidegate.trust.dsse import parse_envelope


@dataclass(frozen=True, slots=True)
class PointCount:
    """Of a point: `failures` on all frames, `recent_differs` of those after a moment.

    `holds` says whether its certificate was reached again; None where so few frames can not show that.
    """

    failures: int
    recent_differs: int
    holds: bool | None


def counted(
    answers: LadderAnswers,
    labels: Indices | None,
    recent: Mask,
    told: Statement | None,
) -> Mapping[str, PointCount]:
    """Of every point that was run, in the ladder's order. Pure."""
    held = {} if told is None else {each.name: each for each in told.points if each.alpha > 0}
    newly_wrong = any(each.risk is Risk.NEWLY_WRONG for each in held.values())
    masks = {
        name: failed(answers.full, point, labels if newly_wrong else None)
        for name, point in answers.points.items()
    }
    n = len(recent)
    tested = [name for name in answers.points if name in held]
    alphas = sorted({held[name].alpha for name in tested})
    delta = 0.05 if told is None else told.delta
    found = certify([int(masks[name].sum()) for name in tested], n, alphas, delta).certificates if tested else ()
    in_reach = reachable(alphas, n, delta)
    holds: dict[str, bool | None] = {}
    for name, certificate in zip(tested, found, strict=True):
        reached = certificate is not None and certificate.alpha <= held[name].alpha
        holds[name] = True if reached else (False if held[name].alpha in in_reach else None)
    return {
        name: PointCount(int(masks[name].sum()), int((point.differs & recent).sum()), holds.get(name))
        for name, point in answers.points.items()
    }


def main() -> None:
    """The process."""
    keep_one_heap()
    yields = yields_to_all()
    try:
        told = _count(*sys.argv[1:], yields=yields)
    except (TidegateError, OSError) as error:
        told = {"error": str(error)}
    sys.stdout.write(json.dumps(told) + "\n")


def _count(
    bundle_path: str, engine: str, cache: str, footage: str, since_s: str, certificate: str, *, yields: bool
) -> dict[str, object]:
    if memory_is_short():
        return {"error": "memory is short"}
    bundle, kept = open_bundle(Path(bundle_path)), read_footage(Path(footage))
    told = None
    if certificate:
        told = read_statement(parse_envelope(read_file(Path(certificate)), 2 * MAX_BYTES).payload, certificate)
    opened = open_engine(engine, bundle, Path(cache) if cache else None)
    answers, sample = answered_sample(bundle, opened if yields else PatientEngine(opened), kept)
    recent = np.array([frame.at_s > float(since_s) for frame in sample.frames])
    points = counted(answers, sample.labels, recent, told)
    return {
        "engine": opened.name,
        "inputs": len(sample),
        "recent": int(recent.sum()),
        "newest_s": _newest_s(sample),
        "points": {name: asdict(point) for name, point in points.items()},
    }


def _newest_s(sample: KeptInputs) -> int:
    return max(frame.at_s for frame in sample.frames)


if __name__ == "__main__":
    main()
