"""The example space with hard swish and squeeze-and-excitation, from its file to files that run."""

from pathlib import Path

import pytest
import torch
from sample_tables import measured_table

from android_bench.job import Job
from android_bench.latencies import latencies
from android_bench.protocol import Protocol
from android_bench.session import measure
from android_bench.store import SampleStore
from deploy.export import export_network
from deploy.operators import export_operators
from deploy.samples import network_sample
from latency.opspec import OpSpec
from pocketnas.measuring import open_device
from pocketnas.space_costs import costs_of
from pocketnas_base.artifact import RUNTIMES, Precision, Runtime
from search.architecture import Architecture, assemble
from search.derive import derive_at
from search.hand_made import hand_made_choices
from search.space import SearchSpace, load_space

FILE = Path(__file__).parents[2] / "examples" / "mobilenetv3_like_space.toml"


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return load_space(str(FILE))


def one_of_each_kind(space: SearchSpace) -> list[OpSpec]:
    """The first operator of every kind, activation and kind of gate."""
    first: dict[tuple[object, ...], OpSpec] = {}
    for op in space.op_specs():
        first.setdefault((op.kind, op.activation, op.squeeze_excite, op.residual), op)
    return list(first.values())


def test_the_file_says_what_its_comment_promises(space: SearchSpace) -> None:
    assert space.name == "mobilenetv3-like"
    assert load_space(f"{FILE}@x0.75").name == "mobilenetv3-like@x0.75"
    early, late = space.edges[0], space.edges[-1]
    assert {op.activation for op in early.candidates} == {"relu"}
    assert all(op.squeeze_excite == 0 for op in early.candidates)
    assert {op.activation for op in late.candidates if op.kind == "mbconv"} == {"hswish"}
    assert {op.squeeze_excite for op in late.candidates if op.kind == "mbconv"} == {0.0, 0.25}
    chosen = [edge.candidates[index] for edge, index in zip(space.edges, hand_made_choices(space), strict=True)]
    assert {op.choice for op in chosen} == {"mb6_3x3"}


def test_the_hand_made_net_has_no_more_gates_than_it_must(space: SearchSpace) -> None:
    gated = SearchSpace.from_dict(space.to_dict() | {"squeeze_excite": [0.5, 0.25]}, source="gated.toml")
    chosen = [edge.candidates[index] for edge, index in zip(gated.edges, hand_made_choices(gated), strict=True)]
    assert [op.choice for op in chosen] == ["mb6_3x3"] * 2 + ["mb6_3x3_se0.25"] * 6


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_our_runner_finds_one_operator_of_each_kind_right(
    runtime: Runtime, precision: Precision, space: SearchSpace, tmp_path: Path
) -> None:
    files = export_operators(one_of_each_kind(space), runtime, tmp_path / "cache", precision=precision)
    assert len(files) == 9
    jobs = [
        Job(op.key, file.artifact, (file.input_path,), (file.reference_path,), file.max_output_error)
        for op, file in files.items()
    ]
    protocol = Protocol(processes=2, warmup_min_runs=1, warmup_min_ns=0, min_runs=5, min_ns=0, max_runs=5)
    with SampleStore.open(tmp_path / "samples.sqlite") as store:
        key = measure(open_device("local"), jobs, protocol, store)
        assert set(latencies(store, key)) == {op.key for op in files}


def derived(space: SearchSpace) -> Architecture:
    """The most probable architecture at a target, of probabilities that favour gates."""
    weights = [[1.0 + 4 * op.squeeze_excite + (op.kind == "mbconv") for op in edge.candidates] for edge in space.edges]
    probabilities = [[weight / sum(row) for weight in row] for row in weights]
    costs = costs_of(measured_table(space), space)
    target_ms = costs.latency_ms(hand_made_choices(space))
    return assemble(space, derive_at(probabilities, costs, target_ms), "derived")


def test_a_derived_network_says_the_same_after_a_trip_through_its_file(space: SearchSpace, tmp_path: Path) -> None:
    architecture = derived(space)
    assert any(op.squeeze_excite for op in architecture.ops)
    architecture.save(tmp_path / "architecture.json")
    assert Architecture.load(tmp_path / "architecture.json") == architecture


@pytest.mark.slow
def test_a_derived_network_is_exported_to_both_runtimes_and_agrees_with_torch(
    space: SearchSpace, tmp_path: Path
) -> None:
    architecture = derived(space)
    images = torch.randn(64, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    files = export_network(
        network_sample(architecture, 0),
        architecture,
        tmp_path,
        images=images,
        calibration=images[:16],
        precisions=("fp32", "int8"),
    )
    assert {(file.artifact.runtime, file.artifact.precision) for file in files} == {
        (runtime, precision) for runtime in RUNTIMES for precision in ("fp32", "int8")
    }
    for file in files:
        assert file.parity.passed
        if file.artifact.precision == "fp32":
            assert file.parity.relative_error is not None
            assert file.parity.relative_error < 1e-4
