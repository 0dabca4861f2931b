"""Whether every network can be built, before hours are spent on what trains it."""


rule check_networks:
    input:
        weights=weights_of_networks(),
    output:
        "<results>/networks.tsv",
    log:
        "<logs>/check_networks.log",
    benchmark:
        "<benchmarks>/check_networks.tsv"
    # The first job of a run: if it fails, no other is started.
    priority: 100
    conda:
        "../../envs/segmentation.yaml"
    resources:
        mem_mb=memory(4000),
        runtime=30,
        # Where a GPU must be, it is looked for in a job that asks for one.
        gpu=cuda_devices(),
    params:
        code=code("check_networks"),
        settings=networks_settings(),
    shell:
        "python -m lungaug check_networks --output {output:q}"
        " --settings {params.settings:q} --code {params.code:q} 2>&1 | tee {log:q}"
