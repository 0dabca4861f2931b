"""lungaug: from CT series to the table that says which augmentation helped."""

import os
import sys
from pathlib import Path

from snakemake.utils import min_version

min_version("9.27")

LIBRARY = Path(workflow.basedir) / "workflow"
sys.path.insert(0, str(LIBRARY))
os.environ.update(LUNGAUG_LIBRARY=str(LIBRARY))
# Not through the environment: with conda Snakemake takes PYTHONPATH out of that of the jobs.
shell.prefix('set -euo pipefail; export PYTHONPATH="$LUNGAUG_LIBRARY"; ')


from lungaug import configfiles, paths
from lungaug.errors import SettingError

DEMO = Path(workflow.basedir) / "config.yaml"
# Before Snakemake reads the demo's configuration: it names neither line nor equal keys.
try:
    paths.check_clone(Path(workflow.basedir))
    WRITTEN = configfiles.read(
        workflow.overwrite_configfiles or [DEMO], workflow.config_settings.config
    )
except SettingError as fault:
    sys.exit(f"config: {fault}")


# A configuration of one's own stands alone: nothing of the demo's leaks into it.
if not workflow.overwrite_configfiles:

    configfile: DEMO


include: "workflow/rules/common.smk"


pathvars:
    results=RESULTS,
    logs=f"{RESULTS}/logs",
    benchmarks=f"{RESULTS}/benchmarks",


include: "workflow/rules/check_networks.smk"
include: "workflow/rules/source.smk"
include: "workflow/rules/preprocess.smk"
include: "workflow/rules/split.smk"
include: "workflow/rules/shares.smk"
include: "workflow/rules/metalung.smk"
include: "workflow/rules/generators.smk"
include: "workflow/rules/arm.smk"
include: "workflow/rules/train_segmenter.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/learning_curve.smk"
include: "workflow/rules/presence.smk"
include: "workflow/rules/report.smk"


if SHARED:
    leave_shared_unmeasured()


rule all:
    default_target: True
    input:
        "<results>/report.html",
        "<results>/tables/main.md",
    localrule: True


# What made each output travels with the results, so that no clone takes old ones for new.
onstart:
    begin()
    records.keep(RESULTS)


onsuccess:
    records.keep(RESULTS)
    show_summary()


onerror:
    records.keep(RESULTS)
