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
        "python -m lungaug evaluate --predictions {input.predictions:q}"
        " --detections {input.detections:q} --slices {input.slices:q} --fold {wildcards.fold:q}"
        " --arm {wildcards.arm:q} --segmenter {wildcards.segmenter:q} --seed-index {wildcards.seed:q}"
        " --metrics {output.metrics:q} --lesions {output.lesions:q} --detected {output.detected:q}"
        " --calibration {output.calibration:q}"
        " --settings {params.settings:q} --code {params.code:q} > {log:q} 2>&1"
