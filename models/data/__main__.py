"""Build the benchmark archive, the list of concepts that refinements are explained by, or that of
words that queries may use without a notice.

    python -m models.data build-benchmark --images IMAGES --captions captions.csv --out benchmark
    python -m models.data concepts --captions captions.csv --split train --out concepts.txt
    python -m models.data words --captions captions.csv --sentences more.txt.gz --out english.txt

The captions are CSV with the columns image and caption, one row a caption; with ``--split``, also a
column split. The same photos, options and seed give the same archive.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from models.data.benchmark import BenchmarkOptions, build_benchmark
from models.data.photos import read_captions
from models.data.vocabulary import list_concepts, list_words, read_lines

MEANING = {
    "videos": "video files",
    "present": "queries for a scene of a video",
    "absent": "queries for what no video shows",
    "seed": "decides how photos are dealt out, how they move, and what is asked",
    "side": "width and height of the videos in pixels, even",
}


def parse() -> argparse.Namespace:
    p = argparse.ArgumentParser(
        prog="python -m models.data",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    commands = p.add_subparsers(required=True, metavar="COMMAND", dest="command")
    build = commands.add_parser("build-benchmark", help="captioned photos → videos and queries")
    concepts = commands.add_parser("concepts", help="captions → words and phrases, one a line")
    words = commands.add_parser("words", help="captions → words of several tokens, one a line")
    words.add_argument(
        "--sentences", type=Path, nargs="*", default=[], help="more captions, one a line; .gz"
    )
    for command in (build, concepts, words):
        command.add_argument(
            "--captions", type=Path, required=True, help="CSV: image, caption, split"
        )
        command.add_argument("--split", help="use only the rows of this split")
    for command in (concepts, words):
        command.add_argument("--out", type=Path, required=True, help="text file")
    build.add_argument("--images", type=Path, required=True, help="folder of the photos")
    build.add_argument("--out", type=Path, required=True, help="new folder")
    for option in fields(BenchmarkOptions):
        build.add_argument(
            f"--{option.name}",
            type=int,
            default=option.default,
            help=f"{MEANING[option.name]} [default: {option.default}]",
        )
    return p.parse_args()


def main() -> None:
    args = parse()
    if args.command in {"concepts", "words"}:
        groups = read_captions(args.captions, args.split).values()
        captions = [caption for group in groups for caption in group]
        if args.command == "concepts":
            found = list_concepts(captions)
        else:
            captions += [line for path in args.sentences for line in read_lines(path)]
            found = list_words(captions)
        args.out.write_text("\n".join(found) + "\n", "utf-8")
        print(f"{args.out}: {len(found)} {args.command}")
        return
    chosen = {option.name: getattr(args, option.name) for option in fields(BenchmarkOptions)}
    messages = Console(stderr=True)
    with Progress(console=messages, transient=True, disable=not messages.is_terminal) as bar:
        task = bar.add_task("filming", total=None)
        try:
            benchmark = build_benchmark(
                args.images,
                read_captions(args.captions, args.split),
                args.out,
                BenchmarkOptions(**chosen),
                on_progress=lambda done, total: bar.update(task, completed=done, total=total),
                on_unreadable=lambda name, reason: messages.print(f"left out: {name}: {reason}"),
            )
        except (ValueError, OSError) as error:
            sys.exit(f"error: {error}")
        except KeyboardInterrupt:
            sys.exit(130)
    print(
        f"{args.out}: {len(benchmark.compositions)} videos, {benchmark.seconds / 3600:.2f} h, "
        f"{len(benchmark.queries)} queries"
    )


if __name__ == "__main__":
    main()
