"""Pictures, and the page that holds everything."""

PICTURES = (
    "overlays",
    "metalung",
    "positions",
    "training_curves",
    "predictions",
    "main",
)


SCORE_PICTURES = (
    "froc",
    "calibration",
    "sizes",
    *(["learning_curve"] if CURVE else []),
    *(["roc"] if CONFIG["presence"] else []),
)


rule figures:
    input:
        split=ancient("<results>/split.tsv"),
        slices=expand("<results>/{fold}/slices.tsv", fold=FOLDS),
        preprocess=of_batches(f"{RESULTS}/preprocess/{{batch}}.h5"),
        ingest=of_batches(f"{RESULTS}/ingest/{{batch}}.h5"),
        expansions=all_moved,
        history=trainings(f"{TRAINING}/history.tsv"),
        predictions=trainings(f"{TRAINING}/predictions.h5"),
        metrics=trainings(f"{TRAINING}/metrics.tsv"),
        scores="<results>/tables/scores.tsv",
        comparisons="<results>/tables/comparisons.tsv",
    output:
        expand("<results>/figures/{picture}.png", picture=PICTURES),
        "<results>/figures/notes.tsv",
    log:
        "<logs>/figures.log",
    benchmark:
        "<benchmarks>/figures.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=memory(2000),
        runtime=30,
    params:
        code=code("figures"),
        settings=settings("figures"),
    shell:
        'python -m lungaug figures --root "$LUNGAUG_RESULTS"'
        " --slices {input.slices:q} --preprocess {input.preprocess:q} --expansions {input.expansions:q}"
        " --history {input.history:q} --predictions {input.predictions:q} --metrics {input.metrics:q}"
        " --scores {input.scores:q} --comparisons {input.comparisons:q}"
        ' --output "$LUNGAUG_RESULTS/figures"'
        " --settings {params.settings:q} --code {params.code:q} > {log:q} 2>&1"


rule score_figures:
    input:
        froc="<results>/tables/froc.tsv",
        calibration="<results>/tables/calibration.tsv",
        sizes="<results>/tables/sizes.tsv",
        learning_curve=["<results>/tables/learning_curve.tsv"] if CURVE else [],
        roc=["<results>/tables/roc.tsv"] if CONFIG["presence"] else [],
    output:
        expand("<results>/figures/{picture}.png", picture=SCORE_PICTURES),
    log:
        "<logs>/score_figures.log",
    benchmark:
        "<benchmarks>/score_figures.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=memory(1000),
        runtime=10,
    params:
        code=code("score_figures"),
        settings=settings("score_figures", level=CONFIG["tables"]["level"]),
    shell:
        "python -m lungaug score_figures --froc {input.froc:q} --calibration {input.calibration:q}"
        " --sizes {input.sizes:q} --learning-curve {input.learning_curve:q} --roc {input.roc:q}"
        ' --output "$LUNGAUG_RESULTS/figures"'
        " --settings {params.settings:q} --code {params.code:q} > {log:q} 2>&1"


rule report:
    input:
        tables=rules.tables.output,
        texts=told_tables(),
        figures=rules.figures.output,
        pictures=rules.score_figures.output,
        generated=generated_figures(),
        realism=["<results>/tables/realism_main.tsv"] if GENERATORS else [],
        sheets=(
            expand("<results>/{fold}/reader/sheet.html", fold=FOLDS)
            if GENERATORS
            else []
        ),
        cohort="<results>/cohort.tsv",
        split="<results>/split.tsv",
        audit=[
            *expand("<results>/{fold}/audit.tsv", fold=ALL_FOLDS),
            *folds_and_arms("<results>/{fold}/arms/{arm}.audit.tsv"),
        ],
        # Compared with the roles of today, which an edited ledger may contradict.
        splits=lambda wildcards: splits_of(ALL_FOLDS),
        metrics=all_trainings(f"{TRAINING}/metrics.tsv"),
        presence=classifiers(f"{PRESENCE}/presence.tsv"),
        arms=folds_and_arms("<results>/{fold}/arms/{arm}.tsv"),
        ingest=of_batches(f"{RESULTS}/ingest/{{batch}}.h5"),
        preprocess=of_batches(f"{RESULTS}/preprocess/{{batch}}.h5"),
        expansions=all_moved,
        inserted=all_inserted,
        crops=all_crops,
        predictions=all_trainings(f"{TRAINING}/predictions.h5"),
        skipped=skipped_tables,
        history=all_trainings(f"{TRAINING}/history.tsv"),
        classifiers=classifiers(f"{PRESENCE}/history.tsv"),
        generators=all_fits(f"{GENERATOR}/history.tsv"),
    output:
        "<results>/report.html",
    log:
        "<logs>/report.log",
    benchmark:
        "<benchmarks>/report.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=memory(1000),
        runtime=30,
    params:
        text=staleness.text_hash(REPORT_TEXT),
        code=code("report"),
        settings=settings("report"),
        # Their model files hold these, for torch alone to read.
        asked=configuration.canonical(
            {
                f"train_generator {name}": json.loads(generator_settings(name))
                for name in GENERATORS
            }
            | (
                {"train_presence": json.loads(settings("train_presence"))}
                if CONFIG["presence"]
                else {}
            )
        ),
    shell:
        'python -m lungaug report --root "$LUNGAUG_RESULTS" --tables "$LUNGAUG_RESULTS/tables"'
        ' --figures "$LUNGAUG_RESULTS/figures"'
        ' --text "$LUNGAUG_TEXT" --cohort {input.cohort:q} --split {input.split:q} --audit {input.audit:q}'
        ' --splits {input.splits:q} --ledger "$LUNGAUG_LEDGER"'
        " --metrics {input.metrics:q} {input.presence:q} --arms {input.arms:q}"
        " --slice-files {input.ingest:q} {input.preprocess:q} {input.expansions:q} {input.inserted:q} {input.crops:q}"
        " --predictions {input.predictions:q}"
        " --realism {input.realism:q} --sheets {input.sheets:q}"
        " --texts {input.texts:q} --pictures {input.pictures:q}"
        " --skipped {input.skipped:q} --history {input.history:q}"
        " --classifiers {input.classifiers:q} --generators {input.generators:q}"
        " --asked {params.asked:q} --output {output:q}"
        " --settings {params.settings:q} --code {params.code:q} > {log:q} 2>&1"
