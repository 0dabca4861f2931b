"""The tables that people read."""

# The published frames name no patients.
PSEUDO_PATIENTS = CONFIG["source"]["kind"] == "mendeley"


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
        mem_mb=memory(2000),
        runtime=30,
    params:
        code=code("tables"),
        settings=settings(
            "tables",
            threshold=CONFIG["evaluate"]["threshold"],
            pseudo_patients=PSEUDO_PATIENTS,
        ),
    shell:
        "python -m lungaug tables --metrics {input.metrics:q} --split {input.split:q}"
        ' --output "$LUNGAUG_RESULTS/tables"'
        " --settings {params.settings:q} --code {params.code:q} > {log:q} 2>&1"


rule published:
    input:
        scores="<results>/tables/scores.tsv",
        comparisons="<results>/tables/comparisons.tsv",
        published=(
            local(CONFIG["published_scores"]) if CONFIG["published_scores"] else []
        ),
    output:
        multiext(
            "<results>/tables/published", table=".tsv", markdown=".md", latex=".tex"
        ),
        laid_out=[
            f"{RESULTS}/tables/{name}.{kind}"
            for name in published_layouts()
            for kind in ("tsv", "md", "tex")
        ],
    log:
        "<logs>/published.log",
    benchmark:
        "<benchmarks>/published.tsv"
    conda:
        "../../envs/tables.yaml"
    resources:
        mem_mb=memory(1000),
        runtime=10,
    params:
        code=code("published"),
        settings=settings(
            "published",
            level=CONFIG["tables"]["level"],
            decimals=CONFIG["tables"]["decimals"],
            pseudo_patients=PSEUDO_PATIENTS,
        ),
    shell:
        "python -m lungaug published --scores {input.scores:q} --comparisons {input.comparisons:q}"
        " --published {input.published:q}"
        ' --output "$LUNGAUG_RESULTS/tables"'
        " --settings {params.settings:q} --code {params.code:q} > {log:q} 2>&1"


rule curves:
    input:
        metrics=trainings(f"{TRAINING}/metrics.tsv"),
        detected=trainings(f"{TRAINING}/detected.tsv"),
        lesions=trainings(f"{TRAINING}/lesions.tsv"),
        calibration=trainings(f"{TRAINING}/calibration.tsv"),
        split="<results>/split.tsv",
    output:
        multiext(
            "<results>/tables/",
            detection="detection.tsv",
            markdown="detection.md",
            latex="detection.tex",
            froc="froc.tsv",
            calibration="calibration.tsv",
            sizes="sizes.tsv",
        ),
    log:
        "<logs>/curves.log",
    benchmark:
        "<benchmarks>/curves.tsv"
    conda:
        "../../envs/tables.yaml"
    resources:
        mem_mb=memory(4000),
        runtime=60,
    params:
        code=code("curves"),
        settings=settings(
            "curves",
            level=CONFIG["tables"]["level"],
            minimum_patients=CONFIG["tables"]["minimum_patients"],
            pseudo_patients=PSEUDO_PATIENTS,
        ),
    shell:
        "python -m lungaug curves --metrics {input.metrics:q} --detected {input.detected:q}"
        " --lesions {input.lesions:q} --calibration {input.calibration:q} --split {input.split:q}"
        ' --output "$LUNGAUG_RESULTS/tables"'
        " --settings {params.settings:q} --code {params.code:q} > {log:q} 2>&1"


rule cost:
    input:
        segmenters=all_trainings(f"{TRAINING}/cost.tsv"),
        # The rule comes later than this one.
        classifiers=lambda wildcards: classifiers(f"{PRESENCE}/cost.tsv"),
        generators=all_fits(f"{GENERATOR}/cost.tsv"),
    output:
        multiext(
            "<results>/tables/", table="cost.tsv", markdown="cost.md", latex="cost.tex"
        ),
    log:
        "<logs>/cost.log",
    benchmark:
        "<benchmarks>/cost.tsv"
    conda:
        "../../envs/tables.yaml"
    resources:
        mem_mb=memory(1000),
        runtime=10,
    params:
        code=code("cost"),
        settings=settings("cost"),
    shell:
        "python -m lungaug cost --costs {input:q}"
        ' --output "$LUNGAUG_RESULTS/tables"'
        " --settings {params.settings:q} --code {params.code:q} > {log:q} 2>&1"
