"""MODEL_CARD.md: what a bundle holds, in words and figures, all of them from its manifest."""

from collections.abc import Sequence

from deploy.intervals import wilson_percent
from deploy.manifest import About, Bundle, DeviceLatency, ExportedFile
from pocketnas_base.artifact import Runtime

_NOT_STATED = "Not stated."
_RUNTIMES: dict[Runtime, str] = {"tflite": "TFLite", "executorch": "ExecuTorch"}
_SHOWN_LABELS = 20


def model_card(bundle: Bundle) -> str:
    """The card as Markdown. Every text of the manifest is escaped: it may have come from a stranger."""
    about = bundle.about or About(title=bundle.files[0].name if bundle.files else "An empty bundle")
    sections = [
        f"# {_plain(about.title)}",
        _or_not(about.summary),
        "## Files",
        _files(bundle.files),
        "## Accuracy",
        _accuracy(bundle.files),
        "## Speed",
        _speed(bundle),
        "## Input and output",
        _surface(bundle.files),
        "## Data",
        _or_not(about.data),
        "## How it was trained",
        _or_not(about.training),
        "## How it was found",
        _or_not(about.search),
        "## Limits",
        _bullets([*map(_plain, about.limits), *_limits(bundle.files)]) or _NOT_STATED,
        "## Licence of the weights",
        _licences(bundle.files),
    ]
    return "\n\n".join(sections) + "\n"


def _files(files: Sequence[ExportedFile]) -> str:
    rows = [
        [
            f"`{file.artifact.path.name}`",
            _RUNTIMES[file.artifact.runtime],
            file.artifact.precision,
            f"{file.bytes / 1e6:.2f} MB",
            _plain(file.runtime_version),
            f"`{file.artifact.sha256[:12]}…`",
        ]
        for file in files
    ]
    return _table(["file", "runtime", "precision", "size", "checked by", "sha256"], rows)


def _accuracy(files: Sequence[ExportedFile]) -> str:
    rows = []
    for file in files:
        relative = file.parity.relative_error
        rows.append(
            [
                f"`{file.artifact.path.name}`",
                _share(file.top1, file.labelled_images),
                _share(file.torch_top1, file.labelled_images),
                _share(file.top5, file.labelled_images),
                "" if relative is None else f"{relative:.1e}",
                f"{file.parity.top1_agreement_percent:.2f} % of {file.parity.images}",
            ]
        )
    columns = ["file", "top-1", "top-1 in torch", "top-5", "largest difference from torch", "same answer as torch"]
    return (
        _table(columns, rows)
        + "\n\nIn brackets the 95 % interval (Wilson) that the number of labelled images leaves. The "
        "difference is a share of the outputs' scale."
    )


def _speed(bundle: Bundle) -> str:
    devices: dict[tuple[str, str, int], list[tuple[ExportedFile, DeviceLatency]]] = {}
    for file in bundle.files:
        for latency in file.latency:
            key = (latency.device, latency.device_fingerprint, latency.threads)
            devices.setdefault(key, []).append((file, latency))
    parts = [_on_device(measured) for measured in devices.values()]
    for one in bundle.recommendations:
        choice = "no file qualifies" if one.file is None else f"take `{one.file}`"
        parts.append(f"**{_plain(one.device)}, {_threads(one.threads)}**: {choice}. {_plain(one.reason)}")
        parts.append(_bullets([f"`{_code(name)}`: {_plain(reason)}" for name, reason in one.passed_over.items()]))
    return "\n\n".join(part for part in parts if part) or "Not measured."


def _on_device(measured: Sequence[tuple[ExportedFile, DeviceLatency]]) -> str:
    first = measured[0][1]
    named = ", ".join(_plain(part) for part in (first.model, first.soc, first.os_version) if part)
    rows = [
        [
            f"`{file.artifact.path.name}`",
            f"{one.latency_ms:.3f} (at most {one.high_ms:.3f})",
            f"{one.median_ms:.3f} ({one.ci_low_ms:.3f} to {one.ci_high_ms:.3f})",
            _number(one.predicted_ms, 3),
            _number(one.cold_load_ms, 1),
            _number(one.first_ms, 2),
            _number(one.peak_memory_mb, 1),
            _number(one.energy_mj, 2) or _plain(one.energy_note or ""),
        ]
        for file, one in measured
    ]
    columns = [
        "file",
        "latency ms",
        "median ms",
        "predicted ms",
        "cold load ms",
        "first inference ms",
        "peak memory MB",
        "energy mJ",
    ]
    where = f"{_plain(first.device)}{f' ({named})' if named else ''}, {_threads(first.threads)}"
    return (
        f"On {where}, {_plain(first.date_utc[:10])}. "
        "Latency is the lowest median of several processes, with its 97.5 % bound; the median over processes has its "
        f"95 % interval.\n\n{_table(columns, rows)}"
    )


def _surface(files: Sequence[ExportedFile]) -> str:
    lines = []
    for file in files:
        source, normal = file.input, file.normalisation
        pixels = "nobody said what becomes of pixels"
        if normal is not None:
            formula = f"(pixel - {_numbers(normal.mean)}) / {_numbers(normal.std)}"
            inside = source.dtype == "uint8"
            pixels = f"pixels as they are, the file computes {formula}" if inside else f"value = {formula}"
        result = "probabilities" if file.softmax else "logits"
        lines.append(
            f"`{file.artifact.path.name}` takes {source.dtype} {list(source.shape)} ({source.layout}), {pixels}; "
            f"gives {file.output.dtype} {list(file.output.shape)}, {result}"
        )
    labels = next((file.labels for file in files if file.labels is not None), None)
    if labels is None:
        return _bullets(lines) + "\n\nThe classes have no names."
    shown = ", ".join(map(_plain, labels[:_SHOWN_LABELS]))
    more = f" and {len(labels) - _SHOWN_LABELS} more, in `labels.txt`" if len(labels) > _SHOWN_LABELS else ""
    return _bullets(lines) + f"\n\nClasses: {shown}{more}."


def _limits(files: Sequence[ExportedFile]) -> list[str]:
    """What the manifest itself tells of limits."""
    limits = []
    for file in files:
        if file.top1 is None:
            limits.append(f"`{file.artifact.path.name}` was compared with torch alone, not with labels.")
        if file.outside_delegate is None:
            limits.append(f"Which operators of `{file.artifact.path.name}` run on slower kernels is not known.")
        elif file.outside_delegate:
            kinds = ", ".join(f"{part.count} {_plain(part.operator)}" for part in file.outside_delegate)
            limits.append(f"`{file.artifact.path.name}` leaves operators to slower kernels: {kinds}.")
    return limits


def _licences(files: Sequence[ExportedFile]) -> str:
    said = dict.fromkeys(file.weights_licence for file in files if file.weights_licence is not None)
    return ", ".join(map(_plain, said)) or _NOT_STATED


def _share(percent: float | None, images: int) -> str:
    if percent is None:
        return ""
    if images == 0:
        return f"{percent:.2f} %"
    low, high = wilson_percent(percent, images)
    return f"{percent:.2f} % ({low:.2f} to {high:.2f}, n = {images})"


def _number(value: float | None, decimals: int) -> str:
    return "" if value is None else f"{value:.{decimals}f}"


def _numbers(values: Sequence[float]) -> str:
    rounded = [f"{value:.6g}" for value in values]
    return rounded[0] if len(rounded) == 1 else f"[{', '.join(rounded)}]"


def _threads(threads: int) -> str:
    return "1 thread" if threads == 1 else f"{threads} threads"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["--"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _or_not(text: str | None) -> str:
    return _NOT_STATED if text is None else _plain(text)


def _code(text: str) -> str:
    return text.replace("`", "'").replace("|", "/")


def _plain(text: str) -> str:
    """Text that Markdown shows as it is: no markup, no HTML, one line."""
    flat = " ".join(text.split())
    return "".join(f"\\{character}" if character in "\\`*_[]<>|#&~!" else character for character in flat)
