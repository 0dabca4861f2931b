"""Nothing is silently healthy: an image that is dropped never takes its annotation with it.

Patient P has eight slices with a nodule on two of them, marked by PNG masks or by LIDC outlines.
Patient Q is as it should be, so that not all annotations fail at once.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dicom_files import SHAPE, ct_dataset, gradient, read, uid, write, write_enhanced, write_series
from dicom_source import Ingested, Source, table, write_png, write_xml
from lungaug.errors import InputError
from lungaug.sources.mask_matching import NO_IMAGE

BOX = [(row, column) for row in range(3, 7) for column in range(3, 7)]
MARKED = (3, 4)
"""Places of the slices with the nodule."""
OTHER_SIZE = (20, 10)


class Cohort(Source):
    """A source whose nodules are marked by masks (dicom) or outlines (lidc)."""

    def __init__(self, folder: Path, kind: str) -> None:
        super().__init__(folder)
        self.kind = kind
        self.mark("Q", write_series(self.root / "Q", 5, patient_id="Q", series=90), (2,))

    def mark(self, name: str, files: Sequence[Path], which: Sequence[int] = MARKED) -> None:
        """Annotate some of the files of a series."""
        if self.kind == "dicom":
            for index in which:
                dataset = read(files[index])
                shape = dataset.Rows, dataset.Columns
                write_png(files[index].with_suffix(".png"), *BOX, shape=shape)
            return
        uids = [str(read(files[index]).SOPInstanceUID) for index in which]
        series = str(read(files[which[0]]).SeriesInstanceUID)
        write_xml(self.root / "xml" / f"{name}.xml", series, uids)

    def patients(self, **settings: Any) -> dict[str, Ingested]:
        return self.both(kind=self.kind, **settings)

    def is_refused(self, reason: str) -> None:
        """P stops the run, or is left out with the reason; Q is kept."""
        with pytest.raises(InputError, match=reason):
            self.patients(unannotated="LR1")
        found = self.patients(unannotated="LR1", on_bad_input="skip")
        assert sorted(found) == ["Q"]
        left_out = [why for who, why in self.left_out if who == "P"]
        rows = left_out if "P" in self.scanned else [why for _, why in self.rejected]
        assert reason in " ".join(rows)


@pytest.fixture(params=["dicom", "lidc"])
def cohort(request: pytest.FixtureRequest, tmp_path: Path) -> Cohort:
    return Cohort(tmp_path, request.param)


def is_whole(patient: Ingested, n_slices: int = 8, marked: Sequence[int] = MARKED) -> bool:
    return (
        patient.n_slices == n_slices
        and patient.with_nodule == list(marked)
        and patient.lung_rads == "LR2"
        and patient.known
    )


class TestTwoImagesAtOnePosition:
    @pytest.mark.parametrize("kept", ["a", "z"])
    def test_a_copy_in_another_folder(self, cohort: Cohort, kept: str) -> None:
        files = write_series(cohort.root / kept, 8, patient_id="P")
        shutil.copytree(cohort.root / kept, cohort.root / "m")
        cohort.mark("P", files)
        assert is_whole(cohort.patients()["P"])
        copies = [path for path, reason in cohort.rejected if "copy of another image" in reason]
        assert len(copies) == 8

    def test_a_copy_with_empty_masks_of_the_rest(self, tmp_path: Path) -> None:
        cohort = Cohort(tmp_path, "dicom")
        files = write_series(cohort.root / "z", 8, patient_id="P")
        cohort.mark("P", files)
        for i in range(8):
            if i not in MARKED:
                write_png(files[i].with_suffix(".png"))
        shutil.copytree(cohort.root / "z", cohort.root / "a")
        for i in MARKED:
            (cohort.root / "a" / files[i].name).with_suffix(".png").unlink()
        assert is_whole(cohort.patients()["P"])

    def test_copies_with_different_masks(self, tmp_path: Path) -> None:
        cohort = Cohort(tmp_path, "dicom")
        files = write_series(cohort.root / "z", 8, patient_id="P")
        cohort.mark("P", files)
        shutil.copytree(cohort.root / "z", cohort.root / "a")
        write_png((cohort.root / "a" / files[3].name).with_suffix(".png"))
        cohort.is_refused("another mask of the same image differs")

    @pytest.mark.parametrize("marked", ["first", "second"])
    @pytest.mark.parametrize("how", ["kernel", "run", "alternating", "study", "folder", "size"])
    def test_two_volumes_under_one_series(self, cohort: Cohort, how: str, marked: str) -> None:
        stacks: dict[str, list[Path]] = {"first": [], "second": []}
        for name, files in stacks.items():
            late = name == "second"
            for i in range(8):
                number = {"alternating": 2 * i + late + 1, "kernel": i + 1, "study": i + 1}.get(
                    how, i + 1 + 8 * late
                )
                stored = gradient(100 * late, OTHER_SIZE if how == "size" and late else SHAPE)
                tags: dict[str, Any] = {"SOPInstanceUID": uid(7, 100 * late + i + 1)}
                if how == "kernel":
                    tags["ConvolutionKernel"] = name
                if how == "study":
                    tags["StudyInstanceUID"] = uid(8, late + 1)
                dataset = ct_dataset(
                    z=2.0 * i, number=number, patient_id="P", stored=stored, **tags
                )
                folder = cohort.root / "P" / (name if how == "folder" else "")
                files.append(write(folder / f"{name}{i}.dcm", dataset))
        cohort.mark("P", stacks[marked])
        found = cohort.patients()["P"]
        assert is_whole(found)
        late = marked == "second"
        shape = OTHER_SIZE if how == "size" and late else SHAPE
        np.testing.assert_array_equal(found.hu[0], gradient(100 * late, shape).astype(int) - 1024)
        unused = [reason for _, reason in cohort.rejected if reason.endswith("that is not used")]
        assert len(unused) == 8

    def test_one_duplicate_that_is_annotated(self, cohort: Cohort) -> None:
        files = write_series(cohort.root / "P", 8, patient_id="P")
        twin = read(files[3])
        twin.SOPInstanceUID, twin.InstanceNumber = uid(7, 99), 99
        files[3] = write(cohort.root / "P" / "twin.dcm", twin)
        cohort.mark("P", files)
        assert is_whole(cohort.patients()["P"])

    def test_both_duplicates_annotated(self, cohort: Cohort) -> None:
        files = write_series(cohort.root / "P", 8, patient_id="P")
        twin = read(files[3])
        twin.SOPInstanceUID, twin.InstanceNumber = uid(7, 99), 99
        files.append(write(cohort.root / "P" / "twin.dcm", twin))
        cohort.mark("P", files, (3, 4, 8))
        cohort.is_refused("annotated image: duplicate slice")


class TestOddImages:
    def test_direction_cosines_that_differ_in_a_late_decimal(self, cohort: Cohort) -> None:
        def jitter(i: int, dataset: Any) -> None:
            sine = 0.005 + (1e-6 if i in MARKED else -1e-6)
            cosine = math.sqrt(1 - sine**2)
            values = (cosine, sine, 0, -sine, cosine, 0)
            dataset.ImageOrientationPatient = [f"{value:.8f}" for value in values]

        cohort.mark("P", write_series(cohort.root / "P", 8, patient_id="P", change=jitter))
        assert is_whole(cohort.patients()["P"])

    def test_one_position_in_all_slices(self, cohort: Cohort) -> None:
        def flat(i: int, dataset: Any) -> None:
            dataset.ImagePositionPatient = [0, 0, 0]
            dataset.SliceLocation = 3.0 * i

        cohort.mark("P", write_series(cohort.root / "P", 8, patient_id="P", change=flat))
        assert is_whole(cohort.patients()["P"])
        cohort.mark(
            "P", write_series(cohort.root / "P", 8, patient_id="P", ImagePositionPatient=[0, 0, 0])
        )
        cohort.is_refused("all images of its series claim one position")

    def test_a_series_uid_for_every_slice(self, cohort: Cohort) -> None:
        def own(i: int, dataset: Any) -> None:
            dataset.SeriesInstanceUID = uid(5, i + 1)
            dataset.StudyInstanceUID = uid(6, i + 1)

        cohort.mark("P", write_series(cohort.root / "P", 8, patient_id="P", change=own))
        assert is_whole(cohort.patients()["P"])

    @pytest.mark.parametrize(
        ("tags", "reason"),
        [
            ({"RescaleType": "OD"}, "annotated image: values are no HU"),
            ({"RescaleSlope": None}, "annotated image: missing tag: RescaleSlope"),
            ({"ImagePositionPatient": None}, "annotated image: no position"),
            ({"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}, "annotated image: not axial"),
            ({"Modality": "MR"}, "annotated image: not CT"),
            ({"ImageType": ["DERIVED", "SECONDARY", "LOCALIZER"]}, "annotated image: localiser"),
            ({"SamplesPerPixel": 3}, "annotated image: colour"),
        ],
    )
    def test_an_annotated_image_that_cannot_be_used(
        self, cohort: Cohort, tags: dict[str, Any], reason: str
    ) -> None:
        files = write_series(cohort.root / "P", 8, patient_id="P")
        cohort.mark("P", files)
        dataset = read(files[3])
        for name, value in tags.items():
            setattr(dataset, name, value) if value is not None else delattr(dataset, name)
        write(files[3], dataset)
        cohort.is_refused(reason)

    @pytest.mark.parametrize("damage", ["empty", "text", "dangling", "header", "syntax"])
    @pytest.mark.parametrize("index", [0, 3])
    def test_an_annotated_file_that_is_damaged(
        self, tmp_path: Path, damage: str, index: int
    ) -> None:
        cohort = Cohort(tmp_path, "dicom")
        files = write_series(cohort.root / "P", 8, patient_id="P")
        cohort.mark("P", files, (index, 4))
        content = files[index].read_bytes()
        files[index].unlink()
        if damage == "dangling":
            files[index].symlink_to(tmp_path / "nowhere.dcm")
        else:
            syntax = content.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.9.9\0")
            contents = {"empty": b"", "text": b"a word " * 99, "header": content[:300]}
            files[index].write_bytes(contents.get(damage, syntax))
        cohort.is_refused("annotated image: ")

    @pytest.mark.parametrize("damage", ["empty", "dangling"])
    def test_a_lost_file_whose_mask_lies_elsewhere(self, tmp_path: Path, damage: str) -> None:
        cohort = Cohort(tmp_path, "dicom")
        files = write_series(cohort.root / "P", 8, patient_id="P")
        cohort.masks = tmp_path / "masks"
        write_png(cohort.masks / f"{uid(90, 3)}.png", *BOX)
        for index in (0, 4):
            write_png(cohort.masks / f"{read(files[index]).SOPInstanceUID}.png", *BOX)
        files[0].unlink()
        files[0].touch() if damage == "empty" else files[0].symlink_to(tmp_path / "nowhere")
        cohort.scan(kind="dicom")
        with pytest.raises(InputError, match=r"empty file|link to a file"):
            cohort.ingest()

    def test_a_stray_file_is_a_row_and_not_the_patient(self, cohort: Cohort) -> None:
        files = write_series(cohort.root / "P", 8, patient_id="P")
        cohort.mark("P", files)
        (cohort.root / "P" / "stray.dcm").touch()
        (cohort.root / "P" / "IM0009.dcm").touch()
        (cohort.root / "P" / "notes.dcm").write_text("not an image at all " * 40)
        assert is_whole(cohort.patients()["P"])
        rows = {path: reason for path, reason in cohort.rejected if path.startswith("P/")}
        assert rows == {
            "P/stray.dcm": "empty file", "P/IM0009.dcm": "empty file",
            "P/notes.dcm": "not a DICOM file, in spite of its name",
        }  # fmt: skip

    def test_an_empty_file_in_a_gap_was_a_slice(self, cohort: Cohort) -> None:
        files = write_series(cohort.root / "P", 8, patient_id="P")
        cohort.mark("P", files)
        files[6].write_bytes(b"")
        cohort.scan(kind=cohort.kind)
        with pytest.raises(InputError, match="empty file"):
            cohort.ingest(kind=cohort.kind)
        found = cohort.patients(on_bad_input="skip")
        assert sorted(found) == ["Q"]

    def test_a_page_without_position_leaves_the_order_alone(self, cohort: Cohort) -> None:
        def shuffled(i: int, dataset: Any) -> None:
            dataset.InstanceNumber = (3 * i) % 8 + 1

        files = write_series(cohort.root / "P", 8, patient_id="P", change=shuffled)
        cohort.mark("P", files)
        expected = [np.asarray(gradient(8 - i)).astype(int) - 1024 for i in range(8)]
        page = ct_dataset(
            patient_id="P", number=99, ImagePositionPatient=None, ImageOrientationPatient=None
        )
        write(cohort.root / "P" / "page.dcm", page)
        found = cohort.patients()["P"]
        assert is_whole(found)
        np.testing.assert_array_equal(found.hu, expected)
        assert ("P/page.dcm", "no position, unlike the rest of its series") in cohort.rejected

    def test_one_slice_without_spacing(self, cohort: Cohort) -> None:
        def blank(i: int, dataset: Any) -> None:
            if i == 3:
                del dataset.PixelSpacing

        cohort.mark("P", write_series(cohort.root / "P", 8, patient_id="P", change=blank))
        assert is_whole(cohort.patients()["P"])


class TestAcquisitions:
    @pytest.mark.parametrize("tag", ["AcquisitionNumber", "TemporalPositionIdentifier", ""])
    def test_two_passes_are_two_volumes(self, cohort: Cohort, tag: str) -> None:
        files = []
        for late in (0, 1):
            for i in range(8):
                number = i + 1 + 8 * late
                dataset = ct_dataset(z=2.0 * i + late, number=number, patient_id="P")
                if tag:
                    setattr(dataset, tag, late + 1)
                files.append(write(cohort.root / "P" / f"{number:02d}.dcm", dataset))
        cohort.mark("P", files)
        assert is_whole(cohort.patients()["P"])

    @pytest.mark.parametrize("per_rotation", [1, 4])
    def test_an_acquisition_for_every_rotation_is_one_volume(
        self, cohort: Cohort, per_rotation: int
    ) -> None:
        def numbered(i: int, dataset: Any) -> None:
            dataset.AcquisitionNumber = i // per_rotation + 1

        cohort.mark("P", write_series(cohort.root / "P", 8, patient_id="P", change=numbered))
        assert is_whole(cohort.patients()["P"])

    @pytest.mark.parametrize("shift", [0.0, 1.25])
    def test_phases_of_one_enhanced_file(self, tmp_path: Path, shift: float) -> None:
        cohort = Cohort(tmp_path, "dicom")
        frames = [gradient(i) for i in range(12)]
        path = write_enhanced(cohort.root / "E" / "e.dcm", frames, PatientID="E")
        dataset = read(path)
        for i, frame in enumerate(dataset.PerFrameFunctionalGroupsSequence):
            place = [0, 0, 2.5 * (i // 2) + shift * (i % 2)]
            frame.PlanePositionSequence[0].ImagePositionPatient = place
            content = type(frame)()
            content.TemporalPositionIndex = i % 2 + 1
            frame.FrameContentSequence = [content]
        write(path, dataset)
        assert cohort.patients()["E"].n_slices == 6

    def test_original_images_before_projections(self, tmp_path: Path) -> None:
        cohort = Cohort(tmp_path, "dicom")
        write_series(cohort.root / "P" / "a", 6, patient_id="P")
        for series, kind in ((2, ["DERIVED", "SECONDARY", "AXIAL", "MIP"]), (3, ["DERIVED"])):
            folder = cohort.root / "P" / str(series)
            write_series(folder, 8, patient_id="P", series=series, ImageType=kind)
        assert cohort.patients()["P"].n_slices == 6

    def test_several_annotated_series_are_all_used(self, cohort: Cohort) -> None:
        files = write_series(cohort.root / "P" / "a", 8, patient_id="P", series=1)
        cohort.mark("P", files)
        files = write_series(cohort.root / "P" / "b", 9, patient_id="P", series=2)
        cohort.mark("P2", files, (5,))
        found = cohort.patients()["P"]
        assert (found.n_slices, len(found.with_nodule), found.lung_rads) == (17, 3, "LR2")


class TestAnnotationsThatFitNothing:
    def test_outlines_of_other_uids(self, tmp_path: Path) -> None:
        cohort = Cohort(tmp_path, "lidc")
        write_series(cohort.root / "P", 8, patient_id="P")
        write_xml(cohort.root / "xml" / "P.xml", uid(77), [uid(77, 1)])
        cohort.is_refused("1 masks or annotation files fit no image")
        found = cohort.patients()
        assert (found["P"].lung_rads, found["P"].known) == ("", False)
        assert [reason for path, reason in cohort.rejected if path == "xml/P.xml"] == [
            "annotation file of no series: neither its SeriesInstanceUID nor its slices are here"
        ]

    def test_outlines_of_the_series_on_no_image(self, tmp_path: Path) -> None:
        cohort = Cohort(tmp_path, "lidc")
        write_series(cohort.root / "P", 8, patient_id="P")
        write_xml(cohort.root / "xml" / "P.xml", uid(1), [uid(77, 1)])
        with pytest.raises(InputError, match="none of its outlines lies on an image"):
            cohort.patients()
        assert sorted(cohort.patients(on_bad_input="skip")) == ["Q"]

    def test_an_outline_on_a_uid_that_all_slices_have(self, tmp_path: Path) -> None:
        cohort = Cohort(tmp_path, "lidc")
        files = write_series(cohort.root / "P", 8, patient_id="P", SOPInstanceUID="1.2.3")
        cohort.mark("P", files)
        with pytest.raises(InputError, match="SOPInstanceUID that several images"):
            cohort.patients()

    def test_outlines_where_only_masks_are_read(self, tmp_path: Path) -> None:
        cohort = Cohort(tmp_path, "dicom")
        write_series(cohort.root / "P", 8, patient_id="P")
        write_xml(cohort.root / "P" / "P.xml", uid(1), [uid(1, 3)])
        cohort.is_refused("1 masks or annotation files fit no image")
        reason = "LIDC annotation file; only source.kind: lidc reads it"
        assert ("P/P.xml", reason) in cohort.rejected

    @pytest.mark.parametrize("name", ["P/mask.png", "P/deep/3.png", "elsewhere/x.png"])
    def test_a_mask_that_no_image_has(self, tmp_path: Path, name: str) -> None:
        cohort = Cohort(tmp_path, "dicom")
        write_series(cohort.root / "P", 8, patient_id="P")
        write_png(cohort.root / name, *BOX)
        cohort.is_refused(NO_IMAGE if name.startswith("P") else "1 masks or annotation files fit")

    def test_a_picture_of_another_size_is_no_mask(self, tmp_path: Path) -> None:
        cohort = Cohort(tmp_path, "dicom")
        files = write_series(cohort.root / "P", 8, patient_id="P")
        cohort.mark("P", files)
        preview = write_png(cohort.root / "P" / "preview.png")
        data = bytearray(preview.read_bytes())
        data[16:24] = (300).to_bytes(4, "big") * 2
        preview.write_bytes(data)
        assert is_whole(cohort.patients(unannotated="LR1")["P"])
        assert "picture that is no mask" in dict(cohort.rejected)["P/preview.png"]

    def test_some_masks_of_a_folder_fit_by_chance(self, tmp_path: Path) -> None:
        cohort = Cohort(tmp_path, "dicom")
        cohort.masks = tmp_path / "masks"
        for number, (name, n) in enumerate((("A", 9), ("B", 4), ("C", 4)), 1):
            write_series(cohort.root / name, n, patient_id=name, series=number)
        for i in range(1, 10):
            write_png(cohort.masks / f"IM{i:04d}.png", *BOX)
        with pytest.raises(InputError, match=r"none of 9 masks .* mask whose name fits several"):
            cohort.scan()
        write_png(cohort.masks / f"{uid(90, 3)}.png", *BOX)
        with pytest.raises(InputError, match=r"4 patients lose annotations"):
            cohort.scan()
        rows = {row["mask"]: row["how"] for row in table(cohort.private / "masks.tsv")}
        assert rows[f"{uid(90, 3)}.png"] == "SOPInstanceUID"
        assert "fit several images" in rows["IM0009.png"]

    def test_a_folder_of_masks_without_masks(self, tmp_path: Path) -> None:
        cohort = Cohort(tmp_path, "dicom")
        cohort.masks = tmp_path / "masks"
        cohort.masks.mkdir()
        (cohort.masks / "P.nii.gz").write_bytes(b"\x1f\x8b")
        with pytest.raises(InputError, match=r"source.masks: no PNG mask or annotation file"):
            cohort.scan()

    def test_masks_below_the_root_are_looked_at_once(self, tmp_path: Path) -> None:
        cohort = Cohort(tmp_path, "dicom")
        files = write_series(cohort.root / "P", 8, patient_id="P")
        cohort.masks = cohort.root / "masks"
        write_png(cohort.masks / "Q" / "IM0003.png", *BOX)
        for index in MARKED:
            write_png(cohort.masks / "P" / files[index].with_suffix(".png").name, *BOX)
        assert is_whole(cohort.patients()["P"])
        assert [path for path, _ in cohort.rejected] == ["Q/IM0003.png"]
        cohort.masks = cohort.root
        (cohort.root / "masks" / "P").rename(cohort.root / "P" / "marks")
        assert is_whole(cohort.patients()["P"])


class TestIdentifiers:
    def test_a_backslash_is_part_of_the_name(self, cohort: Cohort) -> None:
        for number in (1, 2, 3):
            patient = ["WARD7", f"{number:03d}"]
            write_series(cohort.root / str(number), 3, series=number, PatientID=patient)
        assert {name for name in cohort.scan() if name != "Q"} == {
            f"WARD7\\{number:03d}" for number in (1, 2, 3)
        }

    def test_names_that_cannot_be_decoded_stay_apart(self, cohort: Cohort) -> None:
        for number, byte in ((1, b"\xf6"), (2, b"\xfc")):
            folder = cohort.root / str(number)
            for path in write_series(
                folder, 3, series=number, SpecificCharacterSet="ISO_IR 192", patient_id="J@rg"
            ):
                path.write_bytes(path.read_bytes().replace(b"J@rg", b"J" + byte + b"rg"))
        assert len(cohort.scan()) == 3

    def test_file_names_that_are_no_utf8(self, cohort: Cohort) -> None:
        files = write_series(cohort.root / "P", 8, patient_id="P")
        cohort.mark("P", files)
        os.rename(cohort.root / "P", os.fsencode(cohort.root) + b"/\xff \t'\"$x;")
        assert is_whole(cohort.patients()["P"])


def test_one_annotation_file_twice(tmp_path: Path) -> None:
    cohort = Cohort(tmp_path, "lidc")
    cohort.mark("P", write_series(cohort.root / "P", 8, patient_id="P"))
    shutil.copy(cohort.root / "xml" / "P.xml", cohort.root / "P" / "158.xml")
    assert is_whole(cohort.patients()["P"])
    assert [reason for _, reason in cohort.rejected] == ["copy of another annotation file"]
    write_xml(cohort.root / "P" / "158.xml", uid(1), [uid(1, 2)])
    with pytest.raises(InputError, match="a second annotation file of one series"):
        cohort.patients()


def test_every_file_has_a_row(tmp_path: Path) -> None:
    cohort = Cohort(tmp_path, "dicom")
    root = cohort.root
    write_series(root / "Q" / "other", 2, patient_id="Q", series=91)
    contents = {
        "a.nii.gz": b"\x1f\x8b", "b.gz": b"\x1f\x8b", "c.zip": b"PK\x03\x04",
        "d.xlsx": b"PK\x03\x04",
        "notes.txt": b"x", "DICOMDIR": bytes(128) + b"DICM" + bytes(40), ".hidden": b"x",
        "nothing": b"", "raw": bytes(900), "scan.jpg": b"\xff\xd8\xff",
    }  # fmt: skip
    for name, content in contents.items():
        (root / name).write_bytes(content)
    os.mkfifo(root / "pipe")
    (root / "gone").symlink_to(root / "nowhere")
    cohort.scan()
    assert dict(cohort.rejected) == {
        "a.nii.gz": "NIfTI volume, not DICOM",
        "b.gz": "gzip archive; accepted: its content, unpacked",
        "c.zip": "zip archive; accepted: its content, unpacked",
        "d.xlsx": "spreadsheet",
        "notes.txt": "text or table, not an image",
        "DICOMDIR": "DICOM directory, not an image",
        ".hidden": "hidden: not read",
        "nothing": "empty file",
        "raw": "not a DICOM file",
        "scan.jpg": "JPEG picture; accepted as mask: PNG",
        "pipe": "no regular file",
        "gone": "link to a file that does not exist",
        "Q/other/IM0001.dcm": "image of a series that is not used",
        "Q/other/IM0002.dcm": "image of a series that is not used",
    }


def test_files_that_a_refusal_names_are_there(tmp_path: Path) -> None:
    source = Source(tmp_path)
    write_series(source.root / "a", 2, Modality="MR")
    with pytest.raises(InputError, match="no usable CT among 2 files") as caught:
        source.scan()
    assert str(source.private / "rejected.tsv") in str(caught.value)
    rows = table(source.private / "rejected.tsv")
    assert [row["reason"] for row in rows] == ["not CT: modality MR"] * 2
    assert len(table(source.private / "files.tsv")) == 2
