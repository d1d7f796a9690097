"""Speech to words: what does it, and Whisper (faster-whisper on CTranslate2) from a local folder.

No model is part of this package, and none is ever downloaded by it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vsr_edge.config import usable_threads
from vsr_edge.errors import UsageError
from vsr_edge.types import Cue

SOUND_RATE = 16_000
# Without its tokenizer beside it, faster-whisper would look for one on the hub.
_FILES = ("model.bin", "config.json", "tokenizer.json")


class Transcriber(Protocol):
    """Whatever turns sound into words; ``name`` is part of what tells if words are up to date."""

    @property
    def name(self) -> str: ...

    def transcribe(self, sound: NDArray[np.float32]) -> Iterable[Cue]:
        """The words in sound float32 [n], mono, 16 kHz, within ±1; seconds from its beginning."""


class WhisperTranscriber:
    """A Whisper model in CTranslate2's format.

    Raises:
        UsageError: the extra is not installed, or the folder holds no such model.
    """

    def __init__(self, folder: Path, threads: int = 0) -> None:
        lacking = [name for name in _FILES if not (folder / name).is_file()]
        if lacking:
            raise UsageError(
                f"{folder} holds no Whisper model for CTranslate2 ({', '.join(lacking)} is "
                "missing): name a folder such as a download of Systran/faster-whisper-small, or "
                "what ct2-transformers-converter makes with --copy_files tokenizer.json"
            )
        try:
            from faster_whisper import WhisperModel
        except ImportError as error:
            raise UsageError(
                f"speech is recognised by another package ({error}): pip install 'vsr-edge[speech]'"
            ) from error
        self.name = f"whisper {folder.name} {(folder / 'model.bin').stat().st_size}"
        try:
            self._model = WhisperModel(
                str(folder),
                device="cpu",
                compute_type="int8",
                cpu_threads=threads or usable_threads(),
                local_files_only=True,
            )
        except Exception as error:
            raise UsageError(f"the Whisper model in {folder} cannot be used: {error}") from error

    def transcribe(self, sound: NDArray[np.float32]) -> Iterable[Cue]:
        """As :class:`Transcriber`."""
        segments, _ = self._model.transcribe(sound, vad_filter=True)
        for one in segments:
            yield Cue(float(one.start), float(one.end), str(one.text).strip())
