"""The registry is data; what is in it is checked when it is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from vsr_edge.bundle.registry import FAMILIES, read_registry
from vsr_edge.errors import UsageError

BUNDLE = """
[[bundle]]
name = "good"
repository = "someone/good"
revision = "{commit}"
sha256 = "{sha256}"
licence = "MIT"
remark = ""
"""
GOOD = BUNDLE.format(commit="c" * 40, sha256="5" * 64)


def test_the_packaged_one_holds_sources_with_their_licences() -> None:
    registry = read_registry()
    assert not registry.bundles
    for source in registry.sources.values():
        assert source.licence in {"MIT", "Apache-2.0"}
        assert source.family in FAMILIES
        assert registry.source(source.name) == registry.source(source.repository) == source
        assert f"vsr-edge export encoder {source.repository}" in source.export_command()
    assert registry.source("someone/else") is None


def test_a_published_bundle_is_read(tmp_path: Path) -> None:
    file = tmp_path / "registry.toml"
    file.write_text(GOOD)
    assert read_registry(file).bundles["good"].repository == "someone/good"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[[bundle", "cannot be read"),
        (GOOD + GOOD, "given twice"),
        (GOOD.replace("c" * 40, "main"), "good: revision = 'main'"),
        (GOOD.replace("5" * 64, "5"), "good: sha256 = '5'"),
        (GOOD.replace("someone/good", "https://x"), "good: repository"),
        (GOOD.replace('"good"', '"../good"'), "name = '../good'"),
        (GOOD.replace('licence = "MIT"', ""), "licence"),
        (GOOD + "size = 3", "size"),
        ("[[model]]\nname = 'x'", "unknown tables"),
    ],
)
def test_a_malformed_one_is_refused(text: str, reason: str, tmp_path: Path) -> None:
    file = tmp_path / "registry.toml"
    file.write_text(text)
    with pytest.raises(UsageError, match=reason):
        read_registry(file)
