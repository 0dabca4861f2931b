"""Scores over the share of real patients and the ratio of synthetic slices."""

CURVE = grid.curve_trainings(CONFIG, configuration.arms(CONFIG, SCHEMA))

if CURVE:

    rule learning_curve:
        input:
            metrics=[
                expand(f"{TRAINING}/metrics.tsv", **training._asdict())[0]
                for training in CURVE
            ],
            arms=sorted(
                {
                    expand("<results>/{fold}/arms/{arm}.tsv", **training._asdict())[0]
                    for training in CURVE
                }
            ),
            split="<results>/split.tsv",
        output:
            multiext(
                "<results>/tables/learning_curve",
                table=".tsv",
                markdown=".md",
                latex=".tex",
            ),
        log:
            "<logs>/learning_curve.log",
        benchmark:
            "<benchmarks>/learning_curve.tsv"
        conda:
            "../../envs/tables.yaml"
        resources:
            mem_mb=2000,
            runtime=30,
        params:
            code=code("learning_curve"),
            settings=settings(
                "learning_curve",
                **{
                    name: CONFIG["tables"][name]
                    for name in ("n_resamples", "level", "minimum_patients")
                },
            ),
        shell:
            "python -m lungaug learning_curve --metrics {input.metrics} --arms {input.arms}"
            ' --split {input.split} --output "$LUNGAUG_RESULTS/tables"'
            " --settings {params.settings:q} --code {params.code} > {log} 2>&1"
