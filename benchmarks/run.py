"""``make bench``: every figure that is promised, beside its peer.

    python -m benchmarks.run [--only images insertion …] [--write] [--check]

``--write`` puts the table into ``benchmarks/RESULTS.md``; with ``--check`` the exit status is 1 if
a figure is missed. Run it on a machine that has nothing else to do.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

from benchmarks import audit, images, insertion, loader, memory, sampling, scale, startup, storage
from benchmarks.harness import Row, machine, table
from benchmarks.slices import Material, material

RESULTS = Path(__file__).with_name("RESULTS.md")
NOTE = """\
Times in ms are medians of processor time a call, peer and lungaug taking turns, rotation and
MetaLung by the fastest of five calls in a row; the ratio is that of whole repeats, median
(lowest-highest). Peers are the published equations and library calls of `benchmarks/peers.py`.
Starts are the fastest of five by the clock, memory the peak, of a whole process. Single cold calls
are kinder to the peer: MetaLung 6-7x, rotation 4-10x on a busy machine. The slices of the first row
are those where the areas of both masks agree within 5 %, so our mask takes part in the choice.
Loader efficiency is a slice's time in the training loop, on one batch that is at hand / on slices
that are read, windowed and equalised. Sampling is extrapolated as its row says. Training steps of
generators on a GPU beside the same steps on data in its memory: not run, no GPU was at hand."""


def _images(on: Material) -> Iterable[Row]:
    yield from images.lungs(on, repeats=5)
    yield from images.rotation(on, repeats=7, number=5)
    yield from images.expansion(on, repeats=3, number=5)


PARTS: dict[str, Callable[[Material], Iterable[Row]]] = {
    "images": _images,
    "insertion": lambda on: [
        *insertion.search(on, repeats=3),
        *insertion.stage(on),
        *insertion.peaks(on),
    ],
    "sampling": lambda on: sampling.sampling(),
    "loader": lambda on: loader.efficiency(on, repeats=4),
    "storage": lambda on: storage.random_reads(on, repeats=5),
    "startup": lambda on: startup.startup(repeats=5),
    "memory": lambda on: memory.peaks(),
    "scale": lambda on: scale.scale(),
    "audit": lambda on: audit.audit(),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks", description="Speed and memory.")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--write", action="store_true", help=f"into {RESULTS.name}")
    parser.add_argument("--check", action="store_true", help="fail if a figure is missed")
    chosen = parser.parse_args()
    with warnings.catch_warnings():
        # One of the excerpts has an invalid UID, which is of no interest here.
        warnings.filterwarnings("ignore", message="Invalid value for VR UI")
        on = material()
    rows: list[Row] = []
    for part in chosen.only:
        print(f"measuring {part} …", file=sys.stderr)
        rows += PARTS[part](on)
    text = f"{machine()}; slices: {on.name}\n\n{table(rows)}"
    print(text)
    if chosen.write:
        RESULTS.write_text(f"# Speed and memory\n\n{NOTE}\n\n{text}\n", encoding="utf-8")
    return int(chosen.check and any(row.met is False for row in rows))


if __name__ == "__main__":
    sys.exit(main())
