"""Rows about code, settings, the grid and the results themselves, on a phantom cohort."""

from __future__ import annotations

import shutil

from rerun_rows import (
    SUMMARIES,
    Row,
    appended,
    code_of,
    jobs,
    removed,
    replaced,
    setting,
    touched,
)
from workflow_runs import Copy

RESULTS = "results/reruns"
COMMENTED = ("store.py", "metalung/mirror.py", "stages/preprocess.py", "training/loop.py")
RUNNING = "running: {workers: 1, cache_mb: 9, checkpoint_every: 3, tensorboard: true}\ndevice: cpu"
UNUSED = "train_generator: {gaussian: {edge_mm: 0.8}}\nrois: {crop: {fov_mm: 40}}"


def renamed_results(copy: Copy) -> None:
    """The same results under another name."""
    (copy.root / "results").rename(copy.root / "elsewhere")
    setting("results: elsewhere")(copy)


def fresh_clone(copy: Copy) -> None:
    """Other code over results whose records stayed behind."""
    shutil.rmtree(copy.root / ".snakemake")
    code_of("stages/ingest.py", "metalung/mirror.py")(copy)


CODE_ROWS = (
    Row(
        "a comment, in any module",
        appended("\n# a thought\n", *(f"workflow/lungaug/{name}" for name in COMMENTED)),
        {},
    ),
    Row("how and where trainings run (`running`, `device`)", setting(RUNNING), {}),
    Row("a setting that no arm uses", setting(UNUSED), {}),
    Row("the code of an operation that no arm holds", code_of("metalung/blur.py"), {}),
    Row(
        "a stage's YAML below `envs/`, without `--sdm conda`",
        appended("\n# a thought\n", "envs/tables.yaml"),
        {},
    ),
    Row(
        "a result touched, not changed (below `max-checksum-file-size`)",
        touched(f"{RESULTS}/preprocess/b00.h5"),
        {},
    ),
    Row(
        "a text of the report",
        appended("\nA thought.\n", "workflow/report/landing.md"),
        jobs("report"),
    ),
    Row(
        "a final result deleted (`tables/main.md`)",
        removed(f"{RESULTS}/tables/main.md"),
        jobs("tables", "figures", "report"),
    ),
    Row(
        "a setting of one stage (`tables.n_resamples`)",
        replaced("n_resamples: 1000", "n_resamples: 1100"),
        jobs("tables", "figures", "report"),
    ),
    Row(
        "a module of one stage (`stages/score_figures.py`)",
        code_of("stages/score_figures.py"),
        jobs("score_figures", "report"),
    ),
    Row(
        "a module of several stages (`evaluation/collect.py`)",
        code_of("evaluation/collect.py"),
        jobs(*SUMMARIES),
    ),
    Row(
        "a setting of one of two operations",
        setting("metalung: {noise_slice: {intensity: 11}}"),
        jobs("audit", "arm", "train_segmenter", "evaluate", *SUMMARIES, metalung=2),
    ),
    Row(
        "one more arm, of operations that others hold",
        replaced("arms: [none,", "arms: [none, mirror,"),
        jobs("arm", "train_segmenter", "evaluate", *SUMMARIES),
    ),
    Row("one arm fewer", replaced("arms: [none, mirror,", "arms: [none,"), jobs(*SUMMARIES)),
    Row(
        "one more seed (two arms)",
        replaced("seeds: 1", "seeds: 2"),
        jobs(*SUMMARIES, train_segmenter=2, evaluate=2),
    ),
    Row(
        "an intermediate deleted (`preprocess/b00.h5`)",
        removed(f"{RESULTS}/preprocess/b00.h5"),
        {},
    ),
    Row("the results folder renamed", renamed_results, {}),
    Row("a fresh clone over existing results, with other code", fresh_clone, {}),
)
