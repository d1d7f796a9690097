"""The one place where execution providers and threads are decided.

A provider is named by a short name, with onnxruntime's own options behind a colon if there are any:
``cuda``, ``cuda:device_id=1,arena_extend_strategy=kSameAsRequested``. onnxruntime lists providers
that its build knows, whether or not their drivers are there, and falls back to the CPU in silence:
so what is asked for is tried, and refused aloud.
"""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, redirect_stdout
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vsr_edge.config import usable_threads
from vsr_edge.errors import BundleDamaged, ProviderError, UsageError, wanted_memory
from vsr_edge.runtime.native import Caught, native_stderr

with native_stderr():  # some versions log there that they found no GPU
    import onnxruntime as ort
# `vsr_edge` stops telemetry where onnxruntime keeps its own; this, the events that Windows
# may collect, and most of it where a program imported onnxruntime before us.
ort.disable_telemetry_events()


@dataclass(frozen=True, slots=True)
class Provider:
    """An execution provider: its short name, onnxruntime's, the pip package that brings it, and
    what it is best given: graphs of these precisions, the first there is; so many pictures at once;
    options, which go to onnxruntime as they are.

    ``sizes``: batches are filled up to one of these, the smallest that holds them; none, and each
    batch is taken as it is.
    """

    short: str
    name: str
    package: str
    precisions: tuple[str, ...] = ("int8", "fp32", "fp16")
    batch: int = 8
    sizes: tuple[int, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)

    def filled(self, count: int) -> int:
        """As how many pictures a batch of ``count`` is run."""
        return next((size for size in self.sizes if size >= count), count)

    def given(self, options: Mapping[str, str]) -> Provider:
        """With further options, which win."""
        return replace(self, options={**self.options, **options})


# The CPU's batch keeps its cores busy and stays in cache (tests/bench). GPUs want more, and their
# half precision; int8 graphs are made for CPUs, and most other providers hand parts of them back.
_HALF, _FLOAT = ("fp16", "fp32", "int8"), ("fp32", "fp16", "int8")
# GPUs choose their kernels, or compile them, anew for each shape of a batch: they see two shapes, a
# small one for single pictures and short videos.
_TWO = (8, 64)
# cuDNN's own default tries every algorithm of every convolution on every shape: an index of three
# short clips took 16-20 s on an H200, and 4.2 s so (HEURISTIC: 14.6 s).
_CUDNN = {"cudnn_conv_algo_search": "DEFAULT"}
_KNOWN = (
    Provider("cpu", "CPUExecutionProvider", "onnxruntime"),
    Provider("cuda", "CUDAExecutionProvider", "onnxruntime-gpu", _HALF, 64, _TWO, _CUDNN),
    Provider("tensorrt", "TensorrtExecutionProvider", "onnxruntime-gpu", _HALF, 64, _TWO),
    Provider("migraphx", "MIGraphXExecutionProvider", "onnxruntime-migraphx", _HALF, 64, _TWO),
    Provider("openvino", "OpenVINOExecutionProvider", "onnxruntime-openvino", _FLOAT),
    Provider("coreml", "CoreMLExecutionProvider", "onnxruntime", _FLOAT, 16),
    Provider("directml", "DmlExecutionProvider", "onnxruntime-directml", _HALF, 32, (8, 32)),
    Provider("qnn", "QNNExecutionProvider", "onnxruntime-qnn"),
)
PROVIDERS = {provider.short: provider for provider in _KNOWN}
# TensorRT builds an engine for minutes before the first picture, and Qualcomm's runs what was made
# for it: only when asked for.
AUTO_ORDER = ("cuda", "migraphx", "coreml", "directml", "openvino", "cpu")
CPU = PROVIDERS["cpu"].name


def available_providers() -> list[str]:
    """Short names of the providers that this onnxruntime knows, in order of preference."""
    present = set(ort.get_available_providers())
    return [short for short, provider in PROVIDERS.items() if provider.name in present]


def parse_provider(text: str) -> list[Provider]:
    """The providers to try for ``auto`` or ``NAME[:option=value,…]``, the best first.

    Raises:
        UsageError: an unknown name, or options that cannot be read.
        ProviderError: not in the installed onnxruntime; says which package has it.
    """
    short, _, rest = text.partition(":")
    options: dict[str, str] = {}
    # A value may hold commas, but not "=": the next option begins at the last comma before one.
    for pair in re.split(r",(?=[^,=]*=)", rest) if rest else []:
        name, _, value = (part.strip() for part in pair.partition("="))
        if not name or not value:
            raise UsageError(f"{text!r}: options of a provider read name=value,name=value")
        options[name] = value
    present = available_providers()
    if short == "auto":
        if options:
            raise UsageError(f"{text!r}: options belong to one provider; name it")
        return [PROVIDERS[known] for known in AUTO_ORDER if known in present]
    if short not in PROVIDERS:
        raise UsageError(
            f"no execution provider is called {short!r}; known: auto, {', '.join(PROVIDERS)}"
        )
    provider = PROVIDERS[short]
    if short not in present:
        remedy = (
            "onnxruntime has it on macOS alone"
            if provider.package == PROVIDERS["cpu"].package
            else f"`pip uninstall onnxruntime` and `pip install {provider.package}` (only one of "
            "the two can be installed)"
        )
        raise ProviderError(
            f"the installed onnxruntime has no {provider.name}: {remedy}; or use --provider cpu"
        )
    return [provider.given(options)]


# What onnxruntime calls the types of tensors; "tensor(float)" is the rest.
_KINDS: dict[str, type[np.generic]] = {
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(float16)": np.float16,
    "tensor(bool)": np.bool_,
}


class Session:
    """A loaded graph on one provider; safe to share by threads.

    ``inputs`` and ``outputs``: the graph's names with the shape of each; ``kinds``: the types of
    its inputs.
    """

    def __init__(self, session: ort.InferenceSession, provider: Provider, precision: str) -> None:
        self._session = session
        # DirectML's sessions must not be run by two threads at once; others may.
        self._alone = threading.Lock() if provider.short == "directml" else nullcontext()
        self.provider = provider
        self.precision = precision
        self.inputs: dict[str, list[Any]] = {t.name: t.shape for t in session.get_inputs()}
        self.outputs: dict[str, list[Any]] = {t.name: t.shape for t in session.get_outputs()}
        types = {t.name: t.type for t in session.get_inputs()}
        self.kinds = {name: _KINDS.get(kind, np.float32) for name, kind in types.items()}

    def run(
        self, outputs: Sequence[str], feeds: Mapping[str, NDArray[Any]]
    ) -> list[NDArray[np.float32]]:
        """The named outputs, in that order.

        Raises:
            ProviderError: the provider failed, for want of memory perhaps.
            MemoryError: there is too little of it on the processor's side.
        """
        try:
            with self._alone:
                if self.provider.short == "cuda":
                    return self.run_bound(outputs, feeds, "cuda")
                return list(self._session.run(list(outputs), dict(feeds)))
        except Exception as error:  # onnxruntime raises its own untyped exceptions
            if self.provider.short == "cpu":
                _check_memory(error, "run the model")
                raise
            raise ProviderError(
                f"{self.provider.name} failed while running ({_first_line(error)}); "
                "use --provider cpu"
            ) from error

    def run_bound(
        self, outputs: Sequence[str], feeds: Mapping[str, NDArray[Any]], device: str
    ) -> list[NDArray[np.float32]]:
        """As :meth:`run`: outputs stay on the device until all are there, then are copied once."""
        binding = self._session.io_binding()
        for name, values in feeds.items():
            binding.bind_cpu_input(name, np.ascontiguousarray(values))
        for name in outputs:
            binding.bind_output(name, device, int(self.provider.options.get("device_id", 0)))
        self._session.run_with_iobinding(binding)
        return list(binding.copy_outputs_to_cpu())


def open_session(
    variants: Mapping[str, Path],
    *,
    provider: str = "cpu",
    threads: int = 0,
    check: Callable[[Session], object] | None = None,
) -> Session:
    """Load a graph; ``threads`` 0 takes all that the process may use.

    Args:
        variants: the same graph by precision; the one that suits the provider best is taken.
            "auto" passes over providers that it would not suit at all.
        check: looks at what was loaded, and may refuse it by a ``ProviderError``; "auto" then
            tries the next.

    Raises:
        UsageError: an unknown provider.
        ProviderError: the provider is missing, is there but does not start, or was refused.
        BundleDamaged: onnxruntime cannot read the file.
    """
    refused: list[str] = []
    for choice in parse_provider(provider):
        wanted = choice.precisions
        if provider == "auto" and set(variants) == {"int8"} != {wanted[0]}:
            refused.append(f"{choice.name} is no faster with int8 graphs")
            continue
        precision = next((one for one in wanted if one in variants), next(iter(variants)))
        try:
            session = _start(variants[precision], choice, precision, threads)
            if check is not None:
                check(session)
            return session
        except ProviderError as error:
            refused.append(str(error))
    raise ProviderError("; ".join(refused))


def _start(path: Path, provider: Provider, precision: str, threads: int) -> Session:
    name = provider.name
    said = _preload() if provider.short in {"cuda", "tensorrt"} else ""
    options = ort.SessionOptions()
    # Explicit, because onnxruntime's own default (0) counts the machine's cores, not the
    # container's.
    options.intra_op_num_threads = threads or usable_threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3 if name == CPU else 4
    # The pools must not burn a core between calls: decoding runs beside encoding.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if precision == "fp16" and name == CPU:
        # Its layout optimisation crashes on half-precision convolutions (onnxruntime 1.31).
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    if provider.short == "directml":
        options.enable_mem_pattern = False  # it refuses to start otherwise
    caught = Caught()
    try:
        with nullcontext(caught) if name == CPU else native_stderr() as caught:
            # Its own fallback prints to stdout, and becomes the CPU.
            session = ort.InferenceSession(
                str(path), options, providers=_providers(provider), enable_fallback=0
            )
    except Exception as error:  # onnxruntime raises its own untyped exceptions
        _check_memory(error, f"load {path}")
        if name == CPU:
            raise BundleDamaged(f"{path} cannot be loaded: {error}") from error
        raise ProviderError(
            f"{name} does not start on this machine "
            f"({said or caught.reason or _first_line(error)}); use --provider cpu"
        ) from error
    if session.get_providers()[0] != name:
        raise ProviderError(
            f"{name} is installed but does not start on this machine "
            f"({said or caught.reason or 'driver or library missing?'}); use --provider cpu"
        )
    if name != CPU:
        # What a provider logs while it runs comes as an exception too.
        ort.set_default_logger_severity(4)
    return Session(session, provider, precision)


def _providers(provider: Provider) -> list[tuple[str, dict[str, str]]]:
    """What onnxruntime is to try, in order, each with its options; what the user says wins."""
    chosen = [(provider.name, dict(provider.options))]
    if provider.short == "tensorrt" and "cuda" in available_providers():
        # For the nodes that it does not take.
        cuda = PROVIDERS["cuda"]
        device = {k: v for k, v in provider.options.items() if k == "device_id"}
        chosen.append((cuda.name, {**cuda.options, **device}))
    return chosen if provider.name == CPU else [*chosen, (CPU, {})]


@cache
def _preload() -> str:
    """Load CUDA and cuDNN where pip put them, once; what onnxruntime prints of it, on a line."""
    printed = io.StringIO()
    if hasattr(ort, "preload_dlls"):
        with redirect_stdout(printed):
            ort.preload_dlls()
    return " ".join(printed.getvalue().split())


def _check_memory(error: Exception, what: str) -> None:
    """Raise MemoryError where that is what onnxruntime wanted; it has no type for it."""
    if wanted_memory(error):
        raise MemoryError(f"there is not enough memory to {what}") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
