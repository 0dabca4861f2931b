"""Who trains, validates and tests, and with which slices."""


checkpoint split:
    input:
        ingest=of_batches(f"{RESULTS}/ingest/{{batch}}.h5"),
        cohort=ancient("<results>/cohort.tsv"),
    output:
        split="<results>/split.tsv",
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
        "python -m lungaug split --ingest {input.ingest:q} --cohort {input.cohort:q}"
        ' --ledger "$LUNGAUG_LEDGER"'
        " --output {output.split:q}"
        " --settings {params.settings:q} --code {params.code:q} 2>&1 | tee {log:q}"


rule select:
    input:
        preprocess=of_batches(f"{RESULTS}/preprocess/{{batch}}.h5"),
        ingest=of_batches(f"{RESULTS}/ingest/{{batch}}.h5"),
        split=split_of,
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
