"""Lines that keep validation and test patients out of training, each broken, and its test.

The replacements are exact: a line that is rewritten is named by ``test_leakage.py``, and gets a new
replacement here.
"""

from __future__ import annotations

from typing import NamedTuple


class Break(NamedTuple):
    """A line, broken.

    Attributes:
        module: below ``workflow/lungaug``.
        was: text that is there once.
        now: what stands for it.
        test: the file that must notice, below ``tests``, or one test of it.
    """

    module: str
    was: str
    now: str
    test: str


LEAKS = (
    Break(
        "division.py",
        'return {patient: special.get(part, "train") for patient, part in parts.items()}',
        'return {patient: special.get(part + 1, "train") for patient, part in parts.items()}',
        "test_division.py::test_each_fold_validates_on_the_part_after_the_one_it_tests_on",
    ),
    Break(
        "division.py",
        "held[role] += 1\n            roles[patient] = role",
        "roles[patient] = role",
        "test_division.py::test_large_classes_fill_their_quotas_and_small_ones_still_train",
    ),
    Break(
        "ledger.py",
        "merged.setdefault((entry.mode, entry.folds, entry.patient), entry)",
        "merged[entry.mode, entry.folds, entry.patient] = entry",
        "test_ledger.py::test_a_row_that_stands_is_kept_among_new_ones",
    ),
    Break(
        "ledger.py",
        "if first.place != entry.place:",
        "if False:",
        "test_ledger.py::test_damaged_ledger_is_named_and_kept",
    ),
    Break(
        "stages/split.py",
        "parts = {patient: {**before, **added}[patient] for patient in classes}",
        "parts = assign_parts(classes, {}, k, settings.seed)",
        "stages/test_split.py::test_nobody_moves_when_the_cohort_grows_and_shrinks",
    ),
    Break(
        "stages/select.py",
        'if not row["n_nodule_px"] and math.isnan(float(fields["diameter_mm"])):',
        "if False:",
        "stages/test_select.py::test_a_slice_that_nobody_looked_at_is_never_healthy",
    ),
    Break(
        "evaluation/audit.py",
        '        if role != "train":\n            yield failed("lineage"',
        '        if role == "test":\n            yield failed("lineage"',
        "evaluation/test_audit.py::test_row_that_names_a_held_out_patient_anywhere_fails",
    ),
    Break(
        "evaluation/audit.py",
        "if role != given:",
        "if False:",
        "evaluation/test_audit.py::test_row_listed_for_another_role_than_its_patients_fails",
    ),
    Break(
        "evaluation/audit.py",
        "if len(own) > 1:",
        "if len(own) > 2:",
        "evaluation/test_audit.py::test_patient_with_two_roles_fails",
    ),
    Break(
        "evaluation/audit.py",
        "elif not np.array_equal(expected, held):",
        "elif False:",
        "evaluation/test_audit.py::test_altered_nodule_alone_fails",
    ),
    Break(
        "evaluation/audit.py",
        "{patient, *(patient_of(key) for key in keys if key)}",
        "{patient}",
        "evaluation/test_audit.py::test_door_of_training_refuses_held_out_patients",
    ),
    Break(
        "evaluation/audit.py",
        "    stop_if_failed(findings)\n",
        "    list(findings)\n",
        "evaluation/test_audit.py::test_door_of_training_refuses_held_out_patients",
    ),
    Break(
        "evaluation/crop_audit.py",
        "if patient_of(claim.donor) != claim.patient:",
        "if False:",
        "evaluation/test_crop_audit.py::test_a_patient_that_is_not_the_donors_fails",
    ),
    Break(
        "evaluation/crop_audit.py",
        "    yield from check_lineage(claim, roles)\n",
        "    yield from ()\n",
        "evaluation/test_crop_audit.py::test_a_crop_of_a_held_out_patient_fails_in_lineage",
    ),
    Break(
        "evaluation/crop_audit.py",
        "yield from check_pixels(claim, files.hu(place), files, real, cut_again)",
        "yield from ()",
        "evaluation/test_crop_audit.py::test_one_altered_pixel_fails",
    ),
    Break(
        "evaluation/patch_audit.py",
        "            yield from check_lineage(claim, roles)\n",
        "            yield from ()\n",
        "evaluation/test_patch_audit.py",
    ),
    Break(
        "evaluation/donor_audit.py",
        "        yield failed(REPLAY, subject, detail)\n\n\ndef _nodule",
        "        yield from ()\n\n\ndef _nodule",
        "evaluation/test_donor_audit.py::test_a_held_out_nodule_under_a_training_donor_fails",
    ),
    Break(
        "stages/rois.py",
        'rows = table[(table["role"] == "train") & (table["n_nodule_px"] > 0)]',
        'rows = table[table["n_nodule_px"] > 0]',
        "stages/test_rois.py"
        "::test_cuts_every_nodule_of_the_training_patients_and_records_whose_it_is",
    ),
    Break(
        "stages/insert.py",
        '(table["fold"] == fold) & (table["role"] == "train"), "patient"',
        '(table["fold"] == fold), "patient"',
        "stages/test_insert.py::test_hosts_train_in_this_fold",
    ),
    Break(
        "training/arm_tables.py",
        'held_out[held_out["role"] == "validation"]',
        'held_out[held_out["role"] == "test"]',
        "stages/test_train_segmenter.py::test_test_patients_change_nothing_of_the_model",
    ),
    Break(
        "stages/train_segmenter.py",
        "refuse_held_out(tables.train, pd.concat([tables.validation, tables.test]))",
        "refuse_held_out(tables.train, tables.validation)",
        "stages/test_train_segmenter.py::test_a_held_out_patient_among_the_training_slices",
    ),
    Break(
        "stages/evaluate.py",
        'wanted=("validation",)',
        'wanted=("test",)',
        "stages/test_evaluate.py::test_the_threshold_is_chosen_on_validation_and_on_nothing_else",
    ),
)
