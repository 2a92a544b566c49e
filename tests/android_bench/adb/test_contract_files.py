"""What every transport promises of files: copied whole or not at all, whatever they are called."""

import os
import random
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import pytest
from lookalike.lookalike import Lookalike
from reaching import Place, Reach

from android_bench.adb.channel import Channel
from android_bench.adb.phone_transport import PhoneTransport
from android_bench.errors import DamagedTransferError, StorageFullError
from android_bench.transport import FileStat
from pocketnas_base.errors import DeviceError
from pocketnas_base.files import sha256_file

NAMES = [
    "two words",
    "it's",
    'dou"ble',
    "$HOME `id`",
    "a\nb",
    "a;b*?[x]",
    "-rf",
    "--help",
    "\\n%s~",
    "größe 尺寸 🙂",
    "x" * 240,
]


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """64 MiB of noise, and one byte more."""
    path = tmp_path_factory.mktemp("big") / "big"
    generator = random.Random(3)
    with path.open("wb") as file:
        for _ in range(16):
            file.write(generator.randbytes(4 * 1024 * 1024))
        file.write(b"x")
    return path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(bytes(range(256)) * 5)
    return path


def listing(place: Place) -> set[str]:
    return {entry.name for entry in place.host_path(place.folder).iterdir()}


def test_a_big_file_comes_back_as_it_went(place: Place, big: Path, tmp_path: Path) -> None:
    place.transport.push(big, f"{place.folder}/big")
    assert sha256_file(place.host_path(f"{place.folder}/big")) == sha256_file(big)
    place.transport.pull(f"{place.folder}/big", tmp_path / "back")
    assert sha256_file(tmp_path / "back") == sha256_file(big)
    assert not any(name.endswith(".part") for name in listing(place))


@pytest.mark.parametrize("size", [0, 1, 2049, 65536, 1024 * 1024 + 1])
def test_a_file_of_any_size_comes_back_as_it_went(place: Place, size: int, tmp_path: Path) -> None:
    (tmp_path / "sent").write_bytes(random.Random(size).randbytes(size))
    place.transport.push(tmp_path / "sent", f"{place.folder}/file")
    assert place.host_path(f"{place.folder}/file").read_bytes() == (tmp_path / "sent").read_bytes()
    place.transport.pull(f"{place.folder}/file", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == (tmp_path / "sent").read_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_name_is_a_name(place: Place, name: str, source: Path, tmp_path: Path) -> None:
    before = listing(place)
    path = f"{place.folder}/{name}"
    place.transport.push(source, path)
    assert listing(place) - before == {name}
    found = place.transport.stat(path)
    assert found is not None
    assert found.size_bytes == 1280
    place.transport.pull(path, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == source.read_bytes()


@pytest.mark.parametrize("name", ["it's $HOME", "-rf", "größe"])
def test_a_hostile_name_on_this_host_is_a_name(place: Place, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"content")
    place.transport.push(tmp_path / name, f"{place.folder}/plain")
    assert place.host_path(f"{place.folder}/plain").read_bytes() == b"content"
    place.transport.pull(f"{place.folder}/plain", tmp_path / (name + "2"))
    assert (tmp_path / (name + "2")).read_bytes() == b"content"


def test_a_file_takes_the_place_of_another(place: Place, source: Path, tmp_path: Path) -> None:
    (tmp_path / "longer").write_bytes(b"y" * 100_000)
    place.transport.push(tmp_path / "longer", f"{place.folder}/file")
    place.transport.push(source, f"{place.folder}/file")
    assert place.host_path(f"{place.folder}/file").read_bytes() == source.read_bytes()
    (tmp_path / "back").write_bytes(b"old")
    place.transport.pull(f"{place.folder}/file", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == source.read_bytes()


def test_a_file_that_only_its_owner_may_read_can_be_read_and_replaced_there(place: Place, source: Path) -> None:
    source.chmod(0o400)
    place.transport.push(source, f"{place.folder}/file")
    place.transport.push(source, f"{place.folder}/file")
    assert place.transport.run(("cat", f"{place.folder}/file"), timeout_s=30).stdout == source.read_bytes()
    found = place.transport.stat(f"{place.folder}/file")
    assert found is not None
    assert found.mode & 0o022 == 0, "others may write it"


def test_pushing_to_a_folder_that_is_missing_is_refused(place: Place, source: Path) -> None:
    with pytest.raises(DeviceError, match=r"missing/file cannot be written"):
        place.transport.push(source, f"{place.folder}/missing/file")
    assert place.transport.stat(f"{place.folder}/missing") is None


def test_pushing_onto_a_folder_is_refused(place: Place, source: Path) -> None:
    place.transport.run(("mkdir", f"{place.folder}/folder"), timeout_s=30)
    before = listing(place)
    with pytest.raises(DeviceError, match="folder"):
        place.transport.push(source, f"{place.folder}/folder")
    assert list(place.host_path(f"{place.folder}/folder").iterdir()) == []
    assert listing(place) == before


@pytest.mark.parametrize("what", ["missing", "folder"])
def test_pushing_what_is_no_file_of_this_host_is_refused(place: Place, what: str, tmp_path: Path) -> None:
    (tmp_path / "a" / "folder").mkdir(parents=True)
    with pytest.raises(DeviceError, match=what):
        place.transport.push(tmp_path / "a" / what, f"{place.folder}/file")
    assert place.transport.stat(f"{place.folder}/file") is None


def test_pulling_what_is_missing_leaves_what_was_there(place: Place, tmp_path: Path) -> None:
    (tmp_path / "back").write_bytes(b"old")
    with pytest.raises(DeviceError, match="nothing"):
        place.transport.pull(f"{place.folder}/nothing", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b"old"


@pytest.mark.parametrize("what", ["a-folder", "a-pipe"])
def test_pulling_what_is_no_file_is_refused(place: Place, what: str, tmp_path: Path) -> None:
    make = 'mkdir -p "$1/a-folder"; [ -e "$1/a-pipe" ] || mkfifo "$1/a-pipe"'
    assert place.transport.run(("sh", "-c", make, "sh", place.folder), timeout_s=30).exit_status == 0
    with pytest.raises(DeviceError, match=what):
        place.transport.pull(f"{place.folder}/{what}", tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_pulling_to_where_nothing_can_be_written_is_refused(place: Place, source: Path, tmp_path: Path) -> None:
    place.transport.push(source, f"{place.folder}/file")
    (tmp_path / "no-folder").write_text("in the way")
    with pytest.raises(DeviceError, match="no-folder/back"):
        place.transport.pull(f"{place.folder}/file", tmp_path / "no-folder" / "back")


def test_pulling_an_endless_file_is_refused(place: Place, tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="/dev/zero"):
        place.transport.pull("/dev/zero", tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_stat_tells_files_folders_and_nothing_apart(place: Place, source: Path) -> None:
    place.transport.push(source, f"{place.folder}/file")
    place.host_path(f"{place.folder}/file").chmod(0o755)
    assert place.transport.stat(f"{place.folder}/file") == FileStat(1280, stat.S_IFREG | 0o755)
    folder = place.transport.stat(place.folder)
    assert folder is not None
    assert stat.S_ISDIR(folder.mode)
    assert place.transport.stat(f"{place.folder}/nothing") is None
    assert place.transport.stat(f"{place.folder}/file/below") is None


def test_stat_looks_where_a_link_leads(place: Place, source: Path) -> None:
    place.transport.push(source, f"{place.folder}/file")
    place.transport.run(("ln", "-s", "file", f"{place.folder}/link"), timeout_s=30)
    place.transport.run(("ln", "-s", "nowhere", f"{place.folder}/dangling"), timeout_s=30)
    found = place.transport.stat(f"{place.folder}/link")
    assert found is not None
    assert (found.size_bytes, stat.S_ISREG(found.mode)) == (1280, True)
    assert place.transport.stat(f"{place.folder}/dangling") is None


def test_stamp_changes_with_every_change_of_a_file(
    transport: PhoneTransport, shared_phone: Lookalike, source: Path
) -> None:
    folder = "/data/local/tmp/stamped"
    transport.run(("mkdir", "-p", folder), timeout_s=30)
    paths = [f"{folder}/{name}" for name in ("plain", "two words", "a\nb", "size")]
    for path in paths:
        transport.push(source, path)
    before = transport.stamps([*paths, f"{folder}/nothing"])
    assert set(before) == set(paths)
    assert transport.stamps(paths) == before
    for path in paths[:3]:
        own = shared_phone.path(path)
        times = own.stat()
        own.write_bytes(own.read_bytes()[::-1])
        os.utime(own, ns=(times.st_atime_ns, times.st_mtime_ns))
    shared_phone.path(paths[3]).write_bytes(b"")
    after = transport.stamps(paths)
    assert all(after[path] != before[path] for path in paths)
    assert transport.run(("rm", "-r", folder), timeout_s=30).exit_status == 0


def test_stat_of_a_name_that_cannot_be_is_an_error_or_nothing(place: Place) -> None:
    with pytest.raises(DeviceError, match="cannot be looked at"):
        place.transport.stat(f"{place.folder}/{'x' * 4000}")


# What only a phone can refuse


def test_a_read_only_file_system_is_named(transport: PhoneTransport, source: Path) -> None:
    with pytest.raises(DeviceError, match=r"/system/file cannot be written on .*: .*Read-only file system"):
        transport.push(source, "/system/file")


def test_a_folder_of_somebody_else_is_named(transport: PhoneTransport, source: Path) -> None:
    with pytest.raises(DeviceError, match=r"/data/file cannot be written on .*: .*Permission denied"):
        transport.push(source, "/data/file")
    with pytest.raises(DeviceError, match="/proc/1/environ"):
        transport.pull("/proc/1/environ", source.with_name("back"))


@pytest.fixture
def full_phone(shared_phone: Lookalike) -> Iterator[Lookalike]:
    """The module's phone; its storage is freed after the test."""
    yield shared_phone
    shared_phone.free()


@pytest.mark.parametrize("left_bytes", [0, 20 * 1024 * 1024])
def test_a_full_phone_takes_nothing_and_keeps_nothing(
    transport: PhoneTransport, full_phone: Lookalike, big: Path, left_bytes: int
) -> None:
    transport.run(("mkdir", "-p", "/data/local/tmp/full"), timeout_s=30)
    full_phone.fill(left_bytes)
    with pytest.raises(StorageFullError, match="no room left"):
        transport.push(big, "/data/local/tmp/full/big")
    full_phone.free()
    assert list(full_phone.path("/data/local/tmp/full").iterdir()) == []
    transport.push(big, "/data/local/tmp/full/big")
    assert transport.run(("rm", "-r", "/data/local/tmp/full"), timeout_s=30).exit_status == 0


def test_a_full_phone_runs_nothing_but_can_be_read_from(
    transport: PhoneTransport, full_phone: Lookalike, source: Path
) -> None:
    transport.push(source, "/data/local/tmp/before")
    full_phone.fill()
    with pytest.raises(StorageFullError, match=r"free some, e.g. with `pocketnas runner clean -d"):
        transport.run(("echo", "hello"), timeout_s=30)
    with transport.stream(("cat", "/data/local/tmp/before"), silence_s=30, max_line_bytes=2000) as lines:
        assert len(list(lines)) > 0
        assert lines.wait().exit_status == 0
    full_phone.free()
    assert transport.run(("echo", "hello"), timeout_s=30).stdout == b"hello\n"


def test_a_full_phone_can_be_cleaned(transport: PhoneTransport, full_phone: Lookalike, big: Path) -> None:
    blobs = "/data/local/tmp/pocketnas/blobs"
    transport.run(("mkdir", "-p", blobs), timeout_s=30)
    transport.push(big, f"{blobs}/big")
    full_phone.fill()
    transport.remove_tree(blobs)
    assert transport.run(("ls", "/data/local/tmp/pocketnas"), timeout_s=30).stdout == b"run\n"


@pytest.mark.parametrize(
    "path",
    ["/data/local/tmp", "/data/local/tmp/pocketnas2", "/", "/data/local/tmp/pocketnas/../x", "/data/local/tmp/x"],
)
def test_only_our_own_folders_are_ever_removed(transport: PhoneTransport, path: str) -> None:
    with pytest.raises(ValueError, match="not ours"):
        transport.remove_tree(path)


def test_many_files_go_at_once_and_only_what_is_whole_appears(transport: PhoneTransport, tmp_path: Path) -> None:
    transport.run(("mkdir", "-p", "/data/local/tmp/many"), timeout_s=30)
    files = []
    for number in range(250):
        (tmp_path / f"{number}").write_bytes(b"%d" % number * number)
        files.append((tmp_path / f"{number}", f"/data/local/tmp/many/a file of {number}"))
    transport.push_many(files)
    hashes = transport.sha256([path for _, path in files])
    assert hashes == {path: sha256_file(source) for source, path in files}
    listed = transport.run(("ls", "/data/local/tmp/many"), timeout_s=30).stdout.decode().splitlines()
    assert sorted(listed) == sorted(path.rpartition("/")[2] for _, path in files)
    transport.push_many([])
    assert transport.run(("rm", "-r", "/data/local/tmp/many"), timeout_s=30).exit_status == 0


class Damaging:
    """A channel whose phone, so many times, holds something else than was pushed as "bad". pushes: how many files each
    time."""

    def __init__(self, channel: Channel, phone: Lookalike, times: int) -> None:
        self._channel, self._phone, self._times = channel, phone, times
        self.pushes: list[int] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self._channel, name)

    def push(self, files: Sequence[tuple[Path, str]], *, silence_s: float) -> None:
        self._channel.push(files, silence_s=silence_s)
        self.pushes.append(len(files))
        for _, path in files if len(self.pushes) <= self._times else ():
            if path.endswith("/bad.part"):
                self._phone.path(path).write_bytes(b"damaged")


@pytest.mark.parametrize("times", [1, 2])
def test_only_what_arrived_damaged_is_sent_again_and_nothing_of_it_appears(
    reach: Reach, shared_phone: Lookalike, tmp_path: Path, times: int
) -> None:
    channel = Damaging(reach(shared_phone)._channel, shared_phone, times)
    transport = PhoneTransport(cast("Channel", channel))
    folder = f"/data/local/tmp/damaged-{times}"
    files = [(tmp_path / name, f"{folder}/{name}") for name in ("one", "bad", "two words")]
    for source, _ in files:
        source.write_bytes(source.name.encode())
    if times == 2:
        with pytest.raises(DamagedTransferError, match=r"/bad arrived on .* as something else than was sent, twice"):
            transport.push_many(files, make_folder=True)
    else:
        transport.push_many(files, make_folder=True)
    assert channel.pushes == [3, 1]
    there = {entry.name: entry.read_bytes() for entry in shared_phone.path(folder).iterdir()}
    assert there == {name: name.encode() for name in ("one", "bad", "two words") if times == 1 or name != "bad"}
    assert transport.run(("rm", "-r", folder), timeout_s=30).exit_status == 0
    transport.close()
