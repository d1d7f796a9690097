"""Subtitles of all kinds, whole and broken: each gives its words with their times, or a reason."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.media.subtitle_files import SUBSTATION_HEAD, ass, srt, vtt, with_stream
from tests.media_files import constant_rate, write_unseekable, write_video
from vsr_edge.errors import MediaError
from vsr_edge.media.sidecars import MOST_BYTES, decoded, parsed, read_sidecar, sidecars_of
from vsr_edge.media.subtitles import embedded_texts
from vsr_edge.types import Cue

SAID = (Cue(1.0, 2.5, "The fire door"), Cue(3.0, 4.0, "is open & shut"))
TAGGED = (
    Cue(1.0, 2.5, '{\\an8}<font color="#ffff00">The <i>fire</i></font>\ndoor'),
    Cue(3.0, 4.0, "is&nbsp;<b>open</b> &amp; shut"),
)
VOICES = (
    Cue(1.0, 2.5, "<v Bob>The <c.loud>fire</c> <00:01.500>door</v>"),
    Cue(3.0, 4.0, "is open &amp; shut"),
)
RUSSIAN = (
    Cue(1.0, 2.5, "Пожарная дверь открыта, выходите скорее из здания"),
    Cue(3.0, 4.0, "Никто не видел, кто вошёл в комнату вчера вечером"),
)
FRENCH = (Cue(1.0, 2.5, "La porte coupe-feu a été fermée"), Cue(3.0, 4.0, "à côté de l’entrée"))
SHUFFLED = (SAID[1], SAID[0])

# Twenty kinds of files that are read wholly: name, content, what is said.
WHOLE: dict[str, tuple[str, bytes, tuple[Cue, ...]]] = {
    "SubRip": ("a.srt", srt(SAID).encode(), SAID),
    "SubRip with tags and entities": ("a.srt", srt(TAGGED).encode(), SAID),
    "SubRip of Windows": ("a.srt", srt(SAID).replace("\n", "\r\n").encode("utf-8-sig"), SAID),
    "SubRip of old Macs": ("a.srt", srt(SAID).replace("\n", "\r").encode(), SAID),
    "SubRip without numbers": ("a.srt", srt(SAID, numbers=False).encode(), SAID),
    "SubRip with points and no blank lines": (
        "a.srt",
        srt(SAID).replace(",", ".").replace("\n\n", "\n").encode(),
        SAID,
    ),
    "SubRip out of order": ("a.srt", srt(SHUFFLED).encode(), SAID),
    "UTF-16": ("a.srt", srt(SAID).encode("utf-16"), SAID),
    "UTF-16 from the other end": ("a.srt", b"\xfe\xff" + srt(SAID).encode("utf-16-be"), SAID),
    "UTF-16 without a mark": ("a.srt", srt(SAID).encode("utf-16-le"), SAID),
    "Latin-1": ("a.srt", srt(FRENCH).replace("’", "'").encode("latin-1"), FRENCH),
    "Windows-1252": ("a.srt", srt(FRENCH).encode("cp1252"), FRENCH),
    "Windows-1251": ("a.srt", srt(RUSSIAN).encode("cp1251"), RUSSIAN),
    "WebVTT": ("a.vtt", vtt(SAID).encode(), SAID),
    "WebVTT with voices": ("a.vtt", vtt(VOICES).encode(), SAID),
    "WebVTT without hours": ("a.vtt", vtt(SAID).replace("00:00:", "00:").encode(), SAID),
    "SubStation Alpha": ("a.ass", ass(SAID).encode(), SAID),
    "SubStation Alpha with effects": (
        "a.ssa",
        ass((Cue(1.0, 2.5, r"{\k20}The {\i1}fire\Ndoor"), SAID[1])).encode(),
        SAID,
    ),
    "SubStation Alpha, called SubRip": ("a.srt", ass(SAID).encode("utf-8-sig"), SAID),
    "SubRip, called WebVTT": ("a.vtt", srt(SAID).encode(), SAID),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_a_file_gives_its_words(tmp_path: Path, kind: str) -> None:
    name, content, said = WHOLE[kind]
    (tmp_path / name).write_bytes(content)
    read = read_sidecar(tmp_path / name)
    found = [
        Cue(cue.start, cue.end, cue.text.replace("'", "’") if said is FRENCH else cue.text)
        for cue in read.cues
    ]
    assert sorted(found, key=lambda cue: cue.start) == list(said)
    assert read.problem is None


# Broken ones: content, what is said all the same, what is to be told.
BROKEN: dict[str, tuple[bytes, tuple[Cue, ...], str | None]] = {
    "empty": (b"", (), "it is empty"),
    "a mark and no text": (b"\xef\xbb\xbf\n\n", (), "it is empty"),
    "prose": (b"Once upon a time", (), "no subtitles were found in it"),
    "a picture": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256)) * 8, (), "it is no text"),
    "cut off in a letter": (srt((*SAID, Cue(5.0, 6.0, "é"))).encode()[:-3], SAID, None),
    "cut off in a time": (srt(SAID).encode() + b"3\n00:00:05,0", SAID, None),
    "before the beginning": (
        srt(SAID).encode() + b"3\n-00:00:05,000 --> 00:00:00,500\nearly\n",
        (*SAID, Cue(0.0, 0.5, "early")),
        None,
    ),
    "lines of SubStation Alpha that are cut": (
        ass(SAID).encode() + b"Dialogue: 0,0:00\nDialogue: 0:00:01.00,0:00:02.00,short\n",
        SAID,
        "lines that cannot be read: 2",
    ),
    "SubStation Alpha without its head": (
        ass(SAID).replace(SUBSTATION_HEAD, "").encode(),
        SAID,
        None,
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_of_a_broken_file_what_can_be_read_is(tmp_path: Path, kind: str) -> None:
    content, said, problem = BROKEN[kind]
    path = tmp_path / "a.srt"
    path.write_bytes(content)
    read = read_sidecar(path)
    assert [cue for cue in read.cues if cue.text != "3"] == list(said)
    assert read.problem == problem


def test_what_is_too_large_for_subtitles_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "a.srt").open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    problem = read_sidecar(tmp_path / "a.srt").problem
    assert problem is not None
    assert "larger than" in problem


def test_ten_hours_are_read() -> None:
    cues = tuple(Cue(3.0 * n, 3.0 * n + 2.0, f"line {n}") for n in range(12_000))
    assert parsed(srt(cues)).cues == cues


@given(st.binary(max_size=300))
def test_no_bytes_are_an_error(content: bytes) -> None:
    text = decoded(b"1\n00:00:01,000 --> 00:00:02,000\n" + content)
    if text is not None:
        parsed(text)
    whole = decoded(content)
    assert whole is None or isinstance(parsed(whole).cues, tuple)


@given(st.text(max_size=200), st.sampled_from(["WEBVTT\n\n", "[Events]\nDialogue: ", "{1}{2}", ""]))
def test_no_text_is_an_error(text: str, head: str) -> None:
    parsed(head + text)


@pytest.mark.parametrize(
    ("name", "beside", "its"),
    [
        ("film.mp4", ["film.srt", "film.en.SRT", "film.mp4.vtt", "film.pt-BR.forced.ass"], 4),
        ("film.mp4", ["film2.srt", "film.txt", "other.srt", "film.2024.srt", "film-en.srt"], 0),
        ("film.mp4", ["film.part2.mp4", "film.part2.srt", "film.part2.en.srt", "film.srt"], 1),
        ("film.part2.mp4", ["film.mp4", "film.part2.en.srt", "film.en.srt"], 1),
        ("a[1].mp4", ["a[1].srt", "a1.srt"], 1),
        ("film.mp4", ["film.mkv", "film.srt"], 1),  # of both
    ],
)
def test_a_video_has_the_files_of_its_name(name: str, beside: list[str], its: int) -> None:
    found = sidecars_of(Path("/v") / name, sorted([name, *beside]))
    assert len(found) == its
    assert all(path.parent == Path("/v") for path in found)


class Looked(list[str]):
    """Names that count how many of them were looked at."""

    looks = 0

    def __getitem__(self, place: Any) -> Any:
        self.looks += 1
        return super().__getitem__(place)


def test_in_a_large_folder_few_names_are_looked_at() -> None:
    names = Looked(sorted(f"{n}.{end}" for n in range(1000, 3000) for end in ("mp4", "srt")))
    assert sidecars_of(Path("/v/2345.mp4"), names) == [Path("/v/2345.srt")]
    assert names.looks < 30


STREAMS = {"a.mkv": "subrip", "b.mkv": "ass", "a.mp4": "mov_text", "a.webm": "webvtt"}


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("videos")

    def video(suffix: str) -> Path:
        path = folder / f"plain{suffix}"
        if not path.exists():
            codec = "libvpx" if suffix == ".webm" else "libx264"
            write_video(path, constant_rate(10, 5), codec=codec)
        return path

    return video


@pytest.mark.parametrize("name", STREAMS)
def test_streams_of_text_are_read(videos: Callable[[str], Path], tmp_path: Path, name: str) -> None:
    said = (SAID[0], Cue(3.0, 4.0, "is <b>open</b> &amp; shut"))
    file = with_stream(videos(Path(name).suffix), tmp_path / name, STREAMS[name], said)
    assert embedded_texts(file).cues == SAID
    assert embedded_texts(file).problem is None


def test_streams_of_pictures_are_named(videos: Callable[[str], Path], tmp_path: Path) -> None:
    file = with_stream(videos(".mp4"), tmp_path / "a.mkv", "dvdsub", SAID)
    read = embedded_texts(file)
    assert read.cues == ()
    assert read.problem is not None
    assert "no text were left out: 1 × dvdsub" in read.problem


def test_times_count_from_the_first_frame(tmp_path: Path) -> None:
    """A recording whose clock began long ago."""
    late = write_video(tmp_path / "late.mkv", constant_rate(10, 5), start=100.0)
    cues = tuple(Cue(cue.start + 100, cue.end + 100, cue.text) for cue in SAID)
    found = embedded_texts(with_stream(late, tmp_path / "a.mkv", "subrip", cues)).cues
    assert [round(cue.start, 2) for cue in found] == [1.0, 3.0]


def test_a_video_without_subtitles_has_no_words(tmp_path: Path) -> None:
    file = write_unseekable(tmp_path / "a.mkv", constant_rate(10, 5), "matroska")
    assert embedded_texts(file) == embedded_texts(file).__class__()
    with pytest.raises(MediaError):
        embedded_texts(tmp_path / "gone.mkv")


def test_of_a_damaged_file_the_words_before_the_damage_are_read(
    videos: Callable[[str], Path], tmp_path: Path
) -> None:
    cues = tuple(Cue(n, n + 0.9, f"line {n}") for n in range(200))
    file = with_stream(videos(".mkv"), tmp_path / "a.mkv", "subrip", cues)
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    found = embedded_texts(file).cues
    assert 0 < len(found) < 200
    assert found == cues[: len(found)]
