"""An archive that has some of all there can be, and its rows."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tests.backup.archives import an_archive
from tests.store.archives import footage, open_archive, store_footage
from vsr_edge.backup.migrate import Migration, migrate
from vsr_edge.config import Settings, load_settings
from vsr_edge.store.base import Texts
from vsr_edge.store.transfer import KINDS, LAST_ID, Row
from vsr_edge.store.transfer_places import stored_rows
from vsr_edge.types import Correction, Cue, FrameFeatures, Recorded

Place = Path | str
CORRECTION = Correction(0.5, -1.25, "2026-01-01T00:00:00+00:00", 20, 0.6)


def a_rich_archive(folder: Path) -> Path:
    an_archive(folder)
    with open_archive(folder) as store, store.writer() as writer:
        whole = footage(os.fsdecode(b"/v/\xff\xe9.mp4"))
        still = FrameFeatures(
            np.arange(30.0), np.repeat(whole.batches[0].vectors[:1], 30, 0),
            np.repeat(whole.batches[0].regions[:1], 30, 0),  # type: ignore[index]
        )  # fmt: skip
        with writer.begin(
            whole.video, whole.sampling, recorded=Recorded(1.7e9, "name"), tags=["dock", "night"]
        ) as entry:
            entry.add_frames(still)
            first = entry.finish(whole.windows, whole.vectors, duration=0.1 + 0.2, partial="torn")
        bare = replace(footage("/v/bare.mp4", regions=False, batches=1, clips=9))
        second = store_footage(
            writer, replace(bare, video=replace(bare.video, frame_rate=None, rotation=-90))
        )
        writer.set_texts(first, "speech", Texts("s1", (Cue(0, 2, "the fire"), Cue(2.5, 4, "door"))))
        writer.set_texts(first, "sidecar", Texts("s2", (Cue(1, 2, "Tür, naïve 火"),)))
        writer.set_texts(second, "ocr", Texts("nothing read", ()))
        writer.correct("verify", CORRECTION)
        writer.remove([store_footage(writer, footage("/v/gone.mp4"))])
        for number in range(6):
            store_footage(writer, footage(f"/v/{number}.mp4"))
    return folder


def settings(place: Place) -> Settings:
    return load_settings({"archive": str(place)})


def move(source: Place, target: Place, **options: Any) -> Migration:
    return migrate(settings(source), settings(target), **options)


def all_rows(place: Place) -> dict[str, list[Row]]:
    """Everything that is stored, numbers included."""
    found: dict[str, list[Row]] = {}
    with stored_rows(settings(place), alone=False) as rows:
        for kind in KINDS:
            found[kind] = [row for some in rows.read(kind, 0, LAST_ID) for row in some]
        found["head"] = rows.head().rows()
    return found
