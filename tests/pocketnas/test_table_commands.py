"""`pocketnas table check`, `diff`, `show --html`, `import`, `export`, and tables by their published name."""

import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from command_line import answer, program, refused
from sample_tables import linear_model, measured_table, row

from latency.library import load_table
from latency.opspec import OpSpec
from latency.table import LatencyTable
from search.space import load_space
from search.zoo import load_zoo

DEMO = load_space("demo")
BLOCK = DEMO.edges[1].candidates[0]
LAYERS = """
Conv-input:224x224x3-output:112x112x32: {count: 982, mean: 4.08, var: 0.25}
expanded_conv-input:112x112x16-output:56x56x24-expand:3-kernel:3-stride:2-idskip:0: {count: 164, mean: 6.24, var: 0.07}
"""


@pytest.fixture
def good(tmp_path: Path) -> Path:
    measured_table(DEMO).save(tmp_path / "good.parquet")
    return tmp_path / "good.parquet"


@pytest.fixture
def faulty(tmp_path: Path) -> Path:
    """Three faults: a row that is missing, one that is unstable, and the same does less work than a faster one."""
    table = measured_table(DEMO)
    missing = DEMO.edges[0].candidates[2]
    rows = {op: each for op, each in table.rows.items() if op != missing}
    rows[BLOCK] = row(rows[BLOCK].latency_ms * 4, high=1.2)
    LatencyTable(table.info, rows).save(tmp_path / "faulty.parquet")
    return tmp_path / "faulty.parquet"


def test_check_passes_a_good_table(good: Path) -> None:
    done = program("table", "check", good)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "41 rows, all of space demo, nothing to find fault with\n"


def test_check_names_every_fault_in_a_line_and_ends_with_1(faulty: Path) -> None:
    done = program("table", "check", faulty)
    assert (done.returncode, done.stderr) == (1, "")
    *findings, verdict = done.stdout.splitlines()
    assert [line.split()[0] for line in findings] == ["missing", "unstable", "implausible"]
    assert DEMO.edges[0].candidates[2].key in findings[0]
    assert all(BLOCK.key in line for line in findings[1:])
    assert verdict == "3 findings in 40 rows"


def test_check_says_the_same_to_programs(faulty: Path, good: Path) -> None:
    done = program("table", "check", faulty, "--json")
    assert done.returncode == 1
    said = json.loads(done.stdout)
    assert [finding["kind"] for finding in said["findings"]] == ["missing", "unstable", "implausible"]
    assert said["findings"][1]["figures"]["high_over_latency"] == pytest.approx(1.2)
    assert (said["rows"], said["space"], said["coverage_not_checked"]) == (40, "demo", None)
    assert answer("table", "check", good, "--json")["findings"] == []


def test_check_says_what_it_could_not_look_for(tmp_path: Path) -> None:
    table = measured_table(DEMO, space="of my own", space_fingerprint="0" * 64)
    table.save(tmp_path / "own.parquet")
    done = program("table", "check", tmp_path / "own.parquet")
    assert done.returncode == 0
    assert "missing rows are not looked for: the table is of a space of my own that does not come with" in done.stderr
    assert done.stdout == "41 rows, nothing to find fault with\n"
    assert "is of another space than demo" in refused("table", "check", tmp_path / "own.parquet", "--space", "demo")


def test_check_takes_a_space_from_a_file(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "search" / "spaces" / "demo.toml").read_text()
    (tmp_path / "mine.toml").write_text(
        text.replace('name = "demo"', 'name = "mine"').replace("width = 16", "width = 24")
    )
    mine = load_space(str(tmp_path / "mine.toml"))
    measured_table(mine).save(tmp_path / "mine.parquet")
    said = answer("table", "check", tmp_path / "mine.parquet", "--space", tmp_path / "mine.toml", "--json")
    assert (said["space"], said["findings"]) == ("mine", [])


def test_diff_prints_what_it_found(good: Path, tmp_path: Path) -> None:
    table = measured_table(DEMO, seed=1, device="R58M")
    rows = {op: row(2 * each.latency_ms) for op, each in table.rows.items()}
    rows[BLOCK] = row(9 * table.rows[BLOCK].latency_ms)
    LatencyTable(table.info, rows).save(tmp_path / "other.parquet")
    said = answer("table", "diff", good, tmp_path / "other.parquet", "--json")
    assert said["rows_compared"] == 41
    assert said["median_ratio"] == pytest.approx(2, rel=0.02)
    assert (said["within_3_percent"], said["rows"][0]["op"]) == (0.0, BLOCK.key)
    assert said["within_3_percent_of_median"] > 0.9
    assert said["rank_correlation"] > 0.9
    assert {"field": "device", "first": "local", "second": "R58M"} in said["provenance"]
    done = program("table", "diff", good, tmp_path / "other.parquet")
    assert done.returncode == 0
    for words in ("41 rows compared", "median ratio", "rank correlation", BLOCK.key, "R58M"):
        assert words in done.stdout


def test_a_row_from_several_copies_says_so_wherever_it_is_shown(good: Path, tmp_path: Path) -> None:
    table = load_table(good)
    repeated = replace(table.rows[BLOCK], copies=8, p10_ms=None, p90_ms=None)
    some = tmp_path / "some.parquet"
    LatencyTable(table.info, {**table.rows, BLOCK: repeated}).save(some)
    assert program("table", "check", some).returncode == 0
    assert [each["copies"] for each in answer("table", "show", some, "--json")["rows"]].count(8) == 1
    assert "copies" not in answer("table", "show", good, "--json")["rows"][0]
    assert "copies" in program("table", "show", some).stdout
    assert "copies" not in program("table", "show", good).stdout
    assert program("table", "show", some, "--html", tmp_path / "t.html").returncode == 0
    assert "copies" in (tmp_path / "t.html").read_text()
    assert answer("table", "diff", good, some, "--json")["measured_otherwise"] == [BLOCK.key]
    said = program("table", "diff", good, some).stdout
    assert f"1 from several copies of the operator in one table only: {BLOCK.key}\n" in said
    assert program("table", "export", some, "--format", "csv", "--out", tmp_path / "t.csv").returncode == 0
    assert program("table", "import", tmp_path / "t.csv", "--out", tmp_path / "again.parquet").returncode == 0
    assert load_table(tmp_path / "again.parquet") == load_table(some)


def test_diff_refuses_tables_that_share_nothing(good: Path, tmp_path: Path) -> None:
    (tmp_path / "lut.yaml").write_text(LAYERS)
    program("table", "import", tmp_path / "lut.yaml", "--out", tmp_path / "lut.parquet")
    assert "have no operator in common" in refused("table", "diff", good, tmp_path / "lut.parquet")


class Page(HTMLParser):
    """What a page holds: its words, its tags, and whether every tag was closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.said, self.tags = "", list[tuple[str, dict[str, str | None]]]()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.said += data + "\n"


def page_of(table: str | Path, out: Path) -> Page:
    done = program("table", "show", table, "--html", out)
    assert done.returncode == 0, done.stderr
    return Page(out.read_text())


def test_show_writes_a_page_that_loads_nothing(faulty: Path, tmp_path: Path) -> None:
    page = page_of(faulty, tmp_path / "t.html")
    policies = [attributes["content"] for tag, attributes in page.tags if tag == "meta" and "http-equiv" in attributes]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"]
    assert not {"script", "img", "link", "iframe"} & {tag for tag, _ in page.tags}
    assert not [name for _, attributes in page.tags for name in attributes if name in ("src", "href")]
    table = LatencyTable.load(faulty)
    assert [op.key for op in table.rows if op.key not in page.said] == []
    assert "space demo offers it and the table has no row" in page.said
    assert "device_fingerprint" in page.said
    assert sum(tag == "svg" for tag, _ in page.tags) == 2, "one for a desktop, one for a phone"


def test_the_page_of_the_published_model_says_where_it_comes_from(tmp_path: Path) -> None:
    page = page_of("pixel1", tmp_path / "t.html")
    for words in ("mobile on Pixel 1", "Apache-2.0", "Google Research Authors", "place 22", "zero_s1_32-32_r56@3"):
        assert words in page.said


def test_what_stands_in_a_table_is_text_on_its_page(tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script>{{7*7}}"
    table = measured_table(DEMO, device=hostile, soc=hostile, space=hostile)
    table.save(tmp_path / "t.parquet")
    page = page_of(tmp_path / "t.parquet", tmp_path / "t.html")
    assert not [tag for tag, _ in page.tags if tag == "script"]
    assert hostile in page.said


def test_what_stands_in_a_table_moves_no_cursor(good: Path, tmp_path: Path) -> None:
    hostile = "a\x1b[2Jb\nzzz"
    measured_table(DEMO, device_model=hostile, space=hostile).save(tmp_path / "t.parquet")
    (tmp_path / "t.csv").write_text(f"# PocketNAS latency table\n# x{hostile[:-4]}: 1\n")
    for words in (
        ("table", "show", tmp_path / "t.parquet"),
        ("table", "diff", good, tmp_path / "t.parquet"),
        ("table", "check", tmp_path / "t.parquet"),
        ("table", "import", tmp_path / "t.csv", "--out", tmp_path / "no.parquet"),
    ):
        done = program(*words)
        assert "\x1b" not in done.stdout + done.stderr
        assert "\nzzz" not in done.stdout


def test_a_page_is_not_written_for_more_rows_than_anyone_reads(tmp_path: Path) -> None:
    table = measured_table(DEMO)
    many = {OpSpec("mbconv", number, 8, 3, 3, 1, 7): row(1.0) for number in range(1, 5001)}
    LatencyTable(table.info, {**table.rows, **many}).save(tmp_path / "t.parquet")
    assert "a page shows at most 5000" in refused(
        "table", "show", tmp_path / "t.parquet", "--html", tmp_path / "t.html"
    )
    assert not (tmp_path / "t.html").exists()


def test_a_published_table_stands_wherever_a_table_does(tmp_path: Path) -> None:
    said = answer("predict", "-t", "pixel1", "-a", "proxyless-mobile", "--json")
    assert said["latency_ms"] == 84.41624071449041
    assert (said["low_ms"], said["high_ms"]) == (None, None)
    plain = program("predict", "-t", "pixel1", "-a", "proxyless-mobile").stdout
    assert "interval not known" in plain
    assert "(constant)" in plain
    assert len(answer("table", "show", "pixel1", "--json")["rows"]) == 148
    assert "pixel1: " not in refused(
        "table", "export", "pixel1", "--format", "proxylessnas", "--out", tmp_path / "x.yaml"
    )
    assert program("table", "check", "pixel1").returncode == 0
    assert "does not cover architecture proxyless-cpu" in refused("predict", "-t", "pixel1", "-a", "proxyless-cpu")


def test_import_says_what_it_took_and_what_it_left_out(tmp_path: Path) -> None:
    uneven = "expanded_conv-input:28x28x48-output:28x28x48-expand:250-kernel:3-stride:1-idskip:1-se:0-hs:1"
    block = "expanded_conv-input:28x28x48-output:28x28x48-expand:288-kernel:3-stride:1-idskip:1-se:0-hs:0"
    (tmp_path / "ofa.yaml").write_text("".join(f"{key}: {{mean: 1.0}}\n" for key in (uneven, block)))
    words = ("--source", "somebody's own", "--licence", "MIT")
    done = program("table", "import", tmp_path / "ofa.yaml", "--out", tmp_path / "t.parquet", *words)
    assert done.returncode == 0
    assert done.stderr == "left out: 1 of ofa.yaml, a block whose expansion is no whole number\n"
    assert "1 rows (what operators add) of no stated space on an unknown device (imported, ofa)" in done.stdout
    info = answer("table", "show", tmp_path / "t.parquet", "--json")["info"]
    assert info["source"] == {"format": "ofa", "text": "somebody's own", "licence": "MIT", "times": "mean"}
    assert program("table", "show", tmp_path / "t.parquet").returncode == 0


def test_import_takes_a_linear_model_of_tunas(tmp_path: Path) -> None:
    mobile, net = load_space("mobile"), load_zoo("proxyless-mobile").architecture
    (tmp_path / "model.json").write_text(json.dumps(linear_model(mobile)))
    words = ("--source", "a test's own", "--licence", "MIT")
    done = program("table", "import", tmp_path / "model.json", "--out", tmp_path / "t.parquet", *words)
    assert (done.returncode, done.stderr) == (0, "")
    assert "148 rows (what operators add) of mobile on an unknown device (imported, tunas)" in done.stdout
    info = answer("table", "show", tmp_path / "t.parquet", "--json")["info"]
    assert info["source"] == {
        "format": "tunas", "text": "a test's own", "licence": "MIT", "times": "regression weight"
    }  # fmt: skip
    before, weights = 3, [0.0]
    for edge, op in zip(mobile.edges, net.ops[2:], strict=False):
        weights.append(0.5 * (before + edge.candidates.index(op)))
        before += len(edge.candidates)
    said = answer("predict", "-t", tmp_path / "t.parquet", "-a", "proxyless-mobile", "--json")
    assert said["latency_ms"] == 92.0 + sum(weights)
    assert program("table", "check", tmp_path / "t.parquet").returncode == 0


def test_export_and_import_come_back_to_the_same_table(good: Path, tmp_path: Path) -> None:
    for name, format in (("t.csv", "csv"), ("t.yaml", "proxylessnas")):
        assert program("table", "export", good, "--format", format, "--out", tmp_path / name).returncode == 0
        done = program("table", "import", tmp_path / name, "--space", "demo", "--out", tmp_path / "again.parquet")
        assert done.returncode == 0, done.stderr
        said = answer("table", "diff", good, tmp_path / "again.parquet", "--json")
        assert (said["p5_ratio"], said["p95_ratio"]) == pytest.approx((1, 1), rel=1e-9), format
    assert load_table(good) == load_table(good)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("table check pixel2", "unknown table 'pixel2'; known: pixel1, or the path of a .parquet file"),
        ("table check none.parquet", "table none.parquet does not exist"),
        (
            "table check lut.yaml",
            "lut.yaml is no .parquet file; make a table of it first: pocketnas table import lut.yaml",
        ),
        ("table check good.parquet --space moble", "unknown space 'moble'; known: demo, mobile, mobile-24"),
        ("table check good.parquet --space mobile", "is of another space than mobile; give its own with --space"),
        ("table diff good.parquet none.parquet", "table none.parquet does not exist"),
        ("table diff good.parquet pixel1", "holds weights of a linear model, which are no times"),
        ("table show good.parquet --html t.html --json", "give either --json or --html, not both"),
        ("table import none.yaml --out t.parquet", "table none.yaml does not exist"),
        ("table import lut.yaml --out t.csv", "--out t.csv: a table is a .parquet file"),
        (
            "table import lut.yaml --out t.parquet --format xml",
            "unknown format 'xml'; known: auto, proxylessnas, ofa, t",
        ),
        ("table import lut.yaml --out t.parquet --format tunas", "table lut.yaml is not valid JSON"),
        ("table import lut.yaml --out t.parquet --format csv", "table lut.yaml is a CSV file, but not a latency table"),
        (
            "table import lut.yaml --out t.parquet --space mobile",
            "does not cover space mobile: 69 operators have no row",
        ),
        ("table import code.yaml --out t.parquet", "the tag tag:yaml.org,2002:python/object/apply:os.system; a table"),
        ("table import bomb.yaml --out t.parquet", "the anchor &a; a table repeats nothing by reference"),
        ("table import nan.yaml --out t.parquet", "mean is '.nan', which is no number"),
        ("table import negative.yaml --out t.parquet", "mean is '-3'; a time is a number of milliseconds above 0"),
        ("table import seconds.csv --out t.parquet", "holds latency_s, seconds; a table is in milliseconds"),
        ("table import good.parquet --out t.parquet", "the name of good.parquet does not say what it holds"),
        (
            "table import lut.yaml --out t.parquet --licence " + "x" * 300,
            "the licence of lut.yaml: String should have at m",
        ),
        ("table export good.parquet --out t.xml --format xml", "unknown format 'xml'; known: csv, proxylessnas"),
        ("table export pixel1 --out t.yaml --format proxylessnas", "has rows of single places"),
        ("table export truncated.parquet --out t.csv", "table truncated.parquet cannot be read"),
        ("predict -t truncated.parquet -a proxyless-mobile", "table truncated.parquet cannot be read"),
    ],
)
def test_wrong_input_is_one_clear_line(
    words: str, message: str, good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    key = "expanded_conv-input:112x112x16-output:56x56x24-expand:3-kernel:3-stride:2-idskip:0"
    files = {
        "lut.yaml": LAYERS,
        "code.yaml": f"{key}: !!python/object/apply:os.system ['touch hacked']",
        "bomb.yaml": "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
        "nan.yaml": f"{key}: {{mean: .nan}}",
        "negative.yaml": f"{key}: {{mean: -3}}",
        "seconds.csv": "kind,in_channels,out_channels,kernel,latency_s\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "truncated.parquet").write_bytes(good.read_bytes()[:-200])
    before = sorted(tmp_path.iterdir())
    assert message in refused(*words.split())
    assert sorted(tmp_path.iterdir()) == before, "nothing was written, and no code was run"
