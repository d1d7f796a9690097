"""How often a caption of one picture is read as a query of several parts, and which are.

python -m tests.bench.readings CAPTIONS.csv [CAPTIONS.csv …]
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from models.data.photos import read_captions
from vsr_edge.search.grammar import read

WORDS = ("then", "before", "after", "without", "but no")


def main(paths: list[Path]) -> None:
    for path in paths:
        captions = [one for group in read_captions(path, None).values() for one in group]
        read_as = [(one, read(one)) for one in captions]
        said = {
            word: sum(re.search(rf"\b{word}\b", one.lower()) is not None for one in captions)
            for word in WORDS
        }
        counts = {
            "captions": len(captions),
            "with a word": said,
            "several parts": sum(len(reading.parts) > 1 for _, reading in read_as),
            "without something": sum(bool(reading.without) for _, reading in read_as),
        }
        print(json.dumps({"file": str(path), **counts}))
        for caption, reading in read_as:
            if len(reading.parts) > 1 or reading.without:
                print(
                    json.dumps(
                        {"caption": caption, "parts": reading.parts, "without": reading.without}
                    )
                )


if __name__ == "__main__":
    main([Path(path) for path in sys.argv[1:]])
