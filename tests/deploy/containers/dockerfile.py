"""Reads a Dockerfile: its stages, each with its instructions in order."""

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_CONTINUED: Final = re.compile(r"\\\n")
_COMMENT: Final = re.compile(r"^\s*#.*\n?", re.MULTILINE)


@dataclass(frozen=True)
class Instruction:
    """Such as COPY with its options (`--from=build`) and what follows them."""

    name: str
    text: str
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def words(self) -> list[str]:
        """What follows the options, word by word, as of an array or as a shell would split it."""
        if self.text.startswith("["):
            words: list[str] = json.loads(self.text)
            return words
        return shlex.split(self.text)

    @property
    def pairs(self) -> dict[str, str]:
        """The variables of an ENV."""
        pairs = (word.partition("=") for word in self.words)
        return {name: value for name, _, value in pairs}


@dataclass(frozen=True)
class Stage:
    """What one FROM begins. `name`: what other stages call it, '' for the last."""

    image: str
    name: str
    instructions: Sequence[Instruction]

    def all(self, name: str) -> list[Instruction]:
        return [each for each in self.instructions if each.name == name]

    def last(self, name: str) -> Instruction:
        return self.all(name)[-1]

    @property
    def environment(self) -> dict[str, str]:
        return {name: value for env in self.all("ENV") for name, value in env.pairs.items()}


def stages_of(file: Path) -> list[Stage]:
    """The stages in order. Heredocs and ARG are not known, and fail."""
    stages: list[Stage] = []
    instructions: list[Instruction] = []
    for each in _instructions(file.read_text()):
        if each.name == "FROM":
            image, *named = each.words
            instructions = []
            stages.append(Stage(image, named[1] if named else "", instructions))
        else:
            assert each.name in {
                "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "RUN", "STOPSIGNAL", "USER", "WORKDIR",
            }, f"{file.name}: {each.name} is not known to this test"  # fmt: skip
            instructions.append(each)
    return stages


def _instructions(text: str) -> Iterator[Instruction]:
    for line in _CONTINUED.sub(" ", _COMMENT.sub("", text)).splitlines():
        if not line.strip():
            continue
        name, _, rest = line.strip().partition(" ")
        options = {}
        while name == "COPY" and rest.startswith("--"):
            option, _, rest = rest.partition(" ")
            key, _, value = option.removeprefix("--").partition("=")
            options[key] = value
        yield Instruction(name.upper(), rest.strip(), options)
