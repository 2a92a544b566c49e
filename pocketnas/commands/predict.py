"""`pocketnas predict`: what a table says of an architecture."""

from latency.library import load_table
from latency.predict import predict
from pocketnas.console import print_json, print_table
from search.zoo import load_architecture


def predict_architecture(table_name: str, name_or_path: str, *, as_json: bool) -> None:
    """Predicted latency per block and whole. Raises InputError when the table lacks an operator."""
    architecture = load_architecture(name_or_path)
    table = load_table(table_name)
    table.require(architecture.ops, needed_by=f"architecture {architecture.name}")
    prediction = predict(table, architecture.ops)
    if as_json:
        print_json(
            {
                "architecture": architecture.name,
                "latency_ms": prediction.latency_ms,
                "low_ms": prediction.low_ms,
                "high_ms": prediction.high_ms,
                "interval": prediction.interval,
                "sum_ms": prediction.sum_ms,
                "invocation_ms": prediction.invocation_ms,
                "blocks": [{"op": b.op.key, "latency_ms": b.latency_ms} for b in prediction.blocks],
            }
        )
        return
    constant = "(invocation)" if table.info.rows == "alone" else "(constant)"
    rows = [[constant, "", f"{prediction.invocation_ms:.4f}", ""]]
    rows += [
        [f"{n} {b.op.choice}", b.op.key, f"{b.latency_ms:.4f}", f"{100 * b.latency_ms / prediction.latency_ms:.1f}"]
        for n, b in enumerate(prediction.blocks)
    ]
    rows.append(["whole", "", f"{prediction.latency_ms:.4f}", "100.0"])
    print_table(["block", "operator", "latency ms", "share %"], rows, title=f"{architecture.name}: {table.name}")
    if prediction.low_ms is None or prediction.high_ms is None:
        print("interval not known: the table does not say how uncertain its rows are")
        return
    interval = f"{prediction.low_ms:.4f} to {prediction.high_ms:.4f} ms"
    calibration = table.info.calibration
    if calibration is None:
        print(f"interval {interval} (noise of the rows, not of the sum; see pocketnas table calibrate)")
    else:
        measured = f"by {len(calibration.networks)} measured networks"
        print(f"95 % interval {interval}, {measured}; the plain sum is {prediction.sum_ms:.4f} ms")
