"""``python -m lungaug.preview``: look at the data of a configuration before anything is decided.

Scan, ingest and preprocess run in a temporary folder. What they find is shown on one page with
PatientIDs and names of files: it is private. Key, ledger and results are read, never written.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from lungaug.errors import LungaugError, SettingError
from lungaug.preview import page, setup
from lungaug.preview.batches import heard
from lungaug.preview.roles import Roles, assign, hosts
from lungaug.preview.stages import Seen, look
from lungaug.preview.words import worded

PATIENTS = 40


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page and say where it is; exit status 1 if the source cannot be used."""
    options = parser().parse_args(arguments)
    try:
        configured = setup.read(options.configfile)
        output = options.output or Path(f"preview-{configured.cohort}.html")
        page.check_output(output)
        seen, roles = _made(configured, output, options.patients, options.cores)
    except SettingError as error:
        for line in str(error).splitlines():
            _say(f"config: {line}")
        return 1
    except LungaugError as error:
        _say(f"lungaug preview: {error}")
        return 1
    stops = [*seen.refusals, *roles.faults]
    if stops:
        _say("A run would stop; the page says where and why.")
    sys.stdout.write(f"{output}\n".encode("utf-8", "backslashreplace").decode("utf-8"))
    return 0 if seen.usable else 1


def parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    built = argparse.ArgumentParser(prog="python -m lungaug.preview", description=__doc__)
    built.add_argument(
        "--configfile", nargs="+", type=Path, default=[], metavar="FILE",
        help="configuration, the later overrule the earlier; the demo's without",
    )  # fmt: skip
    built.add_argument("--output", type=Path, help="the page; default: preview-<cohort>.html")
    built.add_argument(
        "--patients", type=_number, default=PATIENTS, metavar="N",
        help=f"patients whose slices are shown, those with warnings first; default: {PATIENTS}",
    )  # fmt: skip
    built.add_argument(
        "--cores", type=_cores, default=1, metavar="N",
        help="processes that read pixels, a batch each; default: 1",
    )  # fmt: skip
    return built


def _number(text: str, least: int = 0) -> int:
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"got {text!r}; accepted: a number of at least {least}")
    return int(text)


def _cores(text: str) -> int:
    return _number(text, 1)


def _made(configured: setup.Setup, output: Path, n_strips: int, cores: int) -> tuple[Seen, Roles]:
    """Look at the data and write the page; nothing of the temporary folder stays."""
    before = signal.signal(signal.SIGTERM, _end)
    try:
        with tempfile.TemporaryDirectory(prefix="lungaug-preview-") as folder:
            seen = look(configured, Path(folder), n_strips, hosts(configured), _say, cores)
            with heard(seen.warnings):
                roles = assign(configured, seen) if seen.usable else Roles()
            for text in seen.refusals if not seen.usable else ():
                _say(worded(text, {}, seen.private))
            page.write(output, page.render(configured, seen, roles, n_strips))
    finally:
        signal.signal(signal.SIGTERM, before)
    return seen, roles


def _end(number: int, frame: FrameType | None) -> None:
    """End in good order, so that the temporary folder is removed."""
    raise SystemExit(128 + number)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n".encode("utf-8", "backslashreplace").decode("utf-8"))


if __name__ == "__main__":
    sys.exit(main())
