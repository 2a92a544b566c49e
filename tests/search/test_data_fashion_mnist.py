"""Fashion-MNIST, the real one: every way to get it, and what is said when there is none."""

import gzip
import http.server
import os
import shutil
import stat
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from real_images import need_fashion_mnist

from pocketnas_base.errors import DataError
from search.data.cache import cache_dir
from search.data.fashion_mnist import DEBIAN_FOLDER, DEBIAN_PACKAGE, PARTS, load_fashion_mnist, read_fashion_mnist


@pytest.fixture(scope="module")
def genuine() -> Path:
    """A folder with the four real files."""
    need_fashion_mnist()
    folders = (cache_dir() / "fashion-mnist", DEBIAN_FOLDER)
    return next(folder for folder in folders if (folder / f"{PARTS[0].file}.gz").is_file())


@pytest.fixture
def nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with an empty cache and no programs; gives the folder that its PATH names."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("POCKETNAS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(programs))
    return programs


@pytest.fixture
def mirror(genuine: Path) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(genuine)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def test_all_seventy_thousand_images_are_there(genuine: Path):
    data = read_fashion_mnist(genuine)
    assert data.train_images.shape == (60_000, 1, 28, 28)
    assert data.test_images.shape == (10_000, 1, 28, 28)
    assert torch.bincount(data.train_labels).tolist() == [6000] * 10
    assert torch.bincount(data.test_labels).tolist() == [1000] * 10
    assert data.classes[int(data.train_labels[0])] == "Ankle boot"
    assert data.mean[0] == pytest.approx(0.2860, abs=5e-5)
    assert data.std[0] == pytest.approx(0.3530, abs=5e-5)
    assert data.licence == "MIT"


def test_an_installed_package_is_used_before_the_network(genuine: Path, nothing: Path):
    data = load_fashion_mnist(debian_folder=genuine, mirrors=())
    assert data.source == f"Debian's package {DEBIAN_PACKAGE}"
    assert len(data.train_images) == 60_000
    assert list(nothing.iterdir()) == []


@pytest.mark.usefixtures("nothing")
def test_a_download_is_kept_in_the_cache(mirror: str, tmp_path: Path):
    gone = tmp_path / "gone"
    first = load_fashion_mnist(debian_folder=gone, mirrors=("http://127.0.0.1:9/", mirror))
    assert first.source == mirror
    second = load_fashion_mnist(debian_folder=gone, mirrors=())
    assert second.source == str(tmp_path / "cache" / "fashion-mnist")
    assert second.fingerprint == first.fingerprint


@pytest.mark.usefixtures("nothing")
def test_a_damaged_cache_is_fetched_again(mirror: str, tmp_path: Path):
    cached = tmp_path / "cache" / "fashion-mnist"
    cached.mkdir(parents=True)
    for part in PARTS:
        (cached / f"{part.file}.gz").write_bytes(gzip.compress(b"\x00\x00\x08\x01\x00\x00\x00\x00"))
    data = load_fashion_mnist(debian_folder=tmp_path / "gone", mirrors=(mirror,))
    assert data.source == mirror
    assert read_fashion_mnist(cached).fingerprint == data.fingerprint


@pytest.mark.usefixtures("nothing")
def test_a_cache_that_cannot_be_written_stops_nothing_and_is_told(
    mirror: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("POCKETNAS_CACHE", str(tmp_path / "file"))
    data = load_fashion_mnist(debian_folder=tmp_path / "gone", mirrors=(mirror,))
    assert len(data.train_images) == 60_000
    assert "not kept in" in data.source


def stub_apt_get(folder: Path, package: Path, *, knows_package: bool) -> None:
    """An apt-get that hands out `package`; with `knows_package` false only once lists of its own were fetched."""
    script = folder / "apt-get"
    script.write_text(
        "#!/bin/sh\n"
        'state=; for word in "$@"; do last=$word\n'
        'case "$word" in Dir::State=*) state=${word#Dir::State=};; esac; done\n'
        'case "$*" in *" update") echo fetched > "$state/lists/all"; exit 0;; esac\n'
        f'if [ {int(knows_package)} = 1 ] || [ -s "$state/lists/all" ]; then exec /bin/cp {package} .; fi\n'
        'echo "E: Unable to locate package $last" >&2; exit 100\n'
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)


@pytest.fixture(scope="module")
def package(genuine: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real .deb that holds the four real files."""
    if shutil.which("dpkg-deb") is None:
        pytest.skip("dpkg-deb is not installed")
    root = tmp_path_factory.mktemp("package")
    content = root / "tree" / DEBIAN_FOLDER.relative_to("/")
    content.mkdir(parents=True)
    for part in PARTS:
        shutil.copy(genuine / f"{part.file}.gz", content)
    control = root / "tree" / "DEBIAN"
    control.mkdir()
    about = {"Package": DEBIAN_PACKAGE, "Version": "1", "Architecture": "all", "Maintainer": "a <a@b.c>"}
    lines = [f"{key}: {value}" for key, value in {**about, "Description": "test"}.items()]
    (control / "control").write_text("\n".join(lines) + "\n")
    made = root / "made.deb"
    subprocess.run(["dpkg-deb", "-Znone", "-b", root / "tree", made], check=True, capture_output=True)
    return made


@pytest.mark.parametrize("knows_package", [True, False])
def test_the_package_is_fetched_and_unpacked_without_being_installed(
    nothing: Path, package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, knows_package: bool
):
    stub_apt_get(nothing, package, knows_package=knows_package)
    monkeypatch.setenv("PATH", f"{nothing}{os.pathsep}{os.defpath}")
    steps: list[str] = []
    data = load_fashion_mnist(
        debian_folder=tmp_path / "gone", mirrors=(), progress=lambda _done, _total, what: steps.append(what)
    )
    assert "fetched with apt-get" in data.source
    assert ("fetching Debian's package lists" in steps) == (not knows_package)
    cached = load_fashion_mnist(debian_folder=tmp_path / "gone", mirrors=())
    assert cached.fingerprint == data.fingerprint


@pytest.mark.slow
def test_the_real_archive_has_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        pytest.skip("this machine is no Debian")
    monkeypatch.setenv("POCKETNAS_CACHE", str(tmp_path))
    try:
        data = load_fashion_mnist(debian_folder=tmp_path / "gone", mirrors=())
    except DataError as error:
        pytest.skip(f"the archive cannot be reached: {error}")
    assert "fetched with apt-get" in data.source
    assert len(data.train_images) == 60_000


@pytest.mark.usefixtures("nothing")
def test_nothing_found_lists_every_place_in_one_line(tmp_path: Path):
    with pytest.raises(DataError) as caught:
        load_fashion_mnist(debian_folder=tmp_path / "gone", mirrors=("http://127.0.0.1:9/data/",))
    message = str(caught.value)
    assert "\n" not in message
    for part in (
        str(tmp_path / "cache"),
        str(tmp_path / "gone"),
        "apt-get is not installed",
        "http://127.0.0.1:9/data/",
    ):
        assert part in message
    assert f"Install {DEBIAN_PACKAGE}" in message


def test_the_reason_that_apt_get_gives_is_passed_on(nothing: Path, tmp_path: Path):
    for name, text in (("apt-get", "echo 'E: no space left' >&2; exit 100"), ("dpkg-deb", "exit 0")):
        (nothing / name).write_text(f"#!/bin/sh\n{text}\n")
        (nothing / name).chmod(0o755)
    with pytest.raises(DataError, match="apt-get update: no space left"):
        load_fashion_mnist(debian_folder=tmp_path / "gone", mirrors=())


@pytest.mark.parametrize("spoil", ["swapped", "short", "wrong"])
def test_files_that_are_not_the_published_ones_are_refused(genuine: Path, tmp_path: Path, spoil: str):
    for part in PARTS:
        shutil.copy(genuine / f"{part.file}.gz", tmp_path)
    labels = tmp_path / f"{PARTS[3].file}.gz"
    if spoil == "swapped":
        shutil.copy(tmp_path / f"{PARTS[1].file}.gz", labels)
    elif spoil == "short":
        labels.write_bytes(labels.read_bytes()[:-100])
    else:
        content = bytearray(gzip.decompress(labels.read_bytes()))
        content[100] ^= 1
        labels.write_bytes(gzip.compress(bytes(content)))
    with pytest.raises(DataError, match=r"t10k-labels.*(not the published file|truncated)"):
        load_fashion_mnist(tmp_path)


@pytest.mark.usefixtures("nothing")
def test_a_download_that_breaks_off_or_never_ends_is_refused(tmp_path: Path):
    class Breaking(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "1000" if self.path.startswith("/cut") else str(10**12))
            self.end_headers()
            self.wfile.write(b"x" * 10)

        def log_message(self, *_: object) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Breaking)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}"
    try:
        with pytest.raises(DataError, match=r"10 of 1000 bytes.*1000000000000 bytes are offered"):
            load_fashion_mnist(debian_folder=tmp_path / "gone", mirrors=(f"{base}/cut/", f"{base}/huge/"))
    finally:
        server.shutdown()
        server.server_close()
