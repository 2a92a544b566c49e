"""The Kotlin that a bundle brings: compiled, run, and feeding a model what the manifest says."""

import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from deploy_bundles import CHANNELS, HEIGHT, LABELS, WIDTH, bundle, exported, recommended
from hypothesis import example, given
from hypothesis import strategies as st
from kotlin_stubs import STUBS, Kotlin, find_kotlin
from numpy.typing import NDArray
from PIL import Image

from deploy.kotlin import CLASS_NAME, chosen_file, kotlin_files
from deploy.kotlin_classes import LABELS_PER_PART, kotlin_string
from deploy.manifest import Bundle, ExportedFile, Normalisation, TensorInfo
from pocketnas_base.artifact import RUNTIMES, Runtime
from search.data.decode import decode_image

MAIN = """
package check
import android.content.Context
import android.content.res.AssetManager
import android.graphics.Bitmap
import java.io.File
import pocketnas.deployed.{name}
import seen.Seen

fun main(words: Array<String>) {{
    Seen.classes = {name}.OUTPUT_SIZE
    val context = Context(AssetManager(File(words[0])), File(words[0]))
    val pixels = File(words[1]).readBytes().map {{ it.toInt() and 0xff }}
    val colors = IntArray(pixels.size / 3) {{
        (255 shl 24) or (pixels[3 * it] shl 16) or (pixels[3 * it + 1] shl 8) or pixels[3 * it + 2]
    }}
    val image = Bitmap(words[2].toInt(), colors.size / words[2].toInt(), colors, Bitmap.Config.HARDWARE)
    val found = {name}(context, threads = 2).use {{ it.classify(image, most = 3) }}
    println(Seen.bytes.joinToString("") {{ "%02x".format(it) }})
    found.forEach {{ println("${{it.index}}\\t${{it.score}}\\t${{it.label}}") }}
}}
"""


@pytest.fixture(scope="module")
def kotlin() -> Kotlin:
    return find_kotlin()


def pixels() -> NDArray[np.uint8]:
    """An image of the model's size, [H, W, 3]."""
    return np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def ran(
    kotlin: Kotlin, one: Bundle, runtime: Runtime, tmp_path: Path, image: NDArray[np.uint8]
) -> tuple[bytes, list[list[str]]]:
    """What the model is fed by the generated class, and what `classify` makes of its answer."""
    name = CLASS_NAME[runtime]
    texts = {**STUBS, "main.kt": MAIN.format(name=name), f"{name}.kt": kotlin_files(one)[f"{name}.kt"]}
    paths = []
    for file, text in texts.items():
        paths.append(tmp_path / file)
        paths[-1].write_text(text)
    said = kotlin.compile(paths, tmp_path / "classes")
    assert f"{name}.kt" not in said, said
    (tmp_path / "image").write_bytes(image.tobytes())
    words = (str(tmp_path), str(tmp_path / "image"), str(image.shape[1]))
    fed, *rows = kotlin.run(tmp_path / "classes", "check.MainKt", *words).splitlines()
    return bytes.fromhex(fed), [row.split("\t") for row in rows]


def expected(file: ExportedFile) -> bytes:
    """The same in numpy."""
    image = pixels()
    channels = file.input.shape[3 if file.input.layout == "NHWC" else 1]
    if channels == 1:
        image = np.asarray(Image.fromarray(image).convert("L"))[:, :, None]
    if file.input.dtype == "uint8":
        values: NDArray[Any] = image
    else:
        assert file.normalisation is not None
        mean, std = (np.array(part, np.float32) for part in (file.normalisation.mean, file.normalisation.std))
        values = (image.astype(np.float32) - mean) / std
    return (values if file.input.layout == "NHWC" else values.transpose(2, 0, 1)).tobytes()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["float32", "uint8", "grey"])
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_generated_code_compiles_and_feeds_the_model_what_the_manifest_says(
    kotlin: Kotlin, runtime: Runtime, kind: str, tmp_path: Path
) -> None:
    file = exported(tmp_path, "net_fp32.tflite" if runtime == "tflite" else "net_fp32.pte")
    if kind == "uint8":
        file = replace(file, input=replace(file.input, dtype="uint8"), softmax=True)
    elif kind == "grey":
        shape = (1, HEIGHT, WIDTH, 1) if runtime == "tflite" else (1, 1, HEIGHT, WIDTH)
        file = replace(file, input=replace(file.input, shape=shape), normalisation=Normalisation((72.9,), (90.02,)))
    fed, rows = ran(kotlin, bundle(file), runtime, tmp_path, pixels())
    assert fed == expected(file)
    scores = np.array([3.0 if place == 4 else place / 10 for place in range(len(LABELS))], np.float32)
    if not file.softmax:
        scores = np.exp(scores - 3) / np.exp(scores - 3).sum()
    assert [(int(index), label) for index, _, label in rows] == [(4, LABELS[4]), (6, LABELS[6]), (5, LABELS[5])]
    assert [float(score) for _, score, _ in rows] == pytest.approx([scores[4], scores[6], scores[5]], rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_photograph_of_another_shape_is_cropped_and_scaled_as_training_images_are(
    kotlin: Kotlin, runtime: Runtime, tmp_path: Path
) -> None:
    side = 8
    across, down = np.meshgrid(np.arange(100), np.arange(75))
    lines = 90 * (across % 2)  # of one pixel: what leaves pixels out makes them dark or bright
    image = np.stack([2 * across + 20, down + lines, 120 + 100 * np.sin(across / 7)], 2).astype(np.uint8)
    encoded = io.BytesIO()
    Image.fromarray(image).save(encoded, "png")
    trained_on = decode_image(encoded.getvalue(), name="photograph", resolution=side, channels=3).astype(int)
    file = exported(tmp_path, "net_fp32.tflite" if runtime == "tflite" else "net_fp32.pte")
    shape = (1, side, side, 3) if runtime == "tflite" else (1, 3, side, side)
    file = replace(file, input=replace(file.input, shape=shape, dtype="uint8"))
    content, _ = ran(kotlin, bundle(file), runtime, tmp_path, image)
    fed = np.frombuffer(content, np.uint8).reshape(shape[1:])
    difference = np.abs((fed.transpose(2, 0, 1) if runtime == "tflite" else fed) - trained_on)
    # The whole image stretched differs by 25, every ninth pixel of its lines by 45.
    assert difference.max() <= 12


@pytest.mark.slow
def test_more_labels_than_a_method_holds_compile(kotlin: Kotlin, tmp_path: Path) -> None:
    count = 21 * LABELS_PER_PART + 7
    labels = tuple(f"class {number} of ImageNet-21k" for number in range(count))
    file = exported(tmp_path, labels=labels, output=TensorInfo("output", (1, count), "NC"))
    _, rows = ran(kotlin, bundle(file), "tflite", tmp_path, pixels())
    assert rows[0][2] == labels[count - 1]


@pytest.mark.slow
def test_a_file_of_which_nobody_says_what_becomes_of_pixels_takes_numbers_alone(kotlin: Kotlin, tmp_path: Path) -> None:
    one = bundle(
        exported(tmp_path, normalisation=None, labels=None), exported(tmp_path, "net_fp32.pte", normalisation=None)
    )
    texts = {name: text for name, text in kotlin_files(one).items() if name.endswith(".kt")}
    assert len(texts) == 2
    for name, text in texts.items():
        assert "Bitmap" not in text
        assert "fun run(input: FloatArray): FloatArray" in text
        (tmp_path / name).write_text(text)
    for name, text in STUBS.items():
        (tmp_path / name).write_text(text)
    kotlin.compile([tmp_path / name for name in (*texts, *STUBS)], tmp_path / "classes")


@pytest.mark.slow
def test_a_file_whose_output_is_no_list_of_classes_is_not_asked_for_any(kotlin: Kotlin, tmp_path: Path) -> None:
    shapes: dict[Runtime, TensorInfo] = {
        "tflite": TensorInfo("output", (1, 2, 3, 5), "NHWC"),
        "executorch": TensorInfo("output", (1, 5, 2, 3), "NCHW"),
    }
    for runtime, name in (("tflite", "net_fp32.tflite"), ("executorch", "net_fp32.pte")):
        one = bundle(exported(tmp_path, name, output=shapes[runtime], labels=None))  # type: ignore[index]
        (tmp_path / f"{runtime}.kt").write_text(kotlin_files(one)[f"{CLASS_NAME[runtime]}.kt"])  # type: ignore[index]
    for name, text in STUBS.items():
        (tmp_path / name).write_text(text)
    assert "warning" not in kotlin.compile(sorted(tmp_path.glob("*.kt")), tmp_path / "classes")


def test_only_what_is_known_of_an_output_is_written(tmp_path: Path) -> None:
    one = bundle(exported(tmp_path, output=TensorInfo("output", (1, 2, 3, 5), "NHWC"), labels=None))
    text = kotlin_files(one)["TfliteClassifier.kt"]
    assert not any(word in text for word in ("Prediction", "classify", "ranked", "softmax", "exp("))
    assert "fun input(image: Bitmap): FloatArray" in text
    assert "Returns 1 x 2 x 3 x 5 numbers (NHWC)." in text
    assert "const val OUTPUT_SIZE = 30" in text


def test_gradle_is_told_the_versions_that_the_files_were_checked_with(tmp_path: Path) -> None:
    text = kotlin_files(bundle(exported(tmp_path), exported(tmp_path, "net_fp32.pte")))["build.gradle.kts"]
    assert 'implementation("com.google.ai.edge.litert:litert:2.3.0")' in text
    assert 'implementation("org.pytorch:executorch-android:1.5.1")' in text
    only = kotlin_files(bundle(exported(tmp_path, "net_fp32.pte")))
    assert set(only) == {"ExecutorchClassifier.kt", "build.gradle.kts"}
    assert "litert" not in only["build.gradle.kts"]


def test_the_recommended_file_is_the_one_that_is_loaded(tmp_path: Path) -> None:
    files = [exported(tmp_path, name) for name in ("net_int8.tflite", "net_fp32.tflite")]
    assert 'MODEL = "net_fp32.tflite"' in kotlin_files(bundle(*files))["TfliteClassifier.kt"]
    text = kotlin_files(bundle(*files, recommendations=(recommended("net_int8.tflite"),)))["TfliteClassifier.kt"]
    assert 'MODEL = "net_int8.tflite"' in text
    assert "The same code runs net_fp32.tflite" in text
    assert f'SHA256 = "{files[0].artifact.sha256}"' in text


def test_a_phone_s_recommendation_counts_more_than_the_host_s_and_the_last_one_most(tmp_path: Path) -> None:
    files = [exported(tmp_path, name) for name in ("net_fp32.tflite", "net_fp16.tflite", "net_int8.tflite")]

    def shown(*chosen: tuple[str, str | None]) -> str:
        said = tuple(replace(recommended(file), device=device) for device, file in chosen)
        file = chosen_file(bundle(*files, recommendations=said), "tflite")
        assert file is not None
        return file.artifact.path.name

    assert shown(("local", "net_fp32.tflite"), ("Pixel 8", "net_int8.tflite")) == "net_int8.tflite"
    assert shown(("Pixel 8", "net_int8.tflite"), ("local", "net_fp32.tflite")) == "net_int8.tflite"
    assert shown(("local", "net_int8.tflite"), ("Pixel 8", "net_int8.tflite"), ("local", "net_fp32.tflite")) == (
        "net_int8.tflite"
    )
    assert shown(("Pixel 8", "net_int8.tflite"), ("Pixel 3", "net_fp16.tflite")) == "net_fp16.tflite"
    assert shown(("local", "net_int8.tflite"), ("Pixel 8", None)) == "net_int8.tflite"
    assert shown(("Pixel 8", None)) == "net_fp32.tflite"


@given(st.text(max_size=40))
@example('${"\\"}\n\t\0\u2028🦊')
def test_a_string_literal_says_what_it_was_made_of_and_nothing_else(text: str) -> None:
    """Read as Kotlin's grammar has it: nothing ends the literal early, interpolates, or leaves ASCII."""
    literal = kotlin_string(text)
    assert literal.isascii()
    assert literal.isprintable()
    pattern = re.compile(r'\\u([0-9a-f]{4})|\\(["\\$])|([^"\\$])')
    inside, at, units = literal[1:-1], 0, b""
    while at < len(inside):
        match = pattern.match(inside, at)
        assert match is not None, literal
        code = int(match[1], 16) if match[1] else ord(match[2] or match[3])
        units += code.to_bytes(2, "big")
        at = match.end()
    assert literal[0] == literal[-1] == '"'
    assert units.decode("utf-16-be", "surrogatepass") == text


def test_generated_code_is_whole_where_no_compiler_is(tmp_path: Path) -> None:
    """What can be seen without a compiler: balanced brackets, every label, no line that a reader has to scroll."""
    for runtime, name in (("tflite", "net_fp32.tflite"), ("executorch", "net_fp32.pte")):
        text = kotlin_files(bundle(exported(tmp_path, name)))[f"{CLASS_NAME[runtime]}.kt"]  # type: ignore[index]
        code = re.sub(r'"(\\.|[^"\\])*"', '""', text)
        assert all(code.count(left) == code.count(right) for left, right in ("{}", "()", "[]"))
        assert all(kotlin_string(label) in text for label in LABELS)
        assert f"const val CHANNELS = {CHANNELS}" in text
        assert max(map(len, text.splitlines())) <= 120
