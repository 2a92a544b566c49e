"""Linear latency models of TuNAS: latency = bias + the sum of the chosen operators' weights, in milliseconds.

The JSON holds what google-research `tunas/cost_model_data.py` (Apache-2.0) gives for its space `proxylessnas_search`:

    {"bias_ms": 92.1, "kernel_ms": [...], "skippable": [0, 0, 1, ...], "filters": [32, 16, 32, ...], "layout": "..."}

kernel_ms has three weights for the first block (kernels 3, 5, 7), then for each searched block those of kernel 3, 5, 7
with expansion 3 and 6 each, and one more for leaving it out where that is allowed. A weight was fitted, not measured:
it may be negative, leaving a block out has one too, and equal blocks at two places have two. What every network of the
space holds besides is in the bias.
"""

from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from latency.chain import Chain
from latency.opspec import EMPTY, OpSpec
from latency.provenance import TableInfo, TableSource
from latency.rows import MAX_PLAUSIBLE_MS, TableRow
from latency.table import LatencyTable
from pocketnas_base.errors import InputError
from pocketnas_base.files import read_json

LAYOUT = "[sepconv k3,k5,k7] + 21 blocks x (k3e3,k3e6,k5e3,k5e6,k7e3,k7e6[,zero if skippable])"
FIRST_KERNELS = (3, 5, 7)
CANDIDATES = tuple((kernel, expansion) for kernel in (3, 5, 7) for expansion in (3, 6))
MAX_JSON_BYTES = 1024 * 1024
# Stem and first block before the searched blocks, head and classifier after them.
_BEFORE, _AFTER = 2, 2


_Weight = Annotated[float, Field(ge=-MAX_PLAUSIBLE_MS, le=MAX_PLAUSIBLE_MS)]


class _LinearModel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    bias_ms: _Weight
    kernel_ms: tuple[_Weight, ...] = Field(min_length=1, max_length=10_000)
    skippable: tuple[int, ...] = Field(min_length=1, max_length=1000)
    filters: tuple[int, ...] = Field(min_length=1, max_length=1000)
    layout: str


def load_linear_model(path: Path, chain: Chain, source: TableSource, *, tool_version: str) -> LatencyTable:
    """Read a linear model of the space whose chain is given. Raises InputError, one line, where it does not fit."""
    where = f"table {path}"
    try:
        model = _LinearModel.model_validate(read_json(path, what="table", max_bytes=MAX_JSON_BYTES))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise InputError(f"{where}: {place}: {first['msg']}; it is no linear model of TuNAS") from None
    if model.layout != LAYOUT:
        raise InputError(f"{where}: its layout is not the one this tool knows, {LAYOUT}")
    _check_space(model, chain, where)
    info = TableInfo.imported(source, rows="share", tool_version=tool_version).model_copy(
        update={"space": chain.space, "space_fingerprint": chain.fingerprint}
    )
    constant = {EMPTY: _row(model.bias_ms)}
    return LatencyTable(info, constant, MappingProxyType(_placed(model, chain)))


def _placed(model: _LinearModel, chain: Chain) -> dict[tuple[int, OpSpec], TableRow]:
    weights = iter(model.kernel_ms)
    last = len(chain.places) - _AFTER
    placed: dict[tuple[int, OpSpec], TableRow] = {}
    for place, candidates in enumerate(chain.places):
        if place == 1:
            first = candidates[0]
            kinds = tuple(replace(first, kernel=kernel) for kernel in FIRST_KERNELS)
        elif 1 < place < last:
            kinds = candidates
        else:
            # Every network has it: it is in the constant, and adds nothing on top.
            placed[place, candidates[0]] = _row(0.0)
            continue
        for op in kinds:
            placed[place, op] = _row(next(weights))
    return placed


def _row(latency_ms: float) -> TableRow:
    return TableRow(latency_ms, None, None, None, None, None, None)


def _check_space(model: _LinearModel, chain: Chain, where: str) -> None:
    blocks = chain.places[_BEFORE:-_AFTER]
    widths = [chain.places[0][0].out_channels, chain.places[1][0].out_channels]
    for candidates in blocks:
        if candidates[0].out_channels != widths[-1]:
            widths.append(candidates[0].out_channels)
    widths.append(chain.places[-2][0].out_channels)
    skippable = [0, *(int(candidates[-1].kind == "zero") for candidates in blocks)]
    offered = {tuple((op.kernel, op.expansion) for op in ops if op.kind != "zero") for ops in blocks}
    weights = len(FIRST_KERNELS) + sum(map(len, blocks))
    if (tuple(widths), tuple(skippable), offered) != (model.filters, model.skippable, {CANDIDATES}):
        raise InputError(
            f"{where} is of a space with the widths {list(model.filters)}, and {chain.space} is another; "
            "name the right one with --space"
        )
    if len(model.kernel_ms) != weights:
        raise InputError(f"{where} has {len(model.kernel_ms)} weights; space {chain.space} needs {weights}")
