"""Scores of every slice that a training predicted."""


rule evaluate:
    input:
        predictions=f"{TRAINING}/predictions.h5",
        slices="<results>/{fold}/slices.tsv",
    output:
        f"{TRAINING}/metrics.tsv",
    log:
        "<logs>/{fold}/evaluate/{arm}/{segmenter}/seed{seed}.log",
    benchmark:
        "<benchmarks>/{fold}/evaluate/{arm}/{segmenter}/seed{seed}.tsv"
    conda:
        "../../envs/tables.yaml"
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        code=code("evaluate"),
        settings=settings("evaluate"),
    shell:
        "python -m lungaug evaluate --predictions {input.predictions} --slices {input.slices}"
        " --fold {wildcards.fold} --arm {wildcards.arm} --segmenter {wildcards.segmenter}"
        " --seed-index {wildcards.seed} --output {output}"
        " --settings {params.settings:q} --code {params.code} > {log} 2>&1"
