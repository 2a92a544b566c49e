"""The bundle that an app ships: the files, their manifest, and what is written from it for people and for Kotlin."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from deploy.card import model_card
from deploy.kotlin import KOTLIN_NAMES, kotlin_files
from deploy.manifest import MANIFEST, About, Bundle, is_intact, read_bundle, write_bundle_manifest
from pocketnas_base.errors import ExportError, InputError
from pocketnas_base.files import write_text

MODEL_CARD = "MODEL_CARD.md"
LABELS = "labels.txt"
KOTLIN = "kotlin"


def load_bundle(folder: Path) -> Bundle:
    """The bundle in `folder`, each of its files still what was checked.

    Raises InputError when the manifest is missing or damaged, lists no file, or a file is missing or changed.
    """
    bundle = read_bundle(folder)
    if not bundle.files:
        raise InputError(f"{folder / 'manifest.json'} lists no file; export one first")
    for file in bundle.files:
        if not is_intact(file):
            raise InputError(f"{file.artifact.path} is missing, or not the file that was exported; export again")
    return bundle


def finish_bundle(folder: Path, about: About) -> None:
    """Say in the manifest of `folder` what its files are, and write the model card, labels and Kotlin beside them.

    Raises InputError when the manifest is missing or damaged.
    """
    write_bundle(folder, replace(read_bundle(folder), about=about))


@contextmanager
def finishing(folder: Path, about: About) -> Iterator[None]:
    """Finish the bundle that the block exports into `folder`; where some files failed, the bundle of those that passed.

    What the block raises goes on. Raises InputError as `finish_bundle` does, and before the block where something lies
    in a folder without a manifest that would be written over.
    """
    if not (folder / MANIFEST).exists():
        for name in (MODEL_CARD, LABELS):
            if (folder / name).exists():
                raise InputError(
                    f"{folder / name} is not of an export and would be written over; move it, or name another folder "
                    "for the files"
                )
    try:
        yield
    except ExportError:
        _finish_what_passed(folder, about)
        raise
    finish_bundle(folder, about)


def _finish_what_passed(folder: Path, about: About) -> None:
    try:
        bundle = read_bundle(folder)
    except InputError:
        return  # nothing was begun: the export's own error tells more
    if bundle.about is not None:
        return  # nor here: an export takes away what was said of the files before
    if bundle.files:
        write_bundle(folder, replace(bundle, about=about))
        return
    for written in (folder / MODEL_CARD, folder / LABELS, *(folder / KOTLIN / name for name in KOTLIN_NAMES)):
        written.unlink(missing_ok=True)


def write_bundle(folder: Path, bundle: Bundle) -> None:
    """Write the manifest, then everything that follows from it; what another manifest left there goes."""
    write_bundle_manifest(folder, bundle)
    write_text(folder / MODEL_CARD, model_card(bundle))
    labels = next((file.labels for file in bundle.files if file.labels is not None), None)
    if labels is None:
        (folder / LABELS).unlink(missing_ok=True)
    else:
        write_text(folder / LABELS, "".join(f"{label}\n" for label in labels))
    texts = kotlin_files(bundle)
    for name in KOTLIN_NAMES:
        if name in texts:
            write_text(folder / KOTLIN / name, texts[name])
        else:
            (folder / KOTLIN / name).unlink(missing_ok=True)
