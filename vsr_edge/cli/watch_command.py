"""The command that keeps an archive up to date by itself: `watch`."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

from vsr_edge.cli.console import opened_archive, say
from vsr_edge.cli.index_commands import RetainOption, say_forgotten, say_summary
from vsr_edge.cli.options import ArchiveOption, DecodingOptions, argument, option

if TYPE_CHECKING:
    from vsr_edge.archive import Archive
    from vsr_edge.document_parts import Document
    from vsr_edge.ingest.summary import IngestSummary
    from vsr_edge.types import StoredVideo
    from vsr_edge.watch.alerts import Alert
    from vsr_edge.watch.deliver import Outbox, Target
    from vsr_edge.watch.standing import Fired

# A service is to end within two seconds of being told to.
ENDS_WITHIN, HANDED_OVER_WITHIN = 1.8, 0.8
STDOUT = "stdout"


@dataclass(frozen=True, slots=True)
class AlertOptions:
    """What is asked of each new video, and where answers go; None where it was not given."""

    alert: Annotated[
        list[str] | None,
        option('Standing query: NAME="what is to be seen". Repeatable.', metavar="NAME=QUERY"),
    ]
    alerts: Annotated[
        Path | None,
        option("TOML file of alerts: [NAME] query, between, video, false_alarms.", readable=False),
    ]
    false_alarms: Annotated[
        str | None,
        option("So many may each cost, of so much footage. \\[default: 1/day]", metavar="N/day"),
    ]
    between: Annotated[
        str | None,
        option("Only what was recorded then, in local time.", metavar="22:00-06:00"),
    ]
    video: Annotated[
        list[str] | None,
        option("Ask only these: a folder, a glob such as 'cam2/*'. Repeatable.", "--video", "-v"),
    ]
    exec: Annotated[
        list[str] | None,
        option("Command to run, without a shell; the alert is its input. Repeatable.", "--exec"),
    ]
    webhook: Annotated[
        list[str] | None, option("Address to post alerts to. Repeatable.", metavar="URL")
    ]


def watch(
    folders: Annotated[
        list[Path], argument("Folders to watch, and files.", metavar="FOLDER...", readable=False)
    ],
    *,
    archive: ArchiveOption = None,
    settle: Annotated[
        str, option("A file is complete when it has not changed for so long.", metavar="TIME")
    ] = "10s",
    rescan: Annotated[
        str, option("Look at all again so often, whatever was noticed.", metavar="TIME")
    ] = "5m",
    poll: Annotated[
        bool, option("Look for changes, as by itself on network drives.", "--poll")
    ] = False,
    include: Annotated[list[str] | None, option("Glob; only matching files. Repeatable.")] = None,
    exclude: Annotated[
        list[str] | None, option("Glob of files and folders to leave out. Repeatable.")
    ] = None,
    retain: RetainOption = None,
    prune: Annotated[
        bool, option("Forget the videos whose files were deleted, as `prune` does.", "--prune")
    ] = False,
    asked: AlertOptions,
    decoding: DecodingOptions,
    json_output: Annotated[
        bool, option("A JSON line on stdout for each pass, too.", "--json", "-j")
    ] = False,
) -> None:
    """Keep the archive up to date: index each file below the folders once it is complete.

    Runs until it is stopped: SIGTERM ends it with exit code 0 within two seconds; what was in
    progress is taken up by the next run. Each new video is asked the standing queries of
    `--alert`, and what fires is a JSON line on stdout. How to run it under systemd says
    docs/deploy.md. Frames are read as the settings say (`fps`, `granularity`, …).

    Example: [bold]vsr-edge watch /srv/cctv --alert dock="a person on the loading dock"[/bold]
    """
    with _ending_in_time() as told_to_end:
        try:
            with opened_archive(archive, **asdict(decoding)) as opened:
                _watch(
                    opened,
                    folders,
                    asked,
                    json_output,
                    seconds={"settle": settle, "rescan": rescan},
                    poll=poll,
                    include=include or [],
                    exclude=exclude or [],
                    retain=retain,
                    prune=prune,
                )
        except KeyboardInterrupt:
            if not told_to_end():
                raise
            say("told to end: nothing that was finished is lost; the next run goes on from here")


def _watch(
    opened: Archive,
    folders: list[Path],
    asked: AlertOptions,
    json_lines: bool,
    *,
    seconds: dict[str, str],
    poll: bool,
    include: list[str],
    exclude: list[str],
    retain: str | None,
    prune: bool,
) -> None:
    from vsr_edge.errors import UsageError
    from vsr_edge.ingest.scan import refuse_addresses
    from vsr_edge.times import seconds_of
    from vsr_edge.watch.fired import keep_standing
    from vsr_edge.watch.follow import Changes, Follower, must_poll
    from vsr_edge.watch.retain import Retention
    from vsr_edge.watch.service import Service
    from vsr_edge.watch.standing import Standing
    from vsr_edge.watch.systemd import notify

    refuse_addresses(folders)
    every = {name: seconds_of(text, f"--{name}") for name, text in seconds.items()}
    if not all(every.values()):
        raise UsageError("--settle and --rescan are longer than nothing")
    home = opened.settings.archive
    retention = None if retain is None else Retention(home, seconds_of(retain, "--retain"))
    alerts, targets = _alerts(asked, opened.settings.time_zone), _targets(asked)
    standing = Standing(opened, alerts)
    follower = Follower(folders, every["settle"], include, exclude, opened.settings.include_system)
    with (
        _delivering(home, targets, bool(alerts)) as fire,
        Changes(folders, "--poll is given" if poll else must_poll(folders)) as changes,
    ):
        service = Service(
            opened,
            follower,
            standing,
            every["rescan"],
            report=lambda summary: _report(summary, json_lines),
            fire=fire,
            forgot=lambda videos: _forgot(videos, json_lines),
            say=say,
            retention=retention,
            prune=prune,
        )
        keep_standing(home, alerts)
        say(f"watching {', '.join(map(str, folders))} for {opened.settings.place}")
        try:
            service.run(changes)
        finally:
            notify(STOPPING=1)


def _alerts(asked: AlertOptions, zone: str) -> list[Alert]:
    from vsr_edge.errors import UsageError
    from vsr_edge.watch.alerts import alerts_in, alerts_of

    limits = asked.false_alarms, asked.between, asked.video or []
    found = alerts_of(asked.alert or [], *limits, zone)
    found += [] if asked.alerts is None else alerts_in(asked.alerts, zone)
    given = [asked.exec, asked.webhook, asked.between, asked.video, asked.false_alarms]
    if not found and any(given):
        raise UsageError("these options are about alerts, and none is named: --alert NAME=QUERY")
    return found


def _targets(asked: AlertOptions) -> list[Target]:
    from vsr_edge.watch.deliver import Command, Hook

    return [*map(Command, asked.exec or []), *map(Hook, asked.webhook or [])]


@contextmanager
def _delivering(
    home: Path, targets: list[Target], any_alerts: bool
) -> Iterator[Callable[[list[Fired]], None]]:
    """Yields what takes alerts that fired; what an earlier run left over is handed over first."""
    from vsr_edge.watch.deliver import Delivery, Outbox
    from vsr_edge.watch.fired import keep_fired

    if not any_alerts:
        yield lambda _: None
        return
    home.mkdir(parents=True, exist_ok=True)
    names = [STDOUT, *(target.name for target in targets)]
    outbox = Outbox(home, names)
    delivery = Delivery(outbox, targets, say)

    def fire(fired: list[Fired]) -> None:
        from vsr_edge.documents import AlertDocument

        told = [(one.id, AlertDocument.model_validate(one)) for one in fired]
        lines = [(i, _json(one)) for i, one in told]
        outbox.put(lines, names)
        keep_fired(home, [text for _, text in lines])
        _print_unsent(outbox)
        delivery.wake()

    try:
        _print_unsent(outbox)
        yield fire
    finally:
        delivery.close(HANDED_OVER_WITHIN)
        if left := outbox.count():
            say(f"{left} alerts are still to be handed over: the next run does")


def _print_unsent(outbox: Outbox) -> None:
    while (unsent := outbox.first(STDOUT)) is not None:
        identity, _, text = unsent
        _line(text)
        outbox.done(STDOUT, identity)


def _json(document: Document) -> str:
    """Of ASCII alone: file names that are no UTF-8 are escaped."""
    return json.dumps(document.model_dump(by_alias=True))


def _line(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _report(summary: IngestSummary, as_json: bool) -> None:
    if as_json:
        from vsr_edge.documents import IndexDocument

        _line(_json(IndexDocument.model_validate(summary)))
    say_summary(summary)


def _forgot(videos: list[StoredVideo], as_json: bool) -> None:
    if as_json:
        from vsr_edge.documents import RemoveDocument

        _line(_json(RemoveDocument.model_validate({"removed": videos})))
    say_forgotten([stored.video.path for stored in videos])


@contextmanager
def _ending_in_time() -> Iterator[Callable[[], bool]]:
    """Yields whether SIGTERM came; whatever is going on, the process ends in time after that.

    Python tells the main thread of a signal when its call into a library is over; a thread of its
    own hears at once. To be cut off loses nothing: a video is stored in one transaction.
    """
    told, over = threading.Event(), threading.Event()
    ear, mouth = os.pipe()
    os.set_blocking(mouth, False)

    def listen() -> None:
        while number := os.read(ear, 1):
            if number[0] == signal.SIGTERM and not over.wait(ENDS_WITHIN):
                os._exit(0)
        os.close(ear)

    def interrupt(*_: object) -> NoReturn:
        told.set()
        raise KeyboardInterrupt

    threading.Thread(target=listen, daemon=True).start()
    before = signal.set_wakeup_fd(mouth, warn_on_full_buffer=False)
    handler = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield told.is_set
    finally:
        over.set()
        signal.signal(signal.SIGTERM, handler)
        signal.set_wakeup_fd(before)
        os.close(mouth)
