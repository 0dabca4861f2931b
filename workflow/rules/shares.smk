"""Parts of the training patients, for learning curves."""


rule share:
    input:
        split="<results>/split.tsv",
    output:
        "<results>/{fold}/split.tsv",
    log:
        "<logs>/{fold}/share.log",
    benchmark:
        "<benchmarks>/{fold}/share.tsv"
    wildcard_constraints:
        fold=r"(?:fixed|cv\d+)_\d+",
    conda:
        "../../envs/tables.yaml"
    resources:
        mem_mb=memory(1000),
        runtime=10,
    params:
        code=code("share"),
        settings=settings("share"),
    shell:
        "python -m lungaug share --split {input.split:q} --fold {wildcards.fold:q}"
        " --output {output:q}"
        " --settings {params.settings:q} --code {params.code:q} > {log:q} 2>&1"
