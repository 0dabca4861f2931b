"""Timing two functions side by side, and the table that shows it."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")


@dataclass(frozen=True)
class Row:
    """One line of the table; ``met`` is None where nothing is demanded."""

    work: str
    ours: str
    peer: str
    ratio: str
    wanted: str
    met: bool | None


@dataclass(frozen=True)
class Comparison:
    """Seconds of processor time, (repeats, inputs) each."""

    ours: NDArray[np.float64]
    peer: NDArray[np.float64]

    @property
    def ratios(self) -> NDArray[np.float64]:
        """(repeats,), peer / ours over all inputs."""
        return np.asarray(self.peer.sum(axis=1) / self.ours.sum(axis=1))

    def added(self, n: int) -> Comparison:
        """Of inputs in ``n`` groups of one length, the sums over the groups."""
        ours, peer = (
            np.reshape(each, (len(each), n, -1)).sum(axis=1) for each in (self.ours, self.peer)
        )
        return Comparison(ours, peer)

    def row(self, work: str, at_least: float, extra_condition: bool = True) -> Row:
        """As a line of the table, medians of all calls in ms."""
        low, ratio, high = np.quantile(self.ratios, (0, 0.5, 1))
        return Row(
            work,
            f"{np.median(self.ours) * 1e3:.2f} ms",
            f"{np.median(self.peer) * 1e3:.2f} ms",
            f"{ratio:.1f} ({low:.1f}-{high:.1f})",
            f">= {at_least:g}x",
            bool(ratio >= at_least) and extra_condition,
        )


def compare(
    ours: Callable[[T], Any],
    peer: Callable[[T], Any],
    inputs: Sequence[T],
    repeats: int,
    number: int = 1,
) -> Comparison:
    """Time both on every input, alternating, in processor time of this process.

    Processor time, unlike the clock, does not count what else a busy machine does; everything here
    runs in one thread. One untimed call of each on the first input fills caches; who comes first
    changes from one repeat to the next.

    Args:
        ours: the function to judge.
        peer: what it is compared with.
        inputs: what both are called with, one after the other.
        repeats: timings of each function on each input.
        number: calls in a row of which the fastest is the timing, for work of a millisecond, of
            which a large part otherwise is what the other function or the machine left in caches.
    """
    ours(inputs[0])
    peer(inputs[0])
    seconds = np.zeros((2, repeats, len(inputs)))
    for repeat in range(repeats):
        for i, each in enumerate(inputs):
            for k in (0, 1) if repeat % 2 else (1, 0):
                calls = [_seconds((ours, peer)[k], each) for _ in range(number)]
                seconds[k, repeat, i] = min(calls)
    return Comparison(seconds[0], seconds[1])


def _seconds(call: Callable[[T], Any], each: T) -> float:
    start = time.process_time()
    call(each)
    return time.process_time() - start


def table(rows: Sequence[Row]) -> str:
    """Markdown, columns aligned, to be read in a terminal too."""
    head = ("work", "lungaug", "peer", "ratio (range)", "wanted", "met")
    marks = {True: "yes", False: "NO", None: ""}
    cells = [head] + [(r.work, r.ours, r.peer, r.ratio, r.wanted, marks[r.met]) for r in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(head))]
    lines = [_line(line, widths) for line in cells]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "| " + " | ".join(c.ljust(w) for c, w in zip(cells, widths, strict=True)) + " |"


def machine() -> str:
    """Processor, cores and Python, since medians in ms mean nothing without them."""
    name = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        named = [x for x in information.read_text().splitlines() if x.startswith("model name")]
        name = named[0].partition(":")[2].strip() if named else name
    return f"{name}, {os.cpu_count()} cores, one thread a task, Python {platform.python_version()}"
