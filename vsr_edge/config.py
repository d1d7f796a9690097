"""Settings: options over environment over the user's file over defaults."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import platformdirs

from vsr_edge.errors import UsageError
from vsr_edge.types import Sampling

APPLICATION = "vsr-edge"
ENVIRONMENT_PREFIX = "VSR_EDGE_"

# Exhaustive search of as many clips takes 25 ms a query on two threads. A graph over 200,000 took
# two to seven minutes to build. Where the vectors do not cluster it needs a breadth of 512 to find
# nine in ten of the nearest, and then it saves but half the time: it pays only beyond.
EXACT_SEARCH_LIMIT = 500_000
DEFAULT_SAMPLING = Sampling()
CGROUP_CPU_MAX = Path("/sys/fs/cgroup/cpu.max")


@dataclass(frozen=True, slots=True)
class Settings:
    """All that a run may be told. ``threads`` 0 means: as many as this process may use."""

    archive: Path
    bundle: str = "lite"
    provider: str = "cpu"
    threads: int = 0
    fps: float = DEFAULT_SAMPLING.fps
    min_frames: int = DEFAULT_SAMPLING.min_frames
    clip_seconds: float = DEFAULT_SAMPLING.clip_seconds
    clip_stride: float = DEFAULT_SAMPLING.clip_stride
    regions: bool = DEFAULT_SAMPLING.regions
    exact_limit: int = EXACT_SEARCH_LIMIT

    def __post_init__(self) -> None:
        for name in ("fps", "clip_seconds", "clip_stride"):
            if not 0 < getattr(self, name) < float("inf"):
                raise UsageError(f"{name} must be a positive number, not {getattr(self, name)}")
        if self.clip_stride > self.clip_seconds:
            raise UsageError(
                f"clip_stride ({self.clip_stride}) must not exceed clip_seconds "
                f"({self.clip_seconds}): footage between the clips would never be found"
            )
        for name in ("min_frames", "threads", "exact_limit"):
            if getattr(self, name) < 0:
                raise UsageError(f"{name} must not be negative, not {getattr(self, name)}")

    @property
    def sampling(self) -> Sampling:
        return Sampling(
            fps=self.fps,
            min_frames=self.min_frames,
            clip_seconds=self.clip_seconds,
            clip_stride=self.clip_stride,
            regions=self.regions,
        )


def usable_threads() -> int:
    """Cores that this process may really use: its affinity, further cut by a container's quota."""
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    try:
        quota, period = CGROUP_CPU_MAX.read_text("ascii").split()
        if quota != "max":
            count = min(count, max(1, int(quota) // int(period)))
    except (OSError, ValueError):
        pass  # no cgroup v2, hence no quota to respect
    return count


def default_archive() -> Path:
    """The platform's data folder for this program."""
    return Path(platformdirs.user_data_dir(APPLICATION, appauthor=False)) / "archive"


def config_file() -> Path:
    """The user's settings file; it need not exist."""
    return Path(platformdirs.user_config_dir(APPLICATION, appauthor=False)) / "config.toml"


def load_settings(
    options: Mapping[str, Any] | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    file: Path | None = None,
) -> Settings:
    """Merge the sources, the most specific last; an option that is None was not given.

    Raises:
        UsageError: an unknown name, or a value of the wrong kind, naming its source.
    """
    environment = os.environ if environment is None else environment
    file = config_file() if file is None else file
    settings = Settings(archive=default_archive())
    if file.is_file():
        try:
            values = tomllib.loads(file.read_text("utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"{file} is not valid TOML: {error}") from error
        settings = _merge(settings, values, str(file))
    names = {field.name for field in fields(Settings)}
    found = {name: environment.get(ENVIRONMENT_PREFIX + name.upper()) for name in names}
    settings = _merge(settings, {k: v for k, v in found.items() if v}, "the environment")
    given = {name: value for name, value in (options or {}).items() if value is not None}
    return _merge(settings, given, "the options")


def _merge(settings: Settings, values: Mapping[str, Any], source: str) -> Settings:
    kinds: dict[str, type] = {f.name: type(getattr(settings, f.name)) for f in fields(Settings)}
    kinds["archive"] = Path
    changes: dict[str, Any] = {}
    for name, value in values.items():
        if name not in kinds:
            raise UsageError(f"{source}: no setting is called {name!r}; known: {', '.join(kinds)}")
        try:
            changes[name] = _convert(value, kinds[name])
        except (TypeError, ValueError) as error:
            raise UsageError(
                f"{source}: {name} = {value!r} is not a {kinds[name].__name__}"
            ) from error
    return replace(settings, **changes)


def _convert(value: Any, kind: Callable[[Any], Any]) -> Any:
    if kind is bool and isinstance(value, str):
        lowered = value.strip().lower()
        if lowered in {"1", "true", "yes", "on"}:
            return True
        if lowered in {"0", "false", "no", "off"}:
            return False
        raise ValueError(value)
    if kind is Path:
        return Path(value).expanduser()
    return kind(value)
