#!/bin/sh
# Everything that `make demo` and `make test` need: virtual environment, dependencies, native runners, data.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}

fail() { echo "setup: $*" >&2; exit 1; }
say() { echo "setup: $*" >&2; }

command -v "$python" >/dev/null 2>&1 ||
    fail "no $python: install Python 3.11 to 3.13 (Debian: apt install python3 python3-venv), or name it: make PYTHON=..."
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$("$python" --version) is too old: install Python 3.11 to 3.13, or name it: make PYTHON=python3.11"
"$python" -c 'import sys; sys.exit(sys.version_info >= (3, 14))' ||
    fail "$("$python" --version) is newer than TensorFlow knows: install Python 3.11 to 3.13, or name it: make PYTHON=python3.13"
"$python" -c 'import venv, ensurepip' 2>/dev/null ||
    fail "$python lacks the venv module: install it (Debian: apt install python3-venv)"

compiler=${CXX:-}
for candidate in g++ clang++; do
    [ -n "$compiler" ] || ! command -v "$candidate" >/dev/null 2>&1 || compiler=$candidate
done
[ -n "$compiler" ] || fail "no C++17 compiler: install one (Debian: apt install g++), or name it: CXX=... make"
echo 'int main() { if constexpr (sizeof(int) > 1) { return 0; } return 1; }' |
    "$compiler" -std=c++17 -x c++ -fsyntax-only - 2>/dev/null ||
    fail "$compiler does not compile C++17: install g++ 9 or clang++ 9 or newer, or name it: CXX=... make"

if [ ! -x .venv/bin/python ]; then
    free_mb=$(df -Pm . | awk 'NR == 2 {print $4}')
    [ "$free_mb" -ge 8000 ] || fail "$free_mb MB free on this disk, 8000 needed: free some space"
    say "virtual environment in .venv"
    "$python" -m venv .venv
fi

say "dependencies (about 4 GB; several minutes the first time)"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input \
    --constraint constraints.txt --editable '.[dev]' ||
    fail "pip could not install the dependencies (its message is above): check the network and run the same command again"

say "native runners"
.venv/bin/pocketnas runner build

say "data: Fashion-MNIST"
.venv/bin/pocketnas data fetch fashion-mnist

touch .venv/ready
