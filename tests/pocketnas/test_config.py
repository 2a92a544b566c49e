"""Configurations: everything is checked before anything starts, and what is wrong is named by field."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from pocketnas.config import MAX_CONFIG_BYTES, RunConfig, builtin_config, load_config, parse_config
from pocketnas.config_section import Section
from pocketnas_base.errors import InputError

SHORTEST = """
name = "short"
space = "demo"
[data]
source = "fashion-mnist"
holdout = 10000
[search]
target_ms = 2.5
warmup_steps = 0
steps = 10
[train]
steps = 10
"""
EXAMPLES = [
    path for path in sorted((Path(__file__).parents[2] / "examples").rglob("*.toml")) if "[search]" in path.read_text()
]


def refusal(text: str | bytes) -> str:
    with pytest.raises(InputError) as caught:
        parse_config(text.encode() if isinstance(text, str) else text, source="mine.toml")
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert message.startswith("config mine.toml")
    return message


def test_the_shortest_configuration_has_the_papers_settings() -> None:
    config = parse_config(SHORTEST.encode(), source="short")
    assert (config.device, config.seed, config.host_threads) == ("local", 0, None)
    assert (config.table.runtime, config.table.precision, config.table.threads) == ("tflite", "fp32", 1)
    assert config.search.arch_learning_rate == 1e-3
    assert (config.search.mode, config.search.warmup_paths) == ("two-path", "sampled")
    assert (config.search.hold_target, config.search.loss) == (False, "add#linear")
    assert not config.search.derives_at_target
    assert config.export.runtimes == ("tflite", "executorch")


def test_the_demo_that_comes_with_the_product_is_whole() -> None:
    config, text = builtin_config("demo")
    assert parse_config(text, source="demo") == config
    assert (config.name, config.space, config.device) == ("demo", "demo", "local")
    assert config.data.source == "fashion-mnist"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_example_can_be_read(path: Path) -> None:
    config, text = load_config(path)
    assert config.name
    assert text == path.read_bytes()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[search]", "[search", "is not valid TOML: "),
        ("steps = 10", "steps = ", "is not valid TOML: Invalid value (at line"),
        ("[train]", "[train]\nsteps = 5", "is not valid TOML: Cannot overwrite a value"),
        ("steps = 10", "stpes = 10", "search.steps: Field required"),
        ("target_ms = 2.5", "target_ms = 2.5\ntarget = 3", "search.target: Extra inputs are not permitted"),
        ("[train]", "[trian]", "train: Field required"),
        ('space = "demo"', "space = 3", "space: Input should be a valid string"),
        ("steps = 10", 'steps = "many"', "search.steps: Input should be a valid integer"),
        ("steps = 10", "steps = 10.5", "search.steps: Input should be a valid integer"),
        ("steps = 10", 'steps = "10"', "search.steps: Input should be a valid integer"),
        ("steps = 10", "steps = 10.0", "search.steps: Input should be a valid integer"),
        ("[search]", "[search]\nhold_target = 1", "search.hold_target: Input should be a valid boolean"),
        ('name = "short"', 'name = "short"\nseed = true', "seed: Input should be a valid integer"),
        ("[search]", '[baseline]\nmultipliers = ["1"]\n[search]', "baseline.multipliers.0: Input should be a valid"),
        ("steps = 10", "steps = 4", "the 4 steps end before the first architecture step, which follows every 5th"),
        ("[search]", "[search]\nbeta = 0.3", "beta is of loss mul#log; loss add#linear has no use for it"),
        ("[search]", "[search]\nhold_rate = 0.3", "hold_rate is of hold_target = true, and has no say without it"),
        ("[search]", "[compare]\ncandidates = 3\n[search]", "per_update 4 is more than the 3 candidates: none is"),
        ("steps = 10", "steps = 0", "search.steps: Input should be greater than or equal to 1"),
        ("steps = 10", "steps = -1", "search.steps: Input should be greater than or equal to 1"),
        ("steps = 10", "steps = 10\nbatch_size = 1", "search.batch_size: Input should be greater than or equal to 2"),
        ("[data]", '[table]\nprecision = "fp16"\n[data]', "table.precision: Input should be 'fp32' or 'int8'"),
        ("[data]", "[table]\nthreads = 0\n[data]", "table.threads: Input should be greater than or equal to 1"),
        ("[data]", "[table]\nthreads = 65\n[data]", "table.threads: Input should be less than or equal to 64"),
        ("[data]", "[table]\ncalibration = 3\n[data]", "calibration must be auto, 0, or 7 to 1000 networks"),
        ("[data]", "[table]\ncalibration = 1001\n[data]", "calibration must be auto, 0, or 7 to 1000 networks"),
        ("[data]", "[table]\ncalibration = true\n[data]", "calibration must be auto, 0, or 7 to 1000 networks"),
        ("[data]", "[table]\ncalibration = 9.0\n[data]", "calibration must be auto, 0, or 7 to 1000 networks"),
        ("[data]", '[table]\ncalibration = "none"\n[data]', "calibration must be auto, 0, or 7 to 1000 networks"),
        ("[search]", "[search]\nderive = true", "search.derive: Input should be 'argmax' or 'target'"),
        ("[search]", '[search]\nloss = "log"', "search.loss: Input should be 'add#linear', 'mul#log' or 'none'"),
        ("[search]", "[search]\nweight = -0.1", "search.weight: Input should be greater than or equal to 0"),
        ("[search]", "[search]\nweight = inf", "search.weight: Input should be a finite number"),
        ("[search]", "[search]\nlearning_rate = nan", "search.learning_rate: Input should be"),
        ("[search]", '[search]\nhold_target = true\nloss = "none"', "hold_target moves the weight of loss add#linear"),
        (
            "[search]",
            '[search]\nmode = "darts"',
            "search.mode: Input should be 'two-path', 'one-path', 'all-paths', 're",
        ),
        ("[search]", '[search]\nmode = "tunas"\nhold_target = true', "mode tunas has no use for hold_target; it reads"),
        ("[search]", '[search]\nmode = "tunas"\nweight = 0.2', "mode tunas has no use for weight; it reads baseline"),
        ("[search]", '[search]\nmode = "tunas"\nreward_exponent = 1', "mode tunas has no use for reward_exponent"),
        ("[search]", "[search]\nsamples = 5", "mode two-path has no use for samples; it reads beta, hold_rate"),
        ("[search]", '[search]\nmode = "reinforce"\nsamples = 1', "search.samples: Input should be greater than or eq"),
        ("[search]", '[search]\nmode = "tunas"\nreward_beta = 0', "search.reward_beta: Input should be less than 0"),
        ("[search]", '[search]\nwarmup_paths = "even"', "search.warmup_paths: Input should be 'sampled', 'fair' or"),
        ("[search]", "[search]\nmax_ms = 0", "search.max_ms: Input should be greater than 0"),
        ("[search]", '[search]\nmax_ms = 3\nderive = "argmax"', "derive argmax cannot keep max_ms; leave derive out"),
        ("target_ms = 2.5", "", "search: give either target_ms or target_ratio"),
        ("target_ms = 2.5", "target_ms = 2.5\ntarget_ratio = 0.5", "give either target_ms or target_ratio"),
        ("target_ms = 2.5", "target_ms = 0", "search.target_ms: Input should be greater than 0"),
        ("target_ms = 2.5", "target_ms = inf", "search.target_ms: Input should be a finite number"),
        ("target_ms = 2.5", "target_ratio = 11", "search.target_ratio: Input should be less than or equal to 10"),
        ("[search]", '[table]\nruntime = "onnx"\n[search]', "table.runtime: Input should be 'tflite' or 'executorch'"),
        ("[search]", "[table]\nthreads = 0\n[search]", "table.threads: Input should be greater than or equal to 1"),
        ("[search]", "[table]\nprocesses = 9999\n[search]", "table.processes: Input should be less than or equal"),
        ("[search]", "[export]\nruntimes = []\n[search]", "export.runtimes: Tuple should have at least 1 item"),
        (
            "[search]",
            '[export]\nruntimes = ["executorch"]\n[search]',
            "export.runtimes must hold the table's runtime, tflite",
        ),
        (
            "[search]",
            '[table]\nruntime = "executorch"\n'
            '[export]\nruntimes = ["executorch"]\nprecisions = ["fp32", "int8-dynamic"]\n[search]',
            "export: executorch files are not exported in int8-dynamic",
        ),
        ("[search]", '[export]\nlicence = ""\n[search]', "export.licence: String should have at least 1 character"),
        ("[search]", '[export]\nlicence = "a\\u001bb"\n[search]', "licence holds characters that cannot be printed"),
        ("[search]", "[baseline]\nmultipliers = [0]\n[search]", "baseline.multipliers.0: Input should be greater"),
        ("[search]", "[baseline]\nmultipliers = []\n[search]", "baseline.multipliers: Tuple should have at least 1"),
        ("[train]\nsteps = 10", "[train]\nsteps = 10\ndropout = 1.0", "train.dropout: Input should be less than 1"),
        ("holdout = 10000", "holdout = 100", "data.holdout 100 is less than search.batch_size 256: an architecture"),
        ("holdout = 10000", "holdout = 0", "data.holdout: Input should be greater than or equal to 1"),
        ('name = "short"', 'name = "../up"', "name: String should match pattern"),
        ('name = "short"', 'name = "a\\nb"', "name: String should match pattern"),
        ('name = "short"', 'name = ""', "name: String should match pattern"),
        ('name = "short"', 'name = "short"\nseed = -1', "seed: Input should be greater than or equal to 0"),
        ('name = "short"', 'name = "short"\nhost_threads = 0', "host_threads: Input should be greater than"),
    ],
)
def test_what_is_wrong_is_named_by_field(old: str, new: str, message: str) -> None:
    assert old in SHORTEST
    assert message in refusal(SHORTEST.replace(old, new, 1))


@pytest.mark.parametrize(
    ("lines", "held"),
    [
        ("", False),
        ("hold_target = true", True),
        ("max_ms = 3", True),
        ('derive = "target"', True),
        ('hold_target = true\nderive = "argmax"', False),
    ],
)
def test_a_run_that_holds_a_target_or_a_limit_derives_there_unless_told_otherwise(lines: str, held: bool) -> None:
    config = parse_config(SHORTEST.replace("[search]", f"[search]\n{lines}", 1).encode(), source="mine")
    assert config.search.derives_at_target is held


@pytest.mark.parametrize(
    ("lines", "start"),
    [
        ("", "even"),
        ("hold_target = true", "target"),
        ('hold_target = true\nstart = "even"', "even"),
        ('start = "target"', "target"),
    ],
)
def test_a_search_that_is_held_to_the_target_starts_there_unless_told_otherwise(lines: str, start: str) -> None:
    config = parse_config(SHORTEST.replace("[search]", f"[search]\n{lines}", 1).encode(), source="mine")
    assert config.search.starts_at == start


@pytest.mark.parametrize(
    ("line", "calibration"), [("", "auto"), ('"auto"', "auto"), ("0", 0), ("7", 7), ("1000", 1000)]
)
def test_a_table_s_calibration_is_automatic_none_or_a_number(line: str, calibration: str | int) -> None:
    table = f"[table]\ncalibration = {line}\n" if line else ""
    config = parse_config(SHORTEST.replace("[data]", f"{table}[data]", 1).encode(), source="mine")
    assert config.table.calibration == calibration


def keys_of(section: type[Section], name: str = "") -> Iterator[str]:
    """Every key of a configuration, with its sections before it."""
    for key, field in section.model_fields.items():
        inner = [kind for kind in (field.annotation, *get_args(field.annotation)) if isinstance(kind, type)]
        own = next((kind for kind in inner if issubclass(kind, Section)), None)
        # NAME = "DEVICE" is a row of its own kind; what is said of [train.augmentation] holds for the search's too.
        if own is None and key != "devices":
            yield f"{name}{key}"
        elif own is not None and f"{name}{key}" != "search.augmentation":
            yield from keys_of(own, f"{name}{key}.")


def test_every_key_is_on_the_page_of_the_configuration() -> None:
    section, told = "", set()
    for line in (Path(__file__).parents[2] / "docs" / "configuration.md").read_text().splitlines():
        first = line.split("|")[1] if line.startswith("| ") else ""
        if heading := re.fullmatch(r" \*\*`\[(.+)\]`\*\* ", first):
            section = f"{heading[1]}."
        told |= {f"{section}{key}" for key in re.findall(r"`(\w+)`", first)}
    assert sorted(set(keys_of(RunConfig)) - told) == []


def test_devices_have_names_of_ones_own() -> None:
    table = '[devices]\npixel = "tcp:192.168.1.20:5555"\nold-one = "R58M12ABCDE"\n'
    config = parse_config(SHORTEST.replace("[data]", f"{table}[data]", 1).encode(), source="mine")
    assert config.devices == {"pixel": "tcp:192.168.1.20:5555", "old-one": "R58M12ABCDE"}
    assert parse_config(SHORTEST.encode(), source="mine").devices == {}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('local = "R58M"', "devices: local is this machine already; choose another name"),
        ('pixel = "tcp:192.168.1.20"', "devices: pixel: 'tcp:192.168.1.20' is no address"),
        ('pixel = "$(reboot)"', "devices: pixel: '$(reboot)' is no device"),
        ('pixel = ""', "devices: pixel: '' is no device"),
        ("pixel = 5555", "devices.pixel: Input should be a valid string"),
        ('"two words" = "R58M"', "devices.two words.[key]: String should match pattern"),
        ('"7th" = "R58M"', "devices.7th.[key]: String should match pattern"),
        (f'{"x" * 65} = "R58M"', "[key]: String should match pattern"),
    ],
)
def test_a_name_that_stands_for_no_device_is_refused(row: str, message: str) -> None:
    assert message in refusal(SHORTEST.replace("[data]", f"[devices]\n{row}\n[data]", 1))


@pytest.mark.parametrize(
    "content",
    [b"\xff\xfe", b"\x00", b"a = " + b"[" * 100_000, b"{}", b""],
    ids=["not text", "zero", "nested", "json", ""],
)
def test_a_file_that_is_no_configuration_is_refused(content: bytes) -> None:
    assert refusal(content)


def test_a_missing_or_oversized_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"config .*none\.toml does not exist"):
        load_config(tmp_path / "none.toml")
    (tmp_path / "large.toml").write_bytes(b"#" * (MAX_CONFIG_BYTES + 1))
    with pytest.raises(InputError, match=f"at most {MAX_CONFIG_BYTES} are read"):
        load_config(tmp_path / "large.toml")
