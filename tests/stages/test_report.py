"""report: one page, whole, escaped, and without anything from outside."""

from __future__ import annotations

import html.parser
import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from lungaug.cohort import write_rows
from lungaug.evaluation.audit import Finding, write_findings
from lungaug.stages import figures, generated_figures, report, tables
from lungaug.stages.report import SECTIONS
from report_pages import REASON, TEXT, build_report
from synthetic_results import MADE_BY, Plan, build

# One pixel.
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55"
    "0000000a49444154789c63600000000200014898b7770000000049454e44ae426082"
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    root = tmp_path_factory.mktemp("results") / "phantom"
    inputs = build(root, Plan(patients=1, n_slices=1, seeds=1))
    tables.run(
        metrics=inputs["metrics"],
        split=root / "split.tsv",
        output=root / "tables",
        settings=tables.Settings(n_resamples=1000),
        provenance=MADE_BY,
    )
    (root / "figures").mkdir()
    (root / "figures" / "main.png").write_bytes(PNG)
    write_rows(root / "figures/notes.tsv", ("figure", "note"), [{"figure": "main", "note": "Ha."}])
    rejected = [{"file": f"f{i}", "reason": REASON} for i in range(3)]
    write_rows(root / "ingest/b00.rejected.tsv", ("file", "reason"), rejected)
    write_rows(root / "metalung/mirror/b00.skipped.tsv", ("slice", "reason"), [])
    details = (("passed", "9 training rows against 4 test slices"), ("note", "2 slices are smooth"))
    checks = [Finding("fingerprint", "fixed", *outcome) for outcome in details]
    write_findings(root / "fixed/audit.tsv", checks)
    return root, inputs


def write(
    root: Path,
    inputs: dict[str, Any],
    name: str = "report.html",
    realism: Path | None = None,
    sheets: tuple[Path, ...] = (),
    texts: tuple[Path, ...] = (),
    pictures: tuple[Path, ...] = (),
) -> str:
    report.run(
        root=root,
        tables=root / "tables",
        figures=root / "figures",
        text=TEXT,
        cohort=root / "cohort.tsv",
        split=root / "split.tsv",
        audit=[root / "fixed/audit.tsv"],
        splits=[root / "split.tsv"],
        metrics=inputs["metrics"],
        arms=[],
        slice_files=[*inputs["preprocess"], *inputs["expansions"]],
        skipped=[root / "ingest/b00.rejected.tsv", root / "metalung/mirror/b00.skipped.tsv"],
        history=inputs["history"],
        classifiers=inputs.get("classifiers", []),
        generators=inputs.get("generators", []),
        predictions=inputs["predictions"],
        realism=realism,
        sheets=list(sheets),
        texts=list(texts),
        pictures=list(pictures),
        output=root / name,
        settings=report.Settings(),
        provenance=MADE_BY,
    )
    return (root / name).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(made: tuple[Path, dict[str, Any]]) -> str:
    return write(*made)


def test_tables_that_contradict_the_division_are_said_so_first(
    made: tuple[Path, dict[str, Any]], page: str, tmp_path: Path
) -> None:
    root, inputs = made
    warning = "These tables contradict the division of patients."
    assert warning not in page
    copy = tmp_path / "phantom"
    shutil.copytree(root, copy)
    split = copy / "split.tsv"
    rows = split.read_text(encoding="utf-8").splitlines()
    tested = next(row.split("\t")[1] for row in rows if row.endswith("\ttest"))
    edited = [row.replace("\ttest", "\ttrain") if tested in row else row for row in rows]
    split.write_text("\n".join(edited) + "\n", encoding="utf-8")
    moved = {
        name: [copy / path.relative_to(root) for path in paths] for name, paths in inputs.items()
    }
    told = write(copy, moved)
    summary = told[told.index('id="summary"') : told.index('id="main-table"')]
    assert warning in summary
    assert f"{tested} tests in " in summary
    assert "but trains by split.tsv" in summary


class Outline(html.parser.HTMLParser):
    """Tags that are open, links, sources and images of a page."""

    VOID = frozenset({"meta", "link", "img", "br"})  # lines and paths of SVG close themselves

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.images: list[dict[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.ids += [str(values["id"])] if "id" in values else []
        self.links += [str(values[n]) for n in ("href", "src") if n in values]
        self.images += [values] if tag == "img" else []
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def outline(page: str) -> Outline:
    found = Outline()
    found.feed(page)
    assert found.open == []
    return found


def test_the_page_is_whole_and_self_contained(page: str) -> None:
    found = outline(page)
    shown = [name for name, _ in SECTIONS if name not in report.MORE]
    sections = [name for name in found.ids if name in dict(SECTIONS)]
    assert sections == shown
    assert len(set(found.ids)) == len(found.ids)
    for link in found.links:
        assert link.startswith(("#", "data:")), link
        assert not link.startswith("#") or link[1:] in found.ids
    assert not re.search(r"https?://|url\(|@import", page)


def test_images_have_sizes_and_words(page: str) -> None:
    images = outline(page).images
    assert [(i["width"], i["height"]) for i in images] == [("1", "1")]
    assert all(len(str(i["alt"])) > 20 for i in images)
    assert "Ha." in page
    assert "This figure was not made." in page  # the ones that are missing


def test_everything_is_escaped(page: str) -> None:
    assert "<script>alert" not in page
    assert "not CT: modality &lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in page
    assert "&lt;b&gt;missing&lt;/b&gt; slices" in page


def test_failures_are_counted_and_listed(page: str) -> None:
    assert 'ingest/b00.rejected.tsv <span class="count">3</span>' in page
    assert "metalung/mirror/b00.skipped.tsv" not in page  # nothing was skipped there
    assert page.count("not CT: modality") == 4


def test_trainings_settings_and_code_are_shown(page: str) -> None:
    for arm in ("none", "online", "metalung"):
        assert f"unet, {arm}, fixed, seed 0" in page
    assert "3 trainings: unet; arms metalung, none, online" in page
    assert re.search(r"h5py [\d.]+, lungaug [\d.]+, numpy", page)


def test_checks_of_the_audit_say_on_how_much(page: str) -> None:
    rows = re.findall(r"<tr><td>fixed</td><td>fingerprint</td>.*</tr>", page)
    assert [re.findall(r">([\w ]+)</td>", row)[-2:] for row in rows] == [
        ["note", "2 slices are smooth"],  # what did not pass stands alone, too
        ["note", "2 slices are smooth"],
        ["passed", "9 training rows against 4 test slices"],
    ]


def test_every_figure_has_words() -> None:
    scores = [name for _, names in report.MORE.values() for name in names]
    for name, drawn in (
        ("captions", figures.NAMES),
        ("captions.generated", generated_figures.NAMES),
        ("captions.scores", scores),
    ):
        words = yaml.safe_load((TEXT / f"{name}.yaml").read_text(encoding="utf-8"))
        assert sorted(words) == sorted(drawn)
        assert all(set(text) == {"title", "caption", "alt"} for text in words.values())


def test_generated_nodules_are_shown_where_there_are_any(
    page: str, tmp_path: Path, made: tuple[Path, dict[str, Any]]
) -> None:
    assert "No arm of this run has generated nodules." in page
    root = tmp_path / "phantom"
    shutil.copytree(made[0], root)
    main = [{"fold": "fixed", "generator": "dcgan", "variant": "tissue", "nodules": "9"}]
    main[0]["KS pixels"] = "0.91, <yes>"
    write_rows(root / "tables/realism_main.tsv", tuple(main[0]), main)
    (root / "tables/realism_main.md").write_text("**Table**\n\n| a |\n\nWhat it\nsays.\n")
    (root / "figures/generated.png").write_bytes(PNG)
    notes = [{"figure": name, "note": "Fold fixed."} for name in generated_figures.NAMES]
    write_rows(root / "figures/generated_notes.tsv", ("figure", "note"), notes)
    inputs = {
        name: [root / path.relative_to(made[0]) for path in paths]
        for name, paths in made[1].items()
    }
    sheet = root / "fixed/reader/sheet.html"
    shown = write(root, inputs, realism=root / "tables/realism_main.tsv", sheets=(sheet,))
    assert "fixed/reader/sheet.html" in shown
    assert "0.91, &lt;yes&gt;" in shown
    assert "What it says." in shown
    assert shown.count("Fold fixed.") == len(generated_figures.NAMES)
    assert len(outline(shown).images) == 2


def test_tables_told_in_markdown_have_sections_of_their_own(
    made: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    texts = {
        "detection": "**Boxes**\n\n| arm | AP50 |\n|---|---|\n| none | <0.5> |\n\nWhat\nit says.\n",
        "table8": "| arm | LR2 |\n|---|---|\n| blur | 0.7 |\n",
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.md").write_text(text, encoding="utf-8")
    (tmp_path / "froc.png").write_bytes(PNG)
    paths = tuple(tmp_path / f"{name}.md" for name in texts)
    shown = write(*made, "more.html", texts=paths, pictures=(tmp_path / "froc.png",))
    found = outline(shown)
    named = [name for name in found.ids if name in report.MORE]
    assert named == ["published", "detection"]
    assert {"#published", "#detection"} <= set(found.links)
    assert "&lt;0.5&gt;" in shown
    assert '<p class="note">What it says.</p>' in shown
    assert "figure-froc" in found.ids


def test_no_path_of_the_owner_is_shown(page: str, made: tuple[Path, dict[str, Any]]) -> None:
    assert str(made[0].parent) not in page


def test_same_bytes(page: str, made: tuple[Path, dict[str, Any]]) -> None:
    root, inputs = made
    again = write(root, {name: paths[::-1] for name, paths in inputs.items()}, "again.html")
    assert again == page


@pytest.fixture
def arguments(tmp_path: Path, every: dict[str, Any]) -> dict[str, Any]:
    """Of a page with everything; its files may be changed."""
    old, new = every["root"], tmp_path / "phantom"
    shutil.copytree(old, new)

    def moved(value: Any) -> Any:
        if isinstance(value, list):
            return [moved(one) for one in value]
        inside = isinstance(value, Path) and value.is_relative_to(old)
        return new / value.relative_to(old) if inside else value

    return {name: moved(value) for name, value in every.items()}


@pytest.fixture(scope="module")
def every(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return build_report(tmp_path_factory.mktemp("every") / "phantom")


def written(arguments: dict[str, Any]) -> str:
    output: Path = arguments["root"] / "report.html"
    report.run(**arguments, output=output)
    return output.read_text(encoding="utf-8")


def test_long_tables_are_cut_and_name_the_file_that_has_all(arguments: dict[str, Any]) -> None:
    shown = written(arguments)
    assert shown.count("<td>f0000</td>") == 1  # of the second file nothing is left to show
    assert "<td>f0299</td>" in shown
    assert "<td>f0300</td>" not in shown
    for n, rows, batch in ((300, "2,100", "b00"), (0, "7", "b01")):
        name = f"ingest/{batch}.rejected.tsv"
        assert f"{n} of {rows} rows are shown and sorted here; all are in <code>{name}" in shown


def test_settings_that_only_torch_could_read_are_those_that_were_asked(
    arguments: dict[str, Any],
) -> None:
    shown = written(arguments)
    title = "train_generator dcgan, as configured when this page was made"
    assert re.search(rf"<summary>{title}</summary><pre[^>]*>{{\s+&#34;dcgan", shown)


def test_a_class_that_nobody_tests_is_named(arguments: dict[str, Any]) -> None:
    assert 'class="gaps"' not in written(arguments)
    split = pd.read_csv(arguments["split"], sep="\t")
    tested = (split["lung_rads"] == "LR2") & (split["role"] == "test")
    split[~tested].to_csv(arguments["split"], sep="\t", index=False)
    assert '<ul class="gaps"><li>Fold fixed: no test patient of LR2.</li></ul>' in written(
        arguments
    )


def test_what_the_audit_found_stands_before_what_passed(arguments: dict[str, Any]) -> None:
    checks = [Finding("patients", "fixed", how, "x") for how in ("passed", "note", "failed")]
    write_findings(arguments["audit"][0], checks)
    shown = written(arguments)
    found = re.findall(r"<td>patients</td><td>(\w+)</td>", shown)
    assert found == ["note", "failed", "note", "failed", "passed"]
    assert "3 checks: 1 failed, 1 note, 1 passed." in shown
