"""The audit, which every training waits for, and the arms: tables of what trains."""


rule audit:
    input:
        slices="<results>/{fold}/slices.tsv",
        split=split_of,
        preprocess=of_batches(f"{RESULTS}/preprocess/{{batch}}.h5"),
        ingest=of_batches(f"{RESULTS}/ingest/{{batch}}.h5"),
        expansions=lambda wildcards: moved_slices(OPERATIONS, wildcards.fold),
        rois=lambda wildcards: (
            [f"{RESULTS}/{wildcards.fold}/rois.h5"] if GENERATORS else []
        ),
    output:
        "<results>/{fold}/audit.tsv",
    log:
        "<logs>/{fold}/audit.log",
    benchmark:
        "<benchmarks>/{fold}/audit.tsv"
    conda:
        "../../envs/imaging.yaml"
    resources:
        mem_mb=memory(2000),
        runtime=60,
    params:
        code=code("audit", other_operations(OPERATIONS)),
        settings=settings("audit", **cutting(GENERATORS)),
    shell:
        "python -m lungaug audit --slices {input.slices:q} --split {input.split:q}"
        " --fold {wildcards.fold:q} --preprocess {input.preprocess:q}"
        ' --expansions {input.expansions:q} --root "$LUNGAUG_RESULTS" --output {output:q}'
        " --rois {input.rois:q}"
        " --settings {params.settings:q} --code {params.code:q} > {log:q} 2>&1"


rule arm:
    input:
        slices="<results>/{fold}/slices.tsv",
        split=split_of,
        preprocess=of_batches(f"{RESULTS}/preprocess/{{batch}}.h5"),
        ingest=of_batches(f"{RESULTS}/ingest/{{batch}}.h5"),
        patches=lambda wildcards: [
            f"{RESULTS}/{wildcards.fold}/generators/{name}/patches.h5"
            for name in ARMS[wildcards.arm].generators
        ],
        rois=lambda wildcards: (
            [f"{RESULTS}/{wildcards.fold}/rois.h5"]
            if ARMS[wildcards.arm].generators
            else []
        ),
        expansions=lambda wildcards: expansions(ARMS[wildcards.arm], wildcards.fold),
    output:
        arm="<results>/{fold}/arms/{arm}.tsv",
        findings="<results>/{fold}/arms/{arm}.audit.tsv",
    log:
        "<logs>/{fold}/arms/{arm}.log",
    benchmark:
        "<benchmarks>/{fold}/arms/{arm}.tsv"
    conda:
        "../../envs/imaging.yaml"
    resources:
        mem_mb=memory(2000),
        runtime=60,
    params:
        origins=lambda wildcards: ARMS[wildcards.arm].origins,
        ratio=lambda wildcards: ARMS[wildcards.arm].ratio or "",
        code=arm_code,
        settings=arm_settings,
    shell:
        "python -m lungaug arm --slices {input.slices:q} --split {input.split:q}"
        " --fold {wildcards.fold:q} --arm {wildcards.arm:q} --origins {params.origins:q}"
        " --ratio {params.ratio:q}"
        " --preprocess {input.preprocess:q} --patches {input.patches:q}"
        " --rois {input.rois:q}"
        ' --expansions {input.expansions:q} --root "$LUNGAUG_RESULTS" --output {output.arm:q} --findings {output.findings:q}'
        " --settings {params.settings:q} --code {params.code:q} > {log:q} 2>&1"
