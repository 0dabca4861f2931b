"""From the source to slice files: phantom, scan, ingest."""

KIND = CONFIG["source"]["kind"]

if IS_PHANTOM:

    rule phantom:
        output:
            # Like any source, it does not go to object storage.
            sheet=local(SOURCE["sheet"]),
            dicom=local(directory(SOURCE["root"])),
            masks=local(directory(SOURCE["masks"])),
        log:
            "<logs>/phantom.log",
        benchmark:
            "<benchmarks>/phantom.tsv"
        localrule: APART
        conda:
            "../../envs/ingest.yaml"
        resources:
            mem_mb=memory(1000),
            runtime=30,
        params:
            code=code("phantom"),
            settings=settings("phantom"),
        shell:
            "python -m lungaug phantom --output {output.sheet:q}"
            " --settings {params.settings:q} --code {params.code:q} > {log:q} 2>&1"


checkpoint scan:
    input:
        [local(SOURCE["sheet"])] if IS_PHANTOM else [],
    output:
        cohort="<results>/cohort.tsv",
        rejected="<results>/scan.rejected.tsv",
    log:
        "<logs>/scan.log",
    benchmark:
        "<benchmarks>/scan.tsv"
    localrule: APART
    conda:
        "../../envs/ingest.yaml"
    resources:
        # A pickle of the published tables is read whole.
        mem_mb=memory(5000 if KIND == "mendeley" else 1000),
        runtime=60,
    params:
        tree=source_tree,
        code=code("scan"),
        settings=settings(
            "scan",
            kind={"phantom": "dicom"}.get(KIND, KIND),
            on_bad_input=CONFIG["ingest"]["on_bad_input"],
            unannotated=CONFIG["ingest"]["unannotated"],
        ),
    shell:
        'python -m lungaug scan --root "$LUNGAUG_SOURCE" --private "$LUNGAUG_PRIVATE"'
        ' --key "$LUNGAUG_KEY" --sheet "$LUNGAUG_SHEET" --masks "$LUNGAUG_MASKS"'
        " --output {output.cohort:q} --rejected {output.rejected:q}"
        " --settings {params.settings:q} --code {params.code:q} 2>&1 | tee {log:q}"


rule ingest:
    input:
        cohort=ancient("<results>/cohort.tsv"),
    output:
        slices="<results>/ingest/{batch}.h5",
        rejected="<results>/ingest/{batch}.rejected.tsv",
        nodules="<results>/ingest/{batch}.nodules.tsv",
    log:
        "<logs>/ingest/{batch}.log",
    benchmark:
        "<benchmarks>/ingest/{batch}.tsv"
    cache: SHARED
    localrule: APART
    conda:
        "../../envs/ingest.yaml"
    resources:
        mem_mb=memory(1500),
        runtime=60,
    params:
        digests=lambda wildcards: digests(wildcards.batch),
        code=code("ingest"),
        settings=settings(
            "ingest",
            kind={"phantom": "dicom"}.get(KIND, KIND),
        ),
    shell:
        "python -m lungaug ingest --cohort {input.cohort:q} --batch {wildcards.batch:q}"
        ' --root "$LUNGAUG_SOURCE" --private "$LUNGAUG_PRIVATE" --key "$LUNGAUG_KEY"'
        ' --sheet "$LUNGAUG_SHEET" --masks "$LUNGAUG_MASKS"'
        " --output {output.slices:q} --rejected {output.rejected:q} --nodules {output.nodules:q}"
        " --settings {params.settings:q} --code {params.code:q} > {log:q} 2>&1"
