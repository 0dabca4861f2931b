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
        "python -m lungaug audit --slices {input.slices} --split {input.split}"
        " --fold {wildcards.fold} --preprocess {input.preprocess}"
        ' --expansions {input.expansions} --root "$LUNGAUG_RESULTS" --output {output}'
        ' --rois "{input.rois}"'
        " --settings {params.settings:q} --code {params.code} > {log} 2>&1"


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
        "python -m lungaug arm --slices {input.slices} --split {input.split}"
        " --fold {wildcards.fold} --arm {wildcards.arm} --origins {params.origins}"
        ' --ratio "{params.ratio}"'
        " --preprocess {input.preprocess} --patches {input.patches}"
        ' --rois "{input.rois}"'
        ' --expansions {input.expansions} --root "$LUNGAUG_RESULTS" --output {output.arm} --findings {output.findings}'
        " --settings {params.settings:q} --code {params.code} > {log} 2>&1"
