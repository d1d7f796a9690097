"""How the vectors of a frame's regions are stored: as they are, or in fewer bits a number.

Regions are not searched: the heads look at those of some candidates, and judge by all of them
together, so that coarse ones serve. What is lost by each code is measured in ``models/LOG.md``.

``int8`` keeps of each region the largest number, and the others as 127ths of it. ``int4`` and
``binary`` turn a region first, by a fixed rotation that looks random, after which its numbers are
as good as normally distributed whatever the encoder is, so that no codebook need be trained: a
Hadamard transform with random signs (Ailon and Chazelle, 2006). They are rounded to 16 levels (Max,
1960) or to their signs, with one scale a region, by least squares. What is beyond a multiple of
eight numbers is kept as it is, as the hubness that the built-in encoder appends.

All sums are of whole numbers, or of such as float64 holds exactly, so that every machine codes and
reads alike, in whatever order its processor adds. What was read is coded as it was, so that a copy
loses nothing more.

A coded row has an odd number of bytes, its first says how many bits a number has: the rows of
``float16``, which earlier versions wrote too, have an even number, and nothing before the vectors.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vsr_edge.store.rows import RowsDamaged, matrix
from vsr_edge.types import HalfVectors, Regions, Vectors

_BITS: dict[Regions, int] = {"int8": 8, "int4": 4, "binary": 1}
_BYTE_BITS = 8
_HALF = np.dtype("<f2")
_LARGEST = 127
# The levels above zero, in hundredths of a standard deviation. Of signs any would do.
_LEVELS = {1: (100,), 4: (13, 39, 66, 94, 126, 162, 207, 273)}
_DEVIATION = 100


def encode_regions(regions: HalfVectors, code: Regions) -> list[bytes]:
    """Regions float16 [n, R, D] as n rows.

    Raises:
        ValueError: there is no such code.
    """
    if code == "float16" or (code in _BITS and regions.shape[2] < _BYTE_BITS):
        return [one.astype(_HALF).tobytes() for one in regions]
    if code not in _BITS:
        raise ValueError(f"regions cannot be stored as {code!r}")
    bits = _BITS[code]
    flat = regions.reshape(-1, regions.shape[2])
    halves, numbers = _scaled(flat) if code == "int8" else _turned(flat, bits)
    rows = []
    for first in range(0, len(flat), regions.shape[1]):
        part = slice(first, first + regions.shape[1])
        row = bytes([bits]) + halves[part].astype(_HALF).tobytes() + numbers[part].tobytes()
        rows.append(row if len(row) % 2 else row + b"\0")
    return rows


def decode_regions(rows: Sequence[bytes], dim: int) -> HalfVectors | Vectors:
    """Rows of one video as [n, R, D]: float16 where they are so stored, else float32.

    Raises:
        RowsDamaged: a row of no known code, or unlike the others.
    """
    if not rows:
        return np.empty((0, 0, dim), np.float16)
    bits, size = rows[0][:1], len(rows[0])
    count = regions_in(size, rows[0][0] if rows[0] else 0, dim)
    if count is None:
        raise RowsDamaged("the regions of a frame have the wrong length")
    if size % 2 == 0:
        return matrix(rows, count * dim).reshape(len(rows), count, dim)
    if any(len(row) != size or row[:1] != bits for row in rows):
        raise RowsDamaged("the regions of frames of one video are stored in several ways")
    whole = np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), size)
    layout = _layout(bits[0], dim)
    middle = 1 + _HALF.itemsize * count * layout.halves
    halves = np.ascontiguousarray(whole[:, 1:middle]).view(_HALF).reshape(-1, layout.halves)
    packed = np.ascontiguousarray(whole[:, middle : middle + count * layout.packed])
    numbers = packed.reshape(-1, layout.packed)
    read = _unscaled if bits[0] == _BITS["int8"] else _turned_back
    return read(halves.astype(np.float32), numbers, dim).reshape(len(rows), count, dim)


def regions_in(size: int, first: int, dim: int) -> int | None:
    """How many regions a row of so many bytes holds whose first byte is ``first``; None if it is
    damaged.
    """
    if size % 2 == 0:
        count, rest = divmod(size, _HALF.itemsize * dim)
        return None if rest or not count else count
    if first not in _BITS.values() or dim < _BYTE_BITS:
        return None
    layout = _layout(first, dim)
    count, rest = divmod(size - 1, _HALF.itemsize * layout.halves + layout.packed)
    # Where its bytes were even, there is one more.
    return count if count and rest <= 1 else None


def is_sound(row: object, count: int, dim: int) -> bool:
    """Whether a row holds ``count`` regions, of finite numbers."""
    if not isinstance(row, bytes) or not row or regions_in(len(row), row[0], dim) != count:
        return False
    skipped = len(row) % 2
    halves = count * (_layout(row[0], dim).halves if skipped else dim)
    return bool(np.isfinite(np.frombuffer(row, _HALF, halves, offset=skipped)).all())


class _Layout(NamedTuple):
    """What a region takes: numbers that are kept as float16, and bytes of coded ones."""

    halves: int
    packed: int


def _layout(bits: int, dim: int) -> _Layout:
    if bits == _BITS["int8"]:
        return _Layout(1, dim)
    return _Layout(1 + dim % _BYTE_BITS, dim // _BYTE_BITS * bits)


def _scaled(flat: HalfVectors) -> tuple[NDArray[np.float16], NDArray[np.uint8]]:
    most = np.abs(flat).max(axis=1, keepdims=True)
    share = flat.astype(np.float32) / np.where(most > 0, most, 1).astype(np.float32)
    return most, np.rint(share * _LARGEST).astype(np.int8).view(np.uint8)


def _unscaled(halves: Vectors, numbers: NDArray[np.uint8], dim: int) -> Vectors:  # noqa: ARG001
    found = numbers.view(np.int8) * halves
    found /= _LARGEST  # last, so that the largest is to the bit what it was
    return found


def _turned(flat: HalfVectors, bits: int) -> tuple[NDArray[np.float16], NDArray[np.uint8]]:
    dim = flat.shape[1] // _BYTE_BITS * _BYTE_BITS
    signs, blocks, hadamard, scale = _rotation(dim)
    exact = (flat[:, :dim] * signs).astype(np.float64)
    turned = _mix(exact.reshape(-1, blocks, dim // blocks) @ hadamard).reshape(len(flat), dim)
    unit = scale / (_DEVIATION * np.sqrt(dim))  # a hundredth of a deviation, of length 1
    spread = np.sqrt((exact**2).sum(axis=1, keepdims=True)) * unit
    levels = _levels(bits)
    codes = np.zeros(turned.shape, np.uint8)
    for between in (levels[1:] + levels[:-1]) / 2:
        codes += turned > between * spread
    chosen = levels[codes]
    # turned = fitted * chosen, nearly
    fitted = (turned * chosen).sum(axis=1, keepdims=True) / (chosen**2).sum(axis=1, keepdims=True)
    lengths = fitted / unit
    parts = codes.reshape(len(flat), dim * bits // _BYTE_BITS, _BYTE_BITS // bits) << _shifts(bits)
    packed = parts.sum(axis=2).astype(np.uint8)
    return np.concatenate([lengths.astype(np.float16), flat[:, dim:]], axis=1), packed


def _turned_back(halves: Vectors, numbers: NDArray[np.uint8], dim: int) -> Vectors:
    found = np.empty((len(halves), dim), np.float32)
    found[:, dim // _BYTE_BITS * _BYTE_BITS :] = halves[:, 1:]
    dim = dim // _BYTE_BITS * _BYTE_BITS
    bits = numbers.shape[1] * _BYTE_BITS // dim
    signs, blocks, hadamard, scale = _rotation(dim)
    chosen = np.take(_levels_of_bytes(bits), numbers, axis=0)
    whole = chosen.reshape(-1, dim // blocks) @ hadamard
    turned = _mix(whole.reshape(-1, blocks, dim // blocks)).reshape(len(halves), dim)
    turned *= halves[:, :1] * np.float32(1 / (_DEVIATION * np.sqrt(dim) * scale))
    np.multiply(turned, signs, out=found[:, :dim])
    return found


class _Rotation(NamedTuple):
    """A rotation times ``scale``: of whole numbers, and back by itself but for the ``signs`` [D].

    ``hadamard`` [D / blocks, D / blocks] turns each block, and :func:`_mix` then the blocks.
    """

    signs: Vectors
    blocks: int
    hadamard: Vectors
    scale: float


@cache
def _rotation(dim: int) -> _Rotation:
    """Of a multiple of eight numbers, in blocks of the largest power of two that divides it."""
    block = dim & -dim
    blocks = dim // block
    hadamard = np.ones((1, 1), np.float32)
    while len(hadamard) < block:
        hadamard = np.block([[hadamard, hadamard], [hadamard, -hadamard]])
    # No generator of random numbers is the same in all versions of all libraries.
    drawn = np.frombuffer(hashlib.shake_128(b"regions").digest(dim // _BYTE_BITS), np.uint8)
    signs = np.where(np.unpackbits(drawn), 1, -1).astype(np.float32)
    return _Rotation(signs, blocks, hadamard, blocks * float(np.sqrt(block)))


def _mix(blocks: NDArray[np.floating]) -> NDArray[np.floating]:
    """Reflect blocks [n, B, w], in place: each less twice their mean, B times."""
    count = blocks.shape[1]
    if count > 1:
        total = 2 * blocks.sum(axis=1, keepdims=True)
        blocks *= count
        blocks -= total
    return blocks


@cache
def _levels(bits: int) -> NDArray[np.float64]:
    above = np.array(_LEVELS[bits], np.float64)
    return np.concatenate([-above[::-1], above])


@cache
def _levels_of_bytes(bits: int) -> Vectors:
    """What each byte stands for: float32 [256, numbers a byte]."""
    codes = np.arange(256)[:, None] >> _shifts(bits) & (2**bits - 1)
    return np.asarray(_levels(bits)[codes], np.float32)


def _shifts(bits: int) -> NDArray[np.uint8]:
    return np.arange(0, _BYTE_BITS, bits, dtype=np.uint8)
