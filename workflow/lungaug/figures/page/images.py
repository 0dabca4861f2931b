"""Figures as the report's page holds them: PNG in base64, with words."""

from __future__ import annotations

import base64
import struct
from dataclasses import dataclass
from pathlib import Path

import yaml

from lungaug.cohort import read_table


@dataclass(frozen=True)
class Picture:
    """A figure of the page; ``data`` is the PNG in base64, empty if there is none."""

    name: str
    title: str
    caption: str
    alt: str
    note: str
    data: str
    width: int
    height: int


def pictures_of(folder: Path, captions: Path, notes_name: str) -> list[Picture]:
    """The figures in the order of the captions, each with what the stage noted of it."""
    words: dict[str, dict[str, str]] = yaml.safe_load(captions.read_text(encoding="utf-8"))
    table = read_table(folder / notes_name, ("figure", "note"))
    told = table["note"].map(lambda note: note if isinstance(note, str) else "")
    notes = dict(zip(table["figure"], told, strict=True))
    return [picture(folder / f"{n}.png", words[n], notes.get(n, "")) for n in words]


def picture(path: Path, words: dict[str, str], note: str) -> Picture:
    """A figure with its title, caption and alternative text."""
    title = words["title"]
    texts = words["caption"], words["alt"], note
    if not path.is_file():
        return Picture(path.stem, title, *texts, data="", width=0, height=0)
    content = path.read_bytes()
    width, height = struct.unpack(">II", content[16:24])  # the header chunk of every PNG
    data = base64.b64encode(content).decode()
    return Picture(path.stem, title, *texts, data=data, width=width, height=height)
