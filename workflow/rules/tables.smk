"""The tables that people read."""


rule tables:
    input:
        metrics=trainings(f"{TRAINING}/metrics.tsv"),
        split="<results>/split.tsv",
    output:
        multiext(
            "<results>/tables/",
            scores="scores.tsv",
            comparisons="comparisons.tsv",
            main="main.tsv",
            markdown="main.md",
            latex="main.tex",
        ),
    log:
        "<logs>/tables.log",
    benchmark:
        "<benchmarks>/tables.tsv"
    conda:
        "../../envs/tables.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        code=code("tables"),
        settings=settings("tables"),
    shell:
        "python -m lungaug tables --metrics {input.metrics} --split {input.split}"
        ' --output "$LUNGAUG_RESULTS/tables"'
        " --settings {params.settings:q} --code {params.code} > {log} 2>&1"


rule published:
    input:
        scores="<results>/tables/scores.tsv",
        published=CONFIG["published_scores"] or [],
    output:
        multiext("<results>/tables/", table="published.tsv", markdown="published.md"),
    log:
        "<logs>/published.log",
    benchmark:
        "<benchmarks>/published.tsv"
    conda:
        "../../envs/tables.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code("published"),
        settings=settings("published", level=CONFIG["tables"]["level"]),
    shell:
        "python -m lungaug published --scores {input.scores} --published {input.published}"
        ' --output "$LUNGAUG_RESULTS/tables"'
        " --settings {params.settings:q} --code {params.code} > {log} 2>&1"
