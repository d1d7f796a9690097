"""Execution providers: chosen by name, tried, and refused aloud."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vsr_edge.errors import BundleDamaged, ProviderError, UsageError
from vsr_edge.runtime.bundle import verify_bundle
from vsr_edge.runtime.encoder import Bundle, load_bundle
from vsr_edge.runtime.manifest import IMAGE_ENCODER
from vsr_edge.runtime.session import (
    AUTO_ORDER,
    PROVIDERS,
    Choice,
    Kind,
    available_providers,
    open_session,
    parse_provider,
)

PRESENT = available_providers()
MISSING = [short for short in PROVIDERS if short not in PRESENT]


@pytest.fixture(scope="module")
def graph() -> Path:
    return verify_bundle("lite").path(IMAGE_ENCODER)


def pixels(count: int = 2) -> dict[str, np.ndarray]:
    side = verify_bundle("lite").manifest.dimensions.image
    random = np.random.default_rng(0)
    return {"pixels": random.normal(0, 1, (count, 3, side, side)).astype(np.float32)}


def test_what_is_available_is_what_onnxruntime_lists() -> None:
    listed = set(ort.get_available_providers())
    assert {PROVIDERS[short].name for short in PRESENT} == listed & {
        kind.name for kind in PROVIDERS.values()
    }
    assert "cpu" in PRESENT


def test_every_provider_that_onnxruntime_can_be_built_with_keeps_its_name() -> None:
    assert {kind.name for kind in PROVIDERS.values()} <= set(ort.get_all_providers())


def test_auto_tries_what_is_there_and_the_cpu_last() -> None:
    tried = [choice.short for choice in parse_provider("auto")]
    assert tried == [short for short in AUTO_ORDER if short in PRESENT]
    assert tried[-1] == "cpu"


def test_auto_says_which_it_took() -> None:
    with load_bundle(provider="auto") as bundle:
        assert bundle.notices == []
        bundle.encode_text(["a dog"])
        (notice,) = bundle.notices
        assert notice == f"provider: {bundle.provider}"
        assert bundle.provider in PRESENT
        bundle.encode_images(np.zeros((1, 8, 8, 3), np.uint8))
        assert bundle.notices == [notice]


@pytest.mark.parametrize("short", MISSING)
def test_a_missing_provider_names_its_package(short: str) -> None:
    with load_bundle(provider=short) as bundle, pytest.raises(ProviderError) as caught:
        bundle.encode_text(["a dog"])
    assert PROVIDERS[short].name in str(caught.value)
    package = PROVIDERS[short].package
    assert ("macOS" if package == "onnxruntime" else f"pip install {package}`") in str(caught.value)
    assert "--provider cpu" in str(caught.value)


def test_an_unknown_provider_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match="known: auto, cpu, cuda"):
        parse_provider("abacus")


def test_options_go_to_onnxruntime(graph: Path) -> None:
    (choice,) = parse_provider("cpu: use_arena = 0")
    assert (choice.short, choice.options) == ("cpu", {"use_arena": "0"})
    session = open_session({"int8": graph}, provider="cpu:use_arena=0")
    assert session.run(["vector"], pixels())[0].shape == (2, 384)


@pytest.mark.parametrize("text", ["cpu:use_arena", "cpu:=1", "cpu:a=", "auto:device_id=1"])
def test_options_that_cannot_be_read_are_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError):
        parse_provider(text)


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,9}", fullmatch=True), st.integers(), max_size=4))
def test_options_come_back_as_they_were_given(options: dict[str, int]) -> None:
    text = ",".join(f"{name}={value}" for name, value in options.items())
    (choice,) = parse_provider(f"cpu:{text}" if text else "cpu")
    assert choice.options == {name: str(value) for name, value in options.items()}


def test_each_provider_is_given_the_precision_that_suits_it(graph: Path) -> None:
    session = open_session({"fp16": Path("no such file"), "int8": graph})
    assert session.precision == "int8"
    assert PROVIDERS["cuda"].precisions[0] == "fp16"
    assert open_session({"": graph}).precision == ""


def test_bound_outputs_are_those_of_a_plain_run(graph: Path) -> None:
    session = open_session({"int8": graph})
    names = ["regions", "vector"]
    plain = session.run(names, pixels())
    bound = session.run_bound(names, pixels(), "cpu")
    for a, b in zip(plain, bound, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    assert plain[0].shape == (2, 9, 384)


def test_outputs_are_bound_to_the_device_that_is_used(graph: Path) -> None:
    """onnxruntime looks for an allocator of just that device, and fails where there is none."""

    class Watched:
        def __init__(self) -> None:
            self.bound: list[tuple[str, str, int]] = []

        def io_binding(self) -> Watched:
            return self

        def bind_cpu_input(self, _: str, values: np.ndarray) -> None:
            assert values.flags.c_contiguous

        def bind_output(self, name: str, device: str, number: int) -> None:
            self.bound.append((name, device, number))

        def run_with_iobinding(self, binding: Watched) -> None:
            assert binding is self

        def copy_outputs_to_cpu(self) -> list[np.ndarray]:
            return [np.zeros(1, np.float32)]

    session, watched = open_session({"int8": graph}), Watched()
    session._session = watched
    session.choice = Choice("cuda", {"device_id": "1"})
    session.run(["vector"], pixels())
    assert watched.bound == [("vector", "cuda", 1)]


def test_a_provider_that_fails_while_running_is_named(graph: Path) -> None:
    session = open_session({"int8": graph})
    session.choice = Choice("migraphx")
    with pytest.raises(ProviderError, match=r"MIGraphXExecutionProvider failed.*--provider cpu"):
        session.run(["no such output"], pixels())


def test_a_provider_that_does_not_start_prints_nothing(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """stdout is for one JSON document."""
    kind = Kind("CPUExecutionProvider", "x")
    monkeypatch.setitem(PROVIDERS, "directml", kind)
    monkeypatch.setattr("vsr_edge.runtime.session.CPU", "another")
    with pytest.raises(ProviderError, match="does not start on this machine"):
        open_session({"int8": Path("/no/such/graph")}, provider="directml")
    out, err = capfd.readouterr()
    assert out == err == ""


def test_auto_passes_over_what_has_no_graph_for_it(
    graph: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GPU runs int8 graphs, which are made for processors, no faster than those do."""
    monkeypatch.setitem(PROVIDERS, "cuda", Kind("CPUExecutionProvider", "x", ("fp16", "fp32")))
    assert open_session({"int8": graph}, provider="auto").choice.short == "cpu"
    assert open_session({"int8": graph}, provider="cuda").choice.short == "cuda"
    both = {"int8": Path("no such file"), "fp32": graph}
    assert open_session(both, provider="auto").choice.short == "cuda"


def test_a_value_may_hold_commas() -> None:
    (choice,) = parse_provider("cpu:device_type=HETERO:GPU,CPU,num=2")
    assert choice.options == {"device_type": "HETERO:GPU,CPU", "num": "2"}


def test_a_file_that_is_no_graph_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_bytes(b"no graph")
    with pytest.raises(BundleDamaged, match=r"text\.onnx cannot be loaded"):
        open_session({"fp32": tmp_path / "text.onnx"})


def test_pictures_come_in_batches_that_suit_the_provider(bundle: Bundle) -> None:
    assert bundle.image_batch == PROVIDERS["cpu"].batch
    assert PROVIDERS["cuda"].batch > PROVIDERS["cpu"].batch
