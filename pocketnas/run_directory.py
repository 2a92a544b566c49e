"""A run directory: everything a run made, by stage, and which stages are done."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pocketnas.config import RunConfig, load_config
from pocketnas_base.errors import InputError
from pocketnas_base.files import read_bytes, read_json, write_bytes, write_json
from search.space import MAX_SPACE_BYTES, split_size, with_size


@dataclass(frozen=True)
class RunDirectory:
    """Paths of a run's files. Nothing outside is needed to resume, report or deploy."""

    path: Path
    config: RunConfig

    @classmethod
    def create(cls, path: Path, config: RunConfig, text: bytes) -> "RunDirectory":
        """Start a run. Raises InputError when the directory already holds one."""
        if (path / "config.toml").exists():
            raise InputError(f"{path} already holds a run; go on with it by --resume, or choose another name")
        path.mkdir(parents=True, exist_ok=True)
        directory, own = cls(path, config), _space_file(config)
        if own is not None:
            write_bytes(directory.space, read_bytes(own, what="space", max_bytes=MAX_SPACE_BYTES))
        write_bytes(path / "config.toml", text)
        return directory

    @classmethod
    def open(cls, path: Path) -> "RunDirectory":
        """An existing run. Raises InputError when there is none."""
        if not (path / "config.toml").is_file():
            raise InputError(f"{path} holds no run (no config.toml); start one with: pocketnas run CONFIG.toml")
        config, _ = load_config(path / "config.toml")
        return cls(path, config)

    @property
    def space(self) -> Path:
        """The space's file, where it is one of the user's own: as it was when the run began."""
        return self.path / "space.toml"

    @property
    def space_name(self) -> str:
        """The run's space as `search.space.load_space` takes it."""
        name, width, pixels = split_size(self.config.space)
        if not (name.endswith(".toml") and self.space.is_file()):
            return self.config.space
        return with_size(str(self.space), width, pixels)

    def check_space(self) -> None:
        """Raises InputError where the file that the configuration names has changed since the run began."""
        own = _space_file(self.config)
        if own is None or not (own.is_file() and self.space.is_file()):
            return
        if read_bytes(own, what="space", max_bytes=MAX_SPACE_BYTES) != self.space.read_bytes():
            raise InputError(f"space {own} differs from {self.space}; name {self.path} to go on, or rename the run")

    @property
    def environment(self) -> Path:
        return self.path / "environment.json"

    @property
    def table(self) -> Path:
        return self.path / "table.parquet"

    @property
    def samples(self) -> Path:
        return self.path / "samples.sqlite"

    @property
    def search(self) -> Path:
        return self.path / "search"

    @property
    def search_result(self) -> Path:
        return self.search / "result.json"

    @property
    def architecture(self) -> Path:
        return self.path / "architecture.json"

    @property
    def weights(self) -> Path:
        return self.path / "weights.safetensors"

    @property
    def training(self) -> Path:
        return self.path / "training.json"

    @property
    def baseline(self) -> Path:
        return self.path / "baseline"

    @property
    def deploy(self) -> Path:
        return self.path / "deploy"

    @property
    def rebench(self) -> Path:
        return self.path / "rebench.parquet"

    @property
    def summary(self) -> Path:
        return self.path / "summary.json"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @property
    def _stages(self) -> Path:
        return self.path / "stages.json"

    def stages(self) -> dict[str, dict[str, object]]:
        """What is known of each stage: `seconds` spent so far, and whether it is `done`."""
        if not self._stages.exists():
            return {}
        value = read_json(self._stages, what="stage record")
        if not isinstance(value, dict) or not all(isinstance(entry, dict) for entry in value.values()):
            raise InputError(f"stage record {self._stages} is damaged; delete it to run every stage again")
        return {name: dict(entry) for name, entry in value.items() if isinstance(entry, dict)}

    def is_done(self, stage: str) -> bool:
        """Whether a stage ran to its end."""
        return self.stages().get(stage, {}).get("done") is True

    def seconds(self) -> dict[str, float]:
        """Wall time per stage, interrupted attempts included, in the order the stages ran."""
        return {name: _number(entry.get("seconds")) for name, entry in self.stages().items()}

    @contextmanager
    def recording(self, stage: str) -> Iterator[None]:
        """Time a stage and, when its work ends without an error, mark it done."""
        spent, started, done = self.seconds().get(stage, 0.0), time.monotonic(), False
        try:
            yield
            done = True
        finally:
            seconds = round(spent + time.monotonic() - started, 3)
            write_json(self._stages, {**self.stages(), stage: {"seconds": seconds, "done": done}})

    def forget(self, stages: tuple[str, ...]) -> None:
        """Mark stages as not done: what they read has changed."""
        kept = {name: entry for name, entry in self.stages().items() if name not in stages}
        write_json(self._stages, kept)


def _space_file(config: RunConfig) -> Path | None:
    """The file of a space of the user's own."""
    name = split_size(config.space)[0]
    return Path(name) if name.endswith(".toml") else None


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
