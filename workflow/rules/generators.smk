"""DeepLungSynth: crops, generators, their samples in healthy slices, and how real these look."""

GENERATOR = "<results>/{fold}/generators/{generator}"


rule rois:
    input:
        slices="<results>/{fold}/slices.tsv",
        preprocess=of_batches(f"{RESULTS}/preprocess/{{batch}}.h5"),
        ingest=of_batches(f"{RESULTS}/ingest/{{batch}}.h5"),
        split=ancient("<results>/split.tsv"),
    output:
        rois="<results>/{fold}/rois.h5",
        skipped="<results>/{fold}/rois.skipped.tsv",
    log:
        "<logs>/{fold}/rois.log",
    benchmark:
        "<benchmarks>/{fold}/rois.tsv"
    cache: SHARED
    conda:
        "../../envs/imaging.yaml"
    resources:
        mem_mb=memory(2000),
        runtime=60,
    params:
        # A cache knows jobs by their parameters, not by their wildcards.
        roles=fold_and_roles,
        code=code("rois"),
        settings=settings("rois"),
    shell:
        'python -m lungaug rois --slices {input.slices:q} --root "$LUNGAUG_RESULTS"'
        " --fold {wildcards.fold:q} --output {output.rois:q} --skipped {output.skipped:q}"
        " --settings {params.settings:q} --code {params.code:q} 2>&1 | tee {log:q}"


rule train_generator:
    input:
        rois="<results>/{fold}/rois.h5",
        # The audit must have passed, but what it says of the arms makes no generator stale.
        audit=ancient("<results>/{fold}/audit.tsv"),
    output:
        model=f"{GENERATOR}/model.pt",
        history=f"{GENERATOR}/history.tsv",
        sheets=directory(f"{GENERATOR}/sheets"),
        cost=f"{GENERATOR}/cost.tsv",
    log:
        "<logs>/{fold}/generators/{generator}/train.log",
    benchmark:
        "<benchmarks>/{fold}/generators/{generator}/train.tsv"
    cache: SHARED
    conda:
        "../../envs/generation.yaml"
    threads: CONFIG["train_generator"]["torch_threads"]
    resources:
        mem_mb=memory(6000),
        runtime=720,
        gpu=lambda wildcards: gpus(wildcards.generator),
    params:
        code=lambda wildcards: generator_code("train_generator", wildcards.generator),
        settings=lambda wildcards: generator_settings(wildcards.generator),
    shell:
        "python -m lungaug train_generator --rois {input.rois:q} --audit {input.audit:q}"
        ' --generator {wildcards.generator:q} --device "$LUNGAUG_DEVICE"'
        " --model {output.model:q} --history {output.history:q} --sheets {output.sheets:q}"
        " --cost {output.cost:q}"
        ' --checkpoint "$LUNGAUG_CHECKPOINTS"/{wildcards.fold:q}.{wildcards.generator:q}.pt'
        " --settings {params.settings:q} --code {params.code:q} 2>&1 | tee {log:q}"


rule sample:
    input:
        model=f"{GENERATOR}/model.pt",
        rois="<results>/{fold}/rois.h5",
    output:
        patches=f"{GENERATOR}/patches.h5",
        rejected=f"{GENERATOR}/patches.rejected.tsv",
    log:
        "<logs>/{fold}/generators/{generator}/sample.log",
    benchmark:
        "<benchmarks>/{fold}/generators/{generator}/sample.tsv"
    conda:
        "../../envs/generation.yaml"
    resources:
        mem_mb=memory(4000),
        runtime=120,
        gpu=lambda wildcards: gpus(wildcards.generator),
    params:
        code=lambda wildcards: generator_code("sample", wildcards.generator),
        settings=settings("sample"),
    shell:
        "python -m lungaug sample --model {input.model:q} --rois {input.rois:q}"
        ' --generator {wildcards.generator:q} --device "$LUNGAUG_DEVICE"'
        " --output {output.patches:q} --rejected {output.rejected:q}"
        " --settings {params.settings:q} --code {params.code:q} 2>&1 | tee {log:q}"


rule insert:
    input:
        patches=f"{GENERATOR}/patches.h5",
        rois="<results>/{fold}/rois.h5",
        slices="<results>/{fold}/slices.tsv",
        split=split_of,
        preprocess=of_batches(f"{RESULTS}/preprocess/{{batch}}.h5"),
        ingest=of_batches(f"{RESULTS}/ingest/{{batch}}.h5"),
    output:
        slices="<results>/{fold}/inserted/{generator}.h5",
        published="<results>/{fold}/inserted/{generator}.published.h5",
        skipped="<results>/{fold}/inserted/{generator}.skipped.tsv",
    log:
        "<logs>/{fold}/inserted/{generator}.log",
    benchmark:
        "<benchmarks>/{fold}/inserted/{generator}.tsv"
    conda:
        "../../envs/imaging.yaml"
    resources:
        mem_mb=memory(2000),
        runtime=120,
    params:
        code=code("insert"),
        settings=settings("insert"),
    shell:
        "python -m lungaug insert --patches {input.patches:q} --rois {input.rois:q}"
        " --slices {input.slices:q} --split {input.split:q} --fold {wildcards.fold:q}"
        " --generator {wildcards.generator:q} --preprocess {input.preprocess:q}"
        ' --root "$LUNGAUG_RESULTS" --output {output.slices:q}'
        " --published {output.published:q} --skipped {output.skipped:q}"
        " --settings {params.settings:q} --code {params.code:q} 2>&1 | tee {log:q}"


rule realism:
    input:
        rois="<results>/{fold}/rois.h5",
        patches=f"{GENERATOR}/patches.h5",
        inserted="<results>/{fold}/inserted/{generator}.h5",
        published="<results>/{fold}/inserted/{generator}.published.h5",
        slices="<results>/{fold}/slices.tsv",
        preprocess=of_batches(f"{RESULTS}/preprocess/{{batch}}.h5"),
        ingest=of_batches(f"{RESULTS}/ingest/{{batch}}.h5"),
        model=reference_model,
    output:
        table="<results>/{fold}/realism/{generator}.tsv",
        pairs="<results>/{fold}/realism/{generator}.pairs.tsv",
    log:
        "<logs>/{fold}/realism/{generator}.log",
    benchmark:
        "<benchmarks>/{fold}/realism/{generator}.tsv"
    conda:
        "../../envs/segmentation.yaml"
    resources:
        mem_mb=memory(4000),
        runtime=120,
    params:
        code=code("realism"),
        settings=settings(
            "realism",
            crop=CONFIG["rois"]["crop"],
            min_diameter_mm=CONFIG["rois"]["min_diameter_mm"],
            feather_px=CONFIG["insert"]["insertion"]["feather"]["width_px"],
        ),
    shell:
        "python -m lungaug realism --fold {wildcards.fold:q} --generator {wildcards.generator:q}"
        " --rois {input.rois:q} --patches {input.patches:q} --inserted {input.inserted:q}"
        " --published {input.published:q} --slices {input.slices:q}"
        ' --preprocess {input.preprocess:q} --model {input.model:q} --root "$LUNGAUG_RESULTS"'
        " --output {output.table:q} --pairs {output.pairs:q}"
        " --settings {params.settings:q} --code {params.code:q} > {log:q} 2>&1"


rule realism_tables:
    input:
        of_generators("<results>/{fold}/realism/{generator}.tsv"),
    output:
        expand(
            "<results>/tables/realism{suffix}",
            suffix=[".tsv", "_main.tsv", "_main.md", "_main.tex"],
        ),
    log:
        "<logs>/realism_tables.log",
    benchmark:
        "<benchmarks>/realism_tables.tsv"
    conda:
        "../../envs/tables.yaml"
    resources:
        mem_mb=memory(1000),
        runtime=10,
    params:
        code=code("realism_tables"),
        settings=settings("realism_tables"),
    shell:
        'python -m lungaug realism_tables --realism {input:q} --output "$LUNGAUG_RESULTS/tables"'
        " --settings {params.settings:q} --code {params.code:q} > {log:q} 2>&1"


rule reader_sheet:
    input:
        slices="<results>/{fold}/slices.tsv",
        inserted=lambda wildcards: [
            f"{RESULTS}/{wildcards.fold}/inserted/{generator}.h5"
            for generator in GENERATORS
        ],
        preprocess=of_batches(f"{RESULTS}/preprocess/{{batch}}.h5"),
        ingest=of_batches(f"{RESULTS}/ingest/{{batch}}.h5"),
        split=ancient("<results>/split.tsv"),
    output:
        sheet="<results>/{fold}/reader/sheet.html",
        key="<results>/{fold}/reader/key.tsv",
    log:
        "<logs>/{fold}/reader.log",
    benchmark:
        "<benchmarks>/{fold}/reader.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=memory(1000),
        runtime=10,
    params:
        text=staleness.text_hash(REPORT_TEXT),
        code=code("reader_sheet"),
        settings=settings("reader_sheet"),
    shell:
        "python -m lungaug reader_sheet --slices {input.slices:q} --inserted {input.inserted:q}"
        ' --text "$LUNGAUG_TEXT" --root "$LUNGAUG_RESULTS" --fold {wildcards.fold:q}'
        " --output {output.sheet:q} --key {output.key:q}"
        " --settings {params.settings:q} --code {params.code:q} > {log:q} 2>&1"


rule generated_figures:
    input:
        rois=expand("<results>/{fold}/rois.h5", fold=FOLDS),
        patches=of_generators(f"{GENERATOR}/patches.h5"),
        history=of_generators(f"{GENERATOR}/history.tsv"),
        inserted=of_generators("<results>/{fold}/inserted/{generator}.h5"),
        published=of_generators("<results>/{fold}/inserted/{generator}.published.h5"),
        pairs=of_generators("<results>/{fold}/realism/{generator}.pairs.tsv"),
        slices=expand("<results>/{fold}/slices.tsv", fold=FOLDS),
        preprocess=of_batches(f"{RESULTS}/preprocess/{{batch}}.h5"),
        ingest=of_batches(f"{RESULTS}/ingest/{{batch}}.h5"),
        split=ancient("<results>/split.tsv"),
        realism="<results>/tables/realism.tsv",
    output:
        expand("<results>/figures/{picture}.png", picture=GENERATED_PICTURES),
        "<results>/figures/generated_notes.tsv",
    log:
        "<logs>/generated_figures.log",
    benchmark:
        "<benchmarks>/generated_figures.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=memory(2000),
        runtime=30,
    params:
        code=code("generated_figures"),
        settings=settings("generated_figures"),
    shell:
        'python -m lungaug generated_figures --root "$LUNGAUG_RESULTS" --rois {input.rois:q}'
        " --patches {input.patches:q} --inserted {input.inserted:q} --published {input.published:q}"
        " --pairs {input.pairs:q} --slices {input.slices:q} --preprocess {input.preprocess:q}"
        " --realism {input.realism:q} --history {input.history:q}"
        ' --output "$LUNGAUG_RESULTS/figures"'
        " --settings {params.settings:q} --code {params.code:q} > {log:q} 2>&1"
