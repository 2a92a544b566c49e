"""Kotlin for an app, generated from a manifest: one class per runtime, and what Gradle has to be told."""

from collections.abc import Sequence

from deploy.kotlin_classes import EXECUTORCH, TFLITE, classifier
from deploy.manifest import Bundle, ExportedFile
from pocketnas_base.artifact import RUNTIMES, Precision, Runtime

CLASS_NAME: dict[Runtime, str] = {"tflite": "TfliteClassifier", "executorch": "ExecutorchClassifier"}
GRADLE = "build.gradle.kts"

# The Android library of the runtime that checked a file, by the name of its Python package.
_LIBRARIES = {
    "ai-edge-litert": "com.google.ai.edge.litert:litert",
    "tflite-runtime": "org.tensorflow:tensorflow-lite",
    "executorch": "org.pytorch:executorch-android",
}
_PREFERRED: tuple[Precision, ...] = ("fp32", "fp16", "int8")


def kotlin_files(bundle: Bundle) -> dict[str, str]:
    """The text of each file of `kotlin/`, by name; none for a bundle without files.

    A class loads its runtime's recommended file, else its most exact one.
    """
    chosen = {runtime: file for runtime in RUNTIMES if (file := chosen_file(bundle, runtime)) is not None}
    texts = {}
    for runtime, file in chosen.items():
        template = TFLITE if runtime == "tflite" else EXECUTORCH
        texts[f"{CLASS_NAME[runtime]}.kt"] = classifier(template, file, _stand_ins(bundle, file))
    if chosen:
        texts[GRADLE] = _gradle(list(chosen.values()))
    return texts


def chosen_file(bundle: Bundle, runtime: Runtime) -> ExportedFile | None:
    """The file of a runtime that an app is shown how to load; None where the bundle has none of it."""
    own = [file for file in bundle.files if file.artifact.runtime == runtime]
    recommended = {one.file for one in bundle.recommendations}
    order = {precision: place for place, precision in enumerate(_PREFERRED)}
    return min(
        own,
        key=lambda file: (file.artifact.path.name not in recommended, order.get(file.artifact.precision, len(order))),
        default=None,
    )


def _stand_ins(bundle: Bundle, file: ExportedFile) -> list[str]:
    """The files that the same code runs: of the same runtime, fed and read alike."""
    return [
        other.artifact.path.name
        for other in bundle.files
        if other is not file
        and other.artifact.runtime == file.artifact.runtime
        and (other.input, other.output, other.normalisation, other.softmax, other.labels)
        == (file.input, file.output, file.normalisation, file.softmax, file.labels)
    ]


def _gradle(files: Sequence[ExportedFile]) -> str:
    lines = ["// For the app module's build.gradle.kts.", ""]
    if any(file.artifact.runtime == "tflite" for file in files):
        lines += ["android {", "    // The model is mapped from the APK, so it must lie there as it is.",
                  '    androidResources { noCompress += "tflite" }', "}", ""]  # fmt: skip
    lines.append("dependencies {")
    for file in files:
        package, _, version = file.runtime_version.partition(" ")
        lines.append(f'    implementation("{_LIBRARIES[package]}:{version}")')
    return "\n".join([*lines, "}", ""])
