"""The folder on a phone where models and runners lie, addressed by content."""

from collections.abc import Callable, Collection, Mapping

from android_bench.adb.phone_transport import PhoneTransport
from android_bench.adb.supervisor import DEVICE_FOLDER
from android_bench.runner.abi import Abi
from android_bench.runner.bundle import Bundle, build_bundle
from android_bench.workspace import InstalledRunner, KnownFile, unique
from pocketnas_base.artifact import Runtime
from pocketnas_base.errors import DeviceError

BLOBS = f"{DEVICE_FOLDER}/blobs"
BUNDLES = f"{DEVICE_FOLDER}/bundles"
_TIMEOUT_S = 60.0


class PhoneWorkspace:
    """See `workspace.Workspace`. What lies on the phone already is hashed there before it is used again. say: told
    while one has to wait."""

    def __init__(self, transport: PhoneTransport, abi: Abi, say: Callable[[str], None] = lambda _: None) -> None:
        self._transport, self._abi, self._say = transport, abi, say
        self._stamps: dict[str, str] = {}

    def place(self, files: Collection[KnownFile]) -> dict[str, str]:
        wanted = {f"{BLOBS}/{file.sha256}": file for file in unique(list(files))}
        found = self._transport.sha256(list(wanted))
        missing = [(file.path, path) for path, file in wanted.items() if found.get(path) != file.sha256]
        for path, file in wanted.items():
            if found.get(path) != file.sha256:
                file.check()
        if missing:
            self._transport.push_many(missing, make_folder=True)
        return {file.sha256: path for path, file in wanted.items()}

    def place_program(self, file: KnownFile) -> str:
        path = self.place([file])[file.sha256]
        self._allow_to_start([path], BLOBS)
        return path

    def changed(self, paths: Mapping[str, str]) -> set[str]:
        """A file is hashed again unless its stamp is the one that it had before it was last found right."""
        stamps = self._transport.stamps(list(paths.values()))
        untouched = {path for path, stamp in stamps.items() if self._stamps.get(path) == stamp}
        touched = {sha256: path for sha256, path in paths.items() if path not in untouched}
        found = self._transport.sha256(list(touched.values()))
        changed = {sha256: path for sha256, path in touched.items() if found.get(path) != sha256}
        self._stamps |= {path: stamp for path, stamp in stamps.items() if path not in changed.values()}
        return set(changed)

    def discard(self, files: Collection[KnownFile]) -> None:
        paths = sorted({f"{BLOBS}/{file.sha256}" for file in files})
        if paths:
            self._transport.run(("rm", "-f", *paths), timeout_s=_TIMEOUT_S)

    def install(self, runtime: Runtime) -> InstalledRunner:
        bundle = build_bundle(runtime, self._abi, say=self._say)
        folder = f"{BUNDLES}/{bundle.sha256}"
        wanted = {f"{folder}/{file.name}": file.sha256 for file in bundle.files}
        found = self._transport.sha256(list(wanted))
        missing = [path for path, sha256 in wanted.items() if found.get(path) != sha256]
        if missing:
            self._send(bundle, folder, missing)
        start = ("sh", "-c", 'unset LD_PRELOAD; cd "$0" && exec "$@"', folder, *bundle.command)
        return InstalledRunner(runtime, bundle.runtime_version, bundle.abi, bundle.sha256, start)

    def _send(self, bundle: Bundle, folder: str, missing: Collection[str]) -> None:
        paths = {f"{folder}/{file.name}": file for file in bundle.files}
        by_folder: dict[str, list[str]] = {}
        for path in missing:
            by_folder.setdefault(path.rpartition("/")[0], []).append(path)
        for own in by_folder.values():
            self._transport.push_many([(paths[path].path, path) for path in own], make_folder=True)
        programs = [path for path in missing if paths[path].executable]
        if programs:
            self._allow_to_start(programs, folder)

    def _allow_to_start(self, programs: Collection[str], folder: str) -> None:
        done = self._transport.run(("chmod", "0755", *programs), timeout_s=_TIMEOUT_S)
        if done.exit_status != 0:
            raise DeviceError(f"{self._transport.name} does not let programs be started from {folder}")


def clean_phone(transport: PhoneTransport) -> None:
    """Remove everything of ours from a phone, but its lock and the note of settings that are still to be put back."""
    for folder in ("blobs", "bundles", "run"):
        transport.remove_tree(f"{DEVICE_FOLDER}/{folder}")
