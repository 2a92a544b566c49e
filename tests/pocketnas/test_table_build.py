"""`pocketnas table build`: one call for several settings, gone on with, here and side by side with a phone."""

import itertools
from pathlib import Path

import pytest
from calling import Caller, Done
from command_line import program, refused
from hypothesis import given, settings
from hypothesis import strategies as st
from lookalike.fixtures import AdbServer
from lookalike.lookalike import Lookalike
from small_runs import MINI

from android_bench.reasons import Reason
from android_bench.store import SampleStore
from latency.opspec import EMPTY
from latency.table import LatencyTable
from pocketnas.table_settings import AskedSettings, settings_of
from pocketnas_base.artifact import RUNTIMES
from pocketnas_base.errors import InputError
from search.space import load_space

DEMO = load_space("demo")


@pytest.fixture
def mini(tmp_path: Path) -> Path:
    """A space of six operators, one of them the empty model."""
    (tmp_path / "mini.toml").write_text(MINI)
    return tmp_path / "mini.toml"


def test_one_table_of_every_combination_in_the_order_given() -> None:
    asked = AskedSettings(("executorch,tflite",), ("fp32",), ("1", "4"), ("32, 28",))
    assert [setting.name for setting in settings_of(DEMO, asked)] == [
        "executorch-fp32-1t-32px",
        "executorch-fp32-1t-28px",
        "executorch-fp32-4t-32px",
        "executorch-fp32-4t-28px",
        "tflite-fp32-1t-32px",
        "tflite-fp32-1t-28px",
        "tflite-fp32-4t-32px",
        "tflite-fp32-4t-28px",
    ]
    assert [setting.space.name for setting in settings_of(DEMO, asked)[:2]] == ["demo@32", "demo"]


def test_left_out_is_tflite_in_fp32_on_one_thread_at_the_spaces_own_resolution() -> None:
    (setting,) = settings_of(DEMO, AskedSettings())
    assert (setting.name, setting.space) == ("tflite-fp32-1t-28px", DEMO)


@settings(max_examples=100, deadline=None)
@given(
    threads=st.lists(st.integers(1, 64), min_size=1, max_size=4, unique=True),
    pixels=st.lists(st.integers(4, 400), min_size=1, max_size=4, unique=True),
    joined=st.booleans(),
)
def test_names_tell_settings_apart_and_words_say_them_again(
    threads: list[int], pixels: list[int], joined: bool
) -> None:
    texts = [tuple(map(str, values)) for values in (threads, pixels)]
    if joined:
        texts = [(",".join(values),) for values in texts]
    asked = AskedSettings(("tflite",), ("fp32,int8",), *texts)
    found = settings_of(DEMO, asked)
    assert len({setting.name for setting in found}) == len(found) == 2 * len(threads) * len(pixels)
    words = asked.words()
    assert words[words.index("--precision") + 1] == "fp32,int8"
    assert [word for option, word in itertools.pairwise(words) if option == "--threads"] == list(texts[0])


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (AskedSettings(runtimes=("tflite,onnx",)), "unknown runtime 'onnx'; known: tflite, executorch"),
        (AskedSettings(precisions=("fp16",)), "unknown precision 'fp16'; known: fp32, int8"),
        (AskedSettings(threads=("0",)), "--threads 0: give a number from 1 to 64"),
        (AskedSettings(threads=("1", "65")), "--threads 65: give a number from 1 to 64"),
        (AskedSettings(threads=("-1",)), "--threads -1: give a whole number"),
        (AskedSettings(threads=("1.5",)), "--threads 1.5: give a whole number"),
        (AskedSettings(threads=("9" * 5000,)), "give a whole number"),
        (AskedSettings(threads=("two",)), "--threads two: give a whole number"),
        (AskedSettings(threads=("1,,2",)), "--threads 1,,2: a value is missing"),
        (AskedSettings(runtimes=("",)), "--runtime : a value is missing"),
        (AskedSettings(resolutions=("0",)), "space demo takes images of 4 to 4096 px, not of 0"),
        (AskedSettings(resolutions=("192", "5000")), "space demo takes images of 4 to 4096 px, not of 5000"),
        (AskedSettings(resolutions=("192x192",)), "--resolution 192x192: give a whole number"),
        (AskedSettings(threads=("1", "2", "1")), "--threads 1 is given twice; one table is built of each setting"),
        (AskedSettings(threads=("1,01",)), "--threads 1 is given twice"),
        (AskedSettings(runtimes=("tflite", "tflite")), "--runtime tflite is given twice"),
        (AskedSettings(precisions=("int8,int8",)), "--precision int8 is given twice"),
        (AskedSettings(resolutions=("64", "28,64")), "--resolution 64 is given twice"),
    ],
)
def test_a_setting_that_makes_no_sense_is_one_line(asked: AskedSettings, message: str) -> None:
    with pytest.raises(InputError) as caught:
        settings_of(DEMO, asked)
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--space demo --out t.parquet --threads 65", "--threads 65: give a number from 1 to 64"),
        ("--space mobile --out t.parquet --resolution 16", "space mobile takes images of 32 to 4096 px, not of 16"),
        ("--space mobile@16 --out t.parquet", "space mobile takes images of 32 to 4096 px, not of 16"),
        ("--space demo --out t.parquet --precision int4", "unknown precision 'int4'; known: fp32, int8"),
        ("--space demo --out t.parquet --runtime tflite,tflite", "--runtime tflite is given twice"),
        ("--space demo --out t.csv --threads 1,2", "--out t.csv: a table is a .parquet file"),
        ("some_run --threads 2", "give either a run or --space, --out, --device and what to build, not both"),
        ("some_run --processes 3", "as its configuration says (table.processes, tolerate)"),
        ("some_run --tolerate thermal", "as its configuration says (table.processes, tolerate)"),
        ("some_run --runner benchmark_model=tool", "by our own runner; leave --processes"),
        ("some_run --delegate gpu", "by our own runner; leave --processes"),
    ],
)
def test_the_command_line_refuses_it_and_leaves_nothing(
    words: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in refused("table", "build", *words.split())
    assert list(tmp_path.iterdir()) == []


def names(folder: Path, suffix: str) -> list[str]:
    return sorted(path.name for path in folder.glob(f"*{suffix}"))


def measured(path: Path) -> int:
    with SampleStore.open(path) as store:
        return sum(len(store.readings(session.key)) for session in store.sessions())


def test_several_settings_make_a_table_each_and_a_second_call_measures_nothing_again(
    mini: Path, tmp_path: Path
) -> None:
    words = ("table", "build", "--space", mini, "--out", tmp_path / "t.parquet", "--processes", "2", "-d", "local",
             "--runtime", "tflite", "--runtime", "executorch", "--precision", "fp32,int8",
             "--resolution", "24")  # fmt: skip
    done = program(*words)
    assert done.returncode == 0, done.stderr
    stems = [f"t.{runtime}-{precision}-1t-24px" for runtime in RUNTIMES for precision in ("fp32", "int8")]
    assert names(tmp_path, ".parquet") == sorted(f"{stem}.parquet" for stem in stems)
    assert [line.split(": ")[0] for line in done.stdout.splitlines()] == [
        str(tmp_path / f"{stem}.parquet") for stem in stems
    ]
    tables = {stem: LatencyTable.load(tmp_path / f"{stem}.parquet") for stem in stems}
    told = [(table.info.runtime, table.info.precision, table.info.threads) for table in tables.values()]
    assert told == [(runtime, precision, 1) for runtime in RUNTIMES for precision in ("fp32", "int8")]
    space = load_space(f"{mini}@24")
    assert {(table.info.space, table.info.space_fingerprint) for table in tables.values()} == {
        ("mini@24", space.fingerprint)
    }
    assert {len(table.rows) for table in tables.values()} == {7}

    stores = {name: measured(tmp_path / name) for name in names(tmp_path, ".sqlite")}
    assert len(stores) == 4
    assert program(*words).returncode == 0
    assert {name: measured(tmp_path / name) for name in stores} == stores

    at_24 = tmp_path / "t.tflite-int8-1t-24px.parquet"
    covered = program("table", "check", at_24, "--space", f"{mini}@24")
    assert "all of space mini@24" in covered.stdout or "findings in" in covered.stdout
    assert "is of another space than mini;" in refused("table", "check", at_24, "--space", mini)


def test_a_single_setting_keeps_the_name_given_and_precisions_do_not_mix_in_its_samples(
    mini: Path, tmp_path: Path
) -> None:
    words = ("table", "build", "--space", mini, "--out", tmp_path / "t.parquet", "--processes", "2", "-d", "local")
    rows, dates, told = [], [], []
    for precision in ("fp32", "int8", "fp32"):
        done = program(*words, "--precision", precision)
        assert done.returncode == 0, done.stderr
        table = LatencyTable.load(tmp_path / "t.parquet")
        assert table.info.precision == precision
        rows.append(dict(table.rows))
        dates.append(table.info.date_utc)
        told.append(f"all measurements come from {tmp_path / 't.sqlite'}, taken on " in done.stderr)
    assert names(tmp_path, ".parquet") == ["t.parquet"]
    assert rows[0] == rows[2], "the samples of the first call, and none of the second"
    assert rows[0] != rows[1]
    assert dates[0] == dates[2] < dates[1], "a table is as old as its samples"
    assert told == [False, False, True]


def test_a_row_says_how_many_of_its_samples_were_void(mini: Path, tmp_path: Path) -> None:
    words = ("table", "build", "--space", mini, "--out", tmp_path / "t.parquet", "--processes", "2", "-d", "local")
    assert program(*words).returncode == 0
    assert {row.void_samples for row in LatencyTable.load(tmp_path / "t.parquet").rows.values()} == {None}
    with SampleStore.open(tmp_path / "t.sqlite") as store:
        (first, *_) = [session.key for session in store.sessions()]
        taken = [reading for reading in store.readings(first) if reading.role == "job"]
        numbers = [n for n, reading in enumerate(store.readings(first), start=1) if reading.job_id == EMPTY.key]
        lost = sum(reading.runs for reading in taken if reading.job_id == EMPTY.key)
        store.add_voids(numbers, [Reason("rebooted", "it was said to have started anew")])
    assert program(*words).returncode == 0
    rows = LatencyTable.load(tmp_path / "t.parquet").rows
    assert rows[EMPTY].void_samples == lost
    assert {row.void_samples for op, row in rows.items() if op != EMPTY} == {None}


def test_a_setting_that_fails_does_not_lose_the_others(mini: Path, tmp_path: Path) -> None:
    words = ("table", "build", "--space", mini, "--out", tmp_path / "t.parquet", "--processes", "1", "-d", "local")
    done = program(*words, "--threads", "64,1")
    assert done.returncode == 1
    assert names(tmp_path, ".parquet") == ["t.tflite-fp32-1t-16px.parquet"]
    said = done.stderr.splitlines()
    assert any(line.startswith("tflite-fp32-64t-16px: ") for line in said)
    assert said[-1] == "pocketnas: 1 of 2 tables failed: see above; the same call goes on with them"


@pytest.fixture
def call(adb_server: AdbServer, tmp_path_factory: pytest.TempPathFactory) -> Caller:
    return Caller.beside(adb_server, tmp_path_factory.getbasetemp() / "cache")


@pytest.mark.slow
def test_several_settings_on_several_devices_side_by_side(
    call: Caller, phone: Lookalike, mini: Path, tmp_path: Path
) -> None:
    address = f"tcp:{phone.host}:{phone.port}"
    done: Done = call("table", "build", "--space", mini, "--out", tmp_path / "t.parquet", "--processes", "1",
                      "-d", "local", "-d", address, "--precision", "fp32,int8",
                      "--tolerate", "drift")  # fmt: skip  # both measure on this machine, and disturb each other
    assert done.status == 0, done.err
    told = address.replace(":", "_")
    assert names(tmp_path, ".parquet") == sorted(
        f"t.{device}.tflite-{precision}-1t-16px.parquet" for device in ("local", told) for precision in ("fp32", "int8")
    )
    table = LatencyTable.load(tmp_path / f"t.{told}.tflite-int8-1t-16px.parquet")
    assert (table.info.device, table.info.precision) == (address, "int8")
