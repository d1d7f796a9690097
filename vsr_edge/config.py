"""Settings: options over environment over the user's file over defaults."""

from __future__ import annotations

import codecs
import hashlib
import operator
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, get_args

import platformdirs

from vsr_edge.errors import UsageError
from vsr_edge.times import zone_of
from vsr_edge.types import Granularity, Keyframes, Regions, Sampling

APPLICATION = "vsr-edge"
ENVIRONMENT_PREFIX = "VSR_EDGE_"

# Thousands of threads take minutes to start and to end.
MAX_THREADS = 256
# No camera records more frames a second, and fewer than one in eleven days show nothing.
MAX_FPS, MIN_FPS = 1e6, 1e-6
# Some thirty years: longer than any video, and short enough to calculate with.
MAX_SECONDS = 1e9
# Clips that share a frame; far more would take memory and find nothing new.
MAX_OVERLAP = 100
DEFAULT_SAMPLING = Sampling()
# The settings that are one of a few words.
CHOICES = {
    "granularity": get_args(Granularity),
    "keyframes": get_args(Keyframes),
    "regions": get_args(Regions),
}
_LENGTHS = ("clip_seconds", "clip_stride", "keyframe_seconds")
CGROUP_CPU_MAX = Path("/sys/fs/cgroup/cpu.max")


@dataclass(frozen=True, slots=True)
class Settings:
    """All that a run may be told. ``threads`` 0 means: as many as this process may use.

    ``include_system``: index what storage systems keep beside the videos too. ``time_zone`` is that
    of the clocks that people and recorders go by, an IANA name; empty is the machine's own.
    ``recorded_pattern``: how file names say when a recording began (:mod:`vsr_edge.ingest.recorded`
    knows those of the common recorders). ``exact_limit`` is
    deprecated: it is accepted and has no effect, as every search is exhaustive.

    ``archive`` may be the address of a PostgreSQL database: it is kept in ``database`` then, and
    ``archive`` is the folder for what lies beside the rows: ``beside``, or where that is empty, one
    in the user's data folder.
    """

    archive: Path
    bundle: str = "lite"
    provider: str = "cpu"
    hwaccel: str = "none"
    threads: int = 0
    fps: float = DEFAULT_SAMPLING.fps
    min_frames: int = DEFAULT_SAMPLING.min_frames
    clip_seconds: float = DEFAULT_SAMPLING.clip_seconds
    clip_stride: float = DEFAULT_SAMPLING.clip_stride
    regions: str = DEFAULT_SAMPLING.regions
    granularity: str = DEFAULT_SAMPLING.granularity
    fold: bool = DEFAULT_SAMPLING.fold
    keyframes: str = DEFAULT_SAMPLING.keyframes
    keyframe_seconds: float = DEFAULT_SAMPLING.keyframe_seconds
    exact_limit: int = 500_000
    include_system: bool = False
    time_zone: str = ""
    recorded_pattern: tuple[str, ...] = ()
    beside: str = ""
    database: str = field(default="", repr=False)  # it may hold a password

    def __post_init__(self) -> None:
        for setting in fields(self):
            _check(setting.name, getattr(self, setting.name))
        if self.clip_stride > self.clip_seconds:
            raise UsageError(
                f"clip_stride ({self.clip_stride}) must not exceed clip_seconds "
                f"({self.clip_seconds}), or footage between the clips would never be found: set "
                "both"
            )
        if self.clip_seconds > MAX_OVERLAP * self.clip_stride:
            raise UsageError(
                f"clip_stride ({self.clip_stride}) must be at least 1/{MAX_OVERLAP} of "
                f"clip_seconds ({self.clip_seconds}): no frame needs to be in more clips"
            )

    @property
    def place(self) -> Path | str:
        """Where the archive lies, as it is shown: without any password."""
        return without_password(self.database) if self.database else self.archive

    @property
    def sampling(self) -> Sampling:
        """What counts of it: a setting that does not is as it is by default."""
        given = {one.name: getattr(self, one.name) for one in fields(Sampling)}
        if self.granularity != "clip":
            del given["clip_seconds"], given["clip_stride"]
        if self.keyframes != "auto":
            del given["keyframe_seconds"]
        return Sampling(**given)


# Each setting's kind, by its name, and what the kinds are called.
_KNOWN = {one.name: str(one.type) for one in fields(Settings) if one.name != "database"}
_KINDS = {
    "Path": "a path",
    "str": "text",
    "bool": "yes or no",
    "int": "a whole number",
    "float": "a number",
    "tuple[str, ...]": "text, or a list of texts",
}
_DATABASE = re.compile(r"postgres(?:ql)?://")
_WORDS = dict.fromkeys(("1", "true", "yes", "on"), True) | dict.fromkeys(
    ("0", "false", "no", "off"), False
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


def is_database(archive: object) -> bool:
    """Whether an archive is named by the address of a PostgreSQL database."""
    return isinstance(archive, str) and _DATABASE.match(archive) is not None


def without_password(text: str) -> str:
    """A text in which addresses keep their passwords to themselves."""
    text = re.sub(r"(?i)([?&\s]|^)((?:ssl)?password)=[^&\s]*", r"\1\2=…", text)
    # Up to the last @, as one that is not encoded may belong to the password: better too much.
    return re.sub(r"(://[^\s:]*):\S*@", r"\1@", text)


def _beside(database: str) -> Path:
    """The folder for what lies beside the rows of a database, by where that is."""
    folder = _data_folder(
        "there is no home folder to keep thumbnails and answers in: set HOME, or name "
        f"one with {ENVIRONMENT_PREFIX}BESIDE"
    )
    shown = without_password(database)
    name = re.sub(r"[^A-Za-z0-9]+", "-", shown.partition("://")[2].rpartition("@")[2])[:40]
    number = hashlib.sha256(shown.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return folder / "servers" / f"{name.strip('-')}-{number}"


def default_archive() -> Path:
    """The platform's data folder for this program.

    Raises:
        UsageError: the user has no home folder, as in some containers.
    """
    return _data_folder(
        "there is no home folder to keep an archive in: name one with --archive or "
        f"{ENVIRONMENT_PREFIX}ARCHIVE, or set HOME"
    ).joinpath("archive")


def bundles_folder() -> Path:
    """Where bundles are installed, each in a folder of its name; it need not exist.

    Raises:
        UsageError: the user has no home folder.
    """
    return _data_folder("there is no home folder to install bundles in: set HOME") / "bundles"


def config_file() -> Path | None:
    """The user's settings file; it need not exist. None where there is no home folder."""
    folder = _of_the_user(platformdirs.user_config_dir)
    return None if folder is None else folder / "config.toml"


def cache_folder() -> Path | None:
    """Where things are kept that can be made anew; None where there is no home folder."""
    return _of_the_user(platformdirs.user_cache_dir)


def _data_folder(without: str) -> Path:
    if (folder := _of_the_user(platformdirs.user_data_dir)) is None:
        raise UsageError(without)
    return folder


def _of_the_user(folder: Callable[..., str]) -> Path | None:
    """A folder of platformdirs; None if it would lie below a home that nobody knows."""
    try:
        path = Path(folder(APPLICATION, appauthor=False))
    except (RuntimeError, KeyError):
        return None
    # Earlier versions leave the ~ in.
    return path if path.is_absolute() else None


def load_settings(
    options: Mapping[str, Any] | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    file: Path | None = None,
) -> Settings:
    """Merge the sources, the most specific last; an option that is None was not given.

    Raises:
        UsageError: an unknown name, or a value that cannot be right, naming its source.
    """
    environment = os.environ if environment is None else environment
    file = config_file() if file is None else file
    found = {name: environment.get(ENVIRONMENT_PREFIX + name.upper()) for name in _KNOWN}
    # Merged first and made into Settings once: one source may complete what another began.
    merged = (
        _converted({} if file is None else _read(file), str(file))
        | _converted({k: v for k, v in found.items() if v}, "the environment")
        | _converted({k: v for k, v in (options or {}).items() if v is not None}, "the options")
    )
    if "archive" not in merged:  # else no default is looked for: there may be no home folder
        merged["archive"] = default_archive()
    elif merged["database"]:
        beside = Path(merged.get("beside") or _beside(merged["database"]))
        merged["archive"] = beside.expanduser()
    return Settings(**merged)


def _read(file: Path) -> dict[str, Any]:
    try:
        content = file.read_bytes()
        if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise UsageError(f"{file} is saved as UTF-16: save it as UTF-8, in Notepad by Save as")
        # Windows' editors put a mark before the text.
        return tomllib.loads(content.decode("utf-8-sig"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise UsageError(f"{file} cannot be read ({error.strerror}): mend or remove it") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} is not valid TOML: {error}") from error


def _converted(values: Mapping[str, Any], source: str) -> dict[str, Any]:
    """The values of one source, each of its setting's kind and within its range."""
    changes: dict[str, Any] = {}
    for name, value in values.items():
        if name not in _KNOWN:
            known = ", ".join(_KNOWN)
            raise UsageError(f"{source}: no setting is called {name!r}; known: {known}")
        if name == "archive":
            # The more specific source decides, whichever kind it names.
            changes["database"] = str(value) if is_database(value) else ""
            value = Path() if is_database(value) else value
        if name == "regions":
            value = _region_code(value)
        try:
            changes[name] = _convert(value, _KNOWN[name])
            _check(name, changes[name])
        except (TypeError, ValueError, RuntimeError) as error:
            kind = _KINDS[_KNOWN[name]]
            raise UsageError(f"{source}: {name} = {value!r} is not {kind}") from error
        except UsageError as error:
            raise UsageError(f"{source}: {error}") from error
    return changes


def _region_code(value: Any) -> Any:
    """Before there were codes, regions either were or not, and files still say so."""
    given = _WORDS.get(value.strip().lower(), value) if isinstance(value, str) else value
    if isinstance(given, bool):
        return DEFAULT_SAMPLING.regions if given else "none"
    return given


def _check(name: str, value: Any) -> None:
    """Raise UsageError for a value that is out of range whatever the other settings are."""
    if name in CHOICES and value not in CHOICES[name]:
        *most, last = CHOICES[name]
        raise UsageError(f"{name} must be {', '.join(most)} or {last}, not {value!r}")
    if name in {"fps", *_LENGTHS} and not 0 < value < float("inf"):
        raise UsageError(f"{name} must be a positive number, not {value}")
    if name == "fps" and not MIN_FPS <= value <= MAX_FPS:
        raise UsageError(f"fps must lie between {MIN_FPS:g} and {MAX_FPS:g}, not at {value}")
    if name in _LENGTHS and value > MAX_SECONDS:
        raise UsageError(f"{name} must be at most {MAX_SECONDS:g}, not {value}")
    if name in {"min_frames", "threads", "exact_limit"} and value < 0:
        raise UsageError(f"{name} must not be negative, not {value}")
    if name == "time_zone":
        zone_of(value)
    if name == "threads" and value > MAX_THREADS:
        raise UsageError(f"threads must be at most {MAX_THREADS}, not {value}")


def _convert(value: Any, kind: str) -> Any:
    """Only text, as in the environment, is parsed."""
    if kind == "Path":
        return Path(value).expanduser()
    if kind == "str" and isinstance(text := os.fspath(value), str):
        return text
    if kind.startswith("tuple"):
        # Of several in one text, as in the environment, each has a line or ends with a semicolon.
        parts = re.split(r"[;\n]", value) if isinstance(value, str) else list(value)
        if all(isinstance(part, str) for part in parts):
            return tuple(part.strip() for part in parts if part.strip())
    elif kind == "bool":
        found = _WORDS.get(value.strip().lower()) if isinstance(value, str) else value
        if isinstance(found, bool):
            return found
    elif not isinstance(value, bool):
        if kind == "float":
            return float(value)
        return int(value) if isinstance(value, str) else operator.index(value)
    raise TypeError(value)
