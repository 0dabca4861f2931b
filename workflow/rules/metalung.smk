"""MetaLung: every operation by itself, so that one changed setting reruns one operation."""


rule metalung:
    input:
        preprocess="<results>/preprocess/{batch}.h5",
        ingest="<results>/ingest/{batch}.h5",
        # Waited for; what it says of this batch is in params.
        split=ancient("<results>/split.tsv"),
        check=CHECKED,
    output:
        slices="<results>/metalung/{operation}/{batch}.h5",
        skipped="<results>/metalung/{operation}/{batch}.skipped.tsv",
    log:
        "<logs>/metalung/{operation}/{batch}.log",
    benchmark:
        "<benchmarks>/metalung/{operation}/{batch}.tsv"
    conda:
        "../../envs/imaging.yaml"
    resources:
        mem_mb=memory(1500),
        runtime=60,
    params:
        patients=lambda wildcards: training_patients(wildcards.batch),
        code=lambda wildcards: code("metalung", other_operations([wildcards.operation])),
        settings=operation_settings,
    shell:
        "python -m lungaug metalung --preprocess {input.preprocess:q} --operation {wildcards.operation:q}"
        " --patients {params.patients:q} --output {output.slices:q} --skipped {output.skipped:q}"
        " --settings {params.settings:q} --code {params.code:q} > {log:q} 2>&1"
