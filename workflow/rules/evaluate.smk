"""Scores of every slice that a training predicted."""


rule evaluate:
    input:
        predictions=f"{TRAINING}/predictions.h5",
        detections=f"{TRAINING}/detections.tsv",
        slices="<results>/{fold}/slices.tsv",
    output:
        metrics=f"{TRAINING}/metrics.tsv",
        lesions=f"{TRAINING}/lesions.tsv",
        detected=f"{TRAINING}/detected.tsv",
        calibration=f"{TRAINING}/calibration.tsv",
    log:
        "<logs>/{fold}/evaluate/{arm}/{segmenter}/seed{seed}.log",
    benchmark:
        "<benchmarks>/{fold}/evaluate/{arm}/{segmenter}/seed{seed}.tsv"
    conda:
        "../../envs/tables.yaml"
    resources:
        mem_mb=memory(1000),
        runtime=30,
    params:
        code=code("evaluate"),
        settings=settings("evaluate"),
    shell:
        "python -m lungaug evaluate --predictions {input.predictions}"
        " --detections {input.detections} --slices {input.slices} --fold {wildcards.fold}"
        " --arm {wildcards.arm} --segmenter {wildcards.segmenter} --seed-index {wildcards.seed}"
        " --metrics {output.metrics} --lesions {output.lesions} --detected {output.detected}"
        " --calibration {output.calibration}"
        " --settings {params.settings:q} --code {params.code} > {log} 2>&1"
