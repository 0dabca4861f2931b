"""What the rules share: the checked configuration, and who belongs to what."""

import functools
import hashlib
import json
import shutil

from snakemake.dag import DAG
from snakemake.exceptions import WorkflowError
from snakemake.io import _IOFile
from snakemake.logging import logger
from snakemake.settings.types import SharedFSUsage

from lungaug import cohort_root, configuration, grid, records, replanning, roster, runs
from lungaug import staleness
from lungaug.errors import SettingError, StorageError

_IOFile.checksum = staleness.hashed_once(_IOFile.checksum)
DAG.update_needrun = replanning.afresh(DAG.update_needrun)

# Jobs share no files with this process: they have the sources, what they declare by way of object
# storage, and nothing else. So what needs the source or the private folder runs in this process.
APART = SharedFSUsage.INPUT_OUTPUT not in workflow.storage_settings.shared_fs_usage
IN_POD = APART and workflow.remote_exec

try:
    SCHEMA = configuration.load_schema()
    CONFIG = configuration.checked(config, SCHEMA, files=not IN_POD, written=WRITTEN)
except SettingError as fault:
    sys.exit("\n".join(f"config: {line}" for line in str(fault).splitlines()))

WORKING = Path(".snakemake")
staleness.remember(WORKING / "lungaug.modules.json")
if beside := runs.enter(WORKING, alone=workflow.is_main_process):
    logger.warning(beside)

COHORT = CONFIG["cohort"]
RESULTS = f"{CONFIG['results']}/{COHORT}"
# Where they lie while jobs run: with object storage, the folder of the local copies.
LOCAL_RESULTS = str(workflow.modifier.path_modifier.apply_default_storage(RESULTS))
PRIVATE = f"{CONFIG['private']}/{COHORT}"
LEDGER = CONFIG["ledger"] or f"ledgers/{COHORT}.tsv"
ARMS = {arm.name: arm for arm in configuration.all_arms(CONFIG, SCHEMA)}
TRAININGS = grid.trainings(CONFIG, configuration.arms(CONFIG, SCHEMA))
MAIN_TRAININGS = grid.main_trainings(CONFIG, configuration.arms(CONFIG, SCHEMA))
CURVE = grid.curve_trainings(CONFIG, configuration.arms(CONFIG, SCHEMA))
OPERATIONS = sorted({name for arm in ARMS.values() for name in arm.operations})
GENERATORS = sorted({name for arm in ARMS.values() for name in arm.generators})
GENERATED_PICTURES = (
    ("generated", "inserted", "closest_pairs", "realism", "generator_curves")
    if GENERATORS
    else ()
)
FOLDS = grid.full_folds(CONFIG)
# With the parts of the training patients that learning curves need.
ALL_FOLDS = sorted({training.fold for training in TRAININGS})

# Tables of checkpoints that this process has fetched.
FETCHED = set()
# What was there before this run, of what is told at its end.
SEEN = {}

# Whether results of the first stages are shared between working copies.
SHARED = workflow.enable_cache
# Operations that share a module, which else has the operation's name.
OPERATION_MODULES = {"noise_slice": "noise", "noise_nodule": "noise"}
# Networks with a module and a section of settings of their own.
OWN_NETWORKS = {"maskrcnn", "swinunet", "transunet"}

SOURCE = CONFIG["source"]
IS_PHANTOM = SOURCE["kind"] == "phantom"
if IS_PHANTOM:
    made = f"{RESULTS}/source"
    SOURCE = {
        "root": f"{made}/dicom",
        "sheet": f"{made}/sheet.tsv",
        "masks": f"{made}/masks",
    }
# Whose tables and ledger these are: a second source folder must not take the name.
ROOT_OF_COHORT = (
    Path(PRIVATE),
    COHORT,
    SOURCE["root"],
    [Path(LOCAL_RESULTS, "cohort.tsv"), Path(LEDGER)],
)
if workflow.is_main_process and not IS_PHANTOM:
    try:
        cohort_root.check(*ROOT_OF_COHORT)
    except SettingError as fault:
        sys.exit(f"config: {fault}")
REPORT_TEXT = LIBRARY / "report"
# Paths, the device and how trainings run are no settings: through the environment they make
# nothing stale.
os.environ.update(
    LUNGAUG_RESULTS=LOCAL_RESULTS,
    LUNGAUG_CHECKPOINTS=(
        f"{CONFIG['checkpoints']}/{COHORT}"
        if CONFIG["checkpoints"]
        else f"{LOCAL_RESULTS}/checkpoints"
    ),
    LUNGAUG_PRIVATE=PRIVATE,
    LUNGAUG_KEY=CONFIG["key_file"] or f"{PRIVATE}/key",
    LUNGAUG_LEDGER=LEDGER,
    LUNGAUG_SOURCE=SOURCE["root"],
    LUNGAUG_SHEET=SOURCE["sheet"] or "",
    LUNGAUG_MASKS=SOURCE["masks"] or "",
    LUNGAUG_DEVICE=CONFIG["device"],
    LUNGAUG_RUNNING=json.dumps(CONFIG["running"]),
    LUNGAUG_TEXT=str(REPORT_TEXT),
)


wildcard_constraints:
    batch=r"b\d+",
    fold=grid.FOLD_PATTERN,
    operation=r"[a-z_]+",
    generator="|".join(SCHEMA["x-generators"]),
    arm=r"[a-z_+]+(?:@[\d.]+)?",
    segmenter=r"[a-z0-9_]+",
    seed=r"\d+",


@functools.cache
def code(stage, unused=()):
    """Hash of the code behind a stage; a comment does not change it."""
    return staleness.code_hash(stage, unused=unused)


def other_operations(used):
    """The modules of the operations that are not in ``used``: their code does not count."""
    kept = {f"metalung.{OPERATION_MODULES.get(name, name)}" for name in used}
    names = {OPERATION_MODULES.get(name, name) for name in SCHEMA["x-operations"]}
    return tuple(sorted({f"metalung.{name}" for name in names} - kept))


def arm_code(wildcards):
    """What an arm does not add it need not replay: that code does not make it stale."""
    arm = ARMS[wildcards.arm]
    unused = {
        "metalung.operations": arm.operations,
        "insertion.replay": arm.generators,
        "evaluation.crop_audit": arm.generators,
        "evaluation.patch_audit": arm.generators,
    }
    skipped = [name for name, used in unused.items() if not used]
    return code("arm", (*skipped, *other_operations(arm.operations)))


def arm_settings(wildcards):
    """How an arm is audited; how nodules are cut matters to those with generators."""
    cut = cutting(ARMS[wildcards.arm].generators)
    return settings("arm", fingerprints=CONFIG["audit"]["fingerprints"], **cut)


def cutting(generators):
    """How nodules are cut, which matters only where there are generators."""
    return {"crop": CONFIG["rois"]["crop"]} if generators else {}


def generator_code(stage, generator):
    """The code of the other generators does not count."""
    others = [name for name in SCHEMA["x-generators"] if name != generator]
    modules = [
        f"generators.{name}{part}" for name in others for part in ("", "_settings")
    ]
    return code(stage, tuple(modules))


def generator_settings(generator):
    """The stage's settings without those of other generators."""
    others = [name for name in SCHEMA["x-generators"] if name != generator]
    return settings("train_generator", without=others)


def training_code(stage, segmenter):
    """The code of networks that stand in a file of their own does not count for others."""
    others = sorted(f"segmenters.{name}" for name in OWN_NETWORKS - {segmenter})
    return code(stage, tuple(others))


def memory(mb):
    """MB of a job: more with each attempt, for profiles that retry jobs killed for memory."""
    return lambda wildcards, attempt: mb * attempt


def asks_for_gpu():
    """Whether networks ask for a GPU: on this machine only where there is one."""
    here = any(shutil.which(tool) for tool in ("nvidia-smi", "rocm-smi"))
    anywhere = here or workflow.non_local_exec
    return {"cpu": False, "cuda": True, "auto": anywhere}[CONFIG["device"]]


def gpus(generator):
    """Devices of a job: only networks need one."""
    return int(asks_for_gpu() and generator in ("vqvae", "dcgan"))


def intervals():
    """How intervals are computed in every table."""
    names = ("n_resamples", "level", "minimum_patients")
    return {name: CONFIG["tables"][name] for name in names}


def settings(stage, without=(), **extra):
    return configuration.stage_settings(CONFIG, SCHEMA, stage, without, **extra)


def retrieved(file):
    """A checkpoint's table, fetched if object storage has it and this folder has none as new."""
    if file.is_storage and not (file in FETCHED and os.path.exists(file)):
        FETCHED.add(file)
        stored = file.storage_object
        if not os.path.exists(file) or os.path.getmtime(file) < stored.mtime():
            os.makedirs(os.path.dirname(file), exist_ok=True)
            stored.retrieve_object()
    return file


def cohort_table():
    return Path(retrieved(checkpoints.scan.get().output.cohort))


def split_table():
    return Path(retrieved(checkpoints.split.get().output.split))


def batches():
    return roster.batches(cohort_table())


def digests(batch):
    """What a batch's files hold, by patient: changes when a file of theirs does."""
    return roster.digests(cohort_table(), batch)


def of_batches(pattern):
    """An input function: a file of every batch."""
    return lambda wildcards: [pattern.format(batch=batch) for batch in batches()]


def published_parts():
    """Who is published as a training or test patient: changes when that does."""
    return roster.published_parts(cohort_table())


def split_of(wildcards):
    """The table of roles: a share of the training patients has one of its own."""
    return splits_of([wildcards.fold])


def splits_of(folds):
    """The tables of roles of some folds, each once."""
    whole = {fold: grid.share_of(fold)[1] == 100 for fold in folds}
    paths = [
        f"{RESULTS}/split.tsv" if whole[fold] else f"{RESULTS}/{fold}/split.tsv"
        for fold in folds
    ]
    return list(dict.fromkeys(paths))


def check_settings():
    """What of the configuration decides whether there is enough to train, validate and test."""
    needs = configuration.needs_of_cohort(CONFIG, SCHEMA)
    return settings("check_cohort", **needs)


def fold_and_roles(wildcards):
    """The fold, and a digest of who has which role in it."""
    fold, _ = grid.share_of(wildcards.fold)
    rows = [row for row in roster.rows(split_table()) if row["fold"] == fold]
    roles = sorted((row["patient"], row["role"]) for row in rows)
    return [wildcards.fold, hashlib.sha256(json.dumps(roles).encode()).hexdigest()[:16]]


def training_patients(batch):
    """Patients of a batch that train in some fold."""
    split = split_table()
    return roster.training_patients(cohort_table(), split, batch, fold=None)


def moved_slices(operations, fold):
    """The MetaLung files that hold slices of a fold's training patients.

    For a share of them those of the full fold: whose slices count is for the arm to say.
    """
    if not operations:
        return []
    fold, _ = grid.share_of(fold)
    names = roster.training_batches(cohort_table(), split_table(), fold)
    return [
        f"{RESULTS}/metalung/{operation}/{batch}.h5"
        for operation in operations
        for batch in names
    ]


def expansions(arm, fold):
    """The files with the slices that an arm adds in a fold."""
    inserted = [f"{RESULTS}/{fold}/inserted/{name}.h5" for name in arm.generators]
    return [*moved_slices(arm.operations, fold), *inserted]


def reference_model(wildcards):
    """The segmenter whose encoder sees how alike nodules are: it never saw a generated one."""
    segmenter = CONFIG["segmenters"][0]
    return f"{RESULTS}/{wildcards.fold}/segmentation/none/{segmenter}/seed0/model.pt"


def of_generators(pattern):
    """One path for every fold and generator."""
    return expand(pattern, fold=FOLDS, generator=GENERATORS)


def all_fits(pattern):
    """One path for every fit of a generator, those for parts of the patients among them."""
    pairs = dict.fromkeys(
        (training.fold, generator)
        for training in TRAININGS
        for generator in ARMS[training.arm].generators
    )
    return [expand(pattern, fold=fold, generator=name)[0] for fold, name in pairs]


def all_trainings(pattern):
    """One path for every training, those of the learning curves among them."""
    return [expand(pattern, **training._asdict())[0] for training in TRAININGS]


def trainings(pattern):
    """One path for every training that the main tables are about."""
    return [expand(pattern, **training._asdict())[0] for training in MAIN_TRAININGS]


def classifiers(pattern):
    """One path for every classifier: a fold, arm and seed that the main tables are about."""
    wanted = MAIN_TRAININGS if CONFIG["presence"] else ()
    kinds = dict.fromkeys((one.fold, one.arm, one.seed) for one in wanted)
    return [
        expand(pattern, fold=fold, arm=arm, seed=seed)[0] for fold, arm, seed in kinds
    ]


def folds_and_arms(pattern):
    """One path for every arm in each fold where it is trained."""
    pairs = dict.fromkeys((training.fold, training.arm) for training in TRAININGS)
    return [expand(pattern, fold=fold, arm=arm)[0] for fold, arm in pairs]


def segmenter_settings(segmenter):
    """The stage's settings, with those of this segmenter in place of the general ones."""
    section = CONFIG["train_segmenter"]
    own = section["per_segmenter"].get(segmenter, {})
    chosen = {
        name: configuration.merged(section[name], own.get(name, {}))
        for name in ("network", "training")
    }
    for name in OWN_NETWORKS - {segmenter}:
        del chosen["network"][name]
    return settings("train_segmenter", without=("per_segmenter",), **chosen)


def used_by(segmenter):
    """A segmenter's network and training, its own settings in place of the general ones."""
    return json.loads(segmenter_settings(segmenter))


def training_threads(section):
    """Of the network and of the processes that load slices, on every device."""
    how = section["training"]
    return (how["torch_threads"] + CONFIG["running"]["workers"]) * how["devices"]


def training_gpus(section):
    return section["training"]["devices"] if asks_for_gpu() else 0


def pretrained(section):
    """The file of pretrained weights, where the setting is one and no name."""
    weights = section["network"]["weights"]
    is_here = paths.is_file(weights) and Path(weights).is_file()
    return [local(weights)] if is_here else []


def networks():
    """Every network that is trained, with its settings."""
    names = sorted({training.segmenter for training in TRAININGS})
    return {name: used_by(name)["network"] for name in names}


def networks_settings():
    presence = CONFIG["train_presence"]["network"] if CONFIG["presence"] else None
    return settings(
        "check_networks",
        segmenters=networks(),
        presence=presence,
        cuda_devices=cuda_devices(),
    )


def cuda_devices():
    """GPUs that a training must have; none where it takes what there is."""
    if CONFIG["device"] != "cuda":
        return 0
    names = sorted({training.segmenter for training in TRAININGS})
    sections = [used_by(name) for name in names]
    sections += [CONFIG["train_presence"]] if CONFIG["presence"] else []
    return max(section["training"]["devices"] for section in sections)


def weights_of_networks():
    """Every file of pretrained weights, once."""
    sections = [{"network": network} for network in networks().values()]
    sections += [CONFIG["train_presence"]] if CONFIG["presence"] else []
    return list(
        dict.fromkeys(file for section in sections for file in pretrained(section))
    )


@functools.cache
def tree_fingerprint(root):
    return staleness.fingerprint(Path(root))


def source_tree(wildcards):
    """What the source folder looks like; a phantom's is settled by its code and settings."""
    if IS_PHANTOM:
        return [code("phantom"), settings("phantom")]
    return [
        tree_fingerprint(SOURCE[name])
        for name in ("root", "sheet", "masks")
        if SOURCE[name]
    ]


def operation_settings(wildcards):
    """The stage's settings without those of other operations."""
    others = [name for name in SCHEMA["x-operations"] if name != wildcards.operation]
    return settings("metalung", without=others)


def skipped_tables(wildcards):
    """Every table that says what was left out, and why."""
    of_batch = [
        f"{RESULTS}/{name}"
        for batch in batches()
        for name in (f"ingest/{batch}.rejected.tsv", f"preprocess/{batch}.skipped.tsv")
    ]
    of_operation = [
        path.removesuffix(".h5") + ".skipped.tsv" for path in all_moved(wildcards)
    ]
    of_fold = [f"{RESULTS}/{fold}/rois.skipped.tsv" for fold in FOLDS if GENERATORS]
    of_generator = [
        *of_generators(
            f"{RESULTS}/{{fold}}/generators/{{generator}}/patches.rejected.tsv"
        ),
        *of_generators(f"{RESULTS}/{{fold}}/inserted/{{generator}}.skipped.tsv"),
    ]
    return [
        f"{RESULTS}/scan.rejected.tsv",
        f"{RESULTS}/split.left_out.tsv",
        *of_batch,
        *of_operation,
        *of_fold,
        *of_generator,
    ]


def all_moved(wildcards):
    """Every MetaLung file."""
    paths = {path for fold in FOLDS for path in moved_slices(OPERATIONS, fold)}
    return sorted(paths)


def all_inserted(wildcards):
    """Every file of inserted nodules that may train."""
    return of_generators(f"{RESULTS}/{{fold}}/inserted/{{generator}}.h5")


def all_crops(wildcards):
    """What generators learned from, and what they made."""
    rois = [f"{RESULTS}/{fold}/rois.h5" for fold in FOLDS if GENERATORS]
    return [
        *rois,
        *of_generators(f"{RESULTS}/{{fold}}/generators/{{generator}}/patches.h5"),
    ]


def generated_figures():
    """The pictures of generated nodules, if some arm has them."""
    names = [f"{picture}.png" for picture in GENERATED_PICTURES]
    names += ["generated_notes.tsv"] if GENERATORS else []
    return [f"{RESULTS}/figures/{name}" for name in names]


def published_layouts():
    """The tables of a publication that its scores are laid out in."""
    path = CONFIG["published_scores"]
    rows = roster.rows(Path(path)) if path and Path(path).is_file() else []
    names = dict.fromkeys(row.get("table") for row in rows)
    return [f"table{name}" for name in names if name]


def told_tables():
    """The tables that the report shows as they are told in Markdown."""
    names = ["detection", "cost", *published_layouts()]
    names += ["published"] if CONFIG["published_scores"] else []
    names += ["learning_curve"] if CURVE else []
    names += ["presence"] if CONFIG["presence"] else []
    return [f"{RESULTS}/tables/{name}.md" for name in names]


def begin():
    """Before the first job: what is to be written to can be, and who works here is told."""
    try:
        runs.check_writable([Path(LOCAL_RESULTS), Path(PRIVATE), Path(LEDGER).parent])
        if not IS_PHANTOM:
            cohort_root.claim(*ROOT_OF_COHORT)
    except (SettingError, StorageError) as fault:
        raise WorkflowError(str(fault))
    runs.sign(WORKING)
    SEEN.update(
        (path, path.stat().st_mtime_ns) for path in summaries() if path.is_file()
    )


def leave_shared_unmeasured():
    """Take their benchmarks from the rules with a cache: Snakemake refuses a rule with both."""
    for cached in [one for one in workflow.rules if one.cache.output]:
        cached._benchmark = None


def summaries():
    """What a run tells at its end, the report last."""
    names = ["main.md", *(f"{name}.md" for name in published_layouts())]
    names += ["realism_main.md"] if GENERATORS else []
    tables = [Path(LOCAL_RESULTS, "tables", name) for name in names]
    return [*tables, Path(LOCAL_RESULTS, "report.html")]


def show_summary():
    """Print the main tables and where the report lies, as far as this run made them."""
    for path in summaries():
        if path.is_file() and SEEN.get(path) != path.stat().st_mtime_ns:
            told = path.suffix == ".md"
            print(
                f"\n{path.read_text(encoding='utf-8')}" if told else f"report: {path}"
            )
