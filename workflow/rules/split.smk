"""Who trains, validates and tests, and with which slices."""

# All that costs time waits for it, and what it says makes nothing stale.
CHECKED = ancient("<results>/check_cohort.tsv")


checkpoint split:
    input:
        # Whose slices show no lungs gets no role, which would be for good.
        preprocess=of_batches(f"{RESULTS}/preprocess/{{batch}}.h5"),
        ingest=of_batches(f"{RESULTS}/ingest/{{batch}}.h5"),
        cohort=ancient("<results>/cohort.tsv"),
    output:
        split="<results>/split.tsv",
        left_out="<results>/split.left_out.tsv",
    log:
        "<logs>/split.log",
    benchmark:
        "<benchmarks>/split.tsv"
    localrule: APART
    conda:
        "../../envs/tables.yaml"
    resources:
        mem_mb=memory(1000),
        runtime=10,
    params:
        parts=lambda wildcards: published_parts(),
        code=code("split"),
        settings=settings("split"),
    shell:
        "python -m lungaug split --preprocess {input.preprocess:q} --cohort {input.cohort:q}"
        ' --ledger "$LUNGAUG_LEDGER"'
        " --output {output.split:q} --left-out {output.left_out:q}"
        " --settings {params.settings:q} --code {params.code:q} 2>&1 | tee {log:q}"


rule check_cohort:
    input:
        splits=lambda wildcards: splits_of(ALL_FOLDS),
        preprocess=of_batches(f"{RESULTS}/preprocess/{{batch}}.h5"),
        ingest=of_batches(f"{RESULTS}/ingest/{{batch}}.h5"),
    output:
        "<results>/check_cohort.tsv",
    log:
        "<logs>/check_cohort.log",
    benchmark:
        "<benchmarks>/check_cohort.tsv"
    conda:
        "../../envs/imaging.yaml"
    resources:
        mem_mb=memory(1000),
        runtime=10,
    params:
        folds=ALL_FOLDS,
        code=code("check_cohort"),
        settings=check_settings(),
    shell:
        "python -m lungaug check_cohort --preprocess {input.preprocess:q} --splits {input.splits:q}"
        " --folds {params.folds:q} --output {output:q}"
        " --settings {params.settings:q} --code {params.code:q} 2>&1 | tee {log:q}"


rule select:
    input:
        preprocess=of_batches(f"{RESULTS}/preprocess/{{batch}}.h5"),
        ingest=of_batches(f"{RESULTS}/ingest/{{batch}}.h5"),
        split=split_of,
        check=CHECKED,
    output:
        "<results>/{fold}/slices.tsv",
    log:
        "<logs>/{fold}/select.log",
    benchmark:
        "<benchmarks>/{fold}/select.tsv"
    conda:
        "../../envs/tables.yaml"
    resources:
        mem_mb=memory(1000),
        runtime=10,
    params:
        code=code("select"),
        settings=settings("select"),
    shell:
        "python -m lungaug select --preprocess {input.preprocess:q} --split {input.split:q}"
        ' --fold {wildcards.fold:q} --root "$LUNGAUG_RESULTS" --output {output:q}'
        " --settings {params.settings:q} --code {params.code:q} 2>&1 | tee {log:q}"
