"""Lungs and obstacles."""


rule preprocess:
    input:
        "<results>/ingest/{batch}.h5",
    output:
        slices="<results>/preprocess/{batch}.h5",
        skipped="<results>/preprocess/{batch}.skipped.tsv",
    log:
        "<logs>/preprocess/{batch}.log",
    benchmark:
        "<benchmarks>/preprocess/{batch}.tsv"
    cache: SHARED
    conda:
        "../../envs/imaging.yaml"
    resources:
        mem_mb=memory(1500),
        runtime=60,
    params:
        code=code("preprocess"),
        settings=settings("preprocess"),
    shell:
        "python -m lungaug preprocess --ingest {input:q}"
        " --output {output.slices:q} --skipped {output.skipped:q}"
        " --settings {params.settings:q} --code {params.code:q} > {log:q} 2>&1"
