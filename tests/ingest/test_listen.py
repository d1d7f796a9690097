"""Text on the screen and speech: read and heard in real pictures and sound, and looked up."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from tests.media_files import constant_rate, write_video
from vsr_edge import Archive, open_archive
from vsr_edge.errors import UsageError
from vsr_edge.ingest.listen import READ_EVERY, screen_listener, spread
from vsr_edge.media.cut import frames_near
from vsr_edge.media.samples import sound_pieces
from vsr_edge.runtime.speech import SOUND_RATE, WhisperTranscriber
from vsr_edge.types import Cue, Pixels

RATE = 5
SIGNS = ("FIRE DOOR", "NO ENTRY")


def signs(number: int, width: int, height: int) -> NDArray[np.uint8]:
    """One sign for three seconds, then the other."""
    image = Image.new("RGB", (width, height), (40, 90, 60))
    text = SIGNS[number // (3 * RATE) % len(SIGNS)]
    ImageDraw.Draw(image).text((30, 60), text, "white", ImageFont.load_default(48))
    return np.asarray(image)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("signs") / "signs.mp4"
    times = constant_rate(6 * RATE, RATE)
    return write_video(path, times, width=400, height=200, draw=signs, audio_seconds=6.0)


@pytest.fixture
def archive(film: Path, tmp_path: Path) -> Iterable[Archive]:
    with open_archive(tmp_path / "archive", regions=False) as opened:
        assert opened.index(film).indexed == 1
        yield opened


def test_text_on_the_screen_is_read_and_found(archive: Archive, film: Path) -> None:
    pytest.importorskip("rapidocr", reason="pip install '.[ocr]'")
    assert archive.search("fire door", text=True).moments == ()
    summary = archive.index(film, ocr=True)
    assert (summary.skipped, summary.text_problems) == (1, [])
    for sign, start in zip(SIGNS, (0.0, 3.0), strict=True):
        (found,) = archive.search(sign.lower(), text=True).moments
        assert (found.source, found.text_source) == ("written", "ocr")
        assert found.start == pytest.approx(start, abs=1.1)
        assert found.end == pytest.approx(start + 3, abs=1.1)
    assert archive.index(film, ocr=True).cues == 0


def test_only_frames_that_changed_are_read_and_in_their_own_size(
    archive: Archive,
) -> None:
    read: list[tuple[int, ...]] = []

    def reader(picture: Pixels) -> str:
        read.append(picture.shape)
        return "words"

    (stored,) = archive.videos()
    (cues,) = screen_listener(archive.store, "a reader", reader).read(stored)
    # Two signs, each of which stands still.
    assert read == [(200, 400, 3)] * 2
    assert [cue.text for cue in cues] == ["words"] * 2


def test_pictures_are_those_of_their_times_and_not_too_large(film: Path) -> None:
    batches = list(frames_near(film, np.array([0.0, 0.05, 4.0, 99.0]), 100))
    times = [time for batch in batches for time in batch.times.tolist()]
    assert times == pytest.approx([0.0, 4.0, 5.8], abs=0.01)
    assert {batch.pixels.shape[1:] for batch in batches} == {(50, 100, 3)}
    assert list(frames_near(film, np.array([]), 100)) == []


def test_times_are_spread() -> None:
    assert spread(np.array([0.0, 1.0, 2.0, 2.5, 5.0]), READ_EVERY).tolist() == [0.0, 2.0, 5.0]


class Pitch:
    """A stand-in for a model: it hears how high a tone is, in real sound."""

    name = "pitch"

    def transcribe(self, sound: NDArray[np.float32]) -> Iterable[Cue]:
        assert sound.dtype == np.dtype(np.float32)
        assert sound.ndim == 1
        assert 0.1 < np.abs(sound).max() <= 1
        second = sound[SOUND_RATE : 2 * SOUND_RATE]
        hertz = int(np.abs(np.fft.rfft(second)).argmax())
        yield Cue(1.0, 2.0, f"a tone of {hertz} hertz")


def test_what_is_heard_is_found(archive: Archive, film: Path) -> None:
    assert archive.index(film, speech=Pitch()).cues == 1
    (found,) = archive.search('"tone of 440 hertz"', text=True).moments
    assert (found.source, found.text_source, found.start) == ("said", "speech", 1.0)
    assert archive.index(film, speech=Pitch()).cues == 0


def test_sound_comes_in_mono_with_its_time(film: Path, tmp_path: Path) -> None:
    ((start, sound),) = sound_pieces(film, SOUND_RATE)
    assert start == pytest.approx(0.0, abs=0.1)
    assert len(sound) / SOUND_RATE == pytest.approx(6.0, abs=0.2)
    silent = write_video(tmp_path / "silent.mp4", constant_rate(10, RATE))
    assert list(sound_pieces(silent, SOUND_RATE)) == []


def test_a_folder_without_a_model_is_refused(archive: Archive, film: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no Whisper model.*model\.bin, config\.json"):
        archive.index(film, speech=tmp_path)


def test_missing_extras_are_named(
    archive: Archive, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("rapidocr", "faster_whisper"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UsageError, match=r"pip install 'vsr-edge\[ocr\]'"):
        archive.index(film, ocr=True)
    for name in ("model.bin", "config.json", "tokenizer.json"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(UsageError, match=r"pip install 'vsr-edge\[speech\]'"):
        WhisperTranscriber(tmp_path)


def test_a_broken_model_is_named(tmp_path: Path) -> None:
    pytest.importorskip("faster_whisper", reason="pip install '.[speech]'")
    for name in ("model.bin", "config.json", "tokenizer.json"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(UsageError, match="cannot be used"):
        WhisperTranscriber(tmp_path)
