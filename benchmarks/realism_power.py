"""What the realism gate notices, by simulation: ``python -m benchmarks.realism_power``.

Prints two tables of ``docs/statistics.md``: what the gate says of nodules like those of real
patients and of shifted ones, and which distance the moved intervals cover.
"""

from __future__ import annotations

import argparse
from collections import Counter
from statistics import NormalDist

import numpy as np

from lungaug.evaluation.realism.distances import kolmogorov_smirnov
from lungaug.evaluation.realism.resampling import Group, Sample
from lungaug.evaluation.realism.rows import HELD_OUT, REAL, TISSUE, Measure, Row, measured

N_TRAINING, N_NODULES, WITHIN_SD = 20, 3, 0.5  # patients, nodules a patient, SD within a patient
HELD_OUTS = (5, 8, 10, 15, 20, 30)
SHIFTS = (0.0, 1.0, 2.0)  # in SDs between patients
RESAMPLES = 200
KS = Measure("ks", "mean", kolmogorov_smirnov, gate=True, bounds=(0.0, 1.0))


def nodules(rng: np.random.Generator, n_patients: int, shift: float = 0.0) -> Sample:
    """Values of nodules whose patients differ with SD 1."""
    centres = np.repeat(rng.normal(shift, 1, n_patients), N_NODULES)
    owners = [f"p{i // N_NODULES:03d}" for i in range(len(centres))]
    values = centres + rng.normal(0, WITHIN_SD, len(centres))
    return Group.of(owners, RESAMPLES, rng=rng).sample(values)


def row(rng: np.random.Generator, n_held_out: int, shift: float) -> Row:
    """The gate's row of one simulated run."""
    sizes = {TISSUE: 0, REAL: 0, HELD_OUT: 0}
    generated = {TISSUE: nodules(rng, N_TRAINING, shift)}
    training, held_out = nodules(rng, N_TRAINING), nodules(rng, n_held_out)
    return measured(KS, generated, training, held_out, sizes, 0.95, seed=0)[0]


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.realism_power", description=__doc__)
    parser.add_argument("--repeats", type=int, default=400, help="simulated runs a cell")
    n_repeats = parser.parse_args().repeats
    spread = (1 + WITHIN_SD**2) ** 0.5
    print("| held-out patients | shift | yes | too few | no | power | yes without the rule |")
    print("|---|---|---|---|---|---|---|")
    covered = []
    for n in HELD_OUTS:
        for shift in SHIFTS:
            rng = np.random.default_rng([n, int(shift)])
            found = [row(rng, n, shift) for _ in range(n_repeats)]
            said = Counter(one.within for one in found)
            shares = [said[word] / n_repeats for word in ("yes", "too few", "no")]
            power = float(np.mean([one.power for one in found]))
            cells = [*shares, power, shares[0] + shares[1]]
            print(f"| {n} | {shift:g} | {' | '.join(f'{cell:.2f}' for cell in cells)} |")
            expected = float(np.mean([one.value for one in found]))
            truth = 2 * NormalDist().cdf(shift / spread / 2) - 1
            hits = (
                np.mean([one.low <= value <= one.high for one in found])
                for value in (expected, truth)
            )
            covered.append((n, f"{shift:g}", *(f"{hit:.2f}" for hit in hits)))
    print("\n| held-out patients | shift | covers expected distance | covers that of populations |")
    print("|---|---|---|---|")
    for line in covered:
        print(f"| {' | '.join(map(str, line))} |")


if __name__ == "__main__":
    main()
