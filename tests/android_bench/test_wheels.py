"""Wheels for another machine: found, checked, unpacked whole or not at all, and clear about what is missing."""

import base64
import hashlib
import os
import shutil
import stat
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from android_bench.runner import wheels
from android_bench.runner.wheels import foreign_sdk
from pocketnas_base.errors import InputError, MissingDependencyError

NAME = "ai_edge_litert-2.3.0-cp311-cp311-manylinux_2_27_aarch64.whl"
LIBRARY = "ai_edge_litert/libLiteRt.so"
INFO = "ai_edge_litert-2.3.0.dist-info"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("POCKETNAS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("POCKETNAS_WHEELS", raising=False)
    return tmp_path / "cache" / "wheels"


def write_wheel(
    folder: Path, members: dict[str, bytes], *, name: str = NAME, record: str | None = None, info: str = INFO
) -> Path:
    """A wheel with those members and the record that fits them, or `record`."""
    folder.mkdir(exist_ok=True)
    lines = [
        f"{member},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip('=')},{len(data)}"
        for member, data in members.items()
    ]
    with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, data in members.items():
            archive.writestr(member, data)
        archive.writestr(f"{info}/RECORD", "\n".join(lines) if record is None else record)
    return folder / name


def left_over(cache: Path) -> list[str]:
    return [path.name for path in cache.iterdir()] if cache.exists() else []


def test_wheel_of_a_named_folder_is_unpacked_once(tmp_path: Path, cache: Path) -> None:
    wheel = write_wheel(tmp_path / "given", {LIBRARY: b"library", "ai_edge_litert/other.py": b"code"})
    sdk = foreign_sdk("tflite", "2.3.0", "arm64-v8a", wheel.parent)
    (path,) = sdk.library_paths
    assert path.read_bytes() == b"library"
    assert [entry.name for entry in path.parent.iterdir()] == ["libLiteRt.so"]
    before = path.stat().st_mtime_ns
    assert foreign_sdk("tflite", "2.3.0", "arm64-v8a", wheel.parent) == sdk
    assert path.stat().st_mtime_ns == before
    assert len(left_over(cache)) == 1


def test_other_content_under_the_same_name_is_another_sdk(tmp_path: Path) -> None:
    folder = write_wheel(tmp_path / "given", {LIBRARY: b"one"}).parent
    first = foreign_sdk("tflite", "2.3.0", "arm64-v8a", folder)
    write_wheel(folder, {LIBRARY: b"two"})
    second = foreign_sdk("tflite", "2.3.0", "arm64-v8a", folder)
    assert [sdk.library_paths[0].read_bytes() for sdk in (first, second)] == [b"one", b"two"]


def test_folder_may_be_named_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POCKETNAS_WHEELS", str(write_wheel(tmp_path / "given", {LIBRARY: b"library"}).parent))
    assert foreign_sdk("tflite", "2.3.0", "arm64-v8a").library_paths[0].read_bytes() == b"library"


@pytest.mark.parametrize(
    "name",
    [
        "ai_edge_litert-2.2.0-cp311-cp311-manylinux_2_27_aarch64.whl",
        "ai_edge_litert-2.3.0-cp311-cp311-manylinux_2_27_x86_64.whl",
        "ai_edge_litert-2.3.0-cp311-cp311-macosx_12_0_aarch64.whl",
        "ai_edge_litert-.whl",
    ],
)
def test_folder_without_the_wheel_is_refused_with_what_to_do(name: str, tmp_path: Path) -> None:
    write_wheel(tmp_path / "given", {LIBRARY: b"library"}, name=name)
    with pytest.raises(
        InputError,
        match=r"holds no wheel of ai-edge-litert 2\.3\.0 for arm64-v8a; put it there: pip download .*aarch64",
    ):
        foreign_sdk("tflite", "2.3.0", "arm64-v8a", tmp_path / "given")


def test_local_version_is_the_public_one(tmp_path: Path) -> None:
    folder = tmp_path / "given"
    name = "executorch-1.5.1+cpu-cp311-cp311-manylinux_2_28_aarch64.whl"
    members = {"executorch/lib/libexecutorch.so": b"library", "executorch/include/a.h": b"header"}
    write_wheel(folder, members, name=name, info="executorch-1.5.1+cpu.dist-info")
    sdk = foreign_sdk("executorch", "1.5.1+cpu", "arm64-v8a", folder)
    assert sdk.version == "1.5.1"
    assert (sdk.include_dirs[0] / "a.h").read_bytes() == b"header"


BAD_WHEELS = {
    "absolute": ({"/etc/evil": b"", LIBRARY: b"x"}, None, "points outside it"),
    "parent": ({"ai_edge_litert/../../evil": b"", LIBRARY: b"x"}, None, "points outside it"),
    "backslash": ({"ai_edge_litert\\..\\evil": b"", LIBRARY: b"x"}, None, "points outside it"),
    "no library": ({"ai_edge_litert/a.py": b"x"}, None, "holds no native library of ai-edge-litert"),
    "not in its record": ({LIBRARY: b"x"}, "", "libLiteRt.so is not in its record"),
    "not what its record says": (
        {LIBRARY: b"x"},
        f"{LIBRARY},sha256={'A' * 43},1",
        "libLiteRt.so is not what its record says",
    ),
    "record is noise": ({LIBRARY: b"x"}, f"{LIBRARY},sha256=A,1", "its record cannot be read"),
}


@pytest.mark.parametrize("case", BAD_WHEELS)
def test_bad_wheel_is_refused_and_leaves_nothing(case: str, tmp_path: Path, cache: Path) -> None:
    members, record, message = BAD_WHEELS[case]
    wheel = write_wheel(tmp_path / "given", members, record=record)
    with pytest.raises(InputError, match=message) as caught:
        foreign_sdk("tflite", "2.3.0", "arm64-v8a", wheel.parent)
    assert "\n" not in str(caught.value)
    assert left_over(cache) == []
    assert not (tmp_path / "evil").exists()


def test_link_in_a_wheel_is_refused(tmp_path: Path, cache: Path) -> None:
    wheel = write_wheel(tmp_path / "given", {LIBRARY: b"x"})
    with zipfile.ZipFile(wheel, "a") as archive:
        link = zipfile.ZipInfo("ai_edge_litert/link.so")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(InputError, match="points outside it"):
        foreign_sdk("tflite", "2.3.0", "arm64-v8a", wheel.parent)
    assert left_over(cache) == []


def test_wheel_of_another_package_under_this_name_is_refused(tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path / "given", {LIBRARY: b"x"}, info="other-2.3.0.dist-info")
    with pytest.raises(InputError, match=r"is not a wheel of ai_edge_litert 2\.3\.0"):
        foreign_sdk("tflite", "2.3.0", "arm64-v8a", wheel.parent)


def test_wheel_that_unpacks_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheels, "MAX_UNPACKED_BYTES", 1000)
    wheel = write_wheel(tmp_path / "given", {LIBRARY: bytes(2000)})
    with pytest.raises(InputError, match="holds more than a wheel of a runtime does"):
        foreign_sdk("tflite", "2.3.0", "arm64-v8a", wheel.parent)


def test_huge_wheel_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheels, "MAX_WHEEL_BYTES", 10)
    wheel = write_wheel(tmp_path / "given", {LIBRARY: b"x"})
    with pytest.raises(InputError, match="is larger than 10 bytes"):
        foreign_sdk("tflite", "2.3.0", "arm64-v8a", wheel.parent)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_damage_of_any_kind_is_one_clear_line(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.mktemp("fuzz")
    try:
        wheel = write_wheel(root / "given", {LIBRARY: b"library" * 40})
        content = bytearray(wheel.read_bytes())
        for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=6)):
            content[place] = data.draw(st.integers(0, 255))
        wheel.write_bytes(content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content)
        os.environ["POCKETNAS_CACHE"] = str(root / "cache")
        try:
            (path,), message = foreign_sdk("tflite", "2.3.0", "arm64-v8a", wheel.parent).library_paths, ""
        except InputError as error:
            path, message = None, str(error)
        if path is None:
            assert str(wheel) in message
            assert "\n" not in message
        else:
            assert path.read_bytes() == b"library" * 40
    finally:
        shutil.rmtree(root)


def pip_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Put a script in pip's place; it finds pip's arguments in `sys.argv`, the target folder in `dest`."""
    package = tmp_path / "standin" / "pip"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    head = "import pathlib, sys, time\ndest = pathlib.Path(sys.argv[sys.argv.index('--dest') + 1])\n"
    (package / "__main__.py").write_text(head + code)
    monkeypatch.setenv("PYTHONPATH", str(package.parent))


def test_downloaded_wheel_is_kept_and_not_fetched_again(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_wheel(tmp_path / "index", {LIBRARY: b"library"})
    pip_that(
        tmp_path,
        monkeypatch,
        "assert sys.argv[1] == 'download' and sys.argv[-1] == 'ai-edge-litert==2.3.0', sys.argv\n"
        "assert '--no-deps' in sys.argv and '--only-binary=:all:' in sys.argv\n"
        f"source = pathlib.Path({str(source)!r})\n"
        "(dest / source.name).write_bytes(source.read_bytes())\n"
        "source.unlink()\n",
    )
    sdk = foreign_sdk("tflite", "2.3.0", "arm64-v8a")
    assert sdk.library_paths[0].read_bytes() == b"library"
    assert not source.exists()
    assert foreign_sdk("tflite", "2.3.0", "arm64-v8a") == sdk
    assert NAME in left_over(cache)
    assert len(left_over(cache)) == 2


FAILED_DOWNLOADS = {
    "no network": ("sys.exit('ERROR: No matching distribution found for ai-edge-litert==2.3.0')", "No matching dist"),
    "no pip": ("raise ModuleNotFoundError('No module named pip')", "pip is not installed here"),
    "silence": ("sys.exit(3)", "pip said nothing"),
    "nothing fetched": ("", "pip said nothing"),
    "half a file": (f"(dest / '{NAME}').write_bytes(b'x' * 10); sys.exit('ERROR: connection lost')", "connection lost"),
    "too large": (f"(dest / '{NAME}').write_bytes(bytes(5000))", "File too large"),
}


@pytest.mark.parametrize("case", FAILED_DOWNLOADS)
def test_failed_download_is_one_line_with_the_way_out_and_leaves_nothing(
    case: str, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, reason = FAILED_DOWNLOADS[case]
    limited = wheels._PIP_WITH_SIZE_LIMIT.replace(str(wheels.MAX_WHEEL_BYTES), "4096")
    monkeypatch.setattr(wheels, "_PIP_WITH_SIZE_LIMIT", limited)
    pip_that(tmp_path, monkeypatch, code)
    with pytest.raises(MissingDependencyError, match=r"could not be downloaded \(.*\); connect this machine") as caught:
        foreign_sdk("tflite", "2.3.0", "arm64-v8a")
    assert reason in str(caught.value)
    assert "--wheels or POCKETNAS_WHEELS: pip download" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert left_over(cache) == []


def test_download_that_does_not_end_is_given_up(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pip_that(tmp_path, monkeypatch, f"(dest / '{NAME}').write_bytes(b'x'); time.sleep(60)")
    monkeypatch.setattr(wheels, "DOWNLOAD_TIMEOUT_S", 1)
    with pytest.raises(MissingDependencyError, match="took longer than 1 s; connect this machine"):
        foreign_sdk("tflite", "2.3.0", "arm64-v8a")
    assert left_over(cache) == []


def test_pip_is_asked_for_one_python_and_the_other_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pip_that(tmp_path, monkeypatch, "sys.exit('ERROR: ' + ' '.join(a for a in sys.argv if '2_28' in a or a == '3.11'))")
    with pytest.raises(MissingDependencyError, match=r"\(3\.11 --platform=manylinux_2_28_aarch64\)"):
        foreign_sdk("executorch", "1.5.1", "arm64-v8a")
