"""Scores over the share of real patients and the ratio of synthetic slices."""

if CURVE:

    rule learning_curve_tables:
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
            "<logs>/learning_curve_tables.log",
        benchmark:
            "<benchmarks>/learning_curve_tables.tsv"
        conda:
            "../../envs/tables.yaml"
        resources:
            mem_mb=memory(2000),
            runtime=30,
        params:
            code=code("learning_curve_tables"),
            settings=settings("learning_curve_tables", **intervals()),
        shell:
            "python -m lungaug learning_curve_tables --metrics {input.metrics:q} --arms {input.arms:q}"
            ' --split {input.split:q} --output "$LUNGAUG_RESULTS/tables"'
            " --settings {params.settings:q} --code {params.code:q} > {log:q} 2>&1"
