"""Classifiers of slices with and without nodule, and what they do as a gate. Optional."""

PRESENCE = "<results>/{fold}/presence/{arm}/seed{seed}"


if CONFIG["presence"]:

    rule train_presence:
        input:
            arm="<results>/{fold}/arms/{arm}.tsv",
            slices="<results>/{fold}/slices.tsv",
            # As for segmenters: what it says of other arms does not make this one stale.
            audit=ancient("<results>/{fold}/audit.tsv"),
            arm_audit=ancient("<results>/{fold}/arms/{arm}.audit.tsv"),
            roles=ancient(split_of),
            networks=ancient("<results>/networks.tsv"),
            split=ancient("<results>/split.tsv"),
            preprocess=of_batches(f"{RESULTS}/preprocess/{{batch}}.h5"),
            ingest=of_batches(f"{RESULTS}/ingest/{{batch}}.h5"),
            expansions=lambda wildcards: expansions(ARMS[wildcards.arm], wildcards.fold),
            weights=pretrained(CONFIG["train_presence"]),
        output:
            model=f"{PRESENCE}/model.pt",
            history=f"{PRESENCE}/history.tsv",
            presence=f"{PRESENCE}/presence.tsv",
            cost=f"{PRESENCE}/cost.tsv",
        log:
            "<logs>/{fold}/presence/{arm}/seed{seed}.log",
        benchmark:
            "<benchmarks>/{fold}/presence/{arm}/seed{seed}.tsv"
        conda:
            "../../envs/segmentation.yaml"
        threads: training_threads(CONFIG["train_presence"])
        resources:
            mem_mb=memory(6000),
            runtime=720,
            gpu=lambda wildcards: training_gpus(CONFIG["train_presence"]),
        params:
            online=lambda wildcards: "yes" if ARMS[wildcards.arm].online else "no",
            # They are built on the encoder of a U-Net.
            code=training_code("train_presence", "unet"),
            settings=settings("train_presence"),
        shell:
            "python -m lungaug train_presence --arm {input.arm:q} --slices {input.slices:q}"
            " --audit {input.audit:q} --arm-audit {input.arm_audit:q} --split {input.roles:q}"
            ' --root "$LUNGAUG_RESULTS" --seed-index {wildcards.seed:q}'
            ' --online {params.online:q} --device "$LUNGAUG_DEVICE"'
            ' --running "$LUNGAUG_RUNNING"'
            " --model {output.model:q} --history {output.history:q} --presence {output.presence:q}"
            " --cost {output.cost:q}"
            ' --checkpoint "$LUNGAUG_CHECKPOINTS"/presence.{wildcards.fold:q}'
            ".{wildcards.arm:q}.{wildcards.seed:q}.pt"
            ' --events "$LUNGAUG_RESULTS/tensorboard"/{wildcards.fold:q}/{wildcards.arm:q}/'
            "presence/seed{wildcards.seed:q}"
            " --settings {params.settings:q} --code {params.code:q} 2>&1 | tee {log:q}"

    rule presence_tables:
        input:
            presence=classifiers(f"{PRESENCE}/presence.tsv"),
            metrics=trainings(f"{TRAINING}/metrics.tsv"),
            split="<results>/split.tsv",
        output:
            multiext(
                "<results>/tables/",
                table="presence.tsv",
                effect="presence_effect.tsv",
                roc="roc.tsv",
                markdown="presence.md",
                latex="presence.tex",
            ),
        log:
            "<logs>/presence_tables.log",
        benchmark:
            "<benchmarks>/presence_tables.tsv"
        conda:
            "../../envs/tables.yaml"
        resources:
            mem_mb=memory(2000),
            runtime=30,
        params:
            code=code("presence_tables"),
            settings=settings("presence_tables", **intervals()),
        shell:
            "python -m lungaug presence_tables --presence {input.presence:q}"
            " --metrics {input.metrics:q} --split {input.split:q}"
            ' --output "$LUNGAUG_RESULTS/tables"'
            " --settings {params.settings:q} --code {params.code:q} > {log:q} 2>&1"
