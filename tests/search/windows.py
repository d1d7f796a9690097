"""Windows without an archive: for what is said of times and scores alone."""

from __future__ import annotations

from pathlib import Path

from vsr_edge.search.spans import Window
from vsr_edge.types import Clip, ClipHit, ClipWindow, Sampling, StoredVideo, Video


def a_hit(
    video: int, start: float, score: float = 0.5, seconds: float = 4.0, clip_id: int = 0
) -> Window:
    """A clip of a stored video, as retrieval finds it."""
    frames = ClipWindow(start, start + seconds, 0, 0)
    return Window.of(ClipHit(Clip(clip_id, video, frames), score), a_video(video))


def a_video(video_id: int) -> StoredVideo:
    path = Path(f"/v/{video_id}.mp4")
    video = Video(path, str(video_id), 1, 1, 100.0, 64, 36, 0, "h264", "mp4", 25.0, 0)
    return StoredVideo(video_id, video, Sampling(), 100, 50, None, "2026-01-01T00:00:00Z")
