"""What each operator takes, by benchmark_model's own tables, in the shape of our runner's profiles.

The tool averages over its runs where our runner takes the median: `mean_ns` and `mean_run_ns` stand in the place of
`median_ns` and `median_run_ns`, and `statistic` says so.
"""

from collections.abc import Sequence

from android_bench.official.launch import ModelFailedError
from android_bench.parsers.benchmark_model import BenchmarkLog
from android_bench.parsers.op_profile import GraphProfile, OperatorTime, parse_op_profile
from android_bench.stated import Coverage

_NS_PER_MS = 1_000_000
# Times are printed with three decimals of a millisecond, and taken with a clock of microseconds.
_RESOLUTION_NS = 1000
_DELEGATE_NODE = "Delegate"


def stated_profile(
    output: bytes, log: BenchmarkLog, coverage: Sequence[Coverage], job_id: str, sequence: int
) -> dict[str, object]:
    """The profile in the output of one run. Raises ModelFailedError when it has none, UnreadableOutputError when it is
    no whole one."""
    graphs = [graph for graph in parse_op_profile(output) if graph.stage in (None, "runs")]
    operators = list(_operators(graphs, {part.delegate for part in coverage}))
    if not operators:
        raise ModelFailedError("benchmark_model lists no operator")
    runs = log.inference.count
    return {
        "type": "profile",
        "statistic": "mean",
        "id": job_id,
        "sequence": sequence,
        "runs": runs,
        "mean_run_ns": round(log.inference.avg_us * 1000),
        "operators": [
            {
                "index": index,
                "name": operator.name,
                "kind": operator.node_type,
                "mean_ns": round(operator.avg_ms * _NS_PER_MS),
                "total_ns": round(operator.avg_ms * _NS_PER_MS * runs),
                "calls": operator.times_called * runs or None,
                "resolution_ns": _RESOLUTION_NS,
                "delegated": delegated,
            }
            for index, (operator, delegated) in enumerate(operators)
        ],
        "delegates": [
            {
                "name": part.delegate,
                "nodes": part.nodes,
                "of_nodes": part.of_nodes,
                "partitions": part.partitions,
            }
            for part in coverage
        ],
    }


def _operators(graphs: Sequence[GraphProfile], delegates: set[str]) -> list[tuple[OperatorTime, bool]]:
    """Each operator, and whether a delegate runs it. A delegate's node counts once: as what happens inside it where the
    tool tells that, else as itself."""
    inside = [operator for graph in graphs if graph.graph == "delegate" for operator in graph.operators]
    found = []
    for graph in graphs:
        for operator in graph.operators if graph.graph != "delegate" else ():
            is_delegate = operator.node_type in delegates or operator.node_type.endswith(_DELEGATE_NODE)
            if not (is_delegate and inside):
                found.append((operator, is_delegate))
    return [*found, *((operator, True) for operator in inside)]
