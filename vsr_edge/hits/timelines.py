"""The hits one behind the other as a timeline for editors: OpenTimelineIO, Final Cut Pro's XML."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from xml.etree import ElementTree

from vsr_edge.errors import UsageError, printable
from vsr_edge.hits.listed import Listed

# Which editors read since 2019: Final Cut Pro 10.4.9, DaVinci Resolve 17.
_FCPXML = "1.9"


def otio(hits: Sequence[Listed], title: str) -> str:
    """OpenTimelineIO's JSON: a track of pictures, and one of sound where any has it.

    Raises:
        UsageError: the library is not installed.
    """
    try:
        import opentimelineio as io
    except ImportError as error:
        raise UsageError(
            "--format otio needs OpenTimelineIO: pip install 'vsr-edge[editors]', or take "
            "--format fcpxml or edl"
        ) from error

    def span(one: Listed, first: int, count: int) -> io.opentime.TimeRange:
        rate = float(one.rate)
        start = io.opentime.RationalTime(one.begins + first, rate)
        return io.opentime.TimeRange(start, io.opentime.RationalTime(count, rate))

    def track(kind: str) -> io.schema.Track:
        made = io.schema.Track(name=kind, kind=kind)
        for one in hits:
            place = span(one, one.first, one.behind - one.first)
            if kind == io.schema.TrackKind.Audio and not one.video.audio_streams:
                made.append(io.schema.Gap(duration=place.duration))
                continue
            media = io.schema.ExternalReference(
                target_url=one.file.as_uri(), available_range=span(one, 0, one.count)
            )
            hit = one.hit
            said = {
                "label": printable(hit.label),
                "number": hit.number,
                "score": hit.score,
                "match_probability": hit.match_probability,
            }
            made.append(
                io.schema.Clip(
                    name=one.name,
                    media_reference=media,
                    source_range=place,
                    metadata={"vsr-edge": {key: it for key, it in said.items() if it is not None}},
                )
            )
        return made

    timeline = io.schema.Timeline(name=printable(title))
    timeline.tracks.append(track(io.schema.TrackKind.Video))
    if any(one.video.audio_streams for one in hits):
        timeline.tracks.append(track(io.schema.TrackKind.Audio))
    return str(io.adapters.write_to_string(timeline, "otio_json")) + "\n"


def fcpxml(hits: Sequence[Listed], title: str) -> str:
    """FCPXML, whose times are fractions of a second: exact at any rate, and at mixed ones."""
    root = ElementTree.Element("fcpxml", version=_FCPXML)
    resources = ElementTree.SubElement(root, "resources")
    formats: dict[tuple[Fraction, int, int], str] = {}
    assets: dict[str, str] = {}

    def format_of(one: Listed) -> str:
        key = (one.rate, one.video.width, one.video.height)
        if key not in formats:
            formats[key] = f"r{len(formats) + len(assets) + 1}"
            ElementTree.SubElement(
                resources,
                "format",
                id=formats[key],
                frameDuration=_time(1, one.rate),
                width=str(one.video.width),
                height=str(one.video.height),
            )
        return formats[key]

    def asset_of(one: Listed) -> str:
        source = str(one.hit.video)
        if source not in assets:
            shape = format_of(one)
            assets[source] = f"r{len(formats) + len(assets) + 1}"
            asset = ElementTree.SubElement(
                resources,
                "asset",
                id=assets[source],
                name=_xml(one.name),
                start=_time(one.begins, one.rate),
                duration=_time(one.count, one.rate),
                hasVideo="1",
                format=shape,
                hasAudio="1" if one.video.audio_streams else "0",
            )
            ElementTree.SubElement(asset, "media-rep", kind="original-media", src=one.file.as_uri())
        return assets[source]

    rate, form = hits[0].rate, "DF" if hits[0].drop else "NDF"
    shape = format_of(hits[0])
    clips: list[ElementTree.Element] = []
    place = 0
    for one in hits:
        # Lengths on the timeline are whole frames of its own rate.
        length = max(round((one.behind - one.first) / one.rate * rate), 1)
        clip = ElementTree.Element(
            "asset-clip",
            ref=asset_of(one),
            name=_xml(one.name),
            offset=_time(place, rate),
            start=_time(one.begins + one.first, one.rate),
            duration=_time(length, rate),
            format=format_of(one),
            tcFormat="DF" if one.drop else "NDF",
        )
        ElementTree.SubElement(clip, "note").text = _xml(one.title)
        clips.append(clip)
        place += length
    library = ElementTree.SubElement(root, "library")
    event = ElementTree.SubElement(library, "event", name="vsr-edge")
    project = ElementTree.SubElement(event, "project", name=_xml(title))
    sequence = ElementTree.SubElement(
        project,
        "sequence",
        format=shape,
        duration=_time(place, rate),
        tcStart="0s",
        tcFormat=form,
    )
    ElementTree.SubElement(sequence, "spine").extend(clips)
    ElementTree.indent(root)
    body = ElementTree.tostring(root, "unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE fcpxml>\n{body}\n'


def _time(frames: int, rate: Fraction) -> str:
    """So many frames in seconds, as FCPXML writes fractions."""
    time = frames / rate
    return f"{time.numerator}/{time.denominator}s" if time.denominator > 1 else f"{time}s"


def _xml(text: str) -> str:
    """Without what XML cannot hold."""
    return "".join(c for c in printable(text) if c in "\n\t" or c.isprintable())
