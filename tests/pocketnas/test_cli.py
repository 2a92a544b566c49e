"""The command line as a program: help that starts at once, JSON that another program can read, refusals in one line."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import Done, answer, program, refused
from sample_tables import table_info

from latency.opspec import EMPTY, OpSpec
from latency.table import LatencyTable, TableRow
from search.architecture import Architecture, assemble
from search.space import SearchSpace, load_space

DEMO = load_space("demo")
PUBLISHED = {
    "proxyless-mobile": (4_080_512, 320_427_584),
    "proxyless-cpu": (4_361_648, 439_243_864),
    "proxyless-gpu": (7_119_848, 465_260_160),
    "proxyless-mobile-14": (6_857_568, 580_883_408),
}
EVERY_HELP = """
import sys
import typer
from pocketnas.cli import app

def walk(command, words):
    yield words
    for name, inner in getattr(command, "commands", {}).items():
        yield from walk(inner, [*words, name])

root = typer.main.get_command(app)
for words in walk(root, []):
    try:
        app([*words, "--help"])
    except SystemExit as end:
        print("HELP", end.code, *words)
print("HEAVY", *[name for name in HEAVY if name in sys.modules])
"""
REFUSED_WITHOUT_TORCH = """
import sys
from pocketnas.cli import main

try:
    main()
except SystemExit as end:
    print(end.code, "torch" in sys.modules)
"""
HEAVY = ("torch", "tensorflow", "executorch", "onnx", "onnx2tf", "ai_edge_litert", "pandas", "pyarrow", "matplotlib")
HEAVY += ("numpy",)


def installed(*words: str | Path) -> Done:
    """The installed program, in a process of its own."""
    script = Path(sys.executable).with_name("pocketnas")
    start = [script] if script.exists() else [sys.executable, "-c", "from pocketnas.cli import main; main()"]
    done = subprocess.run(
        [str(part) for part in (*start, *words)], capture_output=True, text=True, timeout=120, check=False
    )
    return Done(done.returncode, done.stdout, done.stderr)


def write_table(path: Path, space: SearchSpace) -> LatencyTable:
    info = table_info(space)
    drawn = random.Random(0)
    rows = {}
    for op in space.op_specs():
        ms = 0.01 if op == EMPTY else drawn.uniform(0.02, 0.4)
        rows[op] = TableRow(ms, ms * 1.02, ms * 1.1, ms * 0.9, ms * 1.3, 400, 20)
    table = LatencyTable(info, rows)
    table.save(path)
    return table


@pytest.fixture
def net(tmp_path: Path) -> Path:
    choices = [len(edge.candidates) - 1 if n % 3 == 1 else n % 4 for n, edge in enumerate(DEMO.edges)]
    assemble(DEMO, choices, "some net").save(tmp_path / "net.json")
    return tmp_path / "net.json"


def test_every_command_has_help_and_none_imports_what_it_does_not_need_yet() -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"HEAVY = {HEAVY}\n{EVERY_HELP}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    helped = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("HELP ")]
    assert {status for status, *_ in helped} == {"0"}
    commands = {" ".join(words) for _, *words in helped}
    assert {"demo", "run", "bench", "predict", "search", "train", "export", "rebench", "zoo", "report"} <= commands
    assert {"table build", "table show", "runner build", "data fetch"} <= commands
    assert done.stdout.splitlines()[-1] == "HEAVY"


def test_a_wrong_configuration_is_refused_before_torch_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "wrong.toml").write_text('nmae = "x"\n')
    done = subprocess.run(
        [sys.executable, "-c", REFUSED_WITHOUT_TORCH, "run", tmp_path / "wrong.toml"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "name: Field required" in done.stderr
    assert done.stdout == "2 False\n"


def test_the_installed_program_helps_answers_and_refuses() -> None:
    helped = installed("--help")
    assert (helped.returncode, helped.stderr) == (0, "")
    assert "Usage:" in helped.stdout
    answered = installed("zoo", "proxyless-cpu", "--json")
    assert (answered.returncode, answered.stderr) == (0, "")
    assert json.loads(answered.stdout)["macs"] == PUBLISHED["proxyless-cpu"][1]
    refused = installed("zoo", "proxyless")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("pocketnas: the zoo has no 'proxyless'")
    assert len(refused.stderr.splitlines()) == 1


def test_help_on_search_says_where_the_options_of_a_search_are() -> None:
    assert "pocketnas search run --help" in " ".join(program("search", "--help").stdout.split())
    assert "--max-ms" in program("search", "run", "--help").stdout


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_published_nets_have_the_published_size(name: str) -> None:
    about = answer("zoo", name, "--json")
    assert set(about) >= {"name", "params", "macs", "blocks"}
    assert (about["name"], about["params"], about["macs"]) == (name, *PUBLISHED[name])
    assert sum(block["macs"] for block in about["blocks"]) == about["macs"]
    assert sum(block["params"] for block in about["blocks"]) == about["params"]
    names = OpSpec.__dataclass_fields__
    ops = tuple(OpSpec.from_dict({key: block[key] for key in names if key in block}) for block in about["blocks"])
    assert Architecture(name, ops).macs == about["macs"], "the blocks are a whole net"


def test_the_zoo_lists_what_it_holds() -> None:
    zoo = answer("zoo", "--json")
    assert set(PUBLISHED) <= {net["name"] for net in zoo["architectures"]}
    assert {space["name"]: space["architectures"] for space in zoo["spaces"]}["mobile"] == 6**6 * 7**15
    plain = program("zoo")
    assert plain.returncode == 0
    assert all(name in plain.stdout for name in (*PUBLISHED, "demo", "mobile", "mobile-24"))


def test_a_space_is_shown_in_full() -> None:
    about = answer("zoo", "mobile", "--json")
    assert about["name"] == "mobile"
    assert program("zoo", "mobile").returncode == 0
    example = Path(__file__).parents[2] / "examples" / "mobilenetv3_like_space.toml"
    shown = program("zoo", f"{example}@x0.75")
    assert shown.returncode == 0
    assert all(word in shown.stdout for word in ("mb3_3x3_se0.25", "hswish", "24 to 32"))
    assert answer("zoo", "mobile@x0.75@192", "--json")["width_multiplier"] == 0.75


def test_predict_adds_up(tmp_path: Path, net: Path) -> None:
    table = write_table(tmp_path / "table.parquet", DEMO)
    said = answer("predict", "-t", tmp_path / "table.parquet", "-a", net, "--json")
    assert said["architecture"] == "some net"
    ops = Architecture.load(net).ops
    assert [block["op"] for block in said["blocks"]] == [op.key for op in ops]
    assert said["invocation_ms"] == table.invocation_ms
    total = said["invocation_ms"] + sum(block["latency_ms"] for block in said["blocks"])
    assert said["latency_ms"] == pytest.approx(total, rel=1e-12)
    assert said["low_ms"] < said["latency_ms"] < said["high_ms"]
    assert all((block["latency_ms"] == 0) == block["op"].startswith("zero") for block in said["blocks"])
    plain = program("predict", "-t", tmp_path / "table.parquet", "-a", net)
    assert plain.returncode == 0
    assert f"{said['latency_ms']:.4f}" in plain.stdout


def test_a_table_is_shown_whole(tmp_path: Path) -> None:
    table = write_table(tmp_path / "table.parquet", DEMO)
    said = answer("table", "show", tmp_path / "table.parquet", "--json")
    assert len(said["rows"]) == len(table.rows)
    assert said["info"]["space"] == "demo"
    plain = program("table", "show", tmp_path / "table.parquet")
    assert plain.returncode == 0
    assert all(op.key in plain.stdout for op in table.rows)


def test_predict_refuses_a_table_of_another_space(tmp_path: Path) -> None:
    write_table(tmp_path / "table.parquet", DEMO)
    line = refused("predict", "-t", tmp_path / "table.parquet", "-a", "proxyless-mobile")
    assert "does not cover architecture proxyless-mobile" in line
    assert "pocketnas table build" in line


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("zoo proxyless", "the zoo has no 'proxyless'; it has mobilenet-v2, proxyless-cifar10, proxyless-cpu"),
        ("bench none.tflite", "none.tflite does not exist"),
        ("bench none.pte", "none.pte does not exist"),
        ("bench notes.txt", "notes.txt is neither a .tflite nor a .pte file"),
        ("bench . ", ". is neither a .tflite nor a .pte file"),
        ("bench none.tflite -d R58M123", "none.tflite does not exist"),
        ("predict -t none.parquet -a proxyless-cpu", "table none.parquet does not exist"),
        ("predict -t none.parquet -a proxyless", "unknown architecture 'proxyless'; known: mobilenet-v2"),
        ("predict -t none.parquet -a none.json", "architecture none.json does not exist"),
        ("table show none.parquet", "table none.parquet does not exist"),
        ("table build", "what to build?"),
        ("table build --space moble --out t.parquet", "unknown space 'moble'; known: demo, mobile, mobile-24"),
        ("table build --space none.toml --out t.parquet", "space none.toml does not exist"),
        ("table build --space demo --out t.csv", "--out t.csv: a table is a .parquet file"),
        (
            "table build --space demo --out t.parquet --runtime onnx",
            "unknown runtime 'onnx'; known: tflite, executorch",
        ),
        ("table build --space demo --out t.parquet -d tcp:pixel", "'tcp:pixel' is no address: give tcp:HOST:PORT"),
        ("table build none --space demo", "give either a run or --space, --out, --device and what to build, not both"),
        ("run none.toml", "config none.toml does not exist"),
        ("run none.toml --resume", "config none.toml does not exist"),
        ("search none", "config none does not exist"),
        ("train none", "config none does not exist"),
        ("report .", ". holds no run (no config.toml)"),
        ("data fetch mnist", "unknown data set 'mnist'; known: fashion-mnist"),
    ],
)
def test_what_does_not_exist_is_named_in_one_line(
    words: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in refused(*words.split())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words", ["", "nosuch", "bench", "bench x.tflite --threads 0", "bench x.tflite --processes many", "zoo --nosuch"]
)
def test_wrong_usage_ends_with_status_2_and_no_traceback(words: str) -> None:
    done = program(*words.split())
    assert done.returncode == 2
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize("suffix", [".tflite", ".pte"])
@pytest.mark.parametrize(
    "content", [b"", b"\0" * 4000, random.Random(0).randbytes(4000)], ids=["empty", "zeros", "noise"]
)
def test_a_file_that_is_no_model_is_refused(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"garbage{suffix}"
    path.write_bytes(content)
    done = program("bench", path, "--processes", "1", "-d", "local")
    assert done.returncode in (1, 2)
    (line,) = done.stderr.splitlines()
    assert line.startswith("pocketnas: ")
    assert f"garbage{suffix}" in line


@pytest.mark.parametrize("share", [0.2, 0.9, 0.999])
def test_a_truncated_table_is_refused(tmp_path: Path, net: Path, share: float) -> None:
    path = tmp_path / "table.parquet"
    write_table(path, DEMO)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    assert "cannot be read" in refused("predict", "-t", path, "-a", net)
    assert "cannot be read" in refused("table", "show", path)


def test_a_truncated_architecture_is_refused(tmp_path: Path, net: Path) -> None:
    write_table(tmp_path / "table.parquet", DEMO)
    net.write_bytes(net.read_bytes()[:300])
    assert "is not valid JSON" in refused("predict", "-t", tmp_path / "table.parquet", "-a", net)


def test_something_in_the_way_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    line = refused("demo", "--runs", tmp_path / "runs", status=1)
    assert str(tmp_path / "runs") in line
