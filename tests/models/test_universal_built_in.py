from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from models.universal_encoders import BUILT_IN, Towers, make_all, recall, seen_by
from tests.models.captioned import PHOTOS, write_photos


@pytest.fixture(scope="module")
def towers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the commands write of eight real photos, half of them for training."""
    folder = tmp_path_factory.mktemp("built-in")
    _, table = write_photos(folder / "photos")
    rows = table.read_text().splitlines()
    kept = [row.replace(",test,", ",val,") for row in rows]
    trained = set(sorted(PHOTOS)[::2])
    table.write_text(
        "\n".join(
            row.replace(",val,", ",train,") if row.partition(".")[0] in trained else row
            for row in kept
        )
    )
    bank = folder / "sentences.txt.gz"
    bank.write_bytes(gzip.compress("\n".join(f"sentence {i}" for i in range(40)).encode()))
    out, data = folder / "towers", ("--data", folder / "photos")
    for command in (
        ("models.universal_texts", *data, "--bank", bank, "--out", out / "texts"),
        ("models.universal_built_in", *data, "--out", out),
    ):
        subprocess.run([sys.executable, "-m", *map(str, command)], check=True, capture_output=True)
    return out


def test_the_package_s_encoder_finds_val_photos_by_their_captions(towers: Path) -> None:
    kept = Towers(towers)
    recipe, encoder = make_all(kept, [BUILT_IN], towers / "encoders")[BUILT_IN]
    seen = seen_by(recipe, encoder, kept, "val", 16)
    assert len(seen.views) == len(PHOTOS) / 2
    assert recall(seen) > 60  # by chance 25
    whole, regions = seen.views.vectors[:, 0], seen.views.regions[:, 0]
    for vectors in (whole, regions, seen.texts, seen.bank):
        lengths = np.linalg.norm(np.asarray(vectors, np.float32), axis=-1)
        np.testing.assert_allclose(lengths, 1, atol=1e-2)
