"""`pocketnas check` on bundles that are whole, and on bundles that somebody has been at."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command_line import program
from deploy_bundles import real_bundle
from qemu import find_qemu

from android_bench.runner.bundle import newest_bundle
from deploy.bundle import write_bundle
from deploy.manifest import Bundle, TensorInfo, read_bundle
from deploy.sanity import pte_problems, tflite_problems
from pocketnas_base.files import sha256_file

TFLITE, PTE = "small_fp32.tflite", "small_fp32.pte"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "deploy"
    real_bundle(folder)
    return folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(whole, tmp_path / "deploy"))


def findings(folder: Path, *words: str) -> list[str]:
    """The lines of a check that finds something."""
    done = program("check", folder, "--no-emulate", *words)
    assert done.returncode == 1, done.stderr
    return done.stdout.splitlines()


def rewritten(folder: Path, name: str, content: bytes) -> Bundle:
    """A file with other content whose manifest was brought in line."""
    (folder / name).write_bytes(content)
    bundle = read_bundle(folder)
    files = [
        replace(
            file,
            bytes=len(content),
            artifact=replace(file.artifact, sha256=sha256_file(folder / name)),
        )
        if file.artifact.path.name == name
        else file
        for file in bundle.files
    ]
    write_bundle(folder, replace(bundle, files=tuple(files)))
    return read_bundle(folder)


@pytest.mark.slow
def test_a_whole_bundle_has_nothing_to_find(whole: Path) -> None:
    done = program("check", whole, "--no-emulate")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{whole}: 3 files are what the manifest says, and run\n"
    assert not list(whole.glob("*.sqlite"))


@pytest.mark.slow
def test_the_same_files_run_on_arm64(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    qemu = find_qemu()
    if qemu is None or newest_bundle("tflite", "arm64-v8a") is None or newest_bundle("executorch", "arm64-v8a") is None:
        pytest.skip("needs qemu-aarch64 10 or newer, and: pocketnas runner build --abi arm64-v8a")
    monkeypatch.setenv("POCKETNAS_QEMU", qemu)
    done = program("check", whole, "--json")
    assert json.loads(done.stdout) == {
        "findings": [],
        "not_checked": [],
        "files": [TFLITE, PTE, "small_int8.pte"],
    }


@pytest.mark.slow
def test_what_cannot_be_emulated_is_said(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POCKETNAS_QEMU", "/nonexistent")
    done = program("check", whole, "--json")
    assert done.returncode == 0
    (reason,) = json.loads(done.stdout)["not_checked"]
    assert "needs qemu-aarch64 10" in reason


Change = Callable[[Path], object]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda f: (f / TFLITE).unlink(), f"{TFLITE}: is missing"),
        (lambda f: (f / TFLITE).write_bytes(b"x"), f"{TFLITE}: has 1 bytes, its manifest says "),
        (lambda f: _flip(f / TFLITE), f"{TFLITE}: is not the file that was exported: its sha256 differs"),
        (lambda f: _link(f / TFLITE), f"{TFLITE}: is a link, which may lead anywhere"),
        (lambda f: shutil.copy(f / TFLITE, f / "more.tflite"), "more.tflite: lies here and is not in the manifest"),
    ],
)
def test_a_file_that_is_not_the_exported_one_is_a_finding(folder: Path, change: Change, line: str) -> None:
    """Of a bundle with one file, so that nothing else has to be run."""
    bundle = read_bundle(folder)
    write_bundle(folder, replace(bundle, files=bundle.files[:1], recommendations=()))
    for path in folder.glob("*.pte"):
        path.unlink()
    change(folder)
    assert [found for found in findings(folder) if found.startswith(line)]


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _link(path: Path) -> None:
    path.rename(path.parent.parent / "elsewhere.tflite")
    path.symlink_to(path.parent.parent / "elsewhere.tflite")


@pytest.mark.parametrize("manifest", ['{"schema_version": 1, "files": []}', "NaN", '{"schema_version": NaN}'])
def test_a_manifest_that_nobody_should_believe_is_one_finding(folder: Path, manifest: str) -> None:
    (folder / "manifest.json").write_text(manifest)
    (line, *others) = findings(folder)
    assert line.startswith("manifest.json: manifest ")
    assert [found for found in others if "is not in the manifest" not in found] == []


def test_a_path_that_leaves_the_folder_is_refused_and_nothing_read(folder: Path) -> None:
    (folder.parent / "outside.tflite").write_bytes(b"secret")
    plain = json.loads((folder / "manifest.json").read_text())
    plain["files"][0]["file"] = "../outside.tflite"
    (folder / "manifest.json").write_text(json.dumps(plain))
    (line,) = findings(folder)
    assert "'../outside.tflite' is not the plain name of a .tflite or .pte file in this folder" in line


def test_no_folder_is_bad_usage(tmp_path: Path) -> None:
    done = program("check", tmp_path / "none")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


def with_model(content: bytes, change: Callable[[Any], object]) -> bytes:
    """A .tflite with something changed in its tables."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(bytearray(content), 0)
    change(model)
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def _custom(model: Any, name: bytes) -> None:
    model.operatorCodes[0].builtinCode = 32
    model.operatorCodes[0].deprecatedBuiltinCode = 32
    model.operatorCodes[0].customCode = name


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda m: _custom(m, b"FlexErf"), "needs a select-TF operator, FlexErf"),
        (lambda m: _custom(m, b"My\x1bOp"), "needs a custom operator, My?Op"),
        (lambda m: setattr(m, "version", 2), "is of schema 2, 3 is what interpreters read"),
        (lambda m: setattr(m.subgraphs[0].tensors[m.subgraphs[0].inputs[0]], "type", 3), "has an input of uint8"),
        (lambda m: setattr(m.subgraphs[0], "outputs", [0, 1]), "has 1 inputs and 2 outputs"),
        (lambda m: setattr(m, "subgraphs", []), "is damaged"),
    ],
)
def test_a_tflite_that_the_stock_interpreter_lacks_something_for(
    whole: Path, change: Callable[[Any], object], problem: str
) -> None:
    file = read_bundle(whole).files[0]
    content = file.artifact.path.read_bytes()
    assert tflite_problems(content, file) == []
    (found, *_) = tflite_problems(with_model(content, change), file)
    assert problem in found


@pytest.mark.parametrize("cut", [0, 3, 20, 1000])
def test_files_that_are_cut_off_are_damaged_and_raise_nothing(whole: Path, cut: int) -> None:
    tflite, pte, _ = read_bundle(whole).files
    assert len(tflite_problems(tflite.artifact.path.read_bytes()[:cut], tflite)) == 1
    assert len(pte_problems(pte.artifact.path.read_bytes()[:cut], pte, ())) == 1


def test_a_pte_that_the_stock_runtime_lacks_something_for(whole: Path) -> None:
    _, pte, _ = read_bundle(whole).files
    content = pte.artifact.path.read_bytes()
    assert pte_problems(content, pte, ()) == []
    other = replace(pte, input=TensorInfo("input", (1, 3, 28, 28), "NCHW"))
    assert pte_problems(content, other, ()) == [
        "has an input of float32 [1, 1, 28, 28], its manifest says float32 [1, 3, 28, 28]"
    ]
    assert pte_problems(content.replace(b"XnnpackBackend", b"OtherrBackend_"), pte, ())[0].startswith(
        "needs the delegate"
    )
    custom = with_operator(content, "mine::op", "out")
    assert pte_problems(custom, pte, ()) == [
        "needs a custom operator, mine::op.out, which the stock runtime does not have"
    ]
    assert pte_problems(custom, pte, {"mine::op.out"}) == []


def with_operator(content: bytes, name: str, overload: str) -> bytes:
    """A .pte that needs one operator more."""
    from executorch.exir import schema
    from executorch.exir._serialize._program import deserialize_pte_binary, serialize_pte_binary

    file = deserialize_pte_binary(content)
    file.program.execution_plan[0].operators.append(schema.Operator(name, overload))
    return bytes(serialize_pte_binary(file))


@pytest.mark.slow
def test_a_file_that_the_interpreter_cannot_run_or_that_says_nothing_finite_is_a_finding(folder: Path) -> None:
    content = (folder / TFLITE).read_bytes()

    def break_weights(model: Any) -> None:
        import numpy as np

        for buffer in model.buffers:
            if buffer.data is not None and len(buffer.data) > 1000:
                buffer.data = np.full(len(buffer.data) // 4, np.nan, np.float32).view(np.uint8)

    rewritten(folder, TFLITE, with_model(content, break_weights))
    (line,) = findings(folder)
    assert line.startswith(f"{TFLITE}: ")
    assert "numbers that are none" in line or "does not run" in line
    rewritten(folder, PTE, (folder / PTE).read_bytes()[:-4096])
    assert any(found.startswith(f"{PTE}: ") for found in findings(folder))
