"""Files that may be annotations, masks that contradict themselves, series that tags tear apart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dicom_files import ct_dataset, read, uid, write, write_series
from dicom_source import Ingested, Source, write_png, write_xml
from lungaug.errors import InputError

BOX = [(row, column) for row in range(3, 7) for column in range(3, 7)]


def cohort(folder: Path, kind: str = "dicom") -> Source:
    """Q, who is annotated, and P with eight slices and nothing."""
    found = Source(folder)
    files = write_series(found.root / "Q", 5, patient_id="Q", series=90)
    if kind == "lidc":
        write_xml(found.root / "Q" / "Q.xml", uid(90), [str(read(files[2]).SOPInstanceUID)])
    else:
        write_png(files[2].with_suffix(".png"), *BOX)
    write_series(found.root / "P", 8, patient_id="P")
    return found


def is_refused(source: Source, kind: str = "dicom") -> None:
    """P stops the run, or is left out; never healthy. Without the setting P is unknown."""
    with pytest.raises(InputError):
        source.both(kind=kind, unannotated="LR1")
    assert "P" not in source.both(kind=kind, unannotated="LR1", on_bad_input="skip")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("IM0003.jpg", b"\xff\xd8\xff\xe0"),
        ("lesion.tif", b"II*\x00" + bytes(40)),
        ("IM0003.png", b""),
        ("any.png", b""),
        ("lesion3.png", b"\xff\xd8\xff\xe0"),
        ("P_seg.nii.gz", b"\x1f\x8b" + bytes(40)),
        ("P.nrrd", b"NRRD0004" + bytes(40)),
        ("P.xml.gz", b"\x1f\x8b" + bytes(40)),
    ],
)
def test_a_file_that_may_be_the_annotation(tmp_path: Path, name: str, content: bytes) -> None:
    source = cohort(tmp_path)
    (source.root / "P" / name).write_bytes(content)
    is_refused(source)


def test_a_link_to_a_mask_that_is_gone(tmp_path: Path) -> None:
    source = cohort(tmp_path)
    (source.root / "P" / "IM0003.png").symlink_to(tmp_path / "nowhere.png")
    is_refused(source)


@pytest.mark.parametrize("modality", ["SEG", "RTSTRUCT"])
def test_a_segmentation_in_dicom(tmp_path: Path, modality: str) -> None:
    source = cohort(tmp_path)
    write(source.root / "seg.dcm", ct_dataset(Modality=modality, patient_id="P", number=99))
    is_refused(source)


def test_a_mask_with_the_images_while_masks_have_a_folder(tmp_path: Path) -> None:
    source = cohort(tmp_path)
    source.masks = tmp_path / "masks"
    (source.root / "Q" / "IM0003.png").rename(write_png(source.masks / f"{uid(90, 3)}.png"))
    write_png(source.root / "P" / "IM0003.png", *BOX)
    is_refused(source)


@pytest.mark.parametrize("content", [b"", "utf-16", "comment"])
def test_an_annotation_file_that_is_hard_to_recognise(tmp_path: Path, content: Any) -> None:
    source = cohort(tmp_path, "lidc")
    path = write_xml(source.root / "P" / "P.xml", uid(1), [uid(1, 3)])
    text = path.read_text()
    if content == b"":
        path.write_bytes(b"")
        is_refused(source, "lidc")
        return
    text = f'<?xml version="1.0" encoding="UTF-16"?>{text}' if content == "utf-16" else text
    if content == "comment":
        path.write_text(f"<!-- {'x' * 3000} -->{text}")
    else:
        path.write_bytes(text.encode("utf-16"))
    assert source.both(kind="lidc")["P"].with_nodule == [5]


def test_a_sheet_that_lost_the_zeros_of_a_name(tmp_path: Path) -> None:
    source = cohort(tmp_path)
    write_series(source.root / "seven", 4, patient_id="007", series=7)
    source.sheet = tmp_path / "sheet.csv"
    source.sheet.write_text("patient_id,lung_rads\nP,LR1\n7,LR4A\n")
    with pytest.raises(InputError, match="lines of the sheet name nobody here"):
        source.scan(unannotated="LR1")


def test_a_png_mask_on_a_slice_that_the_readers_did_not_outline(tmp_path: Path) -> None:
    source = cohort(tmp_path, "lidc")
    write_xml(source.root / "P" / "P.xml", uid(1), [uid(1, 3)])
    write_png(source.root / "P" / "IM0003.png", *BOX)
    assert "P" in source.both(kind="lidc")
    write_png(source.root / "P" / "IM0006.png", *BOX)
    with pytest.raises(InputError, match="does not outline"):
        source.both(kind="lidc")


class TestOwners:
    """Whose mask it is where folders and identifiers mislead."""

    def masked(self, folder: Path, mask: str, **patients: str) -> Source:
        """Patients by folder, each with 8 slices; one mask."""
        source = Source(folder)
        for number, (name, patient) in enumerate(patients.items(), 1):
            write_series(source.root / name, 8, patient_id=patient, series=number)
        source.masks = folder / "masks"
        write_png(source.masks / mask, *BOX)
        return source

    def owners(self, source: Source) -> set[str]:
        try:
            found = source.both(on_bad_input="skip")
        except InputError:
            return set()
        return {name for name, patient in found.items() if patient.with_nodule}

    def test_identifiers_that_differ_in_case(self, tmp_path: Path) -> None:
        source = self.masked(tmp_path, "ab/IM0003.png", scan1="ab", scan2="AB")
        assert self.owners(source) == {"ab"}

    def test_an_identifier_with_a_slash(self, tmp_path: Path) -> None:
        source = self.masked(tmp_path, "2019/1/IM0003.png", scan1="2019/1", **{"1": "Z"})
        assert self.owners(source) == {"2019/1"}

    def test_one_identifier_for_all(self, tmp_path: Path) -> None:
        source = self.masked(tmp_path, "ANON/IM0003.png", one="ANON", two="ANON")
        source.sheet = tmp_path / "sheet.csv"
        source.sheet.write_text("folder,patient_id\none,A\ntwo,B\n")
        assert self.owners(source) == set()

    def test_folders_that_contradict_identifiers(self, tmp_path: Path) -> None:
        source = self.masked(tmp_path, "A/IM0003.png", A="B", B="A")
        assert self.owners(source) == set()

    def test_the_image_of_the_folder_is_missing(self, tmp_path: Path) -> None:
        source = self.masked(tmp_path, "B/1.2.3.png", A="A", B="B")
        path = next((source.root / "A").iterdir())
        dataset = read(path)
        dataset.SOPInstanceUID = "1.2.3"
        write(path, dataset)
        assert self.owners(source) == set()

    @pytest.mark.parametrize(
        ("mask", "owner"),
        [("mask_IM0003.png", {"A"}), ("IM0003_MASK.png", {"A"}), ("IM3.png", set())],
    )
    def test_names(self, tmp_path: Path, mask: str, owner: set[str]) -> None:
        assert self.owners(self.masked(tmp_path, mask, A="A")) == owner


Change = Callable[[int, Any], None]


def in_place(**values: Callable[[int], Any]) -> Change:
    """Set tags by the place of the slice; None deletes."""

    def change(i: int, dataset: Any) -> None:
        for name, value in values.items():
            found = value(i)
            setattr(dataset, name, found) if found is not None else delattr(dataset, name)

    return change


class TestVolumes:
    @pytest.mark.parametrize(
        "change",
        [
            in_place(AcquisitionNumber=lambda i: 1 + i % 2),
            in_place(ConvolutionKernel=lambda i: ["B30f", "B70f"][i % 2]),
            in_place(ImageType=lambda i: ["DERIVED" if i % 3 else "ORIGINAL", "PRIMARY"]),
            in_place(StudyInstanceUID=lambda i: None if i % 2 else uid(9, 1)),
            in_place(SeriesInstanceUID=lambda i: None if i % 2 else uid(1)),
            in_place(PatientID=lambda i: None if i > 4 else "P"),
            in_place(ImageOrientationPatient=lambda i: None if i == 3 else [1, 0, 0, 0, 1, 0]),
            in_place(
                ImagePositionPatient=lambda i: [0, 0, 0 if i else 9],
                SliceLocation=lambda i: 2.0 * i,
            ),
            in_place(
                ImagePositionPatient=lambda i: None, SliceLocation=lambda i: 2.0 * i,
                InstanceNumber=lambda i: 1 + (3 * i) % 8,
            ),
        ],
    )  # fmt: skip
    def test_one_volume_stays_whole(self, tmp_path: Path, change: Change) -> None:
        assert self.found(tmp_path, change).n_slices == 8

    def found(self, folder: Path, change: Change, marked: int = 3) -> Ingested:
        source = Source(folder)
        files = write_series(source.root / "P", 8, patient_id="P", change=change)
        write_png(files[marked].with_suffix(".png"), *BOX)
        found = source.both(unannotated="LR1")["P"]
        assert (found.with_nodule, found.lung_rads) == ([marked], "LR2")
        return found

    def test_a_series_and_a_folder_for_every_slice(self, tmp_path: Path) -> None:
        source = Source(tmp_path)
        for i in range(8):
            path = source.root / "P" / str(i) / "1.dcm"
            tags = {"SOPInstanceUID": uid(7, i + 1), "StudyInstanceUID": uid(9)}
            write(path, ct_dataset(z=2.0 * i, number=1, patient_id="P", series=i + 1, **tags))
            if i == 3:
                write_png(path.with_suffix(".png"), *BOX)
        found = source.both(unannotated="LR1")["P"]
        assert (found.n_slices, found.with_nodule) == (8, [3])

    def test_two_passes_that_both_count_from_one(self, tmp_path: Path) -> None:
        source = Source(tmp_path)
        for late in (0, 1):
            for i in range(8):
                tags = {"SOPInstanceUID": uid(7, 10 * late + i + 1)}
                dataset = ct_dataset(z=2.0 * i + late, number=i + 1, patient_id="P", **tags)
                path = write(source.root / "P" / f"{late}{i}.dcm", dataset)
                if (late, i) == (0, 3):
                    write_png(path.with_suffix(".png"), *BOX)
        found = source.both()["P"]
        assert (found.n_slices, found.with_nodule) == (8, [3])

    @pytest.mark.parametrize("n_second", [7, 8])
    def test_two_volumes_that_nothing_tells_apart(self, tmp_path: Path, n_second: int) -> None:
        source = Source(tmp_path)
        write_series(source.root / "Q", 5, patient_id="Q", series=90)
        for second in (0, 1):
            for i in range(n_second if second else 8):
                tags = {"SOPInstanceUID": uid(7, 10 * second + i + 1)}
                dataset = ct_dataset(z=2.0 * i, number=i + 1, patient_id="P", **tags)
                path = write(source.root / "P" / f"{(i + second) % 2}{second}{i}.dcm", dataset)
                if (second, i) == (1, 3):
                    write_png(path.with_suffix(".png"), *BOX)
        with pytest.raises(InputError, match="nothing tells them apart"):
            source.both()
        assert "P" not in source.both(on_bad_input="skip", unannotated="LR1")

    def test_one_uid_and_no_place(self, tmp_path: Path) -> None:
        none = {"InstanceNumber": None, "ImagePositionPatient": None}
        source = Source(tmp_path)
        write_series(source.root / "P", 8, patient_id="P", SOPInstanceUID="1.2", **none)
        assert source.both(unannotated="LR1")["P"].n_slices == 8

    def test_copies_that_were_made_in_another_way(self, tmp_path: Path) -> None:
        source = Source(tmp_path)
        for kernel, n in (("a", 6), ("b", 8)):
            for i in range(n):
                tags = {"SOPInstanceUID": uid(7, i + 1), "ConvolutionKernel": kernel}
                dataset = ct_dataset(z=2.0 * i, number=i + 1, patient_id="P", **tags)
                path = write(source.root / kernel / f"{i}.dcm", dataset)
                if (kernel, i) == ("b", 3):
                    write_png(path.with_suffix(".png"), *BOX)
        found = source.both()["P"]
        assert (found.n_slices, found.with_nodule) == (8, [3])

    def test_an_annotated_fragment_beside_a_whole_volume(self, tmp_path: Path) -> None:
        source = cohort(tmp_path)
        path = write(source.root / "P" / "one.dcm", ct_dataset(patient_id="P", series=5))
        write_png(path.with_suffix(".png"), *BOX)
        with pytest.raises(InputError, match="apart from a volume of 8 images"):
            source.scan()

    def test_two_originals_do_not_outweigh_a_derived_volume(self, tmp_path: Path) -> None:
        source = Source(tmp_path)
        write_series(source.root / "a", 2, patient_id="P", series=1)
        write_series(source.root / "b", 8, patient_id="P", series=2, ImageType=["DERIVED"])
        assert source.both(unannotated="LR1")["P"].n_slices == 8
