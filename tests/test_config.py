"""Settings: which source wins, and what is said of values that cannot be right."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from vsr_edge.bundle.locate import find_bundle, installed_bundles
from vsr_edge.config import (
    MAX_THREADS,
    Settings,
    bundles_folder,
    load_settings,
    usable_threads,
)
from vsr_edge.errors import UsageError
from vsr_edge.types import Sampling


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def load(file: Path, text: str = "", environment: Any = None, **options: Any) -> Settings:
    file.write_text(text, "utf-8")
    return load_settings(options, environment=environment or {}, file=file)


def test_without_sources_there_are_defaults(tmp_path: Path) -> None:
    settings = load_settings({}, environment={}, file=tmp_path / "none.toml")
    assert settings.bundle == "lite"
    assert settings.provider == "cpu"
    assert settings.threads == 0
    assert settings.sampling == Sampling()
    assert settings.archive.is_absolute()


def test_an_option_beats_the_environment_beats_the_file_beats_the_default(file: Path) -> None:
    environment = {"VSR_EDGE_FPS": "3", "VSR_EDGE_BUNDLE": "/env"}
    settings = load(file, 'fps = 2\nbundle = "file"\nthreads = 1', environment, fps=4.0)
    assert (settings.fps, settings.bundle, settings.threads) == (4.0, "/env", 1)
    assert settings.min_frames == 4


def test_an_option_or_variable_without_a_value_was_not_given(file: Path) -> None:
    settings = load(file, "fps = 2", {"VSR_EDGE_FPS": ""}, fps=None, fold=None)
    assert settings.fps == 2.0
    assert settings.fold is True


def test_false_and_zero_are_values(file: Path) -> None:
    settings = load(file, "threads = 3", {"VSR_EDGE_MIN_FRAMES": "0"}, threads=0, fold=False)
    assert (settings.threads, settings.min_frames, settings.fold) == (0, 0, False)


@pytest.mark.parametrize(
    ("word", "meaning"),
    [
        *((word, True) for word in ("1", "true", "Yes", " ON ")),
        *((word, False) for word in ("0", "false", "No", "off")),
    ],
)
def test_yes_and_no_in_words(word: str, meaning: bool, file: Path) -> None:
    assert load(file, "", {"VSR_EDGE_FOLD": word}).fold is meaning
    # Before there were codes, regions either were or not.
    assert load(file, "", {"VSR_EDGE_REGIONS": word}).sampling.has_regions is meaning


@pytest.mark.parametrize("code", ["float16", "int8", "int4", "binary", "none"])
def test_regions_have_a_code(code: str, file: Path) -> None:
    assert load(file, f'regions = "{code}"').sampling.regions == code


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("FPS", "often", "a number"),
        ("THREADS", "2.5", "a whole number"),
        ("FOLD", "maybe", "yes or no"),
        ("ARCHIVE", "~nobody-of-that-name/x", "a path"),
    ],
)
def test_what_the_environment_says_wrongly_is_named(
    name: str, value: str, kind: str, file: Path
) -> None:
    with pytest.raises(UsageError) as caught:
        load(file, "", {f"VSR_EDGE_{name}": value})
    assert str(caught.value) == f"the environment: {name.lower()} = {value!r} is not {kind}"


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ('fps = "2x"', "a number"),
        ("fps = true", "a number"),
        ("threads = 2.5", "a whole number"),
        ("threads = true", "a whole number"),
        ("regions = 1", "text"),
        ("bundle = 5", "text"),
        ("archive = 5", "a path"),
        ("provider = ['cpu']", "text"),
    ],
)
def test_what_the_file_says_wrongly_is_named(line: str, kind: str, file: Path) -> None:
    with pytest.raises(UsageError) as caught:
        load(file, line)
    assert str(caught.value).startswith(f"{file}: {line.split()[0]} = ")
    assert str(caught.value).endswith(f" is not {kind}")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("fps", 0, "fps must be a positive number, not 0.0"),
        ("fps", -1, "fps must be a positive number, not -1.0"),
        ("fps", float("nan"), "fps must be a positive number, not nan"),
        ("fps", float("inf"), "fps must be a positive number, not inf"),
        ("fps", 1e308, "fps must lie between 1e-06 and 1e+06, not at 1e+308"),
        ("fps", 1e-300, "fps must lie between 1e-06 and 1e+06, not at 1e-300"),
        ("clip_seconds", 1e300, "clip_seconds must be at most 1e+09, not 1e+300"),
        ("clip_seconds", -4, "clip_seconds must be a positive number, not -4.0"),
        ("clip_stride", 0, "clip_stride must be a positive number, not 0.0"),
        ("threads", -1, "threads must not be negative, not -1"),
        ("threads", MAX_THREADS + 1, f"threads must be at most {MAX_THREADS}"),
        ("min_frames", -1, "min_frames must not be negative, not -1"),
        ("exact_limit", -1, "exact_limit must not be negative, not -1"),
    ],
)
def test_what_is_out_of_range_is_named_with_its_source(
    name: str, value: float, message: str, file: Path
) -> None:
    with pytest.raises(UsageError) as caught:
        load(file, "", None, **{name: value})
    assert str(caught.value).startswith(f"the options: {message}")
    with pytest.raises(UsageError) as caught:
        load(file, "", {f"VSR_EDGE_{name.upper()}": str(value)})
    assert str(caught.value).startswith(f"the environment: {message}")
    with pytest.raises(UsageError) as caught:
        load(file, f"{name} = {value}")
    assert str(caught.value).startswith(f"{file}: {message}")


def test_unknown_names_are_errors_that_list_the_known_ones(file: Path) -> None:
    with pytest.raises(UsageError, match=r"config\.toml: no setting is called 'fsp'; known: .*fps"):
        load(file, "fsp = 2")
    with pytest.raises(UsageError, match="the options: no setting is called 'fsp'"):
        load(file, fsp=2)
    with pytest.raises(UsageError, match="no setting is called 'index'"):
        load(file, "[index]\nfps = 2")


def test_clips_that_leave_gaps_are_refused(file: Path) -> None:
    with pytest.raises(UsageError, match=r"clip_stride \(5\.0\) must not exceed clip_seconds"):
        load(file, clip_stride=5)
    assert load(file, clip_stride=5, clip_seconds=5).clip_stride == 5.0


def test_clips_that_hardly_advance_are_refused(file: Path) -> None:
    with pytest.raises(UsageError, match=r"clip_stride \(1e-09\) must be at least 1/100 of"):
        load(file, clip_stride=1e-9)
    assert load(file, clip_stride=0.04).clip_stride == 0.04


def test_the_length_of_clips_counts_where_there_are_any(file: Path) -> None:
    wanted: dict[str, Any] = {"clip_seconds": 6.0, "clip_stride": 3.0}
    for granularity in ("frame", "scene", "video"):
        settings = load(file, "", {"VSR_EDGE_GRANULARITY": granularity}, **wanted)
        assert settings.sampling == Sampling(granularity=granularity)
    assert load(file, 'granularity = "clip"', None, **wanted).sampling == Sampling(
        granularity="clip", **wanted
    )


def test_a_word_that_is_none_of_the_choices_is_named_with_them(file: Path) -> None:
    with pytest.raises(UsageError, match="granularity must be frame, clip, scene or video, not 'a"):
        load(file, granularity="act")


def test_one_source_may_complete_what_another_began(file: Path) -> None:
    settings = load(file, "clip_seconds = 1", {"VSR_EDGE_CLIP_STRIDE": "0.5"})
    assert (settings.clip_seconds, settings.clip_stride) == (1.0, 0.5)


def test_a_file_that_is_no_toml_is_named(file: Path) -> None:
    with pytest.raises(UsageError, match=r"config\.toml is not valid TOML: "):
        load(file, "fps: 2")
    file.write_bytes(b"\xff\xff")
    with pytest.raises(UsageError, match=r"config\.toml is not valid TOML: "):
        load_settings({}, environment={}, file=file)


def test_a_file_as_windows_editors_save_it_is_read_or_told_of(file: Path) -> None:
    file.write_text("fps = 2\r\n", "utf-8-sig")
    assert load_settings({}, environment={}, file=file).fps == 2.0
    for encoding in ("utf-16", "utf-16-be"):
        mark = b"\xfe\xff" if encoding == "utf-16-be" else b""
        file.write_bytes(mark + "fps = 2".encode(encoding))
        with pytest.raises(UsageError, match=r"config\.toml is saved as UTF-16: save it as UTF-8"):
            load_settings({}, environment={}, file=file)


def homeless(monkeypatch: pytest.MonkeyPatch, error: type[Exception] | None) -> None:
    """As platformdirs answers a user without an entry and without HOME: newer and older ones."""

    def folder(name: str, **_: object) -> str:
        if error is not None:
            raise error("no home")
        return f"~/.local/share/{name}"

    monkeypatch.setattr("platformdirs.user_data_dir", folder)
    monkeypatch.setattr("platformdirs.user_config_dir", folder)


@pytest.mark.parametrize("error", [RuntimeError, KeyError, None])
def test_without_a_home_folder_only_what_lies_there_is_missed(
    error: type[Exception] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    homeless(monkeypatch, error)
    assert load_settings({"archive": tmp_path}, environment={}).archive == tmp_path
    assert installed_bundles() == {}
    assert find_bundle("lite").is_dir()
    with pytest.raises(UsageError, match="no home folder to keep an archive in: name one with"):
        load_settings({}, environment={})
    with pytest.raises(UsageError, match="no home folder to install bundles in"):
        bundles_folder()


def test_what_lies_beside_a_database_lies_where_it_is_told(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    homeless(monkeypatch, None)
    url = "postgresql://me:secret@db/footage"
    with pytest.raises(UsageError, match="VSR_EDGE_BESIDE"):
        load(file, archive=url)
    found = load(file, 'beside = "/mnt/a"', {"VSR_EDGE_BESIDE": "/mnt/b"}, archive=url)
    assert (found.archive, found.database) == (Path("/mnt/b"), url)
    assert load(file, 'beside = "/mnt/a"', archive="here").archive == Path("here")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot be read \(.*\): mend or remove it"):
        load_settings({}, environment={}, file=tmp_path)


def test_paths_may_start_at_home(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(file.parent))
    monkeypatch.setenv("USERPROFILE", str(file.parent))
    assert load(file, 'archive = "~/a"').archive == file.parent / "a"
    assert load(file, archive=Path("~/b"), bundle=Path("c")).archive == file.parent / "b"


def test_settings_made_directly_are_checked_too(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="fps must be a positive number"):
        Settings(archive=tmp_path, fps=0)


def test_threads_never_exceed_what_this_process_may_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quota = tmp_path / "cpu.max"
    monkeypatch.setattr("vsr_edge.config.CGROUP_CPU_MAX", quota)
    unlimited = usable_threads()
    assert 1 <= unlimited <= (os.cpu_count() or 1)
    for content, expected in (
        ("max 100000", unlimited),
        ("9999900000 100000", unlimited),
        ("100000 100000", 1),
        ("50000 100000", 1),
        ("nonsense", unlimited),
    ):
        quota.write_text(content + "\n", "ascii")
        assert usable_threads() == expected


def test_patterns_of_names_are_a_text_or_a_list(file: Path) -> None:
    file.write_text('recorded_pattern = ["%Y%m%d", "rec_%s"]\ntime_zone = "UTC"\n', "utf-8")
    found = load_settings({"archive": "a"}, environment={}, file=file)
    assert (found.recorded_pattern, found.time_zone) == (("%Y%m%d", "rec_%s"), "UTC")
    environment = {"VSR_EDGE_RECORDED_PATTERN": "%Y%m%d; rec_%s;"}
    found = load_settings({"archive": "a"}, environment=environment, file=file)
    assert found.recorded_pattern == ("%Y%m%d", "rec_%s")
    file.write_text("recorded_pattern = [1]\n", "utf-8")
    with pytest.raises(UsageError, match="is not text, or a list of texts"):
        load_settings({"archive": "a"}, environment={}, file=file)
    file.unlink()
    with pytest.raises(UsageError, match="no time zone is called"):
        load_settings({"archive": "a", "time_zone": "Nowhere"}, environment={}, file=file)
