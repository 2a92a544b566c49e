"""The architecture as a chain of blocks, and each block's share of the predicted latency."""

import math
from dataclasses import dataclass

from markupsafe import Markup

from latency.opspec import OpSpec
from pocketnas.report.collect import RunRecord
from pocketnas.report.palette import tints
from pocketnas.report.svg import Figure, drawing, group, label, line, rectangle, text_width, tip
from pocketnas.report.text import TIMES, count, milliseconds, number

WIDE, NARROW = 1072, 360
CELL_WIDE, CELL_NARROW = 82, 70
BLOCK_HEIGHT = 84
TALLEST_FIXED = 1.5
SHORT_BELOW_MS = 0.01
ROW_HEIGHT = 202
ROW_FOOT = 18
SHARE_HEIGHT = 40

_SIZED = {"sepconv": "Sep", "dilconv": "Dil", "avgpool": "Avg", "maxpool": "Max"}


@dataclass(frozen=True, slots=True)
class Block:
    """One operator of the chain as it is drawn. number: its place, from 1. position: the searched position, if any."""

    number: int
    op: OpSpec
    latency_ms: float
    position: str | None

    @property
    def title(self) -> str:
        """What it is, in a few characters."""
        if self.op.kind == "mbconv":
            return f"MB{self.op.expansion} {self.op.kernel}{TIMES}{self.op.kernel}"
        if self.op.kind == "conv":
            return f"Conv {self.op.kernel}{TIMES}{self.op.kernel}"
        if self.op.kind in _SIZED:
            return f"{_SIZED[self.op.kind]} {self.op.kernel}{TIMES}{self.op.kernel}"
        return {"zero": "skipped", "classifier": "FC"}.get(self.op.kind, self.op.kind)

    @property
    def short_latency(self) -> str:
        """Its latency in as few characters as stand under a block."""
        digits = 3 if abs(self.latency_ms) >= SHORT_BELOW_MS else 2
        return f"{number(self.latency_ms, digits)} ms"

    @property
    def description(self) -> str:
        """Everything about it, for the tip."""
        op = self.op
        where = f"{self.number}. {self.position}" if self.position else f"{self.number}. fixed"
        return (
            f"{where}: {op.key}\n{op.in_channels} to {op.out_channels} channels, stride {op.stride}, "
            f"{op.resolution} to {op.out_resolution} px{', residual' if op.residual else ''}\n"
            f"{count(op.macs)} MACs, {count(op.parameters)} parameters, {milliseconds(self.latency_ms)}"
        )


def blocks_of(record: RunRecord) -> tuple[Block, ...]:
    """The chain in the order of the data."""
    names = {position.number: position.name for position in record.positions}
    return tuple(
        Block(index, block.op, block.latency_ms, names.get(index))
        for index, block in enumerate(record.prediction.blocks, start=1)
    )


def kernel_tints(record: RunRecord) -> dict[int, int]:
    """Tint of each kernel size among the network's MBConvs, and in tree cells among what stands on their edges."""
    return tints(op.kernel for op in record.architecture.ops if op.kind == "mbconv" or op.kind in _SIZED)


def _fill(op: OpSpec, tint: dict[int, int]) -> str:
    return f"tint-{tint[op.kernel]}" if op.kind == "mbconv" or op.kind in _SIZED else "fixed"


def architecture_figure(record: RunRecord) -> Figure:
    """Height says channels, width expansion, colour kernel; under each block what it is predicted to cost."""
    return Figure(_chain(record, WIDE, CELL_WIDE), _chain(record, NARROW, CELL_NARROW))


def _chain(record: RunRecord, width: int, cell: int) -> Markup:
    blocks = blocks_of(record)
    rows = math.ceil(len(blocks) / (width // cell))
    per_row = math.ceil(len(blocks) / rows)
    # Few blocks keep together instead of drifting apart.
    pitch = min(width / per_row, cell * 1.35)
    drawn = []
    for row in range(rows):
        part = blocks[row * per_row : (row + 1) * per_row]
        drawn.append(_row(record, part, pitch, row * ROW_HEIGHT))
    title = f"Architecture {record.architecture.name}: {', '.join(block.title for block in blocks)}"
    return drawing(width, rows * ROW_HEIGHT - ROW_FOOT, title, *drawn)


def _row(record: RunRecord, part: tuple[Block, ...], pitch: float, top: float) -> Markup:
    ops = record.architecture.ops
    # What is connected otherwise than one after another is drawn in its order, without lines.
    wired = record.architecture.inputs is None
    tint = kernel_tints(record)
    # A head of 1280 channels would make lines of the blocks that the figure is about: the fixed ones are cut off.
    searched = [op.out_channels for op in ops if op.kind in ("mbconv", "zero", *_SIZED)]
    most_channels = max(searched) * TALLEST_FIXED
    most_expansion = max(op.expansion for op in ops)
    middle = top + 50 + BLOCK_HEIGHT / 2
    drawn = [_resolutions(part, pitch, top)]
    edge_of_last = 0.0
    for place, block in enumerate(part):
        op, centre = block.op, pitch * (place + 0.5)
        # The square root: from 8 to 1280 channels, and 8 is still seen.
        height = max(8.0, BLOCK_HEIGHT * math.sqrt(min(1.0, op.out_channels / most_channels)))
        extent = (pitch - 14) * (0.22 + 0.78 * op.expansion / most_expansion)
        left, right = centre - extent / 2, centre + extent / 2
        if op.kind == "zero":
            left, right = pitch * place + 6, pitch * (place + 1) - 6
            shape = line(left, middle, right, middle, "skip")
        else:
            shape = rectangle(left, middle - height / 2, extent, height, f"block {_fill(op, tint)}", rx=3)
            if op.out_channels > most_channels:
                cut = middle - height / 4
                shape += line(left - 2, cut + 4, right + 2, cut - 4, "cut")
        if wired:
            drawn.append(line(edge_of_last, middle, left, middle, "wire"))
        edge_of_last = right
        base = top + 50 + BLOCK_HEIGHT + 16
        muted = " faint" if op.kind == "zero" else ""
        channels = f"{op.out_channels} classes" if op.kind == "classifier" else f"{op.out_channels} ch"
        channels += ", SE" if op.squeeze_excite else ""
        drawn.append(
            group(
                tip(block.description),
                rectangle(pitch * place, top + 20, pitch, ROW_HEIGHT - 20 - ROW_FOOT, "hover"),
                shape,
                label(centre, top + 42, str(block.number), "t-small faint", "middle"),
                label(centre, base, block.title, f"t-label{muted}", "middle"),
                label(centre, base + 15, channels, "t-small faint", "middle"),
                label(centre, base + 31, block.short_latency,
                      f"t-number{muted}", "middle"),
            )
        )  # fmt: skip
    if wired:
        drawn.append(line(edge_of_last, middle, pitch * len(part), middle, "wire"))
    return group(*drawn)


def _resolutions(part: tuple[Block, ...], pitch: float, top: float) -> Markup:
    """Dimension lines over the blocks whose outputs have the same height and width."""
    drawn, start = [], 0
    for place in range(1, len(part) + 1):
        if place < len(part) and part[place].op.out_resolution == part[start].op.out_resolution:
            continue
        left, right, y = pitch * start + 4, pitch * place - 4, top + 12
        size = part[start].op.out_resolution
        text = f"{size} {TIMES} {size}"
        half = text_width(text, 11) / 2 + 6
        centre = (left + right) / 2
        drawn += [
            line(left, y, max(left, centre - half), y, "dimension"),
            line(min(right, centre + half), y, right, y, "dimension"),
            line(left, y - 4, left, y + 4, "dimension"),
            line(right, y - 4, right, y + 4, "dimension"),
            label(centre, y + 4, text, "t-small", "middle"),
        ]
        start = place
    return group(*drawn)


def share_figure(record: RunRecord) -> Figure | None:
    """One bar, the predicted latency, cut into its blocks; None where rows are weights of a linear model: what is below
    nothing has no share."""
    source = record.table.info.source
    if source is not None and source.times == "regression weight":
        return None
    return Figure(_shares(record, WIDE), _shares(record, NARROW))


def _shares(record: RunRecord, width: int) -> Markup:
    tint = kernel_tints(record)
    prediction = record.prediction
    pieces = [
        (
            "call",
            "invocation",
            f"{record.constant_name}: {milliseconds(prediction.invocation_ms)}",
            prediction.invocation_ms,
        )
    ]
    pieces += [
        (str(block.number), _fill(block.op, tint), block.description, block.latency_ms)
        for block in blocks_of(record)
        if block.op.kind != "zero"
    ]
    # A block measured faster than the empty model has a negative share: noise, and nothing to draw.
    total = sum(max(0.0, piece[3]) for piece in pieces)
    left, drawn = 0.0, []
    for name, class_, description, latency_ms in pieces:
        share = max(0.0, latency_ms) / total
        extent = share * width
        centre = left + extent / 2
        texts = []
        inside = f"{100 * share:.0f}%"
        if extent > text_width(inside, 11) + 8:
            texts.append(label(centre, SHARE_HEIGHT / 2 + 4, inside, f"t-small on-{class_}", "middle"))
        if extent > text_width(name, 11) + 2:
            texts.append(label(centre, SHARE_HEIGHT + 15, name, "t-small faint", "middle"))
        drawn.append(
            group(
                tip(f"{description}\n{100 * share:.1f} % of {number(prediction.latency_ms)} ms"),
                rectangle(left + 0.75, 0, extent - 1.5, SHARE_HEIGHT, class_),
                *texts,
            )
        )
        left += extent
    return drawing(width, SHARE_HEIGHT + 22, "Share of each block in the predicted latency", *drawn)


def legend(record: RunRecord) -> tuple[tuple[str, str], ...]:
    """Class and text of each colour: the kernel sizes, and what was not searched."""
    sizes = [(f"tint-{tint}", f"{size}{TIMES}{size}") for size, tint in sorted(kernel_tints(record).items())]
    return (*sizes, ("fixed", "convolution, classifier"))
