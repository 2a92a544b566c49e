"""A network to files of every runtime and precision, each seen to compute what torch computes."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

from deploy.evidence import (
    Expected,
    described,
    ends_of,
    expected_of,
    file_name,
    file_stem,
    identity,
    kind_of,
    why_rejected,
)
from deploy.kinds import Kind, kinds_of
from deploy.layer_outputs import LayerComparison, LayerReport, layers_path
from deploy.manifest import ExportedFile, OutsideDelegate, is_intact, read_manifest, write_manifest
from deploy.pte_network import convert_to_pte
from deploy.sanity import tflite_problems
from deploy.subject import Subject
from deploy.tflite_network import Converter, check_converter, finished_model, float32_model
from pocketnas_base.artifact import PRECISIONS, RUNTIMES, Artifact, Precision, Runtime
from pocketnas_base.errors import ExportError, InputError
from pocketnas_base.files import write_bytes, write_json
from pocketnas_base.progress import Progress, silent

T = TypeVar("T")
Profiler = Callable[[Artifact], tuple[OutsideDelegate, ...] | None]
"""What of a file its runtime's delegate leaves to slower kernels, found by running it; None where that failed, and the
profiler has said why."""

_WORKSHOP = ".exporting-"
# A run's progress in units of effort: a conversion, and a check on all images.
_CONVERT, _CHECK = 50, 50


def export_model(
    subject: Subject,
    out_dir: Path,
    *,
    runtimes: Sequence[Runtime] = RUNTIMES,
    precisions: Sequence[Precision] = ("fp32",),
    converter: Converter = "onnx2tf",
    profiler: Profiler | None = None,
    progress: Progress = silent,
) -> list[ExportedFile]:
    """Write `<name>_<precision>.tflite` and `.pte` of a network, with `manifest.json`, into `out_dir`.

    Every file's outputs on all of the subject's images are held against torch's, and where there are labels top-1 and
    top-5 too, within what its precision must keep (`deploy.parity`). A file gets its final name only after it passed;
    one whose manifest entry is of the same subject and versions is left as it is.
    profiler: asked about every file that is made.
    Raises InputError for what cannot be exported, and for a folder that cannot be written; ExportError, when all others
    are done, where a conversion failed (with the name of its log) or a file computes otherwise than torch (it is kept
    as `<name>.rejected` with a report beside it). Beside every .tflite lies how far off each of its layers is
    (`deploy.layer_outputs`), which decides nothing.
    """
    kinds = kinds_of(runtimes, precisions)
    if any(precision == "int8" for _, precision in kinds) and subject.calibration is None:
        raise InputError("int8 needs images to see the ranges of activations on; name some to calibrate with")
    check_converter(converter)
    if subject.architecture is None:
        # A tracer would keep one way of a branch and pass every check on images that take it.
        progress(0, 1, "looking at the network")
        _ = subject.structure_sha256
    kept, stale = _valid_and_stale(out_dir, subject, converter)
    files = {kind_of(file): file for file in kept}
    missing = [kind for kind in kinds if kind not in files]
    if missing:
        _make_writable(out_dir)
        for old in out_dir.glob(f"{_WORKSHOP}*"):
            shutil.rmtree(old, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=_WORKSHOP, dir=out_dir) as workshop:
            _Export(subject, out_dir, Path(workshop), converter, profiler, progress).make(missing, files, stale)
    elif stale:
        _make_writable(out_dir)
        _put_away(stale, out_dir, kept)
    progress(1, 1, "exported")
    return [files[kind] for kind in kinds]


class _Export:
    """One export under way: its folders, how far it is, and what failed."""

    def __init__(
        self,
        subject: Subject,
        out_dir: Path,
        workshop: Path,
        converter: Converter,
        profiler: Profiler | None,
        progress: Progress,
    ) -> None:
        self._subject, self._out_dir, self._workshop = subject, out_dir, workshop
        self._converter, self._profiler, self._progress = converter, profiler, progress
        self._done = self._total = 0
        self._failures: list[str] = []

    def make(self, missing: list[Kind], files: dict[Kind, ExportedFile], stale: Sequence[Path]) -> None:
        """Convert, check and commit everything that is missing, adding it to `files`. stale: what goes before that."""
        subject = self._subject
        self._total = _CHECK + len(missing) * (_CONVERT + _CHECK)
        expected = expected_of(subject, self._checking)
        self._done = _CHECK
        # Nothing is refused from here on. Whatever stands under a final name belongs to the manifest, also while the
        # rest is in the making; a manifest that was lost may have left more than is known to be stale.
        finals = [self._out_dir / file_name(subject, *kind) for kind in missing]
        _put_away([*stale, *finals, *map(layers_path, finals)], self._out_dir, _in_order(files))
        of_tflite = [precision for runtime, precision in missing if runtime == "tflite"]
        of_executorch = [precision for runtime, precision in missing if runtime == "executorch"]
        if of_tflite:
            with self._attempt():
                self._make_tflite(of_tflite, expected, files)
        self._done = _CHECK + len(of_tflite) * (_CONVERT + _CHECK)
        if of_executorch:
            self._make_executorch(of_executorch, expected, files)
        if self._failures:
            raise ExportError("; ".join(self._failures))

    def _make_tflite(self, precisions: list[Precision], expected: Expected, files: dict[Kind, ExportedFile]) -> None:
        self._say("converting to tflite")
        float32 = self._logged("tflite", lambda log: float32_model(self._subject, self._converter, log))
        layers = LayerComparison(self._subject, float32)
        for precision in precisions:
            self._say(f"tflite in {precision}")
            with self._attempt():
                write_bytes(self._path("tflite", precision), finished_model(self._subject, float32, precision))
                self._done += _CONVERT
                self._check(("tflite", precision), expected, files, layers)

    def _make_executorch(
        self, precisions: list[Precision], expected: Expected, files: dict[Kind, ExportedFile]
    ) -> None:
        self._say("converting to executorch")
        paths = {precision: self._path("executorch", precision) for precision in precisions}
        converted: set[Precision] = set()

        def finished(precision: Precision) -> None:
            converted.add(precision)
            self._done += _CONVERT
            self._say(f"executorch in {precision}")

        with self._attempt():
            self._logged("executorch", lambda log: convert_to_pte(self._subject, paths, log, finished))
        for precision in precisions:
            if precision in converted:
                with self._attempt():
                    self._check(("executorch", precision), expected, files)

    @contextmanager
    def _attempt(self) -> Iterator[None]:
        """What fails inside is kept, to be told when everything else was tried."""
        try:
            yield
        except ExportError as error:
            self._failures.append(str(error))

    def _check(
        self,
        kind: Kind,
        expected: Expected,
        files: dict[Kind, ExportedFile],
        layers: LayerComparison | None = None,
    ) -> None:
        """Hold a converted file against torch, and give it its final name if it passes. layers: None where a file's
        layers cannot be seen."""
        path = self._path(*kind)
        final = self._out_dir / path.name
        if problems := self._problems(path, kind[0], expected):
            self._done += _CHECK
            self._reject(path, final, "; ".join(problems), {"problems": problems})
            return
        artifact = Artifact.of_file(path, kind[1])
        file = described(self._subject, self._converter, artifact, expected, self._checking)
        report = None if layers is None else layers.of_file(artifact)
        self._done += _CHECK
        if reason := why_rejected(file):
            accuracy = {name: getattr(file, name) for name in ("top1", "torch_top1", "top5", "torch_top5")}
            self._reject(path, final, reason, {**asdict(file.parity), **accuracy}, report)
            return
        if report is not None:
            write_json(layers_path(final), report.to_dict())
        path.replace(final)
        for old in _rejected_names(final):
            old.unlink(missing_ok=True)
        files[kind] = replace(file, artifact=replace(artifact, path=final))
        write_manifest(self._out_dir, _in_order(files))
        # Last, because a file that passed is good whatever becomes of its profile.
        if self._profiler is not None:
            files[kind] = replace(files[kind], outside_delegate=self._profiler(files[kind].artifact))
            write_manifest(self._out_dir, _in_order(files))

    def _problems(self, path: Path, runtime: Runtime, expected: Expected) -> list[str]:
        """What keeps phones from running a file, found by reading it. Of a .pte `pocketnas check` tells: importing what
        reads one takes seconds."""
        if runtime == "executorch":
            return []
        return tflite_problems(path.read_bytes(), ends_of(self._subject, runtime, expected))

    def _reject(
        self, path: Path, final: Path, reason: str, found: dict[str, Any], layers: LayerReport | None = None
    ) -> None:
        """Keep a file that failed under a name that nobody deploys, with what was found beside it."""
        kept, report, of_layers = _rejected_names(final)
        path.replace(kept)
        of_layers.unlink(missing_ok=True)
        if layers is not None:
            write_json(of_layers, layers.to_dict())
            reason += layers.describe()
        write_json(report, {**found, "passed": False})
        self._failures.append(f"{final.name} {reason}; the file is kept as {kept}, with what was found beside it")

    def _logged(self, runtime: Runtime, convert: Callable[[Path], T]) -> T:
        """Convert with a log in the workshop; where it fails, the log moves out, and the error names its new place and
        the runtime."""
        log, kept = self._workshop / f"{runtime}.log", self._out_dir / f"{file_stem(self._subject.name)}.{runtime}.log"
        try:
            result = convert(log)
        except ExportError as error:
            message = str(error)
            if log.exists():
                log.replace(kept)
                message = message.replace(str(log.resolve()), str(kept))
            raise ExportError(f"{runtime}: {message}") from error
        kept.unlink(missing_ok=True)
        return result

    def _checking(self, done: int, total: int, what: str) -> None:
        self._progress(self._done + _CHECK * done // total, self._total, f"checking {what}")

    def _say(self, what: str) -> None:
        self._progress(self._done, self._total, what)

    def _path(self, runtime: Runtime, precision: Precision) -> Path:
        return self._workshop / file_name(self._subject, runtime, precision)


def _make_writable(folder: Path) -> None:
    """Make the folder where there is none. Raises InputError, before anything is converted, where it cannot be used."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be made: {error.strerror}; name another folder for the files") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"{folder} cannot be written; name another folder for the files")


def _rejected_names(final: Path) -> tuple[Path, Path, Path]:
    """Where a file that failed is kept, its figures, and its layers'."""
    kept = final.with_name(final.name + ".rejected")
    return kept, kept.with_name(kept.name + ".json"), layers_path(kept)


def _in_order(files: dict[Kind, ExportedFile]) -> list[ExportedFile]:
    """Files as the manifest lists them."""
    return [files[kind] for kind in kinds_of(RUNTIMES, PRECISIONS) if kind in files]


def _valid_and_stale(out_dir: Path, subject: Subject, converter: Converter) -> tuple[list[ExportedFile], list[Path]]:
    """The manifest's files that are intact and of this subject and these versions, and the paths of the others."""
    try:
        listed = read_manifest(out_dir)
    except InputError:
        listed = []  # damaged: nothing is known to be valid, and this export writes it anew
    valid: list[ExportedFile] = []
    stale: list[Path] = []
    for file in listed:
        runtime, precision = kind_of(file)
        made_of = identity(subject, runtime, precision, converter)
        same = (
            file.name == subject.name
            and file.artifact.path.name == file_name(subject, runtime, precision)
            and (file.input.dtype == "uint8") == subject.uint8_input
            and all(getattr(file, name) == value for name, value in made_of.items())
        )
        if same and file.parity.passed and is_intact(file):
            valid.append(file)
        else:
            stale += [file.artifact.path, layers_path(file.artifact.path)]
    return valid, stale


def _put_away(stale: Sequence[Path], out_dir: Path, kept: Sequence[ExportedFile]) -> None:
    """Remove files that are no longer valid, and their entries."""
    for path in stale:
        path.unlink(missing_ok=True)
    write_manifest(out_dir, kept)
