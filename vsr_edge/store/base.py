"""What a store is: videos, their frames and clips in; the nearest clips out.

A store knows no model and no video: it takes rows and vectors, and gives them back. All that the
other rooms use of it is written here; importing this module loads no database and no index.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from vsr_edge.query import Filter
from vsr_edge.types import (
    Clip,
    ClipHit,
    ClipWindow,
    Correction,
    Cue,
    FrameFeatures,
    HalfVectors,
    Recorded,
    Regions,
    Sampling,
    Seconds,
    StoredVideo,
    TextHit,
    TextSource,
    Vectors,
    Video,
)


@dataclass(frozen=True, slots=True)
class Texts:
    """The words of a video from one source, stream by stream in time order; ``stamp`` tells what
    they were read of, so that whoever reads it again knows whether it is still that.
    """

    stamp: str
    cues: tuple[Cue, ...]


@dataclass(frozen=True, slots=True)
class UnfinishedReindex:
    """A shadow archive that is not switched to: of which bundle, and how many videos it has."""

    bundle_id: str
    videos: int


@dataclass(frozen=True, slots=True)
class ArchiveStats:
    """What an archive holds. ``hours`` is footage; sizes are on disk; ``dim`` is D.

    ``reindex`` is a shadow archive that is being filled, or was left unfinished; ``cues`` counts
    subtitles and other words with their times; ``generation`` grows with each change of clips or
    paths.
    """

    videos: int
    partial_videos: int
    frames: int
    clips: int
    hours: float
    regions: bool
    bundle_id: str
    dim: int
    database_bytes: int
    cache_bytes: int
    reindex: UnfinishedReindex | None = None
    cues: int = 0
    generation: int = 0


class Shared(Protocol):
    """An archive that many processes write to at once, as whoever is to write beside this one opens
    it. It can be pickled, and holds what connecting takes, the password too, but does not show it.
    """

    def writing(self) -> AbstractContextManager[tuple[Store, Writer]]:
        """The archive, which stays open in this process, and one of its writers.

        Raises:
            BundleMismatch: it was switched to another bundle meanwhile.
            ArchiveError: it cannot be reached from here, or not be written.
        """


class VideoWriter(Protocol):
    """One video on its way in: everything or nothing of it is stored.

    Use it in a ``with`` block; leaving the block without :meth:`finish` takes all of it back.
    """

    def add_frames(self, features: FrameFeatures) -> None:
        """Append the next frames, in time order; memory does not grow with their number.

        Raises:
            ValueError: a vector that is not finite, of another dimension, or times that go
            backwards.
        """

    def finish(
        self,
        clips: Sequence[ClipWindow],
        vectors: HalfVectors,
        *,
        duration: Seconds | None = None,
        partial: str | None = None,
    ) -> int:
        """Store the clips with ``vectors`` float16 [n, D] of unit length, and commit.

        ``duration`` replaces the probed one where decoding knows better; ``partial`` says why
        only a part of the file could be read.

        Returns:
            The id of the stored video.

        Raises:
            ValueError: no frames, no clips, windows outside the frames, or unfit vectors. Nothing
            is stored.
        """

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...


class Writer(Protocol):
    """The one process that may change an archive. Each call is one transaction."""

    def begin(
        self,
        video: Video,
        sampling: Sampling,
        *,
        recorded: Recorded | None = None,
        tags: Iterable[str] = (),
    ) -> VideoWriter:
        """Start to store a video; one that lies at the same path is replaced when it finishes.

        Its tags go over to this one if it has the same content.
        """

    def rename(self, video_id: int, path: Path, *, size_bytes: int, modified_ns: int) -> None:
        """The same content now lies at ``path``; a video stored for that path is removed."""

    def touch(self, video_id: int, *, size_bytes: int, modified_ns: int) -> None:
        """The same content at the same path, with a new time stamp."""

    def record(self, times: Mapping[int, Recorded]) -> None:
        """When videos were recorded, by id."""

    def tag(
        self, video_ids: Iterable[int], add: Iterable[str] = (), drop: Iterable[str] = ()
    ) -> None:
        """Give videos tags, and take some from them."""

    def recode(self, video_id: int, code: Regions) -> None:
        """Store the regions of a video in a coarser code than they have; "none" drops them."""

    def compact(self) -> None:
        """Give back to the disk what rows no longer take, where the database does not by itself."""

    def remove(self, video_ids: Iterable[int]) -> int:
        """Forget videos with their frames and clips; returns how many there were."""

    def correct(self, name: str, correction: Correction | None) -> None:
        """Keep what probabilities of that name mean here; None forgets it."""

    def set_texts(self, video_id: int, source: TextSource, texts: Texts | None) -> None:
        """Store the words of a video from one source in place of those before; None forgets them.

        Raises:
            ValueError: a cue that ends before it starts, or starts before the video does.
        """


class ShadowArchive(Protocol):
    """A second archive, filled beside the first by another bundle, which it then replaces.

    Reading goes on all the while. What a crash leaves of it, the next one takes up.
    """

    @property
    def bundle_id(self) -> str:
        """The bundle that the archive is encoded with now: another one after :meth:`switch`."""

    def open(self, bundle_id: str, dim: int) -> Store:
        """The shadow: as far as it was filled before, or empty.

        One that was begun with another bundle, or is damaged, is thrown away with a notice.

        Raises:
            ArchiveError: its folder holds files of somebody else.
        """

    def switch(self) -> None:
        """Put the shadow in the place of the archive, wholly or not at all.

        Close it before. Stores that are open on the archive finish what they are reading; then
        they raise ``BundleMismatch``.

        Raises:
            ArchiveDamaged: the shadow is; it was thrown away.
            ArchiveError: there is no room on the disk for both and the change of one into the
            other. In either case nothing has changed.
        """

    def tidy(self) -> UnfinishedReindex | None:
        """Remove what a crash left of a switch; returns what is still to be switched to."""


class Store(Protocol):
    """Reading works while another process writes; one object may be shared by threads.

    Anything but closing it raises ``BundleMismatch`` once the archive was switched to another
    bundle: nothing of two bundles is ever mixed.
    """

    @property
    def bundle_id(self) -> str:
        """The bundle that encoded this archive."""

    @property
    def dim(self) -> int:
        """D, the length of every vector."""

    @property
    def notices(self) -> list[str]:
        """What the store repaired or could not save, in sentences for the user; oldest first."""

    def reading(self) -> AbstractContextManager[None]:
        """All that this thread reads inside the block is of one state of the archive.

        That it is still of this bundle is checked once, on entering. A block within a block is
        part of it.
        """

    def writer(self) -> AbstractContextManager[Writer]:
        """Become the writer; leaving the block also brings the vector file up to date.

        Raises:
            ArchiveLocked: another process writes; the message names it.
            ArchiveError: the folder cannot be written.
        """

    def shared(self) -> Shared | None:
        """How others write beside this one; None where only one process writes at a time."""

    def shadow_archive(self) -> AbstractContextManager[ShadowArchive]:
        """Become the writer, to have the archive replaced by another bundle's; errors likewise."""

    def videos(self, where: Filter | None = None) -> list[StoredVideo]:
        """All videos, or those that the filter lets through, ordered by path."""

    def untimed(self) -> list[StoredVideo]:
        """The videos whose containers were not asked yet when they were recorded, by path."""

    def tags(self) -> dict[str, int]:
        """How many videos have each tag, by name."""

    def videos_of(self, video_ids: Iterable[int]) -> dict[int, StoredVideo]:
        """The videos of these ids, read at once; those that are not there are left out."""

    def find(self, path: Path) -> StoredVideo | None:
        """The video stored for exactly this path."""

    def find_fingerprint(self, fingerprint: str) -> list[StoredVideo]:
        """The videos with this content, ordered by path."""

    def search(self, vector: Vectors, k: int, where: Filter | None = None) -> list[ClipHit]:
        """The ``k`` clips with the largest inner product with ``vector`` float32 [D], best first.

        Equal scores are ordered by clip id. Fewer than ``k`` come back when there are not more.

        Raises:
            ValueError: a vector that is not finite or of another dimension, or ``k`` below 1.
        """

    def sample(self, count: int, where: Filter | None = None) -> HalfVectors:
        """At most ``count`` clip vectors [n, D], evenly spaced over the archive, or over the videos
        that the filter lets through, in the order in which they were stored; all of them where
        there are no more.

        One state of the archive has one sample of a size, which is kept: do not change it.

        Raises:
            ValueError: ``count`` is below 1.
        """

    def frames(
        self,
        video_id: int,
        first: int | None = None,
        last: int | None = None,
        *,
        regions: bool = False,
    ) -> FrameFeatures:
        """The frames ``first`` to ``last``, both included, of a video; all of them by default.

        Regions are read only when asked for, and are None where none were stored. A video that is
        not (or no longer) there has no frames: the result is empty.
        """

    def frames_of(
        self, spans: Sequence[tuple[int, int, int]], *, regions: bool = False
    ) -> list[FrameFeatures]:
        """:meth:`frames` of each (video id, first, last), all read at once from one state."""

    def find_text(self, query: str, k: int, where: Filter | None = None) -> list[TextHit]:
        """The ``k`` best places where all words of a query are near one another, in a cue or in two
        that follow one another; first those where they stand together as in the query.

        Words match in all their forms (Porter), ``fire*`` what begins so, ``"fire door"`` as they
        stand. Nothing in a query is an error but that it holds no word: then nothing is found.
        """

    def texts(self, video_id: int) -> dict[TextSource, Texts]:
        """All words of a video by their source."""

    def text_stamps(self, video_id: int) -> dict[TextSource, str]:
        """What the words of a video were read of."""

    def has_texts(self) -> bool:
        """Whether the archive holds any words."""

    def frame_count(self, where: Filter | None = None) -> int:
        """How many frames all videos have, or those that the filter lets through; of a video that
        it lets through in part, those of the clips that count.
        """

    def correction(self, name: str) -> Correction | None:
        """What probabilities of that name mean in this archive, where that was found out."""

    def clips(self, video_id: int) -> list[Clip]:
        """The clips of a video in time order."""

    def stats(self) -> ArchiveStats:
        """Counts and sizes."""

    def check(self) -> list[str]:
        """Read everything and name each problem with what to do; an empty list means sound."""

    def close(self) -> None:
        """Let go of the files. Closing twice is harmless."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...
