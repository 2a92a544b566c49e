"""ELF files as they describe themselves: real ones, foreign ones, damaged ones."""

import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from android_bench.runner.abi import host_abi
from android_bench.runner.elf import elf_abi, read_elf
from android_bench.runner.sdk import installed_sdk
from pocketnas_base.errors import InputError

LIBRARY = installed_sdk("executorch").library_paths[-1]
CONTENT = LIBRARY.read_bytes()


def test_real_library_names_what_it_needs() -> None:
    shown = subprocess.run(["readelf", "-dW", str(LIBRARY)], capture_output=True, text=True, check=True).stdout
    needed = [line.partition("[")[2].rstrip("]") for line in shown.splitlines() if "(NEEDED)" in line]
    assert needed
    elf = read_elf(LIBRARY)
    assert list(elf.needed) == needed
    assert elf.abi == host_abi()
    assert elf.page_bytes >= 4096


def test_static_program_needs_nothing(tmp_path: Path) -> None:
    program = tmp_path / "static"
    command = ["g++", "-static", "-nostdlib", "-Wl,-e,main", "-x", "c++", "-", "-o", str(program)]
    subprocess.run(command, input=b"int main() { return 0; }", check=True)
    assert read_elf(program).needed == ()


def test_other_machines_and_other_files_have_no_abi(tmp_path: Path) -> None:
    path = tmp_path / "file"
    machine = {"arm": 40, "riscv": 243}
    others = [struct.pack("<16sHH", CONTENT[:16], 3, number) + CONTENT[20:] for number in machine.values()]
    for content in [b"", b"#!/bin/sh\n", b"\x7fELF", CONTENT[:63], b"\x7fELF\x01" + CONTENT[5:], *others]:
        path.write_bytes(content)
        assert elf_abi(path) is None
        with pytest.raises(InputError, match="is not a program or library for x86_64 or arm64"):
            read_elf(path)


def test_both_abis_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for number, abi in ((62, "x86_64"), (183, "arm64-v8a")):
        path.write_bytes(CONTENT[:18] + struct.pack("<H", number) + CONTENT[20:])
        assert elf_abi(path) == abi


def test_missing_file_and_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(InputError, match="cannot be read"):
            elf_abi(path)


@pytest.mark.parametrize("length", [64, 100, 500, 1000])
def test_cut_file_is_refused(length: int, tmp_path: Path) -> None:
    path = tmp_path / "cut"
    path.write_bytes(CONTENT[:length])
    with pytest.raises(InputError, match="damaged ELF file: it ends too early"):
        read_elf(path)


def test_library_needed_by_a_path_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "library.so"
    path.write_bytes(CONTENT.replace(b"libpthread.so.0\0", b"../tmp/evil.so/\0"))
    with pytest.raises(InputError, match=r"needs a library whose name cannot be used: '\.\./tmp/evil"):
        read_elf(path)


@settings(max_examples=300, deadline=None)
@given(
    changes=st.dictionaries(
        st.integers(0, 1500), st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]) | st.integers(0, 255), min_size=1, max_size=24
    )
)
def test_damage_of_any_kind_is_an_input_error(
    changes: dict[int, int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = bytearray(CONTENT)
    for place, value in changes.items():
        content[place] = value
    path = tmp_path_factory.getbasetemp() / "damaged.so"
    path.write_bytes(content)
    try:
        elf, message = read_elf(path), ""
    except InputError as error:
        elf, message = None, str(error)
    assert (str(path) in message and "\n" not in message) if elf is None else "/" not in "".join(elf.needed)


def test_interpreter_of_these_tests_is_for_this_machine() -> None:
    assert elf_abi(Path(sys.executable)) == host_abi()
