"""Whether the files of a bundle are what its manifest says, and run in the stock interpreters."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from deploy.check_worker import INPUT, OUTPUT
from deploy.manifest import ExportedFile, is_intact, read_bundle
from deploy.workers import ROOT
from pocketnas_base.errors import InputError

_TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong, in one sentence, and with which file of the folder."""

    file: str
    problem: str

    def __str__(self) -> str:
        return f"{self.file}: {self.problem}"


@dataclass(frozen=True, slots=True)
class RanFile:
    """A file with nothing wrong so far. input, output: what its stock interpreter was fed and answered, raw, as it lies
    in memory."""

    file: ExportedFile
    input: Path
    output: Path


def check_files(folder: Path, workshop: Path) -> tuple[list[RanFile], list[Finding]]:
    """Check every file that the manifest of `folder` lists. workshop: an empty folder for what they are fed and answer.

    A file is read only once it is known to lie in the folder with the size and the sha256 of the manifest, and run only
    once its operators and its surface are known to be those of the manifest. Raises InputError where there is no such
    folder.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; give one with a manifest.json")
    try:
        bundle = read_bundle(folder)
    except InputError as error:
        return [], [Finding("manifest.json", str(error))]
    sound: list[RanFile] = []
    findings: list[Finding] = []
    if not bundle.files:
        findings.append(Finding("manifest.json", "lists no file"))
    for number, file in enumerate(bundle.files):
        place = workshop / str(number)
        place.mkdir()
        name = file.artifact.path.name
        problems = _identity_problems(folder, file) or _worker_problems(folder, name, place)
        if not file.parity.passed:
            problems.append("did not pass its comparison with torch, says its manifest")
        findings += [Finding(name, problem) for problem in problems]
        if not problems:
            sound.append(RanFile(file, place / INPUT, place / OUTPUT))
    listed = {file.artifact.path.name for file in bundle.files}
    for path in sorted((*folder.glob("*.tflite"), *folder.glob("*.pte"))):
        if path.name not in listed:
            findings.append(Finding(path.name, "lies here and is not in the manifest: nobody checked it"))
    return sound, findings


def _identity_problems(folder: Path, file: ExportedFile) -> list[str]:
    path = file.artifact.path
    if not path.exists() and not path.is_symlink():
        return ["is missing"]
    if path.is_symlink() or path.resolve().parent != folder.resolve():
        return ["is a link, which may lead anywhere; put the file itself here"]
    if not path.is_file():
        return ["is no file"]
    if path.stat().st_size != file.bytes:
        return [f"has {path.stat().st_size} bytes, its manifest says {file.bytes}"]
    return [] if is_intact(file) else ["is not the file that was exported: its sha256 differs"]


def _worker_problems(folder: Path, name: str, place: Path) -> list[str]:
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")])),
        "OMP_NUM_THREADS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "",
    }
    command = [sys.executable, "-m", "deploy.check_worker", str(folder.absolute()), name, str(place)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_TIMEOUT_S, check=False, env=environment, cwd=place)
    except subprocess.TimeoutExpired:
        return [f"did not run through in the stock interpreter within {_TIMEOUT_S:.0f} s"]
    if done.returncode < 0:
        return [f"makes its stock interpreter crash (signal {-done.returncode})"]
    lines = done.stdout.decode(errors="replace").strip().splitlines()
    if done.returncode != 0 or not lines:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        return [f"cannot be checked: {said[-1] if said else f'exit status {done.returncode}'}"]
    problems: list[str] = json.loads(lines[-1])
    return problems
