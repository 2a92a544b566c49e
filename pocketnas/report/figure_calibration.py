"""The networks that calibrated the table: how far plain sums and predictions are off."""

from markupsafe import Markup

from latency.correction import Calibration, CalibrationNetwork
from pocketnas.report.svg import (
    Figure,
    Scale,
    diamond,
    drawing,
    element,
    group,
    label,
    line,
    rectangle,
    tick_text,
    ticks,
    tip,
)
from pocketnas.report.text import milliseconds, number, signed

WIDE, NARROW = 1072, 360
HEIGHT, TOP, BOTTOM, LEFT = 220, 10, 34, 46


def calibration_figure(calibration: Calibration) -> Figure:
    """Dots: plain sums. Diamonds: predictions by the other networks, of all but those in every fit. Shaded: the 95 %
    interval of a prediction."""
    return Figure(_errors(calibration, WIDE), _errors(calibration, NARROW))


def _errors(calibration: Calibration, width: int) -> Markup:
    networks, half = calibration.networks, calibration.half_width_percent
    stated = [(ms, network) for network in networks for ms in (network.sum_ms, network.left_out_ms)]
    errors = [_off(ms, network) for ms, network in stated if ms is not None]
    most = 1.1 * max(half, *map(abs, errors))
    times = [network.measured_ms for network in networks]
    reach = 0.06 * (max(times) - min(times)) or 0.1 * max(times)
    x = Scale(max(0.0, min(times) - reach), max(times) + reach, LEFT, width - 8)
    y = Scale(-most, most, HEIGHT - BOTTOM, TOP)
    drawn = [rectangle(x.start, y(half), x.end - x.start, y(-half) - y(half), "band")]
    marks = ticks(-most, most, 5)
    step = marks[1] - marks[0] if len(marks) > 1 else 0.0
    for mark in marks:
        drawn += [
            line(x.start, y(mark), x.end, y(mark), "grid"),
            label(x.start - 8, y(mark) + 4, f"{tick_text(mark, step)} %", "t-small faint", "end"),
        ]
    places = ticks(x.low, x.high, 6 if width == WIDE else 4)
    step = places[1] - places[0] if len(places) > 1 else 0.0
    for place in places:
        text = tick_text(place, step) + (" ms" if place == places[-1] else "")
        drawn.append(label(x(place), HEIGHT - BOTTOM + 20, text, "t-small faint", "middle"))
    drawn += [_network(network, x, y) for network in networks]
    return drawing(width, HEIGHT, "How far sums and predictions of whole networks are off", *drawn)


def _network(network: CalibrationNetwork, x: Scale, y: Scale) -> Markup:
    at, of_sum, predicted_ms = x(network.measured_ms), _off(network.sum_ms, network), network.left_out_ms
    about = (
        f"{network.name}\nmeasured {milliseconds(network.measured_ms)}, sum {number(network.sum_ms)} "
        f"({signed(of_sum)} %)"
    )
    dot = element("circle", cx=at, cy=y(of_sum), r=3.5, class_="dot-sum")
    if predicted_ms is None:
        return group(tip(f"{about}, in every fit"), dot)
    left_out = _off(predicted_ms, network)
    return group(
        tip(f"{about}, predicted by the others {number(predicted_ms)} ({signed(left_out)} %)"),
        line(at, y(of_sum), at, y(left_out), "grid"),
        dot,
        diamond(at, y(left_out), 5, "predicted"),
    )


def _off(predicted_ms: float, network: CalibrationNetwork) -> float:
    return 100 * (predicted_ms / network.measured_ms - 1)
