"""The report: everything that a run directory says, in one file that loads nothing."""

import json
import math
import random
import re
import shutil
import time
from collections.abc import Callable
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from latency.calibrate import MeasuredNetwork, calibrate
from latency.library import load_table
from latency.opspec import EMPTY, OpSpec, zero
from latency.predict import predict
from latency.table import LatencyTable, TableInfo, TableRow
from pocketnas.report.build import write_report
from pocketnas.report.collect import collect
from pocketnas.report.figure_curves import running_mean
from pocketnas.report.figure_latency import latency_figure
from pocketnas.report.palette import cividis, ink_on_cividis, tints
from pocketnas.report.svg import tick_text, ticks
from pocketnas.report.text import MINUS, count, duration, file_size, number, signed
from pocketnas.taken_table import why_not_compared
from pocketnas_base.errors import InputError
from pocketnas_base.files import write_json, write_text
from search.architecture import Architecture, assemble
from search.sampling import random_networks
from search.space import SearchSpace, load_space

INVOCATION_MS = 0.0021
WARMUP_STEPS, STEPS, POINT_EVERY = 250, 400, 3
MEASURED_MS = {"tflite": 1.026, "executorch": 1.31}
TOP1 = {"torch": 90.87, "tflite": 90.87, "executorch": 90.88}
BASELINE = {"name": "mobilenetv2-0.5", "measured_ms": 1.041, "top1": 90.12}
FILES = (
    ("config.toml", "environment"),
    ("environment.json", "environment"),
    ("table.parquet", "table"),
    ("search/result.json", "search"),
    ("architecture.json", "search"),
    ("training.json", "train"),
    ("deploy/manifest.json", "export"),
    ("rebench.parquet", "rebench"),
    ("summary.json", "report"),
)


def table_of(space: SearchSpace, noise: random.Random) -> LatencyTable:
    """Latencies that follow the operators' work, with a few percent of noise."""
    rows = {}
    for op in space.op_specs():
        own = 0.0 if op.kind == "empty" else 0.004 + op.macs / 9.5e6 * noise.uniform(0.94, 1.06) * _lowness(op)
        latency = INVOCATION_MS + own
        rows[op] = TableRow(latency, latency * 0.988, latency * 1.013, latency * 0.975, latency * 1.09, 600, 5)
    info = TableInfo(
        device="local",
        device_model=None,
        device_fingerprint="9f" * 32,
        soc="Some Processor v3 @ 2.90GHz",
        os_version="Debian GNU/Linux 12",
        runtime="tflite",
        runtime_version="2.3.0",
        precision="fp32",
        threads=1,
        cores=(1,),
        governor="performance",
        temperature_before_c=41.5,
        temperature_after_c=47.0,
        tool_version="0.1.0",
        date_utc="2026-03-01T12:00:00+00:00",
        space=space.name,
        space_fingerprint=space.fingerprint,
        seed=0,
    )
    return LatencyTable(info, rows)


def _lowness(op: OpSpec) -> float:
    """Depthwise kernels do less work a second than 1x1 convolutions."""
    return 1.0 + 0.09 * (op.kernel - 1)


def search_result(space: SearchSpace, table: LatencyTable, choices: list[int], target_ms: float) -> dict[str, object]:
    """A search that decides itself over its steps, and what it decided."""
    noise = random.Random(1)
    probabilities = []
    for edge, chosen in zip(space.edges, choices, strict=True):
        weights = [math.exp(noise.gauss(0, 0.7) + (2.4 if i == chosen else 0)) for i in range(len(edge.candidates))]
        best = max(range(len(weights)), key=weights.__getitem__)
        weights[best], weights[chosen] = weights[chosen], weights[best]
        probabilities.append([weight / sum(weights) for weight in weights])
    predicted_ms = predict(table, assemble(space, choices, "x").ops).latency_ms
    curve: list[dict[str, float]] = []
    for step in range(0, WARMUP_STEPS + STEPS, POINT_EVERY):
        searched = max(0.0, (step - WARMUP_STEPS) / STEPS)
        done = step / (WARMUP_STEPS + STEPS)
        loss = 0.75 + 1.5 * math.exp(-6 * done) + noise.gauss(0, 0.06)
        accuracy = min(1.0, 0.86 - 0.7 * math.exp(-7 * done) + noise.gauss(0, 0.03))
        rate = 0.05 * 0.5 * (1 + math.cos(math.pi * (step / WARMUP_STEPS if step < WARMUP_STEPS else searched)))
        point = {
            "step": step,
            "loss": loss,
            "accuracy": accuracy,
            "learning_rate": rate,
            "expected_ms": target_ms + 0.42 * math.exp(-5 * searched) + 0.02 * math.sin(14 * searched) * searched,
            "entropy": 0.31 + 0.69 * (1 - searched) ** 1.4 if searched else 1.0,
            "latency_weight": 0.5 + 0.6 * (1 - math.exp(-4 * searched)),
        }
        if searched and step % 2:
            point |= {"arch_loss": loss - 0.25 + noise.gauss(0, 0.07), "arch_accuracy": accuracy - 0.02}
        curve.append(point)
    return {
        "target_ms": target_ms,
        "predicted_ms": predicted_ms,
        "loss": "add#linear",
        "warmup_steps": WARMUP_STEPS,
        "steps": STEPS,
        "edges": [
            {
                "name": edge.name,
                "candidates": [op.choice for op in edge.candidates],
                "activation": edge.candidates[0].activation,
            }
            for edge in space.edges
        ],
        "probabilities": probabilities,
        "chosen": choices,
        "curve": curve,
    }


def training_curve(best: float, noise: random.Random) -> list[dict[str, float]]:
    """200 points of a training that ends at accuracy `best`."""
    return [
        {
            "step": step,
            "loss": 0.62 + 1.6 * math.exp(-step / 140) - 0.0001 * step + noise.gauss(0, 0.04),
            "accuracy": min(1.0, best - 0.7 * math.exp(-step / 120) + noise.gauss(0, 0.02)),
            "learning_rate": 0.1 * 0.5 * (1 + math.cos(math.pi * step / 1200)),
        }
        for step in range(0, 1200, 6)
    ]


def rebench_rows(name: str, prediction: tuple[float, float, float]) -> list[dict[str, object]]:
    """Three files measured: the derived net in both runtimes, the baseline in the table's."""
    measured = [
        (name, "derived", "tflite", MEASURED_MS["tflite"], prediction),
        (name, "derived", "executorch", MEASURED_MS["executorch"], None),
        (BASELINE["name"], "baseline", "tflite", BASELINE["measured_ms"], None),
    ]
    suffix = {"tflite": "tflite", "executorch": "pte"}
    return [
        {
            "name": net,
            "role": role,
            "file": f"{'deploy' if role == 'derived' else 'baseline/deploy'}/{net}.{suffix[runtime]}",
            "runtime": runtime,
            "precision": "fp32",
            "threads": 1,
            "latency_ms": latency,
            "high_ms": latency * 1.011,
            "median_ms": latency * 1.04,
            "p10_ms": latency * 0.981,
            "p90_ms": latency * 1.083,
            "first_ms": latency * 3.9,
            "load_ms": latency * 5.2,
            "samples": 2100,
            "processes": 7,
            "predicted_ms": predicted[0] if predicted else None,
            "predicted_low_ms": predicted[1] if predicted else None,
            "predicted_high_ms": predicted[2] if predicted else None,
        }
        for net, role, runtime, latency, predicted in measured
    ]


def write_run(run_dir: Path, *, space: SearchSpace, choices: list[int], name: str = "demo") -> Path:
    """A run directory as the stages leave it, its numbers consistent with each other."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    noise = random.Random(0)
    run_dir.mkdir(parents=True, exist_ok=True)
    table = table_of(space, noise)
    architecture = assemble(space, choices, f"{name}-derived")
    prediction = predict(table, architecture.ops)
    target_ms = round(prediction.latency_ms * 1.021, 3)
    scale = MEASURED_MS["tflite"] / (prediction.latency_ms * 1.017)

    write_text(run_dir / "config.toml", f'name = "{name}"\nspace = "{space.name}"\n[data]\nsource = "fashion-mnist"\n')
    environment = {
        "device": {"id": "local", "soc": "Some Processor v3", "cores": [{"number": 0, "max_freq_khz": 2900000}]},
        "host": {"system": "Linux-6.1", "machine": "x86_64", "python": "3.11.2"},
        "versions": {"torch": "2.13.0", "executorch": "1.5.1"},
    }
    write_json(run_dir / "environment.json", environment)
    table.save(run_dir / "table.parquet")
    architecture.save(run_dir / "architecture.json")
    write_json(run_dir / "search" / "result.json", search_result(space, table, choices, target_ms))
    networks = [
        {"name": f"{name}-derived", "role": "derived", "top1": TOP1["torch"], "curve": training_curve(0.93, noise)},
        {"name": BASELINE["name"], "role": "baseline", "top1": 90.12, "curve": training_curve(0.91, noise)},
    ]
    write_json(run_dir / "training.json", {"networks": networks})
    rows = rebench_rows(f"{name}-derived", (prediction.latency_ms, prediction.low_ms, prediction.high_ms))
    for row in rows:
        for field in ("latency_ms", "high_ms", "median_ms", "p10_ms", "p90_ms", "first_ms", "load_ms"):
            row[field] = float(str(row[field])) / scale
    pq.write_table(pa.Table.from_pylist(rows), run_dir / "rebench.parquet")
    measured = {str(row["runtime"]): row["latency_ms"] for row in rows if row["role"] == "derived"}
    error = 100 * (prediction.latency_ms - float(str(measured["tflite"]))) / float(str(measured["tflite"]))
    files = [
        {
            "file": f"{name}-derived.{suffix}",
            "runtime": runtime,
            "precision": "fp32",
            "sha256": digit * 64,
            "bytes": size,
            "parity": {"relative_error": difference, "images": 100},
            "top1": TOP1[runtime],
        }
        for runtime, suffix, digit, size, difference in (
            ("tflite", "tflite", "a", 251_904, 1.3e-6),
            ("executorch", "pte", "b", 264_320, 9.7e-7),
        )
    ]
    write_json(run_dir / "deploy" / "manifest.json", {"schema_version": 1, "files": files})
    summary = {
        "schema_version": 1,
        "name": name,
        "space": space.name,
        "data": {
            "name": "Fashion-MNIST",
            "train_images": 60000,
            "test_images": 10000,
            "source": "package dataset-fashion-mnist",
        },
        "device": environment["device"],
        "target_ms": target_ms,
        "predicted_ms": prediction.latency_ms,
        "predicted_low_ms": prediction.low_ms,
        "predicted_high_ms": prediction.high_ms,
        "table_runtime": "tflite",
        "measured_ms": measured,
        "prediction_error_percent": error,
        "top1": TOP1,
        "parity": {"tflite": 1.3e-6, "executorch": 9.7e-7},
        "macs": architecture.macs,
        "parameters": architecture.parameters,
        "baseline": {
            **BASELINE,
            "runtime": "tflite",
            "measured_ms": rows[2]["latency_ms"],
            "macs": 2_310_000,
            "parameters": 88_300,
        },
        "seconds": {
            "environment": 0.2,
            "table": 48.1,
            "search": 133.4,
            "train": 151.9,
            "export": 21.7,
            "baseline": 160.2,
            "rebench": 14.6,
        },
        "tool_version": "0.1.0",
        "date_utc": "2026-03-01T12:09:00+00:00",
    }
    write_json(run_dir / "summary.json", summary)
    return run_dir


DEMO_CHOICES = [3, 6, 2, 1, 6, 5, 0, 2]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run_dir = write_run(tmp_path_factory.mktemp("runs") / "demo", space=load_space("demo"), choices=DEMO_CHOICES)
    write_report(run_dir)
    return run_dir


@pytest.fixture
def run_dir(finished: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(finished, tmp_path / "demo"))


class _Page(HTMLParser):
    """Elements, attributes and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    @property
    def said(self) -> str:
        return " ".join(" ".join(self.text).split())


def page(run_dir: Path) -> _Page:
    return _Page((run_dir / "report.html").read_text())


def test_report_shows_every_number_of_the_summary(finished: Path) -> None:
    said = page(finished).said
    summary = json.loads((finished / "summary.json").read_text())
    shown = [
        *(number(summary[key]) for key in ("target_ms", "predicted_ms", "predicted_low_ms", "predicted_high_ms")),
        *(number(value) for value in summary["measured_ms"].values()),
        *(f"{value:.2f}" for value in summary["top1"].values()),
        signed(summary["prediction_error_percent"]),
        number(summary["baseline"]["measured_ms"]),
        f"{summary['baseline']['top1']:.2f}",
        signed(summary["top1"]["torch"] - summary["baseline"]["top1"], 2),
        count(summary["macs"]),
        count(summary["parameters"]),
        count(summary["baseline"]["macs"]),
        count(summary["baseline"]["parameters"]),
        "1.3e-06",
        "9.7e-07",
        *(duration(seconds) for seconds in summary["seconds"].values()),
        summary["baseline"]["name"],
        summary["tool_version"],
        summary["date_utc"],
        "60,000",
        "10,000",
    ]
    assert [text for text in shown if text not in said] == []


def test_report_shows_every_block_and_every_candidate(finished: Path) -> None:
    shown = page(finished)
    table, architecture = (
        LatencyTable.load(finished / "table.parquet"),
        Architecture.load(finished / "architecture.json"),
    )
    for block in predict(table, architecture.ops).blocks:
        assert block.op.key in shown.said
        assert block.op.kind == "zero" or f"{number(block.latency_ms)} ms" in shown.said
    search = json.loads((finished / "search" / "result.json").read_text())
    for row in search["probabilities"]:
        assert all(f"{value:.4f}" in shown.said for value in row)
    for edge in load_space("demo").edges:
        for op in edge.candidates:
            cost = 0.0 if op.kind == "zero" else table.row(op).latency_ms - table.invocation_ms
            assert f"{op.in_channels} to {op.out_channels} channels at {op.resolution} px, {op.choice}: " in shown.said
            assert f"{op.choice}: {number(cost)} ms" in shown.said
    outlined = [attributes for _, attributes in shown.tags if attributes.get("class") == "chosen"]
    # Eight choices in the probabilities, in both widths; in the table, equal choices of equal shapes share a cell.
    assert 2 * 8 < len(outlined) <= 2 * 16


def test_report_shows_environment_provenance_and_config(finished: Path) -> None:
    said = page(finished).said
    for text in ("2.13.0", "3.11.2", "Some Processor v3 @ 2.90GHz", "performance", "9f" * 32, "a" * 64, "b" * 64):
        assert text in said
    assert '[data] source = "fashion-mnist"' in said


def test_report_loads_nothing_and_runs_nothing(finished: Path) -> None:
    text = (finished / "report.html").read_text()
    assert not re.search(r"https?:|//[a-z]|@import|url\(|javascript:", text)
    tags = page(finished).tags
    assert not {tag for tag, _ in tags} & {"script", "link", "img", "iframe", "object", "embed", "base", "use", "image"}
    assert not [name for _, attributes in tags for name in attributes if name in ("src", "href", "xlink:href")]
    assert not [name for _, attributes in tags for name in attributes if name.startswith("on")]
    assert "default-src 'none'" in text
    assert len(text) < 1_500_000


def test_report_is_well_formed_and_the_same_every_time(finished: Path) -> None:
    first = (finished / "report.html").read_bytes()
    assert page(finished).open == []
    assert b"nan" not in first.lower().replace(b"pocketnas", b"").replace(b"provenance", b"")
    assert write_report(finished).read_bytes() == first


def test_published_space_renders_in_seconds(tmp_path: Path) -> None:
    space = load_space("mobile")
    choices = [index % len(edge.candidates) for index, edge in enumerate(space.edges)]
    run_dir = write_run(tmp_path / "mobile", space=space, choices=choices, name="mobile")
    started = time.monotonic()
    path = write_report(run_dir)
    assert time.monotonic() - started < 5
    assert path.stat().st_size < 1_500_000
    assert "block 23" in page(run_dir).said


def test_activations_and_squeeze_and_excitation_have_their_costs(tmp_path: Path) -> None:
    plain = load_space("demo").to_dict() | {"name": "gated", "activation": "hswish", "squeeze_excite": [0, 0.25]}
    space = SearchSpace.from_dict(plain, source="gated.toml")
    choices = [index % len(edge.candidates) for index, edge in enumerate(space.edges)]
    run_dir = write_run(tmp_path / "gated", space=space, choices=choices, name="gated")
    write_report(run_dir)
    shown, table = page(run_dir), LatencyTable.load(run_dir / "table.parquet")
    for edge in space.edges:
        for op in edge.candidates:
            cost = 0.0 if op.kind == "zero" else table.row(op).latency_ms - table.invocation_ms
            assert f"{op.choice}: {number(cost)} ms" in shown.said


def edit(path: Path, change: Callable[[dict], object]) -> None:  # type: ignore[type-arg]
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def test_what_calibrated_the_table_is_shown_network_by_network(run_dir: Path) -> None:
    assert "What the prediction rests on" not in page(run_dir).said
    table = LatencyTable.load(run_dir / "table.parquet")
    drawn = random.Random(4)
    networks = [
        MeasuredNetwork(net.name, net.ops, 1.2 * predict(table, net.ops).latency_ms * drawn.uniform(0.99, 1.01), None)
        for net in random_networks(load_space("demo"), 9, 1)
    ]
    calibration = calibrate(table, networks)
    LatencyTable(table.info.model_copy(update={"calibration": calibration}), table.rows).save(run_dir / "table.parquet")
    shown = page(write_report(run_dir).parent).said
    assert "9 whole networks were measured" in shown
    assert f"{calibration.residual_percent:.2f} %" in shown
    assert shown.count(" %), in every fit") == 2 * 2  # the cheapest and the dearest; wide and narrow
    for each in calibration.networks:
        if each.left_out_ms is None:
            continue
        off = signed(100 * (each.left_out_ms / each.measured_ms - 1))
        assert shown.count(f"predicted by the others {number(each.left_out_ms)} ({off} %)") == 2  # wide and narrow


def test_kept_promise_is_said_first(finished: Path) -> None:
    said = page(finished).said
    assert "Promise kept" in said
    assert "Promise not kept" not in said
    assert said.index("Promise kept") < said.index("Architecture")


@pytest.mark.parametrize(
    ("file", "change", "broken"),
    [
        ("summary.json", lambda s: s.update(target_ms=0.1), "Not met: Latency target"),
        ("summary.json", lambda s: s.update(predicted_ms=0.5 * s["predicted_ms"]), "Not met: Prediction"),
        ("deploy/manifest.json", lambda m: m["files"][0].update(top1=90.5), "Not met: TFLite accuracy"),
        (
            "deploy/manifest.json",
            lambda m: m["files"][1]["parity"].update(relative_error=3e-4),
            "Not met: ExecuTorch outputs",
        ),
    ],
)
def test_broken_promise_is_named(
    run_dir: Path,
    file: str,
    change: Callable[[dict], object],  # type: ignore[type-arg]
    broken: str,
) -> None:
    edit(run_dir / file, change)
    write_report(run_dir)
    said = page(run_dir).said
    assert "Promise not kept" in said
    assert broken in said


def test_choice_against_the_probabilities_is_named(finished: Path, run_dir: Path) -> None:
    def swapped(search: dict) -> None:  # type: ignore[type-arg]
        row, chosen = search["probabilities"][1], search["chosen"][1]
        row[chosen], row[0] = row[0], row[chosen]

    assert "not the most probable" not in page(finished).said
    edit(run_dir / "search" / "result.json", swapped)
    write_report(run_dir)
    assert "at block 4 that is not the most probable candidate" in page(run_dir).said


def test_bounds_of_fp32_are_not_asked_of_int8(run_dir: Path) -> None:
    def quantised(manifest: dict) -> None:  # type: ignore[type-arg]
        manifest["files"][1].update(precision="int8", top1=89.9)
        manifest["files"][1]["parity"]["relative_error"] = 0.02

    edit(run_dir / "deploy" / "manifest.json", quantised)
    write_report(run_dir)
    said = page(run_dir).said
    assert "Promise kept" in said
    assert "2.0e-02" in said
    assert "89.90 %" in said


HOSTILE = "</style></svg><script>alert(1)</script><img src=x onerror=alert(1)>\"'&{{7*7}}"


def test_hostile_names_are_text(run_dir: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    def summary(value: dict) -> None:  # type: ignore[type-arg]
        for key in ("name", "space", "tool_version", "date_utc"):
            value[key] = HOSTILE
        value["data"].update(name=HOSTILE, source=HOSTILE)
        value["baseline"]["name"] = HOSTILE
        value["seconds"][HOSTILE] = 1.0
        value["measured_ms"][HOSTILE] = 1.0
        value["top1"][HOSTILE] = 1.0

    def architecture(value: dict) -> None:  # type: ignore[type-arg]
        value["name"] = HOSTILE

    def search(value: dict) -> None:  # type: ignore[type-arg]
        value["loss"] = HOSTILE
        for edge in value["edges"]:
            edge["name"] = HOSTILE
        value["edges"][1]["candidates"][0] = HOSTILE

    edit(run_dir / "summary.json", summary)
    edit(run_dir / "architecture.json", architecture)
    edit(run_dir / "search" / "result.json", search)
    edit(run_dir / "training.json", lambda v: v["networks"][0].update(name=HOSTILE))
    edit(run_dir / "deploy" / "manifest.json", lambda v: v["files"][0].update(file=HOSTILE, sha256=HOSTILE))
    edit(run_dir / "environment.json", lambda v: v.update({HOSTILE: {HOSTILE: [HOSTILE]}}))
    write_text(run_dir / "config.toml", HOSTILE)
    table = LatencyTable.load(run_dir / "table.parquet")
    LatencyTable(table.info.model_copy(update={"device": HOSTILE, "soc": HOSTILE}), table.rows).save(
        run_dir / "table.parquet"
    )
    rows = pq.read_table(run_dir / "rebench.parquet").to_pylist()
    rows = [{**row, "name": HOSTILE, "file": HOSTILE} for row in rows]
    rows[1]["runtime"] = rows[1]["precision"] = HOSTILE
    pq.write_table(pa.Table.from_pylist(rows), run_dir / "rebench.parquet")

    text = write_report(run_dir).read_text()
    shown = page(run_dir)
    assert shown.open == []
    assert not {"script", "img"} & {tag for tag, _ in shown.tags}
    assert not [name for _, attributes in shown.tags for name in attributes if name.startswith("on")]
    assert "{{7*7}}" in unescape(text)
    assert text.count("</style>") == 1


@pytest.mark.parametrize(("name", "stage"), FILES)
def test_missing_file_names_the_stage_that_makes_it(run_dir: Path, name: str, stage: str) -> None:
    (run_dir / "report.html").unlink()
    (run_dir / name).unlink()
    with pytest.raises(InputError) as caught:
        write_report(run_dir)
    message = str(caught.value)
    assert "\n" not in message
    assert f"{run_dir}: {name}: it is missing; the {stage} stage has to run first" in message
    assert "pocketnas run CONFIG --resume" in message
    assert not (run_dir / "report.html").exists()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe\x00", b'{"files": 3}', b'{"a":' * 200_000])
@pytest.mark.parametrize(("name", "stage"), FILES[1:])
def test_damaged_file_is_one_line(run_dir: Path, name: str, stage: str, content: bytes) -> None:
    (run_dir / name).write_bytes(content)
    if name == "environment.json" and content.startswith(b'{"files"'):
        assert write_report(run_dir).is_file()
        return
    with pytest.raises(InputError) as caught:
        write_report(run_dir)
    message = str(caught.value)
    assert "\n" not in message
    assert name.rpartition("/")[2] in message
    assert f"the {stage} stage has to run first: pocketnas run CONFIG --resume" in message
    assert len(message) < 1000


@pytest.mark.parametrize(
    ("name", "change", "complaint"),
    [
        ("summary.json", lambda v: v.pop("target_ms"), "target_ms: Field required"),
        ("summary.json", lambda v: v.update(predicted_ms="fast"), "predicted_ms: Input should be a valid number"),
        ("summary.json", lambda v: v["measured_ms"].pop("tflite"), "no time above 0 for the table's runtime"),
        ("summary.json", lambda v: v["top1"].pop("torch"), "top1 has no number for 'torch'"),
        ("summary.json", lambda v: v.update(target_ms=float("nan")), "target_ms: Input should be a finite number"),
        ("search/result.json", lambda v: v["chosen"].pop(), "one entry an edge"),
        ("search/result.json", lambda v: v["probabilities"][0].pop(), "do not fit its candidates"),
        ("search/result.json", lambda v: v["chosen"].__setitem__(0, 6), "do not fit its candidates"),
        ("search/result.json", lambda v: v["curve"][4].update(loss=float("inf")), "curve.4.loss"),
        ("training.json", lambda v: v["networks"][0].update(top1=908.7), "networks.0.top1"),
        ("training.json", lambda v: v["networks"][0]["curve"][1].update(accuracy=1e308), "networks.0.curve.1.accuracy"),
        ("deploy/manifest.json", lambda v: v["files"][0].update(runtime="abacus"), "files.0.runtime"),
    ],
)
def test_fault_inside_a_file_is_named(
    run_dir: Path,
    name: str,
    change: Callable[[dict], object],  # type: ignore[type-arg]
    complaint: str,
) -> None:
    edit(run_dir / name, change)
    with pytest.raises(InputError, match=re.escape(complaint)) as caught:
        write_report(run_dir)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


def test_half_a_character_is_shown_as_a_question_mark(run_dir: Path) -> None:
    """JSON can hold one, where whoever wrote a file cut a text in two; a page cannot."""
    edit(run_dir / "environment.json", lambda v: v.update(half="a\ud800b"))
    assert "a?b" in write_report(run_dir).read_text()


def test_architecture_of_another_search_is_refused(run_dir: Path) -> None:
    assemble(load_space("demo"), [0] * 8, "other").save(run_dir / "architecture.json")
    with pytest.raises(InputError, match=r"its blocks are not those that search/result\.json chose"):
        write_report(run_dir)


def test_table_without_a_row_of_the_net_is_refused(run_dir: Path) -> None:
    table = LatencyTable.load(run_dir / "table.parquet")
    LatencyTable(table.info, {EMPTY: table.rows[EMPTY]}).save(run_dir / "table.parquet")
    with pytest.raises(InputError, match="has no row for conv_3x3"):
        write_report(run_dir)


def test_run_without_architecture_batches_or_curves_still_renders(run_dir: Path) -> None:
    edit(run_dir / "search" / "result.json", lambda v: v.update(curve=[], warmup_steps=0))
    edit(run_dir / "training.json", lambda v: v["networks"][0].update(curve=[{"step": 0, "loss": 2.3}]))
    write_report(run_dir)
    assert page(run_dir).open == []


def test_a_search_by_reward_says_so_and_draws_it(finished: Path, run_dir: Path) -> None:
    def rewarded(search: dict) -> None:  # type: ignore[type-arg]
        search["mode"] = "tunas"
        for point in search["curve"]:
            del point["latency_weight"]
            if "arch_loss" in point:
                point |= {"reward": point["arch_accuracy"] - 0.01, "reward_baseline": 0.8}

    assert "latency in the loss by add#linear, mode two-path" in page(finished).said
    assert "Reward of sampled networks" not in page(finished).said
    edit(run_dir / "search" / "result.json", rewarded)
    write_report(run_dir)
    said = page(run_dir).said
    assert "latency in the reward of tunas" in said
    assert "Reward of sampled networks, and its baseline" in said
    assert "Weight of latency in the loss" not in said


def test_numbers_are_written_without_exponents() -> None:
    written = [number(value) for value in (0.0312, 0.4377, 12.34, 1234.4, 0.99996, 0.0, -0.5, 1e-9)]
    assert written == ["0.0312", "0.438", "12.3", "1234", "1.00", "0", f"{MINUS}0.500", "<0.00001"]
    assert [signed(value) for value in (2.14, -0.04, -3.0)] == ["+2.1", "0.0", f"{MINUS}3.0"]
    assert [count(value) for value in (940, 61_234, 5_630_000)] == ["940", "61.2 k", "5.63 M"]
    assert [file_size(value) for value in (912, 61_234)] == ["912 B", "61.2 kB"]
    assert [duration(value) for value in (8.24, 65, 7384)] == ["8.2 s", "1 min 05 s", "2 h 03 min"]


def test_ticks_are_round_and_labelled_with_as_many_decimals_as_they_need() -> None:
    assert ticks(0.0, 1.1, 4) == [0.0, 0.5, 1.0]
    assert ticks(0.62, 0.71, 4) == [0.625, 0.65, 0.675, 0.7]
    assert [tick_text(value, 0.025) for value in (0.625, 0.65)] == ["0.625", "0.650"]
    assert [tick_text(value, 250) for value in (0, 250)] == ["0", "250"]
    assert ticks(3.0, 3.0, 4) == [3.0]


def test_running_mean_keeps_a_straight_line_straight() -> None:
    slope = [(float(x), 3.0 * x) for x in range(100)]
    smooth = running_mean(slope)
    assert len(smooth) == 100
    assert [y for _, y in smooth] == pytest.approx([3.0 * x for x, _ in smooth])


def test_numbers_are_legible_on_every_colour_of_the_map() -> None:
    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    for step in range(201):
        ink = 0.0 if ink_on_cividis(step / 200) == "on-bright" else 1.0
        dark, bright = sorted((ink, luminance(cividis(step / 200))))
        assert (bright + 0.05) / (dark + 0.05) >= 4.5


def test_colours_span_their_scales() -> None:
    assert (cividis(0.0), cividis(1.0), cividis(7.0)) == ("#00224e", "#fee838", "#fee838")
    assert tints([7, 3, 5, 3]) == {3: 0, 5: 2, 7: 4}
    assert tints([3]) == {3: 2}


@pytest.fixture
def imported_run(tmp_path: Path) -> Path:
    """A run that took the published Pixel 1 model over and was measured on this machine."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    mobile, pixel1 = load_space("mobile"), load_table("pixel1")
    choices = [number % len(edge.candidates) for number, edge in enumerate(mobile.edges)]
    run_dir = write_run(tmp_path / "imported", space=mobile, choices=choices)
    pixel1.save(run_dir / "table.parquet")
    prediction = predict(pixel1, Architecture.load(run_dir / "architecture.json").ops)
    unknown = {"predicted_low_ms": None, "predicted_high_ms": None, "prediction_error_percent": None}
    why = why_not_compared(pixel1.info, "local", "9f" * 32)
    edit(run_dir / "summary.json", lambda v: v.update(unknown, predicted_ms=prediction.latency_ms, not_compared=why))
    rows = [{**row, "predicted_ms": None, "predicted_low_ms": None, "predicted_high_ms": None}
            for row in pq.read_table(run_dir / "rebench.parquet").to_pylist()]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), run_dir / "rebench.parquet")
    return run_dir


def figure_of(run_dir: Path) -> str:
    """The drawing of predicted and measured latencies."""
    return str(latency_figure(collect(run_dir)).wide)


def test_a_table_of_another_device_promises_nothing_of_this_one(imported_run: Path) -> None:
    write_report(imported_run)
    shown = page(imported_run)
    summary = json.loads((imported_run / "summary.json").read_text())
    assert "Latency not compared" in shown.said
    assert summary["not_compared"] in shown.said
    assert "the table was imported and is of Pixel 1, the files were measured on local" in shown.said
    assert "Promise kept" not in shown.said
    assert "Promise not kept" not in shown.said
    assert "not compared with the prediction" in shown.said
    # The curve of the search has its target; the bars of another device's times have none.
    assert "<svg" in figure_of(imported_run)
    assert 'class="target"' not in figure_of(imported_run)
    assert "TFLite accuracy" in shown.said, "what does not depend on the device is checked all the same"


def test_weights_below_nothing_are_shown_with_their_places_and_have_no_shares(imported_run: Path) -> None:
    write_report(imported_run)
    shown = page(imported_run)
    pixel1, architecture = load_table("pixel1"), Architecture.load(imported_run / "architecture.json")
    for block in predict(pixel1, architecture.ops).blocks:
        assert f"{number(block.latency_ms)} ms" in shown.said
    assert "its noise is not known" in shown.said
    assert "there are no shares to draw" in shown.said
    assert "Share of each block" not in (imported_run / "report.html").read_text()
    assert pixel1.placed[3, zero(32, 56)] != pixel1.placed[4, zero(32, 56)], "one operator, two weights"
    assert "the table's constant" in shown.said


def test_a_table_measured_on_another_system_is_not_compared_either() -> None:
    info = table_of(load_space("demo"), random.Random(0)).info
    assert why_not_compared(info, "local", info.device_fingerprint or "") is None
    why = why_not_compared(info, "local", "0a" * 32)
    assert why is not None
    assert "the table was measured on local, the files on local, another device or system" in why


def test_files_to_ship_are_shown_with_the_one_to_take_and_why(run_dir: Path) -> None:
    device = {"device": "Pixel 8", "device_fingerprint": "5e" * 32, "threads": 1}
    hostile = "<b>It is slower.</b>"

    def add(manifest: dict[str, Any]) -> None:
        for file, ms in zip(manifest["files"], (1.026, 1.31), strict=True):
            file["latency"] = [
                {
                    **device,
                    "latency_ms": ms,
                    "high_ms": ms * 1.01,
                    "cold_load_ms": 7.7,
                    "first_ms": 4.4,
                    "peak_memory_mb": 31.5,
                    "energy_mj": None,
                    "energy_note": "the phone is powered by usb",
                }
            ]
        names = [file["file"] for file in manifest["files"]]
        choice = {"file": names[0], "reason": "It takes 1.026 ms.", "passed_over": {names[1]: hostile}}
        manifest["recommendations"] = [{**device, "most_loss_points": 1.0, **choice}]

    write_report(run_dir)
    assert "Files to ship" not in page(run_dir).said, "before they were measured"
    edit(run_dir / "deploy" / "manifest.json", add)
    write_report(run_dir)
    said = page(run_dir).said
    assert "Files to ship On Pixel 8, 1 thread: ship demo-derived.tflite . It takes 1.026 ms." in said
    table = said[said.index("Files to ship") : said.index("Seconds per stage")]
    for shown in ("demo-derived.tflite TFLite fp32 252 kB 90.87", "1.03", "1.31", "7.70", "4.40", "31.5"):
        assert shown in table, table
    assert f"demo-derived.pte: {hostile}" in table
    assert "energy is unreadable: the phone is powered by usb" in said
    edit(run_dir / "deploy" / "manifest.json", lambda m: m["files"][0]["latency"][0].update(latency_ms=-1))
    with pytest.raises(InputError, match=r"deploy/manifest.json: files.0.latency.0.latency_ms"):
        write_report(run_dir)
