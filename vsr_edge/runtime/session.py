"""The one place where execution providers and threads are decided."""

from __future__ import annotations

from pathlib import Path

import onnxruntime as ort

from vsr_edge.config import usable_threads
from vsr_edge.errors import BundleDamaged, ProviderError, UsageError

# Short name → onnxruntime's name, and the pip package that brings it.
PROVIDERS = {
    "cpu": ("CPUExecutionProvider", "onnxruntime"),
    "cuda": ("CUDAExecutionProvider", "onnxruntime-gpu"),
    "tensorrt": ("TensorrtExecutionProvider", "onnxruntime-gpu"),
    "openvino": ("OpenVINOExecutionProvider", "onnxruntime-openvino"),
    "coreml": ("CoreMLExecutionProvider", "onnxruntime"),
    "directml": ("DmlExecutionProvider", "onnxruntime-directml"),
}
AUTO_ORDER = ("cuda", "coreml", "directml", "openvino", "cpu")


def available_providers() -> list[str]:
    """Short names of the providers that this onnxruntime has, in order of preference."""
    present = set(ort.get_available_providers())
    return [name for name, (full, _) in PROVIDERS.items() if full in present]


def choose_providers(provider: str) -> list[str]:
    """onnxruntime's provider list for a short name; ``auto`` takes the best that is there.

    Raises:
        UsageError: an unknown name.
        ProviderError: not in the installed onnxruntime; says which package has it.
    """
    present = available_providers()
    if provider == "auto":
        provider = next(name for name in AUTO_ORDER if name in present)
    if provider not in PROVIDERS:
        raise UsageError(
            f"no execution provider is called {provider!r}; known: auto, {', '.join(PROVIDERS)}"
        )
    full, package = PROVIDERS[provider]
    if provider not in present:
        raise ProviderError(
            f"the installed onnxruntime has no {full}: pip install {package} "
            f"(in place of onnxruntime), or use --provider {present[0] if present else 'cpu'}"
        )
    cpu = PROVIDERS["cpu"][0]
    return [full] if full == cpu else [full, cpu]


def open_session(path: Path, *, provider: str = "cpu", threads: int = 0) -> ort.InferenceSession:
    """Load a graph; ``threads`` 0 takes all that the process may use.

    Raises:
        ProviderError: the provider is missing, or is there but does not start.
        BundleDamaged: onnxruntime cannot read the file.
    """
    providers = choose_providers(provider)
    options = ort.SessionOptions()
    # Explicit, because onnxruntime's own default (0) counts the machine's cores, not the
    # container's.
    options.intra_op_num_threads = threads or usable_threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # The pools must not burn a core between calls: decoding runs beside encoding.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = ort.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # onnxruntime raises its own untyped exceptions
        raise BundleDamaged(f"{path} cannot be loaded: {error}") from error
    if session.get_providers()[0] != providers[0]:
        raise ProviderError(
            f"{providers[0]} is installed but does not start on this machine "
            "(driver or library missing?); use --provider cpu"
        )
    return session
