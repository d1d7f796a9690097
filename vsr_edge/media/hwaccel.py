"""Decoding on a device, where FFmpeg's build, a driver and a card are there for it.

Off unless asked for: a processor decodes what every device does, and more. A device that does not
start, or that refuses a file, leaves the work to the processor, and says so once.
"""

from __future__ import annotations

from typing import Any

import av

from vsr_edge.errors import UsageError

NONE, AUTO = "none", "auto"
# A device counts as there when it starts for one of these.
_CODECS = ("h264", "hevc", "av1", "vp9", "mpeg2video")


def known_devices() -> list[str]:
    """Names of the devices that this PyAV's FFmpeg was built for, whether or not they are there."""
    try:
        from av.codec.hwaccel import hwdevices_available
    except ImportError:  # PyAV before 14.1
        return []
    return list(dict.fromkeys(hwdevices_available()))


class Device:
    """What one run decodes on; ``name`` is None for the processor.

    wanted: "none", "auto" for the first device that starts, or one of FFmpeg's names; another is a
    ``UsageError``. ``notices`` says what it is, where that is not what was asked for.
    """

    def __init__(self, wanted: str = NONE) -> None:
        self.name: str | None = None
        self.notices: list[str] = []
        known = known_devices()
        if wanted not in (names := (NONE, AUTO, *known)):
            raise UsageError(
                f"no device to decode on is called {wanted!r}; this PyAV knows: {', '.join(names)}"
            )
        if wanted == NONE:
            return
        refused = []
        for device in known if wanted == AUTO else [wanted]:
            if (reason := _why_not(device)) is None:
                self.name = device
                self.notices.append(f"decoding on {device}")
                return
            refused.append(f"{device}: {reason}")
        why = "; ".join(refused) or "this PyAV knows none"
        self.notices.append(
            f"no device to decode on starts on this machine ({why}): the processor decodes"
        )

    def options(self) -> dict[str, Any]:
        """What ``av.open`` is to be told."""
        if self.name is None:
            return {}
        from av.codec.hwaccel import HWAccel

        # A codec or a profile that the device has no circuit for is decoded by the processor.
        return {"hwaccel": HWAccel(self.name, allow_software_fallback=True)}

    def give_up(self, reason: str) -> None:
        """Leave everything from here on to the processor."""
        self.notices.append(
            f"{self.name} refuses to decode any more ({reason}): the processor decodes"
        )
        self.name = None


def _why_not(device: str) -> str | None:
    """Why a device does not start, or None if it does."""
    from av.codec.hwaccel import HWAccel

    for name in _CODECS:
        try:
            HWAccel(device, allow_software_fallback=False).create(av.Codec(name, "r"))
        except (NotImplementedError, av.codec.codec.UnknownCodecError):
            continue  # not for this codec
        except (av.FFmpegError, OSError, RuntimeError) as error:
            said = getattr(error, "strerror", None) or str(error) or type(error).__name__
            return f"no driver or no card ({said})"
        return None
    return "no decoder of this PyAV uses it"
