"""Regions in fewer bits: what they lose, that all machines read them alike, what is damage."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from vsr_edge.errors import ArchiveDamaged
from vsr_edge.store.base import Store
from vsr_edge.store.region_codes import decode_regions, encode_regions, is_sound, regions_in
from vsr_edge.store.rows import RowsDamaged
from vsr_edge.types import HalfVectors, Regions, Sampling

from .archives import DIM, REGIONS, change, footage, open_archive, rows, store_footage, unit_vectors

CODES: tuple[Regions, ...] = ("float16", "int8", "int4", "binary")
# How far, of 1, the square of a region's length may be off for many numbers: what Lloyd and Max
# find for 16 levels of a normal distribution, and 1 - 2 / pi for two, is the mean over regions.
EXPECTED = {"float16": (0, 0), "int8": (0, 0.0003), "int4": (0.008, 0.011), "binary": (0.34, 0.38)}


def read(code: Regions, regions: HalfVectors) -> np.ndarray:
    stored = encode_regions(regions, code)
    assert all(is_sound(row, regions.shape[1], regions.shape[2]) for row in stored)
    return np.asarray(decode_regions(stored, regions.shape[2]), np.float64)


@pytest.mark.parametrize("dim", [128, 384, 385, 512, 640, 768])
@pytest.mark.parametrize("code", CODES)
def test_what_is_lost_is_what_theory_says_whatever_the_encoder_favours(
    code: Regions, dim: int
) -> None:
    rng = np.random.default_rng(dim)
    made = rng.standard_normal((20, REGIONS, dim))
    made[:, :, 3] += 6  # as the numbers that some encoders set in every picture
    regions = (made / np.linalg.norm(made, axis=2, keepdims=True)).astype(np.float16)
    lost = ((read(code, regions) - regions) ** 2).sum(2)
    low, high = EXPECTED[code]
    assert low <= lost.mean() <= high


@pytest.mark.parametrize(("code", "size"), [("int8", 3485), ("int4", 1765), ("binary", 469)])
def test_a_row_takes_the_bytes_that_are_promised(code: Regions, size: int) -> None:
    regions = unit_vectors(np.random.default_rng(0), 2, REGIONS, 385)
    assert [len(row) for row in encode_regions(regions, code)] == [size, size]


@given(
    regions=st.tuples(st.integers(0, 3), st.integers(1, 4), st.integers(1, 50)).flatmap(
        lambda shape: arrays(np.float16, shape, elements=st.floats(-4, 4, width=16))
    )
)
@settings(max_examples=60, deadline=None)
def test_any_regions_are_read_in_their_shape_and_within_bounds(regions: HalfVectors) -> None:
    count, dim = regions.shape[1:]
    for code in CODES:
        found = read(code, regions)
        if not len(regions):
            continue
        assert found.shape == regions.shape
        assert np.isfinite(found).all()
        lengths = np.linalg.norm(regions.astype(np.float64), axis=2)
        lost = np.linalg.norm(found - regions, axis=2)
        # No region is further from what it was than from nothing.
        assert (lost <= lengths * 1.001 + 1e-3).all()
        if code == "int8":
            most = np.abs(regions.astype(np.float64)).max(axis=2, keepdims=True)
            assert (np.abs(found - regions) <= most / 254 * 1.001 + 1e-6).all()
        if code in {"int4", "binary"} and dim >= 8:
            kept = dim // 8 * 8
            assert (found[:, :, kept:] == regions[:, :, kept:]).all()
        assert {regions_in(len(row), row[0], dim) for row in encode_regions(regions, code)} == {
            count
        }


@pytest.mark.parametrize("code", CODES)
def test_zeros_and_equal_numbers(code: Regions) -> None:
    assert not read(code, np.zeros((1, REGIONS, 24), np.float16)).any()
    equal = np.full((1, 1, 384), 0.05, np.float16)
    found = read(code, equal)
    assert (found * equal).sum() > 0.75 * np.linalg.norm(found) * np.linalg.norm(equal)


@pytest.mark.parametrize("code", CODES)
def test_a_copy_of_what_was_read_is_the_same_row(code: Regions) -> None:
    regions = unit_vectors(np.random.default_rng(0), 20, REGIONS, 385)
    stored = encode_regions(regions, code)
    again = np.asarray(decode_regions(stored, 385), np.float16)
    assert encode_regions(again, code) == stored


@pytest.mark.parametrize(
    ("code", "digest"),
    [("int8", "d65de20f2d4868db"), ("int4", "6a8ae8387f1f7ccc"), ("binary", "6cfd81af3b91ca17")],
)
def test_every_machine_codes_and_reads_alike(code: Regions, digest: str) -> None:
    # No generator of random numbers is the same everywhere.
    numbers = np.arange(3 * 385, dtype=np.int64) ** 2 % 401 - 200
    regions = (numbers.reshape(1, 3, 385) / 4096).astype(np.float16)
    (row,) = encode_regions(regions, code)
    found = np.asarray(decode_regions([row], 385), "<f4").tobytes()
    assert hashlib.sha256(row + found).hexdigest()[:16] == digest


@pytest.mark.parametrize("code", CODES)
def test_damage_is_told_from_rows(code: Regions) -> None:
    regions = unit_vectors(np.random.default_rng(0), 2, REGIONS, 385)
    (row, _) = encode_regions(regions, code)
    unknown = b"\3" + row[1:] if len(row) % 2 else row + b"\3"
    for bad in (b"", row[:-2], row[:-1], unknown):
        assert not is_sound(bad, REGIONS, 385)
        with pytest.raises(RowsDamaged):
            decode_regions([bad], 385)
        with pytest.raises(RowsDamaged):
            decode_regions([row, bad], 385)
    assert not is_sound(row, REGIONS + 1, 385)
    start = len(row) % 2
    assert not is_sound(row[:start] + b"\0\x7e" + row[start + 2 :], REGIONS, 385)
    other = encode_regions(regions, "int8" if code != "int8" else "binary")
    with pytest.raises(RowsDamaged):
        decode_regions([row, other[1]], 385)


@pytest.fixture
def opened(place: Path | str) -> Iterator[Store]:
    with open_archive(place) as store:
        yield store


def test_an_archive_holds_videos_of_several_codes(opened: Store, place: Path | str) -> None:
    ids = {}
    with opened.writer() as writer:
        for code in CODES:
            made = replace(footage(f"/{code}.mp4"), sampling=Sampling(regions=code))
            ids[code] = store_footage(writer, made)
    assert opened.check() == []
    for code in CODES:
        made = footage(f"/{code}.mp4")
        given = np.concatenate([part.regions for part in made.batches if part.regions is not None])
        found = opened.frames(ids[code], regions=True).regions
        assert found is not None
        assert (found == decode_regions(encode_regions(given, code), DIM)).all()
        some = opened.frames(ids[code], 3, 6, regions=True).regions
        assert some is not None
        assert (some == found[3:7]).all()
        assert opened.videos_of([ids[code]])[ids[code]].sampling.regions == code
    sizes = dict(rows(place, "SELECT video_id, max(length(vectors)) FROM regions GROUP BY 1"))
    assert [sizes[ids[code]] for code in CODES] == sorted(sizes.values(), reverse=True)


def test_damage_among_coded_regions_is_named(opened: Store, place: Path | str) -> None:
    with opened.writer() as writer:
        video_id = store_footage(writer, footage("/a.mp4"))
    cut = "substr(vectors, 1, length(vectors) - 2)"
    change(place, f"UPDATE regions SET vectors = {cut} WHERE number = 3")
    assert [problem for problem in opened.check() if "regions" in problem and "unfit" in problem]
    with pytest.raises(ArchiveDamaged):
        opened.frames(video_id, regions=True)


def test_regions_where_none_are_to_be_stored_are_refused(opened: Store) -> None:
    made = replace(footage("/a.mp4"), sampling=Sampling(regions="none"))
    with opened.writer() as writer, pytest.raises(ValueError, match="none"):
        store_footage(writer, made)


def test_a_coarser_code_takes_the_place_of_stored_ones(opened: Store, place: Path | str) -> None:
    given = replace(footage("/a.mp4", batches=70), sampling=Sampling(regions="float16"))
    with opened.writer() as writer:
        video_id, beside = store_footage(writer, given), store_footage(writer, footage("/b.mp4"))
    whole = opened.frames(video_id, regions=True).regions
    untouched = opened.frames(beside, regions=True).regions
    assert whole is not None
    assert len(whole) > 256
    for code in CODES[1:]:
        with opened.writer() as writer:
            writer.recode(video_id, code)
            writer.compact()
        assert opened.videos_of([video_id])[video_id].sampling == Sampling(regions=code)
        found = opened.frames(video_id, regions=True).regions
        whole = decode_regions(encode_regions(whole.astype(np.float16), code), DIM)
        np.testing.assert_array_equal(found, whole)
        assert opened.check() == []
    np.testing.assert_array_equal(opened.frames(beside, regions=True).regions, untouched)
    with opened.writer() as writer:
        writer.recode(video_id, "none")
        writer.recode(beside, "none")
    assert opened.frames(video_id, regions=True).regions is None
    assert not opened.stats().regions
    assert rows(place, "SELECT count(*) FROM regions") == [(0,)]
    assert opened.check() == []
