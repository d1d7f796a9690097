"""Execution providers: chosen by name, tried, and refused aloud."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vsr_edge.bundle.locate import verify_bundle
from vsr_edge.bundle.manifest import IMAGE_ENCODER
from vsr_edge.bundle.model import Bundle, load_bundle
from vsr_edge.errors import BundleDamaged, ProviderError, UsageError
from vsr_edge.runtime.session import (
    AUTO_ORDER,
    PROVIDERS,
    Provider,
    Session,
    _providers,
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
    side = verify_bundle("lite").dimensions.image
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
    assert session.run(["vector"], pixels())[0].shape == (2, 385)


@pytest.mark.parametrize("text", ["cpu:use_arena", "cpu:=1", "cpu:a=", "auto:device_id=1"])
def test_options_that_cannot_be_read_are_a_usage_error(text: str) -> None:
    with pytest.raises(
        UsageError, match=r"options (of a provider read name=value|belong to one provider)"
    ):
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
    assert plain[0].shape == (2, 9, 385)


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
    session.provider = PROVIDERS["cuda"].given({"device_id": "1"})
    session.run(["vector"], pixels())
    assert watched.bound == [("vector", "cuda", 1)]


def test_a_provider_that_fails_while_running_is_named(graph: Path) -> None:
    session = open_session({"int8": graph})
    session.provider = PROVIDERS["migraphx"]
    with pytest.raises(ProviderError, match=r"MIGraphXExecutionProvider failed.*--provider cpu"):
        session.run(["no such output"], pixels())


def test_a_provider_that_does_not_start_prints_nothing(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """stdout is for one JSON document."""
    kind = Provider("directml", "CPUExecutionProvider", "x")
    monkeypatch.setitem(PROVIDERS, "directml", kind)
    monkeypatch.setattr("vsr_edge.runtime.session.CPU", "another")
    with pytest.raises(ProviderError, match="does not start on this machine"):
        open_session({"int8": Path("/no/such/graph")}, provider="directml")
    out, err = capfd.readouterr()
    assert out == err == ""


def test_what_a_provider_logs_becomes_the_errors_reason(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """onnxruntime's native code writes to the terminal itself, and starts another provider."""
    kind = Provider("directml", "CPUExecutionProvider", "x")
    monkeypatch.setitem(PROVIDERS, "directml", kind)
    monkeypatch.setattr("vsr_edge.runtime.session.CPU", "another")
    start = ort.InferenceSession

    def fail(*arguments: object, **options: object) -> None:
        text = (
            "\x1b[1;31m2026-01-02 03:04:05.678901234 [E:onnxruntime:Default, a.cc:2458 operator()] "
            "/src/a.cc:20 void f() [ONNXRuntimeError] : 1 : FAIL : Failed to load libabacus.so\n"
            "\x1b[m\n"
        )
        os.write(2, text.encode())
        start(*arguments, **options)

    monkeypatch.setattr(ort, "InferenceSession", fail)
    with pytest.raises(
        ProviderError, match=r"not start .*\(Failed to load libabacus.so\)"
    ) as caught:
        open_session({"int8": Path("/no/such/graph")}, provider="directml")
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_cudnn_does_not_search_its_algorithms_unless_it_is_told_to() -> None:
    """Searched anew for each shape of a batch, they cost an H200 sixteen seconds."""
    ((name, options), (_, none)) = _providers(PROVIDERS["cuda"].given({"device_id": "1"}))
    assert name == "CUDAExecutionProvider"
    assert options == {"cudnn_conv_algo_search": "DEFAULT", "device_id": "1"}
    assert none == {}
    told = PROVIDERS["cuda"].given({"cudnn_conv_algo_search": "EXHAUSTIVE"})
    assert _providers(told)[0][1] == {"cudnn_conv_algo_search": "EXHAUSTIVE"}
    assert _providers(PROVIDERS["cpu"].given({"use_arena": "0"})) == [
        ("CPUExecutionProvider", {"use_arena": "0"})
    ]


@pytest.mark.parametrize("short", PROVIDERS)
def test_batches_are_filled_up_to_few_sizes(short: str) -> None:
    kind = PROVIDERS[short]
    filled = {kind.filled(count) for count in range(1, kind.batch + 1)}
    if kind.sizes:
        assert filled == set(kind.sizes)
        assert max(filled) == kind.batch
        assert len(filled) <= 2
    else:
        assert len(filled) == kind.batch


@pytest.mark.parametrize("count", [1, 3, 4, 7])
def test_filled_batches_give_the_same_vectors(
    count: int, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the code that a GPU's batches take, on the processor."""
    kind = Provider("directml", "CPUExecutionProvider", "x", batch=5, sizes=(2, 5))
    monkeypatch.setitem(PROVIDERS, "directml", kind)
    pictures = np.random.default_rng(0).integers(0, 256, (count, 40, 60, 3), dtype=np.uint8)
    shapes: list[int] = []
    run = Session.run

    def watch(self: Session, outputs: list[str], feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        shapes.append(len(feeds["pixels"]))
        return run(self, outputs, feeds)

    monkeypatch.setattr(Session, "run", watch)
    with load_bundle(bundle.manifest.folder, provider="directml") as filled:
        vectors, regions = filled.encode_frames(pictures)
    assert shapes == {1: [2], 3: [5], 4: [5], 7: [5, 2]}[count]
    expected, cells = bundle.encode_frames(pictures)
    assert regions is not None
    assert cells is not None
    assert vectors.shape == expected.shape
    assert (vectors * expected).sum(1).min() > 0.999
    assert (regions * cells).sum(2).min() > 0.99


def test_auto_passes_over_what_has_no_graph_for_it(
    graph: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GPU runs int8 graphs, which are made for processors, no faster than those do."""
    monkeypatch.setitem(
        PROVIDERS, "cuda", Provider("cuda", "CPUExecutionProvider", "x", ("fp16", "fp32"))
    )
    assert open_session({"int8": graph}, provider="auto").provider.short == "cpu"
    assert open_session({"int8": graph}, provider="cuda").provider.short == "cuda"
    both = {"int8": Path("no such file"), "fp32": graph}
    assert open_session(both, provider="auto").provider.short == "cuda"


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
