"""Rows of the realism table, and the table that people read."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lungaug.cohort import write_rows
from lungaug.errors import InputError
from lungaug.evaluation.realism.distances import kernel_distance, kolmogorov_smirnov
from lungaug.evaluation.realism.layout import as_latex, as_markdown, main_rows, realism_table
from lungaug.evaluation.realism.resampling import Group, Sample
from lungaug.evaluation.realism.rows import (
    COLUMNS,
    HELD_OUT,
    PATCHES,
    POWER,
    PUBLISHED,
    REAL,
    TISSUE,
    Measure,
    PowerSettings,
    Row,
    as_records,
    judged,
    measured,
)
from lungaug.evaluation.statistics import ANY


def sample(seed: int, n_patients: int, shift: float = 0.0) -> Sample:
    rng = np.random.default_rng(seed)
    owners = [f"p{i // 4}" for i in range(4 * n_patients)]
    return Group.of(owners, 200, rng=rng).sample(rng.normal(shift, 1, 4 * n_patients))


def rows_of(n_patients: int, measure: Measure, power: PowerSettings = POWER) -> dict[str, Row]:
    generated = {TISSUE: sample(2, 8), PUBLISHED: sample(3, 8, 6.0)}
    training, held_out = sample(0, n_patients), sample(1, n_patients)
    sizes = {TISSUE: 32, PUBLISHED: 32, REAL: 4 * n_patients, HELD_OUT: 4 * n_patients}
    found = measured(measure, generated, training, held_out, sizes, 0.95, seed=0, power=power)
    return {row.variant: row for row in found}


KS = Measure("ks", "pixels", kolmogorov_smirnov, gate=True, bounds=(0.0, 1.0))


def test_what_is_alike_lies_within_and_what_is_not_beyond() -> None:
    rows = rows_of(8, KS)
    assert rows[TISSUE].within == "too few"  # of values whose patients hardly differ
    assert rows[PUBLISHED].within == "no"
    assert rows[PUBLISHED].value == pytest.approx(1, abs=0.02)
    real = rows[REAL]
    assert (rows[TISSUE].real_value, rows[TISSUE].real_high) == (real.value, real.high)
    assert (rows[TISSUE].split_high, real.n_held_out) == (real.split_high, 32)
    assert 0 < real.split_low < real.split_high < 1
    assert rows[TISSUE].ratio == pytest.approx(rows[TISSUE].value / real.value)
    assert rows[PUBLISHED].ratio_low < rows[PUBLISHED].ratio < rows[PUBLISHED].ratio_high


def test_what_chance_does_not_give_is_beyond_even_where_the_bootstrap_reaches_it() -> None:
    patients = {k: sample(k, 8, shift) for k, shift in ((0, 0.0), (1, 0.0), (2, 1.0))}
    sizes = {TISSUE: 32, REAL: 32, HELD_OUT: 32}
    plain = kolmogorov_smirnov(patients[0], patients[1])
    moved = kolmogorov_smirnov(patients[2], patients[1])[0]
    assert moved < np.quantile(plain[1:], 0.975)  # a gate that looked at resamples alone said yes
    row = measured(KS, {TISSUE: patients[2]}, patients[0], patients[1], sizes, 0.95, seed=0)[0]
    assert row.within == "no"
    assert row.value > min(row.real_high, row.split_high)


def test_both_limits_are_looked_at() -> None:
    assert judged(0.2, 0.3, 0.1) == judged(0.2, 0.1, 0.3) == "no"
    assert judged(0.2, 0.3, math.nan) == ""


def test_a_yes_needs_power_and_a_no_does_not() -> None:
    assert judged(0.2, 0.3) == "yes"
    assert judged(0.2, 0.3, enough=False) == "too few"
    assert judged(0.4, 0.3, enough=False) == "no"
    assert judged(math.nan, 0.3, enough=False) == ""


def of_patients(seed: int, n_patients: int, shift: float = 0.0) -> Sample:
    """Four nodules of each patient; patients differ with SD 1, nodules of one by 0.5."""
    rng = np.random.default_rng(seed)
    values = np.repeat(rng.normal(shift, 1, n_patients), 4) + rng.normal(0, 0.5, 4 * n_patients)
    return Group.of([f"p{i // 4}" for i in range(len(values))], 200, rng=rng).sample(values)


def judgement(n_patients: int, power: PowerSettings = POWER) -> Row:
    sizes = {TISSUE: 80, REAL: 80, HELD_OUT: 4 * n_patients}
    sets = of_patients(0, 20), of_patients(1, n_patients)
    return measured(KS, {TISSUE: of_patients(2, 20)}, *sets, sizes, 0.95, seed=0, power=power)[0]


def test_few_patients_cannot_notice_a_shift_of_one_sd_and_many_can() -> None:
    few, many = judgement(5), judgement(40)
    assert (few.within, many.within) == ("too few", "yes")
    assert few.power < 0.7 < 0.9 < many.power
    assert judgement(5, PowerSettings(least=few.power)).within == "yes"
    assert judgement(5, PowerSettings(least=few.power + 0.001)).within == "too few"


def test_power_grows_with_the_shift_and_is_its_chance_of_a_no() -> None:
    powers = [judgement(8, PowerSettings(shift=shift)).power for shift in (0.001, 1, 3, 30)]
    assert powers == sorted(powers)
    assert powers[0] < 0.15
    assert powers[-1] == 1


def test_power_is_that_of_both_limits() -> None:
    """Resamples about 0.1, deals up to 1, shifted deals at 0.5: beyond the lower limit only."""
    found = iter([np.linspace(0.08, 0.12, 201), np.linspace(0, 1, 200), *[np.full(100, 0.5)] * 2])

    def distance(first: Sample, second: Sample) -> np.ndarray:
        return next(found, np.full(201, 0.1))

    sizes = {TISSUE: 0, REAL: 0, HELD_OUT: 0}
    sets = of_patients(0, 8), of_patients(1, 8)
    measure = Measure("ks", "mean", distance, gate=True)
    row = measured(measure, {TISSUE: of_patients(2, 8)}, *sets, sizes, 0.95, seed=0)[0]
    assert row.real_high < 0.5 < row.split_high
    assert row.power == 1


def test_a_shift_downwards_counts_as_much() -> None:
    seen = []

    def distance(first: Sample, second: Sample) -> np.ndarray:
        seen.append(float(first.values.mean()))
        return kolmogorov_smirnov(first, second)

    sizes = {TISSUE: 0, REAL: 0, HELD_OUT: 0}
    sets = of_patients(0, 8), of_patients(1, 8)
    measure = Measure("ks", "mean", distance, gate=True)
    measured(measure, {TISSUE: of_patients(2, 8)}, *sets, sizes, 0.95, seed=0)
    plain, up, down = seen[1:4]
    assert up - plain == pytest.approx(plain - down)
    spread = np.std([m for s in sets for m in s.values.reshape(-1, 4).mean(axis=1)], ddof=1)
    assert up - plain == pytest.approx(spread)


def test_split_is_of_the_seed_and_empty_below_five_patients() -> None:
    first, again = (rows_of(8, KS)[REAL] for _ in range(2))
    assert first == again
    assert math.isnan(rows_of(4, KS)[REAL].split_high)


def test_few_patients_give_values_without_intervals_and_say_so() -> None:
    for row in rows_of(2, KS).values():
        assert math.isfinite(row.value)
        assert math.isnan(row.low)
        assert row.within == ""
        assert "no interval: 2 patients on the smaller side, 5 needed" in row.note


def test_the_smaller_side_is_named_and_enough_patients_are_not_blamed() -> None:
    sizes = {TISSUE: 32, REAL: 32, HELD_OUT: 12}
    row = measured(KS, {TISSUE: sample(2, 8)}, sample(0, 8), sample(1, 3), sizes, 0.95, seed=0)[0]
    assert "no interval: 3 patients on the smaller side, 5 needed" in row.note
    assert (row.n_patients, row.n_held_out) == (8, 12)

    def seldom(first: Sample, second: Sample) -> np.ndarray:
        found = np.full(len(first.weights), math.nan)
        found[:3] = 1.0
        return found

    row = rows_of(5, Measure("kid", "texture", seldom))[TISSUE]
    assert row.note.endswith("no interval: most resamples have no distance")
    assert "patients on the smaller side" not in row.note


def test_a_real_distance_below_zero_gives_no_ratio_and_says_so() -> None:
    def distance(first: Sample, second: Sample) -> np.ndarray:
        return np.full(len(first.weights), -0.25)

    row = rows_of(8, Measure("kid", "texture", distance, bounds=ANY, note="a note"))[TISSUE]
    assert math.isnan(row.ratio)
    assert row.note == "a note; no ratio: real-to-real distance -0.25"


def test_an_empty_set_has_a_row_that_says_why() -> None:
    nothing = Group.of([], 200, rng=np.random.default_rng(0)).sample(np.empty((0, 3)))
    held = Group.of(list("abcdef"), 200, rng=np.random.default_rng(0)).sample(np.eye(6)[:, :3])
    measure = Measure("kid", "texture", kernel_distance)
    sizes = {TISSUE: 0, REAL: 6, HELD_OUT: 6}
    row = measured(measure, {TISSUE: nothing}, held, held, sizes, 0.95, seed=0)[0]
    assert math.isnan(row.value)
    assert "no value: no usable nodule inserted; no interval: 0 patients" in row.note
    _, real = measured(measure, {TISSUE: held}, held, nothing, sizes, 0.95, seed=0)
    assert "no value: no usable nodule of held-out patients" in real.note


def test_numbers_are_rounded_and_missing_ones_empty() -> None:
    (record,) = as_records([Row(TISSUE, "ks", "pixels", 0.12345678, low=-1e-9)], "g", "fixed")
    assert tuple(record) == COLUMNS
    assert (record["value"], record["low"], record["high"]) == (0.123457, 0.0, "")
    assert judged(0.2, 0.2) == "yes"
    assert judged(0.2, math.nan) == judged(math.nan, 0.2) == ""


def write(folder: Path, generator: str, fold: str = "fixed") -> Path:
    keys = {TISSUE: 1.0, PUBLISHED: 7.0}
    rows = [
        Row(
            v,
            "ks",
            s,
            0.1 * r,
            0.05,
            0.2,
            0.1,
            0.04,
            0.3,
            ratio=r,
            n=9,
            within="yes" if r < 3 else "no",
        )
        for v, r in keys.items()
        for s in ("pixels", "mean", "sd")
    ]
    rows += [
        Row(v, "frechet", "texture", 5, 4, 6, 2.5, 2, 3, ratio=2, ratio_low=1.5, ratio_high=2.5)
        for v in keys
    ]
    rows += [Row(v, "kid", "texture", 0.5, 0.1, 1, -0.01, -0.2, 0.2) for v in keys]
    rows += [Row(v, "rim_auc", "ring", 0.6, 0.4, 0.62, n=9) for v in keys]
    rows += [Row(v, "changed_outside", "slices", 0.0) for v in keys]
    rate = 0.9 if generator == "copypaste" else 0.04
    rows += [Row(PATCHES, "copy_rate", "patches", rate, real_value=0.05)]
    rows += [Row(PATCHES, "ms_ssim", "patches", 0.3, real_value=0.1)]
    rows += [Row(REAL, "ks", "pixels", 0.1, 0.04, 0.3, n=20, n_held_out=17)]
    path = folder / fold / f"{generator}.tsv"
    write_rows(path, COLUMNS, as_records(rows, generator, fold))
    return path


def test_main_rows_pair_everybody_with_copypaste(tmp_path: Path) -> None:
    paths = [write(tmp_path, name) for name in ("dcgan", "copypaste")]
    table = realism_table(paths)
    assert list(table.columns) == list(COLUMNS)
    main = main_rows(table)
    assert main["generator"].tolist() == ["real patients", *["copypaste"] * 2, *["dcgan"] * 2]
    dcgan = main.iloc[3]
    assert dcgan["KS pixels"] == "1.00, yes"
    assert main.iloc[4]["KS pixels"] == "7.00, no"
    assert dcgan["Fréchet"] == "2.00 [1.50, 2.50]"
    assert dcgan["KID texture"] == "0.500 (real -0.010)"
    assert dcgan["KID encoder"] == "–"
    assert "KID Inception" not in main
    assert (dcgan["copy rate"], dcgan["copy rate of copypaste"]) == ("0.04", "0.90")
    assert dcgan["MS-SSIM"] == "0.30 (real 0.10)"
    assert dcgan["rim AUC"] == "0.60 (chance 0.40-0.62)"
    assert dcgan["changed outside"] == "0"
    assert main.iloc[0]["KS pixels"] == "0.10 [0.04, 0.30]"
    assert main.iloc[0]["nodules"] == "20 / 17"
    pd.testing.assert_frame_equal(table, realism_table(paths[::-1]))


def test_texts_have_a_block_after_the_other(tmp_path: Path) -> None:
    main = main_rows(realism_table([write(tmp_path, "dcgan"), write(tmp_path, "dcgan", "cv1")]))
    text, latex = as_markdown(main), as_latex(main)
    assert text.count("**") == 6
    assert "split_high" in text
    assert "a yes would say nothing" in " ".join(text.split())
    assert "cover the expected distance of sets of so many patients" in " ".join(text.split())
    assert "| fold" in text
    assert latex.count(r"\begin{table}") == latex.count(r"\end{table}") == 3
    assert main["copy rate of copypaste"].eq("–").all()
    single = as_markdown(main_rows(realism_table([write(tmp_path, "dcgan")])))
    assert "| fold" not in single


def test_no_table_or_one_twice(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no realism table"):
        realism_table([])
    path = write(tmp_path, "dcgan")
    with pytest.raises(InputError, match="two realism tables"):
        realism_table([path, path])
