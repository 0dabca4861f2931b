"""Segmenters, one training for every fold, arm, network and seed."""

TRAINING = "<results>/{fold}/segmentation/{arm}/{segmenter}/seed{seed}"


rule train_segmenter:
    input:
        arm="<results>/{fold}/arms/{arm}.tsv",
        slices="<results>/{fold}/slices.tsv",
        # The audit must have passed, but what it says of other arms does not make this one stale.
        audit=ancient("<results>/{fold}/audit.tsv"),
        arm_audit=ancient("<results>/{fold}/arms/{arm}.audit.tsv"),
        roles=ancient(split_of),
        networks=ancient("<results>/networks.tsv"),
        split=ancient("<results>/split.tsv"),
        preprocess=of_batches(f"{RESULTS}/preprocess/{{batch}}.h5"),
        ingest=of_batches(f"{RESULTS}/ingest/{{batch}}.h5"),
        expansions=lambda wildcards: expansions(ARMS[wildcards.arm], wildcards.fold),
        weights=lambda wildcards: pretrained(used_by(wildcards.segmenter)),
    output:
        model=f"{TRAINING}/model.pt",
        history=f"{TRAINING}/history.tsv",
        predictions=f"{TRAINING}/predictions.h5",
        detections=f"{TRAINING}/detections.tsv",
        cost=f"{TRAINING}/cost.tsv",
    log:
        "<logs>/{fold}/segmentation/{arm}/{segmenter}/seed{seed}.log",
    benchmark:
        "<benchmarks>/{fold}/segmentation/{arm}/{segmenter}/seed{seed}.tsv"
    conda:
        "../../envs/segmentation.yaml"
    threads: lambda wildcards: training_threads(used_by(wildcards.segmenter))
    resources:
        mem_mb=memory(6000),
        runtime=720,
        gpu=lambda wildcards: training_gpus(used_by(wildcards.segmenter)),
    params:
        online=lambda wildcards: "yes" if ARMS[wildcards.arm].online else "no",
        code=lambda wildcards: training_code("train_segmenter", wildcards.segmenter),
        settings=lambda wildcards: segmenter_settings(wildcards.segmenter),
    shell:
        "python -m lungaug train_segmenter --arm {input.arm:q} --slices {input.slices:q}"
        " --audit {input.audit:q} --arm-audit {input.arm_audit:q} --split {input.roles:q}"
        ' --root "$LUNGAUG_RESULTS" --segmenter {wildcards.segmenter:q}'
        ' --seed-index {wildcards.seed:q} --online {params.online:q} --device "$LUNGAUG_DEVICE"'
        ' --running "$LUNGAUG_RUNNING"'
        " --model {output.model:q} --history {output.history:q} --predictions {output.predictions:q}"
        " --detections {output.detections:q} --cost {output.cost:q}"
        ' --checkpoint "$LUNGAUG_CHECKPOINTS"/{wildcards.fold:q}.{wildcards.arm:q}'
        ".{wildcards.segmenter:q}.{wildcards.seed:q}.pt"
        ' --events "$LUNGAUG_RESULTS/tensorboard"/{wildcards.fold:q}/{wildcards.arm:q}/'
        "{wildcards.segmenter:q}/seed{wildcards.seed:q}"
        " --settings {params.settings:q} --code {params.code:q} 2>&1 | tee {log:q}"
