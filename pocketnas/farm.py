"""Tables of phones that hang on several machines: each is measured by the machine of a Ray cluster that has it."""

import json
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from android_bench.runner.build import cache_dir
from pocketnas.console import say
from pocketnas.ray_cluster import answer_of, connected
from pocketnas.side_by_side import Worker, not_put_back
from pocketnas_base.errors import InputError
from pocketnas_base.files import sha256_bytes, write_bytes
from search.space import split_size

_END_TIMEOUT_S = 60.0
_ANYWHERE = "tcp:"
"""Phones that are named so can be reached from every machine."""


@dataclass(frozen=True, slots=True)
class _Built:
    exit_status: int
    stdout: str
    stderr: str
    files: dict[str, bytes]


def build_on_farm(space: str, asked: Mapping[str, tuple[Sequence[str], Path]], address: str) -> list[Worker]:
    """`pocketnas table build` for every device at once, on the cluster at `address`.

    space: a built-in space, or a file of this machine, which is sent along. asked: by device, the words of the command
    but for --space, --device and --out, and where the table comes to lie here; its samples come to lie beside it.
    A machine says what it has by Ray's own means, `ray start --resources '{"SERIAL": 1}'`; tcp:HOST:PORT is measured by
    any. Whoever is interrupted goes on by the same call: samples stay where they were taken until they are complete.
    Raises InputError for a device that no machine has.
    """
    text = packed(space)
    with connected(address, list(asked)):
        import ray

        known = ray.cluster_resources()
        for device in asked:
            if device not in known and not device.startswith(_ANYWHERE):
                raise InputError(
                    f"no machine of the Ray cluster says that it has {device}: start Ray there with "
                    f"ray start --resources '{json.dumps({device: 1})}'"
                )
        references = {}
        for device, (words, place) in asked.items():
            resources = {device: 1.0} if device in known else {}
            task = ray.remote(num_cpus=0, resources=resources, max_retries=0)(_build)
            references[device] = task.remote(space, text, [*words, "--device", device], place.name)
        try:
            return [_brought(device, answer_of(references[device]), asked[device][1]) for device in asked]
        except BaseException:
            for reference in references.values():
                ray.cancel(reference)
            waited = ray.wait([*references.values()], num_returns=len(references), timeout=_END_TIMEOUT_S)
            for device, reference in references.items():
                if reference in waited[1]:
                    say(not_put_back(device, _END_TIMEOUT_S))
            raise


def packed(space: str) -> bytes | None:
    """What another machine needs of a space besides its name: the file, where it is one."""
    path = Path(split_size(space)[0])
    return path.read_bytes() if path.suffix == ".toml" and path.is_file() else None


def unpacked(space: str, text: bytes | None, folder: Path) -> str:
    """The same space's name on another machine, its file in `folder`, the size behind it kept."""
    if text is None:
        return space
    path = split_size(space)[0]
    (folder / Path(path).name).write_bytes(text)
    return f"{folder / Path(path).name}{space.removeprefix(path)}"


def _brought(device: str, built: object, place: Path) -> Worker:
    assert isinstance(built, _Built)
    for line in built.stderr.splitlines():
        say(f"{device}: {line}")
    for name, content in built.files.items():
        write_bytes(place.parent / name, content)
    return Worker(device, built.exit_status, built.stdout)


def _build(space: str, text: bytes | None, words: Sequence[str], name: str) -> _Built:
    """On the machine that has the device."""
    told = json.dumps([space, text.decode() if text is not None else None, *words])
    folder = cache_dir() / "farm" / sha256_bytes(told.encode())[:32]
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        space = unpacked(space, text, Path(temporary))
        command = [sys.executable, "-m", "pocketnas", *words, "--space", space, "--out", str(folder / name)]
        status, stdout, stderr = _ran(command)
    # Samples that are not complete stay here, where the same call goes on with them.
    suffixes = (".parquet", ".sqlite") if status == 0 else (".parquet",)
    files = {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.suffix in suffixes}
    if status == 0:
        shutil.rmtree(folder)
    return _Built(status, stdout.replace(f"{folder}/", ""), stderr, files)


def _ran(command: Sequence[str]) -> tuple[int, str, str]:
    """Exit status, stdout and stderr. Interrupted, it lets the command put its device back first."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        stdout, stderr = process.communicate()
    except BaseException:
        process.send_signal(signal.SIGINT)
        process.communicate()
        raise
    return process.returncode, stdout, stderr
