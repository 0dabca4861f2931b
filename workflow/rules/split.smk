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
        "python -m lungaug split --ingest {input.ingest} --cohort {input.cohort}"
        ' --ledger "$LUNGAUG_LEDGER"'
        " --output {output.split}"
        " --settings {params.settings:q} --code {params.code} 2>&1 | tee {log}"


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
        "python -m lungaug select --preprocess {input.preprocess} --split {input.split}"
        ' --fold {wildcards.fold} --root "$LUNGAUG_RESULTS" --output {output}'
        " --settings {params.settings:q} --code {params.code} 2>&1 | tee {log}"
