"""Text in pictures, read by RapidOCR on onnxruntime; its models come with its package."""

from __future__ import annotations

from vsr_edge.config import usable_threads
from vsr_edge.errors import UsageError
from vsr_edge.types import Pixels


class ScreenReader:
    """Reads what stands in pictures; ``name`` says by what.

    Raises:
        UsageError: the extra that brings it is not installed.
    """

    def __init__(self, threads: int = 0) -> None:
        import onnxruntime  # noqa: F401 — before OpenCV, which has a C++ library of its own

        try:
            from rapidocr import RapidOCR
        except ImportError as error:
            raise UsageError(
                f"text on the screen is read by another package ({error}): pip install "
                "'vsr-edge[ocr]'"
            ) from error
        from importlib.metadata import version

        self.name = f"rapidocr {version('rapidocr')}"
        engine = "EngineConfig.onnxruntime"
        self._read = RapidOCR(
            params={
                "Global.log_level": "critical",
                f"{engine}.intra_op_num_threads": threads or usable_threads(),
                f"{engine}.inter_op_num_threads": 1,
            }
        )

    def read(self, picture: Pixels) -> str:
        """All text in an upright picture uint8 [H, W, 3] RGB, line by line from the top."""
        found = self._read(picture[..., ::-1])
        return "\n".join(getattr(found, "txts", None) or ())
