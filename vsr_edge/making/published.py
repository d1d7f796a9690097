"""What a folder or a repository publishes of a dual encoder: which graph files, in which precision,
and how pictures and sentences are prepared for them.

Three layouts are known: that of Transformers.js (``onnx/text_model*.onnx`` and
``onnx/vision_model*.onnx``), optimum's (``model*.onnx`` with both sides), and that of Immich
(``textual/model.onnx`` and ``visual/model.onnx``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from vsr_edge.bundle.hub import HubSource
from vsr_edge.bundle.manifest import IMAGE_ENCODER, TEXT_ENCODER
from vsr_edge.errors import NoDualEncoder
from vsr_edge.making.onnx_graph import external_files
from vsr_edge.runtime.preprocess import FilterKind, Preprocessing

# What the files of a precision are called behind their name, in order of preference.
SUFFIXES = {
    "fp32": ("",),
    "fp16": ("_fp16",),
    "int8": ("_int8", "_quantized"),
    "uint8": ("_uint8",),
    "q8": ("_quantized", "_int8", "_uint8"),
}
# What a bundle calls them: how they are best used, not how they are stored.
CALLED = {"fp32": "fp32", "fp16": "fp16", "int8": "int8", "uint8": "int8", "q8": "int8"}
_SIDES = {TEXT_ENCODER: "text_model", IMAGE_ENCODER: "vision_model"}
_IMMICH = {TEXT_ENCODER: "textual/model.onnx", IMAGE_ENCODER: "visual/model.onnx"}
CONFIG, PREPROCESSOR, TOKENIZER_FILE = (
    "config.json",
    "preprocessor_config.json",
    "tokenizer.json",
)
_FILTERS: dict[Any, FilterKind] = {
    2: "bilinear",
    3: "bicubic",
    "bilinear": "bilinear",
    "bicubic": "bicubic",
}


class Files(Protocol):
    """Where published files come from."""

    origin: str
    revision: str | None
    # Somebody's own, which is not to be written to.
    folder: Path | None

    @property
    def names(self) -> frozenset[str]:
        """Paths of all files, with / between folders."""

    def get(self, name: str) -> Path:
        """The file, on this machine."""


class FolderFiles:
    """Files of a folder."""

    revision: str | None = None

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.folder: Path | None = folder
        # A folder's path says more of its owner than of the model.
        self.origin = folder.resolve().name

    @property
    def names(self) -> frozenset[str]:
        found = (path for path in self._folder.rglob("*") if path.is_file())
        return frozenset(path.relative_to(self._folder).as_posix() for path in found)

    def get(self, name: str) -> Path:
        return self._folder / name


class HubFiles:
    """Files of a repository on the hub at one commit, downloaded when they are wanted."""

    folder: Path | None = None

    def __init__(self, hub: HubSource, folder: Path) -> None:
        self._hub, self._folder = hub, folder
        self.origin = hub.repository
        self.revision: str | None = hub.commit

    @property
    def names(self) -> frozenset[str]:
        return self._hub.listed

    def get(self, name: str) -> Path:
        path = self._folder / name
        return path if path.is_file() else self._hub.fetch(name, self._folder)


@dataclass(frozen=True)
class Published:
    """A dual encoder as it is published; ``graphs`` are file names by precision and side, the same
    for both sides where one graph holds both.
    """

    files: Files
    folder: str
    graphs: Mapping[str, Mapping[str, str]]
    config: Mapping[str, Any]
    preparing: Mapping[str, Any]
    tokenizer: Path
    tokenizer_settings: Mapping[str, Any]

    @property
    def family(self) -> str:
        return str(self.config.get("model_type") or "unknown")

    def side_config(self, side: str) -> Mapping[str, Any]:
        """What the configuration says of "text" or "vision"."""
        found = self.config.get(f"{side}_config") or self.config.get(f"{side}_cfg")
        return found if isinstance(found, Mapping) else {}

    def graph(self, precision: str, role: str) -> Path:
        """The file of a graph, its weights beside it."""
        name = self.graphs[precision][role]
        path = self.files.get(name)
        for location in external_files(path):
            beside = (PurePosixPath(name).parent / location).as_posix()
            if not re.fullmatch(r"[\w.+-]+", location) or beside not in self.files.names:
                raise NoDualEncoder(
                    f"{name} of {self.files.origin} keeps weights in {location!r}, which is not "
                    "there: put that file beside it"
                )
            self.files.get(beside)
        return path

    def licence(self) -> str | None:
        """What the card says."""
        if "README.md" not in self.files.names:
            return None
        text = self.files.get("README.md").read_text("utf-8", "replace")
        head = re.match(r"---\n(.*?)\n---", text, re.DOTALL)
        found = head and re.search(r"^license(?:_name)?: *(\S.*)$", head.group(1), re.MULTILINE)
        return f"{found.group(1).strip()}, as of {self.files.origin}" if found else None


def read_published(files: Files, folder: str | None = None) -> Published:
    """Look at what is there; graphs are fetched only when they are asked for.

    Args:
        folder: that the graphs lie in, below the root; None looks in the usual ones.

    Raises:
        NoDualEncoder: something is missing; says what, and what there is.
        HubError: the hub does not give a file.
    """
    names = files.names
    for at in ("onnx", "") if folder is None else (folder.strip("/"),):
        if graphs := _graphs(names, at):
            break
    else:
        found = sorted(name for name in names if name.endswith(".onnx"))
        where = f"the folder {folder} of {files.origin}" if folder else files.origin
        raise NoDualEncoder(
            f"{where} holds no text and no image graph: onnx/text_model.onnx and "
            "onnx/vision_model.onnx, or onnx/model.onnx with both, are looked for"
            + (f"; found: {', '.join(found[:8])}" if found else "")
            + (". --folder says where they lie" if found and not folder else "")
        )

    def document(*candidates: str) -> dict[str, Any]:
        for name in candidates:
            if name in names:
                return _json(files.get(name), name, files.origin)
        needed = min(candidates, key=len)
        raise NoDualEncoder(
            f"{files.origin} has no {needed}: it says how to prepare what is encoded"
        )

    immich = graphs.get("fp32") == _IMMICH
    beside = f"{at}/" if at else ""
    places = [f"{beside}{TOKENIZER_FILE}", f"textual/{TOKENIZER_FILE}", TOKENIZER_FILE]
    tokenizer = next((name for name in places if name in names), None)
    if tokenizer is None:
        raise NoDualEncoder(
            f"{files.origin} has no {TOKENIZER_FILE}: sentences cannot be read without it (a "
            "vocabulary alone does not say how; AutoTokenizer.save_pretrained of Transformers "
            "writes it)"
        )
    near = tokenizer.removesuffix(TOKENIZER_FILE)
    settings: dict[str, Any] = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        if f"{near}{name}" in names:
            settings |= _json(files.get(f"{near}{name}"), name, files.origin)
    preparing = ("visual/preprocess_cfg.json",) if immich else ()
    return Published(
        files,
        at,
        graphs,
        document(CONFIG, f"{beside}{CONFIG}"),
        document(*preparing, f"{beside}{PREPROCESSOR}", PREPROCESSOR),
        files.get(tokenizer),
        settings,
    )


def _graphs(names: frozenset[str], folder: str) -> dict[str, dict[str, str]]:
    """File names by precision and side; empty where there is no whole encoder."""
    beside = f"{folder}/" if folder else ""
    found: dict[str, dict[str, str]] = {}
    for precision, suffixes in SUFFIXES.items():
        for suffix in suffixes:
            apart = {role: f"{beside}{name}{suffix}.onnx" for role, name in _SIDES.items()}
            both = dict.fromkeys(_SIDES, f"{beside}model{suffix}.onnx")
            whole = next((one for one in (apart, both) if names.issuperset(one.values())), None)
            if whole is not None and precision not in found:
                found[precision] = whole
    if not found and names.issuperset(_IMMICH.values()):
        found["fp32"] = dict(_IMMICH)
    return found


def _json(path: Path, name: str, origin: str) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise NoDualEncoder(f"{name} of {origin} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise NoDualEncoder(f"{name} of {origin} is no JSON object")
    return found


def preprocessing_of(published: Published, side: int | None) -> tuple[Preprocessing, int]:
    """How pictures are prepared, and the side in pixels.

    Args:
        side: what the image graph takes; None where it takes any.

    Raises:
        NoDualEncoder: in a way that the runtime cannot.
    """
    given, origin = published.preparing, published.files.origin
    size = given.get("size", side)
    fit, wanted = "stretch", _square(size)
    if isinstance(size, Mapping) and "shortest_edge" in size:
        fit, wanted = "crop", int(size["shortest_edge"])
    mode = given.get("resize_mode")
    if mode in ("shortest", "longest") or (isinstance(size, int) and given.get("do_center_crop")):
        fit = "crop"
    if fit == "crop" and given.get("do_center_crop", True) and "crop_size" in given:
        cropped = _square(given["crop_size"])
        if cropped != wanted:
            raise NoDualEncoder(
                f"{origin} resizes pictures to {wanted} pixels and crops them to {cropped}; the "
                "runtime can make the whole square alone"
            )
    kind = _FILTERS.get(given.get("resample", given.get("interpolation", 3)))
    side = side or wanted
    off = [step for step in ("do_resize", "do_rescale") if not given.get(step, True)]
    if off or kind is None or side is None or wanted not in (None, side) or mode == "longest":
        raise NoDualEncoder(
            f"{origin} prepares pictures in a way that the runtime cannot: size {size}, for a "
            f"graph that takes {side} pixels, filter {given.get('resample')}"
            + "".join(f", without {step}" for step in off)
        )
    factor = float(given.get("rescale_factor", 1 / 255))
    mean, scale = (
        _three(given.get(long, given.get(short)), plain)
        if given.get("do_normalize", True)
        else (plain,) * 3
        for long, short, plain in (("image_mean", "mean", 0.0), ("image_std", "std", 1.0))
    )
    return (
        Preprocessing(
            (mean[0] / factor, mean[1] / factor, mean[2] / factor),
            (scale[0] / factor, scale[1] / factor, scale[2] / factor),
            "crop" if fit == "crop" else "stretch",
            kind,
        ),
        side,
    )


def _square(size: Any) -> int | None:
    if isinstance(size, Mapping):
        size = [size.get("height"), size.get("width")]
    if isinstance(size, Sequence):
        return int(size[0]) if len(set(size)) == 1 and size[0] is not None else None
    return None if size is None else int(size)


def _three(values: Any, plain: float) -> tuple[float, float, float]:
    if not isinstance(values, Sequence) or len(values) != 3:
        return (plain, plain, plain)
    r, g, b = map(float, values)
    return (r, g, b)
