"""Models that hold an operator several times: against torch, against ExecuTorch's exporter, and in the cache."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pte_cases import SPREAD, exported_int8, mbconv

from deploy.executorch_export import lower, takes_channels_last
from deploy.operators import FLOAT_ERROR, MAX_COPIES, OperatorFile, export_operators
from deploy.pte_quantisation import quantised
from deploy.pte_writer import write_copies
from deploy.samples import operator_copies
from latency.opspec import EMPTY, OpSpec
from pocketnas_base.artifact import Precision, Runtime
from pocketnas_base.errors import InputError

OPS = (
    EMPTY,
    OpSpec("conv", 1, 16, 3, 1, 2, 28),
    OpSpec("mbconv", 8, 12, 5, 3, 2, 14),
    OpSpec("mbconv", 8, 8, 7, 6, 1, 7, residual=True),
    OpSpec("mbconv", 1, 1, 3, 2, 1, 6, residual=True),
    OpSpec("classifier", 16, 10, 1, 1, 1, 7),
)
NUMBERS: dict[Precision, type] = {"fp32": np.float32, "int8": np.int8}


class SideBySide(torch.nn.Module):
    """What is written, as a module that the exporter takes."""

    def __init__(self, modules: list[torch.nn.Module]) -> None:
        super().__init__()
        self.copies = torch.nn.ModuleList(modules)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(copy(image) for copy in self.copies)


def answers(op: OpSpec, file: OperatorFile) -> list[NDArray[np.generic]]:
    """What the stock runtime makes of the stored input, as it lies in memory."""
    image = np.fromfile(file.input_path, NUMBERS[file.artifact.precision])
    if file.artifact.runtime == "tflite":
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(str(file.artifact.path))
        interpreter.allocate_tensors()
        (details,) = interpreter.get_input_details()
        interpreter.set_tensor(details["index"], image.reshape(details["shape"]))
        interpreter.invoke()
        return [interpreter.get_tensor(each["index"]).ravel() for each in interpreter.get_output_details()]
    from executorch.runtime import Runtime as ExecuTorch

    content = file.artifact.path.read_bytes()  # which the program goes on reading
    method = ExecuTorch.get().load_program(content).load_method("forward")
    shape = (1, op.in_channels, op.resolution, op.resolution)
    # The bindings copy a tensor's memory as it lies.
    outputs = [each.clone() for each in method.execute([torch.from_numpy(image).reshape(shape)])]
    last = takes_channels_last(op)
    return [(each.permute(0, 2, 3, 1) if last else each).contiguous().numpy().ravel() for each in outputs]


@pytest.mark.parametrize(
    ("runtime", "precision"),
    [
        ("tflite", "fp32"),
        ("tflite", "int8"),
        ("executorch", "fp32"),
        pytest.param("executorch", "int8", marks=pytest.mark.slow),
    ],
)
def test_every_copy_answers_its_own_reference(runtime: Runtime, precision: Precision, tmp_path: Path) -> None:
    alone = export_operators(OPS, runtime, tmp_path, precision=precision)
    files = export_operators(OPS, runtime, tmp_path, precision=precision, copies=3)
    for op, file in files.items():
        references = [np.fromfile(path, NUMBERS[precision]).astype(np.float64) for path in file.reference_paths]
        outputs = [output.astype(np.float64) for output in answers(op, file)]
        assert len(outputs) == len(references) == 3
        for output, reference in zip(outputs, references, strict=True):
            allowed = file.max_output_error * np.abs(reference).max()
            assert np.abs(output - reference).max() <= allowed, op.key
        if op != EMPTY:
            assert not np.array_equal(references[0], references[1]), "each copy has weights of its own"
            assert not np.array_equal(references[1], references[2])
        assert file.reference_paths[0].read_bytes() == alone[op].reference_path.read_bytes(), (
            "the first is the operator"
        )
        assert file.input_path.read_bytes() == alone[op].input_path.read_bytes()
        assert (file.max_output_error == FLOAT_ERROR) is (precision == "fp32")


@pytest.mark.parametrize(
    "op",
    [
        EMPTY,
        mbconv((8, 8), 3, 3, 1, 5, residual=True),
        *(pytest.param(op, marks=pytest.mark.slow) for op in SPREAD if op != EMPTY),
    ],
    ids=lambda op: op.key,
)
def test_copies_are_written_byte_for_byte_as_the_exporter_makes_them(op: OpSpec) -> None:
    modules = [sample.module for sample in operator_copies(op, 0, 3)]
    last = takes_channels_last(op)
    image = torch.zeros(1, op.in_channels, op.resolution, op.resolution)
    image = image.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)
    assert write_copies(op, modules, channels_last=last) == lower(SideBySide(modules), image)


# Contiguous inputs the exporter transposes once for each use.
LAST = [op for op in SPREAD if takes_channels_last(op)]


@pytest.mark.parametrize(
    "op", [LAST[0], *(pytest.param(op, marks=pytest.mark.slow) for op in LAST[1:])], ids=lambda op: op.key
)
def test_int8_copies_are_written_byte_for_byte_as_the_exporter_makes_them(op: OpSpec) -> None:
    samples = operator_copies(op, 0, 2)
    modules, image = [sample.module for sample in samples], samples[0].input
    image = image.contiguous(memory_format=torch.channels_last)
    numbers = [quantised([op], [module], image, integer_surface=False) for module in modules]
    written = write_copies(op, modules, channels_last=True, quantised=numbers)
    assert written == exported_int8(SideBySide(modules), image)


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["tflite", "executorch"])
def test_caches_of_copies_lie_apart(runtime: Runtime, tmp_path: Path) -> None:
    op = OPS[-1]
    alone = export_operators([op], runtime, tmp_path)[op]
    many = {copies: export_operators([op], runtime, tmp_path, copies=copies)[op] for copies in (2, MAX_COPIES)}
    assert [len(file.reference_paths) for file in many.values()] == [2, MAX_COPIES]
    assert len({alone.artifact.sha256, *(file.artifact.sha256 for file in many.values())}) == 3
    made = {file.artifact.path: file.artifact.path.stat().st_mtime_ns for file in (alone, *many.values())}
    assert export_operators([op], runtime, tmp_path)[op] == alone
    assert {copies: export_operators([op], runtime, tmp_path, copies=copies)[op] for copies in many} == many
    assert {path: path.stat().st_mtime_ns for path in made} == made, "found, not made again"
    many[2].reference_paths[1].write_bytes(b"damaged")
    assert export_operators([op], runtime, tmp_path, copies=2)[op] == many[2]
    assert many[2].reference_paths[1].read_bytes() != b"damaged"


@pytest.mark.parametrize("copies", [0, -1, MAX_COPIES + 1])
def test_absurd_numbers_of_copies_are_refused(copies: int, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"1 to {MAX_COPIES} copies of its operator, not {copies}"):
        export_operators([EMPTY], "tflite", tmp_path, copies=copies)
