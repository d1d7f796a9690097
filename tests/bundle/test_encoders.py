"""What is known of encoders to import is data; it is checked when it is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from vsr_edge.bundle.encoders import read_encoders
from vsr_edge.errors import UsageError

GOOD = """
[[encoder]]
name = "good"
repository = "someone/good"
family = "clip"
licence = "MIT"
languages = ["en"]
dimensions = 512
image = 224
remark = ""
figures = [{ task = "ImageNet-1k", percent = 60.0, source = "its card" }]
megabytes = { fp32 = [10, 20] }
"""


def test_the_packaged_ones_say_licence_language_and_where_figures_were_read() -> None:
    known = read_encoders()
    assert len(known) >= 10
    for name, one in known.items():
        assert one.name == name
        # Installed under that name, it is known again.
        assert one.import_command() == f"vsr-edge bundle import {name}"
        assert all(figure.source and figure.task for figure in one.figures)
    assert known["siglip2-b-16-224"].speaks("de")
    assert known["jina-clip-v2"].speaks("zh")
    assert not known["clip-vit-b-32"].speaks("zh")
    assert not known["pe-core-t-16"].graphs


def test_one_is_read(tmp_path: Path) -> None:
    file = tmp_path / "encoders.toml"
    file.write_text(GOOD)
    (one,) = read_encoders(file).values()
    assert (one.folder, one.graphs, one.revision) == ("onnx", True, None)
    assert one.megabytes == {"fp32": (10, 20)}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[[encoder", "cannot be read"),
        (GOOD + GOOD, "given twice"),
        (GOOD.replace("someone/good", "https://x"), "repository"),
        (GOOD.replace("60.0", "160"), "percent"),
        (GOOD.replace("224", "0"), "image"),
        (GOOD.replace('["en"]', "[]"), "no language"),
        (GOOD + "size = 3", "size"),
        ("[[model]]\nname = 'x'", "unknown tables"),
    ],
)
def test_a_malformed_list_is_refused(text: str, reason: str, tmp_path: Path) -> None:
    file = tmp_path / "encoders.toml"
    file.write_text(text)
    with pytest.raises(UsageError, match=reason):
        read_encoders(file)
