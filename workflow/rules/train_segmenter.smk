"""Segmenters, one training for every fold, arm, network and seed."""

TRAINING = "<results>/{fold}/segmentation/{arm}/{segmenter}/seed{seed}"


rule train_segmenter:
    input:
        arm="<results>/{fold}/arms/{arm}.tsv",
        slices="<results>/{fold}/slices.tsv",
        # The audit must have passed, but what it says of other arms does not make this one stale.
        audit=ancient("<results>/{fold}/audit.tsv"),
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
        "python -m lungaug train_segmenter --arm {input.arm} --slices {input.slices}"
        ' --audit {input.audit} --root "$LUNGAUG_RESULTS" --segmenter {wildcards.segmenter}'
        ' --seed-index {wildcards.seed} --online {params.online} --device "$LUNGAUG_DEVICE"'
        ' --running "$LUNGAUG_RUNNING"'
        " --model {output.model} --history {output.history} --predictions {output.predictions}"
        " --detections {output.detections} --cost {output.cost}"
        ' --checkpoint "$LUNGAUG_CHECKPOINTS/{wildcards.fold}.{wildcards.arm}'
        '.{wildcards.segmenter}.{wildcards.seed}.pt"'
        ' --events "$LUNGAUG_RESULTS/tensorboard/{wildcards.fold}/{wildcards.arm}/{wildcards.segmenter}/seed{wildcards.seed}"'
        " --settings {params.settings:q} --code {params.code} 2>&1 | tee {log}"
