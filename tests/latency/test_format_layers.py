"""YAML tables of ProxylessNAS and Once-for-All: which operator each layer is, what the numbers become, and what no
table needs: code, references, other documents."""

import math
import re
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_tables import measured_table, row

from latency.formats.importing import Imported, Origin, import_table
from latency.formats.layer_keys import Foreign, key_of_operator, operator_of_key
from latency.formats.layer_yaml import layers_text, load_layers
from latency.formats.plain_yaml import read_mappings, yaml_number
from latency.library import load_table
from latency.opspec import EMPTY, OpSpec
from latency.predict import operator_ms, predict
from latency.table import LatencyTable
from pocketnas_base.errors import InputError
from search.architecture import assemble
from search.space import SearchSpace, load_space

DEMO, MOBILE_24, MOBILE = (load_space(name) for name in ("demo", "mobile-24", "mobile"))
BLOCK = "expanded_conv-input:112x112x16-output:56x56x24-expand:3-kernel:3-stride:2-idskip:0"
PROXYLESS = f"""
Conv-input:224x224x3-output:112x112x32:
  count: 982
  mean: 4.083755600814664
  var: 0.2502372872758427
Conv_1-input:7x7x320-output:7x7x1280:
  count: 982
  mean: 3.088623217922607
  var: 0.19174675835259503
Logits-input:7x7x1280-output:1000:
  count: 982
  mean: 0.3096415478615071
  var: 0.05583766681628091
{BLOCK}:
  count: 164
  mean: 6.240567073170731
  var: 0.07330791484716055
expanded_conv-input:56x56x24-output:56x56x24-expand:6-kernel:5-stride:1-idskip:1:
  count: 1
  mean: 2.5
  var: 0.0
"""
OFA_LAYERS = {
    "AvgPool2D-input:7x7x1152-output:1x1x1152": (495, 0.015, 0.0009),
    "Conv-input:224x224x3-output:112x112x24": (500, 0.99, 0.017),
    "Conv_2-input:1x1x1152-output:1x1x1536": (500, 0.76, 0.1),
    "Logits-input:1x1x1536-output:1000": (500, 0.67, 0.08),
    "expanded_conv-input:112x112x24-output:56x56x32-expand:72-kernel:5-stride:2-idskip:0-se:0-hs:0": (400, 1.7, 0.02),
    "expanded_conv-input:28x28x48-output:28x28x48-expand:288-kernel:3-stride:1-idskip:1-se:1-hs:0": (9, 1.0, 0.1),
    "expanded_conv-input:14x14x96-output:14x14x96-expand:288-kernel:3-stride:1-idskip:1-se:0-hs:1": (9, 1.0, 0.1),
    "expanded_conv-input:14x14x96-output:14x14x136-expand:288-kernel:3-stride:1-idskip:0-se:1-hs:1": (9, 1.0, 0.1),
    "expanded_conv-input:14x14x96-output:14x14x96-expand:250-kernel:3-stride:1-idskip:1-se:0-hs:0": (9, 1.0, 0.1),
}
OFA = "".join(
    f"{key}:\n  count: {count}\n  mean: {mean}\n  std: {std}\n" for key, (count, mean, std) in OFA_LAYERS.items()
)


def written(folder: Path, text: str | bytes, name: str = "lut.yaml") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def imported(
    path: Path, format: str = "auto", space: SearchSpace | None = None, origin: Origin | None = None
) -> Imported:
    chain = None if space is None else space.chain
    origin = origin or Origin()
    return import_table(path, format, chain=chain, default_chain=MOBILE.chain, origin=origin, tool_version="0")


def test_each_layer_of_proxylessnas_is_an_operator(tmp_path: Path) -> None:
    table = imported(written(tmp_path, PROXYLESS)).table
    assert {op.key: row.latency_ms for op, row in table.rows.items()} == {
        "conv_3x3_s2_3-32_r224": 4.083755600814664,
        "conv_1x1_s1_320-1280_r7": 3.088623217922607,
        "classifier_s1_1280-1000_r7": 0.3096415478615071,
        "mb3_3x3_s2_16-24_r112": 6.240567073170731,
        "mb6_5x5_s1_24-24_r56_res": 2.5,
    }
    assert {op.key: row.samples for op, row in table.rows.items()}["mb3_3x3_s2_16-24_r112"] == 164
    block = OpSpec("mbconv", 16, 24, 3, 3, 2, 112)
    assert table.rows[block].high_ms == pytest.approx(6.240567073170731 + 1.96 * math.sqrt(0.07330791484716055 / 164))
    assert table.info.rows == "share"
    assert operator_ms(table, block) == 6.240567073170731, "a row is what the operator adds"
    assert table.invocation_ms == 0.0


def test_what_the_file_does_not_say_stays_unknown(tmp_path: Path) -> None:
    about = Origin("han-cai/files, proxylessnas/mobile_trim.yaml", "MIT")
    info = imported(written(tmp_path, PROXYLESS), origin=about).table.info
    assert info.source is not None
    assert info.source.model_dump() == {
        "format": "proxylessnas",
        "text": "han-cai/files, proxylessnas/mobile_trim.yaml",
        "licence": "MIT",
        "times": "mean",
    }
    nothing = ("device", "device_fingerprint", "soc", "runtime", "precision", "threads", "cores", "runner", "delegate")
    assert {getattr(info, name) for name in (*nothing, "date_utc", "space", "seed")} == {None}
    unnamed = imported(written(tmp_path, PROXYLESS)).table.info.source
    assert unnamed is not None
    assert (unnamed.text, unnamed.licence) == ("imported from lut.yaml", None)


def test_an_imported_table_comes_back_from_its_file(tmp_path: Path) -> None:
    table = imported(written(tmp_path, PROXYLESS)).table
    table.save(tmp_path / "table.parquet")
    assert LatencyTable.load(tmp_path / "table.parquet") == table


def test_once_for_alls_mobilenet_v3_is_taken_as_far_as_there_are_operators_for_it(tmp_path: Path) -> None:
    found = imported(written(tmp_path, OFA))
    assert {op.key: row.latency_ms for op, row in found.table.rows.items()} == {
        "conv_3x3_s2_3-24_r224_hswish": 0.99,
        "classifier_s1_1536-1000_r1": 0.67,
        "mb3_5x5_s2_24-32_r112_relu": 1.7,
        "mb6_3x3_se0.25_s1_48-48_r28_res_relu": 1.0,
        "mb3_3x3_s1_96-96_r14_res_hswish": 1.0,
        "mb3_3x3_se0.25_s1_96-136_r14_hswish": 1.0,
    }
    assert found.left_out == {
        "a layer of type AvgPool2D": 1,
        "a layer of type Conv_2": 1,
        "a block whose expansion is no whole number": 1,
    }
    block = OpSpec("mbconv", 24, 32, 5, 3, 2, 112, activation="relu")
    assert found.table.rows[block].high_ms == pytest.approx(1.7 + 1.96 * 0.02 / 20)
    assert found.table.info.source is not None
    assert found.table.info.source.format == "ofa"


def test_the_dialect_may_be_named_but_not_wrongly(tmp_path: Path) -> None:
    source = imported(written(tmp_path, PROXYLESS), "ofa").table.info.source
    assert source is not None
    assert source.format == "ofa", "Once-for-All uses ProxylessNAS' keys as well"
    with pytest.raises(InputError, match="import it with --format ofa"):
        imported(written(tmp_path, OFA), "proxylessnas")
    with pytest.raises(InputError, match="unknown format 'onnx'; known: auto, proxylessnas, ofa, tunas, csv"):
        imported(written(tmp_path, OFA), "onnx")
    with pytest.raises(InputError, match="does not say what it holds"):
        imported(written(tmp_path, OFA, "lut.txt"))


def yaml_of(space: SearchSpace) -> str:
    """What ProxylessNAS would have for a space, and the one first block more that its own table has."""
    ops = [op for op in space.op_specs() if op != EMPTY]
    entries = {key_of_operator(op): {"count": 100, "mean": 0.5 + op.macs / 1e6, "var": 0.01} for op in ops}
    text: str = yaml.safe_dump(entries)
    return text


def test_a_table_of_a_named_space_has_to_cover_it(tmp_path: Path) -> None:
    path = written(tmp_path, yaml_of(MOBILE_24))
    info = imported(path, space=MOBILE_24).table.info
    assert (info.space, info.space_fingerprint) == ("mobile-24", MOBILE_24.fingerprint)
    with pytest.raises(
        InputError, match=r"does not cover space mobile: \d+ operators have no row, .*_16-32_"
    ) as caught:
        imported(path, space=MOBILE)
    assert len(str(caught.value).splitlines()) == 1


operators = st.builds(
    OpSpec,
    st.just("mbconv"),
    st.integers(1, 4096),
    st.integers(1, 4096),
    st.sampled_from([1, 3, 5, 7, 9]),
    st.integers(1, 8),
    st.sampled_from([1, 2, 4]),
    st.integers(1, 512),
)


@given(operators)
def test_a_key_names_its_operator(op: OpSpec) -> None:
    assert operator_of_key(key_of_operator(op), mobilenet_v3=False) == op


@pytest.mark.parametrize("space", [DEMO, MOBILE, MOBILE_24], ids=lambda space: space.name)
def test_every_operator_of_a_space_has_a_key_of_its_own(space: SearchSpace) -> None:
    ops = [op for op in space.op_specs() if op != EMPTY]
    keys = [key_of_operator(op) for op in ops]
    assert len(set(keys)) == len(ops)
    assert [operator_of_key(key, mobilenet_v3=False) for key in keys] == ops
    assert space is not MOBILE_24 or BLOCK in keys


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("conv", "'conv' names no layer"),
        ("Conv-input:224x224-output:112x112x32", "names no layer"),
        (
            "expanded_conv-input:112x112x16-output:56x56x24-expand:3-kernel:3-stride:2",
            "a block reads expand:E-kernel:K",
        ),
        (BLOCK.replace("56x56", "57x57"), "stride 2 at 112 px does not give 57 px"),
        (BLOCK.replace("kernel:3", "kernel:4"), "kernel must be odd"),
        (BLOCK.replace("idskip:0", "idskip:1"), "a residual needs stride 1"),
        (BLOCK.replace("stride:2", "stride:0"), "stride must be a whole number from 1"),
        (BLOCK.replace("x16-", "x0-"), "in_channels must be a whole number from 1"),
        ("x" * 100_000, "names no layer"),
    ],
)
def test_a_key_that_is_none_is_refused(key: str, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        operator_of_key(key, mobilenet_v3=False)
    assert len(str(caught.value)) < 400


def test_layers_that_are_not_square_have_no_operator() -> None:
    assert operator_of_key("Conv-input:224x160x3-output:112x80x32", mobilenet_v3=False) == Foreign("not square")


CODE = "!!python/object/apply:os.system ['echo hacked > {path}']"
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "\n".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 9)}]" for n in range(9)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            CODE,
            "line 1: the tag tag:yaml.org,2002:python/object/apply:os.system; a table holds numbers, and no code is",
        ),
        (f"{BLOCK}: {CODE}", "the tag tag:yaml.org,2002:python/object/apply:os.system"),
        (f"{BLOCK}: {{mean: !!python/name:os.system ''}}", "the tag tag:yaml.org,2002:python/name:os.system"),
        (f"{BLOCK}: !mine {{mean: 3}}", "the tag !mine"),
        (BOMB, "line 1: the anchor &a; a table repeats nothing by reference"),
        (f"{BLOCK}: *a", "line 1: the alias *a; a table repeats nothing by reference"),
        (f"&top {BLOCK}: {{mean: 3}}", "the anchor &top"),
        (f"{BLOCK}: {{<<: *base}}", "the alias *base"),
        ("", "has no layers"),
        ("3", "a table is a mapping of layers to mappings of numbers"),
        ("- a\n- b", "a table is a mapping of layers to mappings of numbers"),
        (f"{BLOCK}: 6.24", "a table is a mapping of layers to mappings of numbers"),
        (f"{BLOCK}: {{mean: [1, 2]}}", "a table is a mapping of layers to mappings of numbers, and nothing deeper"),
        (f"{BLOCK}: {{mean: {{of: 3}}}}", "and nothing deeper"),
        ("? {a: b}\n: {mean: 3}", "a table is a mapping of layers"),
        ("[" * 50_000, "a table is a mapping of layers"),
        (f"{BLOCK}: {{mean: 3}}\n---\n{BLOCK}: {{mean: 3}}", "a second document; a table is one"),
        (f"{BLOCK}: {{mean: 3}}\n{BLOCK}: {{mean: 4}}", "stands there twice"),
        (f"{BLOCK}: {{mean: 3, mean: 4}}", "mean stands there twice"),
        (f"{BLOCK}: {{mean: 3", "not valid YAML: did not find expected"),
        ("\t- x: [", "not valid YAML"),
        (b"\xff\xfe\x00\xd8", "not valid YAML"),
        (b"a\x00b: {mean: 3}", "not valid YAML"),
        ("layer: {mean: 3}", "'layer' names no layer"),
        (f"{BLOCK}: {{count: 3, var: 0.1}}", "an entry holds count, mean and var or std, not ['count', 'var']"),
        (f"{BLOCK}: {{mean: 3, p50: 3}}", "an entry holds count, mean and var or std"),
        (f"{BLOCK}: {{mean: 3, var: 1, std: 1, count: 3}}", "an entry holds count, mean and var or std"),
        (f"{BLOCK}: {{mean: .nan}}", "mean is '.nan', which is no number"),
        (f"{BLOCK}: {{mean: nan}}", "mean is 'nan', which is no number of milliseconds"),
        (f"{BLOCK}: {{mean: inf}}", "mean is 'inf', which is no number of milliseconds"),
        (f"{BLOCK}: {{mean: -3}}", "mean is '-3'; a time is a number of milliseconds above 0"),
        (f"{BLOCK}: {{mean: 0.0}}", "mean is '0.0'; a time is a number of milliseconds above 0"),
        (f"{BLOCK}: {{mean: 1e9}}", "mean is '1e9'; a time is a number of milliseconds above 0"),
        (f"{BLOCK}: {{mean: }}", "mean is ''; a time is a number"),
        (f"{BLOCK}: {{mean: fast}}", "mean is 'fast', which is no number"),
        (f"{BLOCK}: {{mean: 3, var: -1, count: 3}}", "var is '-1'; it must be 0 or more"),
        (f"{BLOCK}: {{mean: 3, var: 1, count: 0}}", "count is '0'; a count is a whole number, at least 1"),
        (f"{BLOCK}: {{mean: 3, var: 1, count: 2.5}}", "count is '2.5'; a count is a whole number"),
        ("AvgPool2D-input:7x7x8-output:1x1x8: {mean: 3}", "none of its 1 layers is an operator of this tool"),
    ],
)
def test_what_is_no_table_is_refused_in_one_line(tmp_path: Path, text: str | bytes, message: str) -> None:
    path = tmp_path / "lut.yaml"
    proof = tmp_path / "hacked"
    content = text if isinstance(text, bytes) else text.replace("{path}", str(proof)).encode()
    path.write_bytes(content)
    started = time.monotonic()
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        load_layers(path)
    assert time.monotonic() - started < 5
    assert len(str(caught.value).splitlines()) == 1
    assert str(caught.value).startswith(f"table {path}")
    assert len(str(caught.value)) < 500
    assert not proof.exists()


def test_a_file_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "lut.yaml"
    with path.open("wb") as stream:
        stream.truncate(9 * 1024 * 1024)
    with pytest.raises(InputError, match="at most 8388608 are read"):
        load_layers(path)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_random_text_is_mappings_or_one_line(content: bytes) -> None:
    found, problem = None, ""
    try:
        found = read_mappings(content, where="table t")
    except InputError as error:
        problem = str(error)
    assert len(problem.splitlines()) == (found is None)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_are_written_as_every_reader_takes_them(value: float) -> None:
    assert yaml.safe_load(yaml_number(value)) == value


class Original:
    """The part of ProxylessNAS' search that reads a table: it adds up the means of the keys that it makes."""

    def __init__(self, path: Path) -> None:
        self.lut: dict[str, dict[str, Any]] = yaml.safe_load(path.read_text())

    def layer(self, kind: str, before: list[int], after: list[int], **block: int) -> float:
        parts = [kind, "input:" + "x".join(map(str, before)), "output:" + "x".join(map(str, after))]
        parts += [f"{name}:{value}" for name, value in block.items()]
        mean = self.lut["-".join(parts)]["mean"]
        assert isinstance(mean, float)
        return mean

    def latency_ms(self, ops: tuple[OpSpec, ...]) -> float:
        total = 0.0
        for op in ops:
            before = [op.resolution, op.resolution, op.in_channels]
            after = [op.out_resolution, op.out_resolution, op.out_channels]
            match op.kind:
                case "conv":
                    total += self.layer("Conv" if op.kernel == 3 else "Conv_1", before, after)
                case "mbconv":
                    total += self.layer(
                        "expanded_conv", before, after,
                        expand=op.expansion, kernel=op.kernel, stride=op.stride, idskip=int(op.residual),
                    )  # fmt: skip
                case "classifier":
                    total += self.layer("Logits", before, [op.out_channels])
        return total


@pytest.mark.parametrize("space", [DEMO, MOBILE], ids=lambda space: space.name)
def test_the_original_search_predicts_from_our_file_what_we_predict(tmp_path: Path, space: SearchSpace) -> None:
    table = measured_table(space)
    path = written(tmp_path, layers_text(table))
    original = Original(path)
    assert all(set(entry) == {"count", "mean", "var"} for entry in original.lut.values())
    for number in range(6):
        choices = [(number * 5 + place) % len(edge.candidates) for place, edge in enumerate(space.edges)]
        net = assemble(space, choices, "net")
        assert any(op.kind == "zero" for op in net.ops) or number % 2
        assert original.latency_ms(net.ops) == pytest.approx(predict(table, net.ops).latency_ms, rel=1e-12)


def test_what_is_exported_is_imported_as_it_was(tmp_path: Path) -> None:
    table = measured_table(MOBILE)
    again = imported(written(tmp_path, layers_text(table)), space=MOBILE).table
    stem = MOBILE.before[0]
    for op, measured in table.rows.items():
        if op == EMPTY:
            continue
        back = again.rows[op]
        assert operator_ms(again, op) == pytest.approx(
            operator_ms(table, op) + (table.invocation_ms if op == stem else 0), rel=1e-12
        )
        assert back.samples == measured.samples
        assert back.noise_ms == pytest.approx(measured.noise_ms, rel=1e-9)


def test_a_second_trip_changes_nothing(tmp_path: Path) -> None:
    first = imported(written(tmp_path, PROXYLESS)).table
    second = imported(written(tmp_path, layers_text(first), "again.yaml")).table
    assert list(second.rows) == list(first.rows)
    for op, before in first.rows.items():
        back = second.rows[op]
        assert (back.latency_ms, back.samples) == (before.latency_ms, before.samples)
        assert back.high_ms == pytest.approx(before.high_ms, rel=1e-12)


def test_what_a_proxylessnas_table_has_no_words_for_is_refused() -> None:
    with pytest.raises(
        InputError, match="has rows of single places; a ProxylessNAS table has one time for an operator"
    ):
        layers_text(load_table("pixel1"))
    table = measured_table(DEMO)
    below = {**table.rows, DEMO.edges[0].candidates[0]: row(0.001)}
    with pytest.raises(InputError, match=r"adds -0\.009000 ms, and a ProxylessNAS table holds times above 0"):
        layers_text(LatencyTable(table.info, below))
    wide = OpSpec("conv", 3, 8, 5, 1, 2, 32)
    with pytest.raises(InputError, match="has no name in a table of ProxylessNAS"):
        layers_text(LatencyTable(table.info, {**table.rows, wide: row(1.0)}))
    stemless = {op: each for op, each in table.rows.items() if op.kind != "conv"}
    with pytest.raises(InputError, match="has no first convolution, 3x3, to count the invocation to"):
        layers_text(LatencyTable(table.info, stemless))
