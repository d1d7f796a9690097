"""A container file, read as its builder reads it: stages of instructions."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Stage:
    """``words`` are (instruction, arguments) in their order."""

    base: str
    name: str
    words: list[tuple[str, str]] = field(default_factory=list)

    def all(self, instruction: str) -> list[str]:
        return [arguments for kind, arguments in self.words if kind == instruction]

    def one(self, instruction: str) -> str:
        (found,) = self.all(instruction)
        return found

    def command(self, instruction: str) -> list[str]:
        """Of the form that no shell reads."""
        words = json.loads(self.one(instruction))
        assert isinstance(words, list)
        return words

    @property
    def environment(self) -> dict[str, str]:
        pairs = [one.partition("=") for line in self.all("ENV") for one in line.split()]
        return {name: value for name, _, value in pairs}


def stages(path: Path) -> list[Stage]:
    text = re.sub(r"^\s*#.*\n", "", path.read_text("utf-8"), flags=re.MULTILINE)
    found: list[Stage] = []
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        kind, _, arguments = line.strip().partition(" ")
        if kind == "FROM":
            base, _, name = arguments.partition(" AS ")
            found.append(Stage(base, name))
        elif found and kind:
            found[-1].words.append((kind, arguments.strip()))
    return found
