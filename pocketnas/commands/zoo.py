"""`pocketnas zoo`: published architectures and search spaces."""

from decimal import Decimal

from pocketnas.console import print_json, print_table, print_words
from pocketnas_base.errors import InputError
from search.space import builtin_spaces, load_space, split_size
from search.zoo import describe, load_zoo, zoo_names


def show_zoo(name: str, *, as_json: bool) -> None:
    """All entries, or one architecture or space in full."""
    if not name:
        _list(as_json=as_json)
    elif name in zoo_names():
        _architecture(name, as_json=as_json)
    elif (base := split_size(name)[0]) in builtin_spaces() or base.endswith(".toml"):
        _space(name, as_json=as_json)
    else:
        raise InputError(f"the zoo has no {name!r}; it has {', '.join((*zoo_names(), *builtin_spaces()))}")


def _list(*, as_json: bool) -> None:
    entries = [load_zoo(name) for name in zoo_names()]
    spaces = [load_space(name) for name in builtin_spaces()]
    if as_json:
        print_json(
            {
                "architectures": [
                    {"name": e.architecture.name, "params": e.architecture.parameters, "macs": e.architecture.macs}
                    for e in entries
                ],
                "spaces": [{"name": s.name, "architectures": s.size, "operators": len(s.op_specs())} for s in spaces],
            }
        )
        return
    print_table(
        ["architecture", "params M", "MACs M", "input px", "published top-1 %", "Pixel 1 ms"],
        [
            [
                e.architecture.name,
                f"{e.architecture.parameters / 1e6:.3f}",
                f"{e.architecture.macs / 1e6:.2f}",
                str(e.architecture.resolution),
                _or_unknown(e.published.top1_percent),
                _or_unknown(e.published.pixel1_latency_ms),
            ]
            for e in entries
        ],
    )
    print_table(
        ["space", "blocks", "architectures", "operators", "input px"],
        [[s.name, str(len(s.edges)), _power_of_ten(s.size), str(len(s.op_specs())), str(s.resolution)] for s in spaces],
    )


def _power_of_ten(size: int) -> str:
    """`2.2e+17`; the number may be larger than any float."""
    return f"{Decimal(size):.1e}"


def _or_unknown(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _architecture(name: str, *, as_json: bool) -> None:
    entry = load_zoo(name)
    architecture = entry.architecture
    if as_json:
        print_json(describe(architecture))
        return
    print_table(
        ["block", "stride", "channels", "resolution px", "params", "MACs M"],
        [
            [
                f"{number} {op.choice}",
                str(op.stride),
                f"{op.in_channels} to {op.out_channels}",
                f"{op.resolution} to {op.out_resolution}",
                str(op.parameters),
                f"{op.macs / 1e6:.2f}",
            ]
            for number, op in enumerate(architecture.ops)
        ],
        title=f"{name}: {architecture.parameters / 1e6:.3f} M params, {architecture.macs / 1e6:.2f} M MACs",
    )
    print(f"source: {entry.source}{'; licence ' + entry.licence if entry.licence else ''}")


def _space(name: str, *, as_json: bool) -> None:
    space = load_space(name)
    if as_json:
        print_json({**space.to_dict(), "architectures": space.size, "operators": len(space.op_specs())})
        return
    print(f"{name}: {_power_of_ten(space.size)} architectures, {len(space.op_specs())} operators to measure")
    columns = ["block", "stride", "channels", "resolution px", "activation", "candidates"]
    rows = [
        [
            edge.name,
            str(edge.candidates[0].stride),
            f"{edge.in_channels} to {edge.out_channels}",
            str(edge.candidates[0].resolution),
            edge.candidates[0].activation,
            " ".join(op.choice for op in edge.candidates),
        ]
        for edge in space.edges
    ]
    print_words(columns, rows, whole=columns[:-1])
