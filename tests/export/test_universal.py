from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from export.universal import difference, write_universal
from models.universal import UniversalHead
from vsr_edge.bundle.manifest import Calibration
from vsr_edge.bundle.universal_head import ABOUT_FILE, HEAD_FILE

CALIBRATION = Calibration(
    score_weight=0, slope=0.5, bias=-3, size_weight=1, fewest_frames=100, threshold=0.2, sure=0.7
)


@pytest.fixture(scope="module")
def head() -> UniversalHead:
    torch.manual_seed(0)
    head = UniversalHead().eval().requires_grad_(False)
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return head


def test_the_graph_says_what_the_head_says_and_is_known_by_its_bytes(
    head: UniversalHead, tmp_path: Path
) -> None:
    head_id = write_universal(head, CALIBRATION, tmp_path)
    assert difference(head, tmp_path / HEAD_FILE) < 1e-3
    about = json.loads((tmp_path / ABOUT_FILE).read_text())
    assert about["id"] == head_id == f"universal-{about['sha256'][:12]}"
    assert Calibration.model_validate(about["calibration"]) == CALIBRATION
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 280_000


def test_another_head_s_graph_is_told_apart(head: UniversalHead, tmp_path: Path) -> None:
    write_universal(head, CALIBRATION, tmp_path)
    assert difference(UniversalHead().eval(), tmp_path / HEAD_FILE) > 0.1
