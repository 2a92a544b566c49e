"""Latency of whole nets from few measured ones: rank correlation and share within +-10 %, beside ridge and HELP.

A third of the nets of each space is sealed: no phone's readings of them are ever fitted, and every figure but those of
HELP's own test is of them. Measured nets are drawn from the rest, anew for each seed; `transfer` may also use 900 nets
of each other phone, drawn from the rest too; `chosen` lets the predictor say which to measure, of half of the rest.
Ridge is on one-hot operators, its penalty chosen by leave-one-out on the measured nets.

    python benchmarks/few_samples.py ../shared/data/phone_latency --json benchmarks/few_samples.json

The folder holds nasbench201_ms.csv and fbnet_ms.csv (columns arch_str or op_str, and one of milliseconds per phone).
"""

import argparse
import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from record import write_figures
from scipy.stats import spearmanr

from latency.few_samples import FewSamplePredictor, Nets, choose, encode_fbnet, encode_nasbench201, fit

SIZES = {10: 20, 50: 10, 200: 10, 900: 5}  # measured nets: seeds
METHODS = ("ridge", "alone", "transfer", "chosen", "chosen, transfer")
LARGEST_CHOICE = 200
SOURCE_NETS = 900
SEALED_SEED = 20240
# HELP's test (Lee et al., NeurIPS 2021; loader.py of its repository): nets in the order of the data set.
HELP_POOL, HELP_TEST, HELP_SEEDS, HELP_PUBLISHED = 900, 1000, 20, 0.802
HELP_REFERENCE = (11982, 431, 55, 9, 14451, 8636, 9881, 13479, 6196, 1462)  # its hardware_embedding_index.pt
PENALTIES = 10.0 ** np.arange(-2, 4.01, 0.5)

Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
Ints = np.ndarray[tuple[int, ...], np.dtype[np.int64]]


@dataclass(frozen=True)
class Space:
    """A data set: its nets, readings by phone (NaN where not measured), and which nets are sealed."""

    name: str
    nets: Nets
    one_hot: Floats
    readings: dict[str, Floats]
    sealed: Floats

    def measured(self, phone: str, *, sealed: bool) -> Ints:
        return np.flatnonzero(np.isfinite(self.readings[phone]) & (self.sealed == sealed))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder of the two CSV files")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--only-help", action="store_true", help="HELP's own test alone")
    parser.add_argument("--quick", action="store_true", help="two seeds everywhere: to see that it runs")
    arguments = parser.parse_args()
    spaces = read_spaces(arguments.data)
    rows = [
        row
        for space in ([] if arguments.only_help else spaces)
        for phone in space.readings
        for size, seeds in SIZES.items()
        for row in figures(space, phone, size, 2 if arguments.quick else seeds)
    ]
    comparison = against_help(spaces[0], 2 if arguments.quick else HELP_SEEDS)
    if arguments.json:
        write_figures(arguments.json, {"sealed nets": rows, "HELP's test": comparison})


def read_spaces(folder: Path) -> list[Space]:
    """NAS-Bench-201 first."""
    cells = _read(folder / "nasbench201_ms.csv")
    networks = _read(folder / "fbnet_ms.csv")
    nasbench = encode_nasbench201([row["arch_str"] for row in cells])
    fbnet = encode_fbnet([row["op_str"].split() for row in networks])
    written = [re.findall(r"([a-z0-9_]+)~", row["arch_str"]) for row in cells]
    phones = ("pixel2", "samsung_a50", "snapdragon855_cpu", "cortex_a76_cpu")
    return [
        _space("NAS-Bench-201", nasbench, written, cells, phones),
        _space("FBNet", fbnet, [row["op_str"].split() for row in networks], networks, phones[:2]),
    ]


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def _space(
    name: str, nets: Nets, operators: list[list[str]], rows: list[dict[str, str]], phones: Sequence[str]
) -> Space:
    sealed = np.zeros(len(rows), dtype=bool)
    sealed[np.random.default_rng(SEALED_SEED).permutation(len(rows))[: len(rows) // 3]] = True
    readings = {phone: np.array([float(row[phone] or "nan") for row in rows]) for phone in phones}
    places = np.array(operators)
    one_hot = [places[:, [place]] == np.unique(places) for place in range(places.shape[1])]
    return Space(name, nets, np.hstack(one_hot).astype(np.float64), readings, sealed)


def figures(space: Space, phone: str, size: int, seeds: int) -> list[dict[str, object]]:
    """One row a method: means over seeds and their standard errors, of the sealed nets; printed as they come."""
    truth = space.measured(phone, sealed=True)
    results: dict[str, list[dict[str, float]]] = {method: [] for method in METHODS}
    for seed in range(seeds):
        rng = np.random.default_rng([size, seed])
        open_nets = rng.permutation(space.measured(phone, sealed=False))
        sources = fit_sources(space, phone, rng)
        drawn = open_nets[:size]
        y = space.readings[phone]
        results["ridge"].append(score(ridge(space.one_hot[drawn], y[drawn], space.one_hot[truth]), y[truth]))
        for method, measured, known in variants(space.nets, open_nets, size, sources):
            predictor = fit(space.nets.take(measured), y[measured], sources=known)
            results[method].append(score_predictor(predictor, space.nets.take(truth), y[truth]))
    rows: list[dict[str, object]] = []
    for method, found in results.items():
        if found:
            row = {"space": space.name, "phone": phone, "measured nets": size, "method": method, "seeds": seeds}
            rows.append(row | summary(found))
            print_row(rows[-1], first=not rows[1:] and size == min(SIZES))
    return rows


def variants(
    nets: Nets, open_nets: Ints, size: int, sources: list[FewSamplePredictor]
) -> list[tuple[str, Ints, list[FewSamplePredictor]]]:
    """Method, the nets to measure, and the phones known."""
    drawn = open_nets[:size]
    found: list[tuple[str, Ints, list[FewSamplePredictor]]] = [("alone", drawn, []), ("transfer", drawn, sources)]
    if size <= LARGEST_CHOICE:
        half = open_nets[: len(open_nets) // 2]
        chosen = half[choose(nets.take(half), size)]
        found += [("chosen", chosen, []), ("chosen, transfer", chosen, sources)]
    return found


def fit_sources(space: Space, target: str, rng: np.random.Generator) -> list[FewSamplePredictor]:
    """Predictors of every phone but the target, none of which saw a sealed net."""
    found = []
    for phone, readings in space.readings.items():
        if phone != target:
            measured = rng.permutation(space.measured(phone, sealed=False))[:SOURCE_NETS]
            found.append(fit(space.nets.take(measured), readings[measured]))
    return found


def ridge(features: Floats, latencies_ms: Floats, wanted: Floats) -> Floats:
    """Ridge regression with an intercept; the penalty of least squared leave-one-out error."""
    centre, mean = features.mean(axis=0), latencies_ms.mean()
    left, sizes, right = np.linalg.svd(features - centre, full_matrices=False)
    pull = left.T @ (latencies_ms - mean)
    best: tuple[float, Floats] | None = None
    for penalty in PENALTIES:
        shrink = sizes**2 / (sizes**2 + penalty)
        leverage = (left**2) @ shrink + 1 / len(latencies_ms)
        misfit = (latencies_ms - mean - left @ (shrink * pull)) / (1 - leverage)
        error = float((misfit**2).mean())
        if best is None or error < best[0]:
            best = error, right.T @ (sizes / (sizes**2 + penalty) * pull)
    assert best is not None
    return np.asarray(mean + (wanted - centre) @ best[1])


def score_predictor(predictor: FewSamplePredictor, nets: Nets, truth_ms: Floats) -> dict[str, float]:
    predicted = predictor.predict(nets)
    inside = (predicted.low_ms <= truth_ms) & (truth_ms <= predicted.high_ms)
    return score(predicted.latency_ms, truth_ms) | {"inside 90 % interval (%)": float(100 * inside.mean())}


def score(predicted_ms: Floats, truth_ms: Floats) -> dict[str, float]:
    """Spearman, the same without the fastest and the slowest tenth as HELP states it, and the share within +-10 %."""
    return {
        "spearman": float(spearmanr(predicted_ms, truth_ms)[0]),
        "spearman, middle 80 %": float(spearmanr(predicted_ms[kept := middle(truth_ms)], truth_ms[kept])[0]),
        "within 10 % (%)": float(100 * (np.abs(predicted_ms / truth_ms - 1) <= 0.1).mean()),
    }


def middle(readings: Floats) -> Ints:
    """Indices without the fastest and the slowest tenth."""
    return np.argsort(readings, kind="stable")[int(0.1 * len(readings)) : int(0.9 * len(readings))]


def against_help(space: Space, seeds: int) -> list[dict[str, object]]:
    """HELP's own test on pixel2: a few of the first 900 nets measured, the middle 80 % of the next 1,000 ranked.

    Known phones are fitted to those of the first 900 nets that were measured on them: all other phones of the data set,
    or samsung_a50 alone, the only one of them that HELP learns from (beside eight other devices). HELP fits 10 nets
    drawn from the middle 80 % of the 900, and reads its 10 reference nets besides. So here: 10 drawn from all 900 and
    from their middle 80 %, 10 chosen from a random half of the 900, and HELP's 20.
    """
    pixel2, pool = space.readings["pixel2"], np.arange(HELP_POOL)
    test = HELP_POOL + middle(pixel2[HELP_POOL : HELP_POOL + HELP_TEST])
    test = np.setdiff1d(test, HELP_REFERENCE)
    usual = pool[middle(pixel2[pool])]
    rows: list[dict[str, object]] = []
    for names in (tuple(name for name in space.readings if name != "pixel2"), ("samsung_a50",)):
        sources = []
        for name in names:
            own = pool[np.isfinite(space.readings[name][pool])]
            sources.append(fit(space.nets.take(own), space.readings[name][own]))
        found: dict[str, list[dict[str, float]]] = {}
        for seed in range(seeds):
            for what, measured in help_measurements(space.nets, pool, usual, seed).items():
                predictor = fit(space.nets.take(measured), pixel2[measured], sources=sources)
                predicted = predictor.predict(space.nets.take(test)).latency_ms
                found.setdefault(what, []).append({"spearman": float(spearmanr(predicted, pixel2[test])[0])})
        for what, results in found.items():
            row: dict[str, object] = {"known phones": ", ".join(names), "measured": what, "seeds": seeds}
            rows.append(row | summary(results) | {"HELP, published": HELP_PUBLISHED})
            print(*(f"{key}: {value}" for key, value in rows[-1].items()), sep=" | ", flush=True)
    return rows


def help_measurements(nets: Nets, pool: Ints, usual: Ints, seed: int) -> dict[str, Ints]:
    """Nets to measure on pixel2, by how they were found."""
    rng = np.random.default_rng(seed)
    half = rng.permutation(pool)[: len(pool) // 2]
    drawn = rng.permutation(usual)[:10]
    return {
        "10 drawn from the 900": rng.permutation(pool)[:10],
        "10 drawn from their middle 80 %": drawn,
        "10 chosen from half of the 900": half[choose(nets.take(half), 10)],
        "HELP's 10 references and 10 drawn from the middle 80 %": np.union1d(HELP_REFERENCE, drawn),
    }


def summary(found: list[dict[str, float]]) -> dict[str, object]:
    """Mean and standard error over seeds of each figure."""
    stated: dict[str, object] = {}
    for name in found[0]:
        values = np.array([one[name] for one in found])
        digits = 1 if "%)" in name else 4
        stated[name] = round(float(values.mean()), digits)
        error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0
        stated[f"{name}, standard error"] = round(float(error), digits + 1)
    return stated


def print_row(row: dict[str, object], *, first: bool) -> None:
    if first:
        print(f"\n{row['space']} {row['phone']}: mean over seeds +- standard error")
        print(f"{'nets':>5} {'method':<18}{'Spearman':>17}{'middle 80 %':>18}{'within 10 %':>16}{'in 90 % band':>15}")
    cells = [f"{row['spearman']:.4f} +- {row['spearman, standard error']:.4f}"]
    cells.append(f"{row['spearman, middle 80 %']:.4f} +- {row['spearman, middle 80 %, standard error']:.4f}")
    cells.append(f"{row['within 10 % (%)']:.1f} +- {row['within 10 % (%), standard error']:.2f}")
    cells.append(str(row.get("inside 90 % interval (%)", "")))
    print(
        f"{row['measured nets']:>5} {row['method']:<18}{cells[0]:>17}{cells[1]:>18}{cells[2]:>16}{cells[3]:>15}",
        flush=True,
    )


if __name__ == "__main__":
    main()
