"""Which encoder suits a machine: by what is known of it, and no more."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.manifests import edit_manifest
from vsr_edge.bundle.encoders import Figure, KnownEncoder, read_encoders
from vsr_edge.bundle.locate import find_bundle
from vsr_edge.bundle.recommend import (
    BUILT_IN_GFLOPS,
    Advice,
    Machine,
    free_megabytes,
    recommend,
)

MACHINE = Machine(threads=2, free_mb=4000, frames_per_second=60.0)


def encoder(name: str, **more: Any) -> KnownEncoder:
    about: dict[str, Any] = {
        "repository": f"someone/{name}",
        "family": "clip",
        "licence": "MIT",
        "languages": ("en",),
        "image": 224,
        "remark": "",
        "gflops": 8.7,
        "megabytes": {"fp32": (352, 254), "int8": (89, 65)},
    }
    return KnownEncoder(name=name, **(about | more))


def advised(one: KnownEncoder, machine: Machine = MACHINE, **how: Any) -> Advice:
    (advice,) = recommend([one], machine, **how)
    return advice


def test_speed_is_reckoned_from_the_operations_and_what_the_built_in_one_does_here() -> None:
    same = advised(encoder("same", gflops=BUILT_IN_GFLOPS), hours=10)
    assert same.frames_per_second == pytest.approx(60)
    assert same.hours == pytest.approx(10 / 60)
    five_times = advised(encoder("five", gflops=5 * BUILT_IN_GFLOPS), hours=10, fps=2)
    assert five_times.frames_per_second == pytest.approx(12)
    assert five_times.hours == pytest.approx(10 * 2 / 12)


def test_what_is_not_known_is_not_guessed() -> None:
    advice = advised(encoder("odd", gflops=None, megabytes={}), hours=10)
    assert (advice.frames_per_second, advice.hours) == (None, None)
    assert (advice.megabytes, advice.memory_mb) == (None, None)
    assert advice.fits
    assert "speed unknown" in advice.reasons[0]


@pytest.mark.parametrize(
    ("more", "machine", "how", "reason"),
    [
        ({}, {}, {"languages": ["en", "de"]}, "reads en, not de"),
        ({"graphs": False}, {}, {}, "no published graphs"),
        ({}, {"free_mb": 500}, {}, "578 MB of memory, 500 are free"),
        ({"gflops": 950.0}, {}, {}, "slower than footage comes in"),
        ({}, {}, {"fps": 30}, "slower than footage comes in"),
    ],
)
def test_it_says_why_one_does_not_suit(
    more: dict[str, Any], machine: dict[str, Any], how: dict[str, Any], reason: str
) -> None:
    here = Machine(**({"threads": 2, "free_mb": 4000, "frames_per_second": 60.0} | machine))
    advice = advised(encoder("one", **more), here, **how)
    assert not advice.fits
    assert reason in "; ".join(advice.reasons)
    assert advised(encoder("one")).fits


def test_where_the_system_does_not_say_how_much_memory_is_free_none_is_refused() -> None:
    huge = encoder("huge", megabytes={"fp32": (90_000, 90_000)})
    assert not advised(huge).fits
    assert advised(huge, Machine(2, None, 60.0)).fits


def test_many_languages_are_all_languages_that_somebody_asks_for() -> None:
    assert advised(encoder("all", languages=("multilingual",)), languages=["de", "sw"]).fits


def test_graphs_that_are_known_to_be_useless_are_not_counted_on() -> None:
    sides = {"fp32": (46, 170), "int8": (12, 43)}
    assert advised(encoder("a", megabytes=sides)).megabytes == 55
    assert advised(encoder("b", family="mobileclip", megabytes=sides)).megabytes == 216


def test_those_that_suit_come_first_and_among_them_the_best_published() -> None:
    def published(percent: float) -> tuple[Figure, ...]:
        return (Figure("ImageNet-1k", percent, "its card"),)

    known = [
        encoder("unknown"),
        encoder("good", figures=published(70)),
        encoder("best-but-slow", figures=published(90), gflops=950.0),
        encoder("better", figures=published(75)),
    ]
    names = [one.encoder.name for one in recommend(known, MACHINE)]
    assert names == ["better", "good", "unknown", "best-but-slow"]


def test_an_installed_one_is_marked_by_its_name_or_by_what_it_was_made_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    from vsr_edge.config import bundles_folder

    for name in ("named", "called-otherwise"):
        shutil.copytree(find_bundle("lite"), bundles_folder() / name, symlinks=True)
    edit_manifest(
        bundles_folder() / "called-otherwise",
        lambda m: m["provenance"].update(source="someone/other"),
    )
    (bundles_folder() / "broken").mkdir()
    found = {
        one.encoder.name: one
        for one in recommend(map(encoder, ("named", "other", "missing", "broken")), MACHINE)
    }
    assert found["named"].installed == "named"
    assert found["named"].command is None
    assert found["other"].installed == "called-otherwise"
    assert found["missing"].installed is None
    assert found["missing"].command == "vsr-edge bundle import missing"


def test_of_the_packaged_ones_all_that_can_be_imported_have_a_speed() -> None:
    for advice in recommend(read_encoders().values(), MACHINE):
        if advice.encoder.graphs:
            assert advice.frames_per_second
            assert advice.megabytes


def test_free_memory_is_some_and_less_than_a_machine_can_have() -> None:
    free = free_megabytes()
    assert free is None or 0 < free < 100_000_000
