"""`make setup` says in one line what is missing and how to get it, before it changes anything."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "scripts" / "setup.sh"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "bin").mkdir()
    shutil.copy(SCRIPT, tmp_path / "scripts" / "setup.sh")
    return tmp_path


def program(checkout: Path, name: str, text: str) -> None:
    """A program of that name before all others on the path."""
    path = checkout / "bin" / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def setup(checkout: Path, **variables: str) -> str:
    """The one line that a failing setup prints."""
    path = f"{checkout / 'bin'}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PYTHON": sys.executable, "PATH": path, **variables}
    done = subprocess.run(
        [checkout / "scripts" / "setup.sh"], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert not (checkout / ".venv").exists()
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0]


def test_no_python(checkout: Path) -> None:
    assert "no python-that-is-not-here: install Python 3.11" in setup(checkout, PYTHON="python-that-is-not-here")


def test_python_too_old(checkout: Path) -> None:
    program(checkout, "python-old", 'case "$1" in --version) echo "Python 3.9.2" ;; *) exit 1 ;; esac')
    assert "Python 3.9.2 is too old: install Python 3.11 to 3.13" in setup(checkout, PYTHON="python-old")


def test_python_too_new(checkout: Path) -> None:
    """Each question is asked as it stands, of a Python that says it is another version."""
    asked = f'"{sys.executable}" -c "import sys; sys.version_info = (3, 14, 0); $(echo "$2" | sed "s/import sys; //")"'
    program(checkout, "python-new", f'case "$1" in --version) echo "Python 3.14.0" ;; *) {asked} ;; esac')
    line = setup(checkout, PYTHON="python-new")
    assert "Python 3.14.0 is newer than TensorFlow knows: install Python 3.11 to 3.13" in line


def test_no_compiler(checkout: Path) -> None:
    for tool in ("sh", "dirname", "df", "awk"):
        found = shutil.which(tool)
        assert found
        (checkout / "bin" / tool).symlink_to(found)
    line = setup(checkout, PATH=str(checkout / "bin"), CXX="")
    assert "no C++17 compiler: install one (Debian: apt install g++)" in line


def test_compiler_without_cxx17(checkout: Path) -> None:
    program(checkout, "old-cxx", "exit 1")
    assert "old-cxx does not compile C++17" in setup(checkout, CXX="old-cxx")


def test_no_disk_space(checkout: Path) -> None:
    program(checkout, "df", "echo header; echo /dev/disk 100 1 99 1% /")
    assert "99 MB free on this disk, 8000 needed" in setup(checkout)
