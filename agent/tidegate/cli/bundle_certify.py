"""`tidegate bundle certify`: a ladder's certificates, counted on inputs of one's own."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tidegate.cli.bundle_certificate import certificate_path, write_certificate
from tidegate.cli.bundle_path import BundlePath
from tidegate.cli.console import err, fail, out, show_table
from tidegate.cli.counted_on import FootageOption, counted_on
from tidegate.cli.signers import KeyOption, signers
from tidegate.cli.view import format_risk
from tidegate.engines.runtime.runtimes import AUTO
from tidegate.errors import EX_DATAERR
from tidegate.models.bundle import Bundle, open_bundle
from tidegate.paths import cache_directory
from tidegate.telemetry.topics import checked_name
from tidegate.terminal.table import Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tidegate.api.certifying import Recertified
    from tidegate.calibration.recertify.inputs import DatasetInputs, Footage, Inputs
    from tidegate.calibration.recertify.recertify import LadderAnswers
    from tidegate.engines.engine import Engine
    from tidegate.models.bundle.evidence import Indices
    from tidegate.models.ladder import Certificate
    from tidegate.trust.signer import Signer


def certify_command(
    bundle: BundlePath,
    data: Annotated[
        Path | None,
        typer.Option(help="A folder of pictures, an .npz file, or IDX files: with labels or without."),
    ] = None,
    footage: FootageOption = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            help="The sheet with the labels asked for: read if it is there, and written with what is asked."
        ),
    ] = None,
    clip: Annotated[int, typer.Option(min=1, help="Frames in a row that are one clip: clips are counted.")] = 1,
    delta: Annotated[
        float, typer.Option(min=0.0001, max=0.5, help="Chance of any certificate being wrong.")
    ] = 0.05,
    alpha: Annotated[
        list[float] | None, typer.Option(min=0.0001, max=0.5, help="A loss to certify; may be given again.")
    ] = None,
    key: KeyOption = None,
    grey: Annotated[bool, typer.Option("--grey", help="Take a folder's pictures without colour.")] = False,
    engine: Annotated[str, typer.Option(help="The engine that answers here.")] = AUTO,
    out_directory: Annotated[
        Path | None, typer.Option("--out", help="Write the bundle with these certificates; must not exist.")
    ] = None,
    certificate: Annotated[
        Path | None,
        typer.Option(help="With --key: write the signed count for BUNDLE as it is, for an agent to go by."),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            help="With --certificate: whose count it is; no other device goes by it, and it can be pushed."
        ),
    ] = None,
) -> None:
    """Count a ladder's certificates again, on inputs of the place where it answers, with few labels or none."""
    # It imports numpy and an engine, which most commands do without.
    from tidegate.calibration.recertify.counting import ALPHAS  # noqa: PLC0415
    from tidegate.calibration.recertify.recertify import held_certificates, with_certificates  # noqa: PLC0415
    from tidegate.engines.runtime.registry import open_engine  # noqa: PLC0415

    opened = open_bundle(bundle)
    if key and out_directory is None and certificate is None:
        fail("--key signs what --out writes, or --certificate: name a directory with --out", EX_DATAERR)
    if certificate is not None and not key:
        fail("--certificate: nobody goes by a count that is not signed; name a --key", EX_DATAERR)
    if device is not None:
        checked_name(device, "--device")
        if certificate is None:
            fail("--device: says whose the count is that --certificate writes; name a FILE with it", EX_DATAERR)
    if out_directory is not None and out_directory.exists():
        fail(f"--out {out_directory}: is there already; name a directory that isn't", EX_DATAERR)
    # Before minutes of counting, and before a directory is written that a second try would find in its way.
    named = signers(key or ())
    counted = _Count(
        opened, counted_on(opened, data, footage, grey=grey), labels, clip, delta, sorted(alpha or ALPHAS)
    )
    counted.answer(open_engine(engine, opened, cache_directory()))
    counted.show()
    counted.keep()
    if out_directory is None and certificate is None:
        return
    held = held_certificates(opened, counted.found.certificates, delta)
    if out_directory is not None:
        with_certificates(opened, held, counted.alphas, delta, counted.inputs, out_directory)
        out.say(f"wrote {out_directory}")
    if out_directory is not None and named:
        counted.sign(open_bundle(out_directory), held, named, certificate_path(out_directory))
    if certificate is not None:
        counted.sign(opened, held, named, certificate, device)


class _Count:
    """A bundle's points on a user's data or on kept frames, with the labels of a sheet. Raises DataError."""

    def __init__(
        self,
        bundle: Bundle,
        source: "DatasetInputs | Footage",
        sheet: Path | None,
        clip: int,
        delta: float,
        alphas: "Sequence[float]",
    ) -> None:
        from tidegate.calibration.recertify.inputs import DatasetInputs  # noqa: PLC0415 - numpy

        self.footage = None if isinstance(source, DatasetInputs) else source
        self.inputs: Inputs = source if isinstance(source, DatasetInputs) else source.sample
        self.whole: Inputs = source if isinstance(source, DatasetInputs) else source.whole
        if self.footage is not None and clip != 1:
            fail(
                "--clip: of footage a frame a clip is kept already; `footage.clip` in agent.yaml sets it",
                EX_DATAERR,
            )
        self.alphas = alphas
        self._bundle, self._sheet, self._clip, self._delta = bundle, sheet, clip, delta
        self._known, self._given = self._labels()

    def answer(self, engine: "Engine") -> None:
        """Run all points on all inputs, and count."""
        from tidegate.api.certifying import recertified  # noqa: PLC0415 - numpy
        from tidegate.calibration.recertify.counting import clips_of  # noqa: PLC0415 - numpy
        from tidegate.calibration.recertify.recertify import answered  # noqa: PLC0415 - numpy

        self._engine = engine.name
        if self.footage is None:
            (part,) = self.inputs.parts()
            say = partial(err.print, markup=False)
            self._answers = answered(self._bundle, engine, part, say, self.inputs.objects)
            self._apart: LadderAnswers | None = None
        else:
            self._answer_footage(self.footage, engine)
        clips = None if self._clip == 1 else clips_of(len(self.inputs), self._clip)
        self.found = recertified(self._answers, self._known_of_inputs, clips, self.alphas, self._delta)

    def _answer_footage(self, footage: "Footage", engine: "Engine") -> None:
        from tidegate.calibration.recertify.inputs import Footage  # noqa: PLC0415 - numpy
        from tidegate.calibration.recertify.kept_answers import answered_apart, answered_sample  # noqa: PLC0415 - numpy

        self._answers, sample = answered_sample(self._bundle, engine, footage, self._say_progress)
        self._apart, apart = answered_apart(self._bundle, engine, footage)
        left_out = len(footage.whole) - len(sample) - len(apart)
        if not left_out:
            return
        err.say(f"left out, as they made room for others meanwhile: {left_out} of {len(footage.whole)} kept clips")
        self.footage = Footage(footage.directory, sample, apart)
        self.inputs, self.whole = self.footage.sample, self.footage.whole
        self._known, self._given = self._labels()

    def show(self) -> None:
        """What is certified, and what to label."""
        tries = -(-len(self.inputs) // self._clip)
        show_table(_table(self._bundle, self.found, tries))
        for name, reason in self._answers.left_out.items():
            out.say(f"{name}: left out: {reason}")
        asked = len(self.found.to_label)
        if self._answers.full is not None and asked:
            _say_what_to_label(asked, self._sheet)
        if self.footage is not None and self._apart is not None:
            _show_apart(
                self.footage, self._apart, None if self._known is None else self._known[len(self.inputs) :]
            )

    def keep(self) -> None:
        """Write the sheet with what to label, and keep the labels of kept frames beside them."""
        from tidegate.calibration.recertify.kept_labels import write_kept_labels  # noqa: PLC0415 - numpy
        from tidegate.calibration.recertify.label_file import asked_rows, write_sheet  # noqa: PLC0415 - numpy

        asked = self._asked()
        if self._sheet is not None and asked:
            rows = asked_rows(asked, self.whole.files, self._full_in_words(), self._given)
            write_sheet(self._sheet, rows, self._given)
        if self.footage is not None and self._known is not None:
            files = self.whole.files
            labels = {files[place]: int(label) for place, label in enumerate(self._known) if label >= 0}
            try:
                write_kept_labels(self.footage.directory, labels, files)
            except OSError as error:
                said = f"{error.filename}: {error.strerror}; without the labels a later count knows less"
                err.say(said)

    def sign(
        self,
        bundle: Bundle,
        held: "Mapping[str, Certificate]",
        keys: "Sequence[Signer]",
        path: Path,
        device: str | None = None,
    ) -> None:
        """Write the count for a bundle, signed."""
        known = self._known_of_inputs
        write_certificate(
            path,
            keys,
            bundle,
            held,
            self._engine,
            data=self.inputs.name,
            data_sha256=self.inputs.sha256,
            inputs=len(self.inputs),
            clip=self._clip,
            labelled=0 if known is None else int((known >= 0).sum()),
            delta=self._delta,
            device=device,
        )

    @property
    def _known_of_inputs(self) -> "Indices | None":
        return None if self._known is None else self._known[: len(self.inputs)]

    def _labels(self) -> "tuple[Indices | None, Mapping[int, str]]":
        """What is known of all inputs, and what the sheet says."""
        from tidegate.calibration.recertify.counting import UNLABELLED, unlabelled  # noqa: PLC0415 - numpy
        from tidegate.calibration.recertify.label_file import read_labels  # noqa: PLC0415 - numpy

        whole, sheet, known = self.whole, self._sheet, self.whole.labels
        if sheet is None or not sheet.exists():
            return known if sheet is None or known is not None else unlabelled(len(whole)), {}
        told, given = read_labels(sheet, len(whole), self._bundle.labels, whole.files, moving=whole.moving)
        if known is not None and self.footage is not None:
            told[told == UNLABELLED] = known[told == UNLABELLED]
        return told, given

    def _asked(self) -> list[int]:
        """Places of the inputs to label: first those that count."""
        if self._answers.full is None:
            return []
        asked = [int(place) for place in self.found.to_label]
        if self._apart is not None:
            known, begin = self._known, len(self.inputs)
            asked += [place for place in range(begin, len(self.whole)) if known is None or known[place] < 0]
        return asked

    def _full_in_words(self) -> list[str]:
        """The full model's answers to all inputs."""
        names, found = self._bundle.labels, []
        for each in (self._answers, self._apart):
            if each is not None and each.full is not None:
                found += [names[index] if index < len(names) else str(index) for index in each.full]
        return found

    def _say_progress(self, done: int) -> None:
        err.say(f"{done} of {len(self.inputs)} kept clips answered at every point")


def _show_apart(footage: "Footage", found: "LadderAnswers", labels: "Indices | None") -> None:
    """How harmful the disagreements were that shadow runs found. No certificate counts them: they were chosen."""
    from tidegate.calibration.recertify.inputs import point_of  # noqa: PLC0415 - numpy

    points = [point_of(frame) for frame in footage.apart.frames]
    rows = []
    for name in dict.fromkeys(points):
        places = [place for place, point in enumerate(points) if point == name]
        labelled = [place for place in places if labels is not None and labels[place] >= 0]
        answers = None if name not in found.points else found.points[name].answers
        told = "unknown"
        if labels is not None and found.full is not None and answers is not None:
            full = found.full
            wrong = [each for each in labelled if full[each] == labels[each] != answers[each]]
            told = f"{len(wrong)} of {len(labelled)}"
        rows.append((name, str(len(places)), told))
    title = "disagreements that shadow runs found; not counted, as they were chosen"
    show_table(Table(title, ("operating point", "kept", "newly wrong of those labelled"), rows))


def _table(bundle: Bundle, found: "Recertified", tries: int) -> Table:
    """Each point's certificate as it was and as it is on these inputs."""
    rows = [
        (
            point.name,
            format_risk(point.certified_risk),
            format_risk(None if (held := found.certificates[point.name]) is None else held.alpha),
            f"{found.failures[point.name]} of {tries}",
        )
        for point in bundle.ladder.points
        if point.name in found.failures
    ]
    return Table(f"{bundle.model}: certified", ("operating point", "as built", "here", "failures"), rows)


def _say_what_to_label(count: int, sheet: Path | None) -> None:
    if sheet is None:
        out.say(
            f"without a label, though points differ from full there: {count}; they count as failures; "
            "--labels SHEET.csv writes a sheet to label them in"
        )
        return
    out.say(
        f"inputs that need a label: {count}, the most wanted first; fill in `label` in {sheet} and run this again"
    )
