"""The configuration of a preview: as the workflow reads it, with the paths of stages."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from snakemake.common.configfile import load_configfile
from snakemake.exceptions import WorkflowError
from snakemake.utils import update_config

from lungaug import cohort_root, configfiles, configuration
from lungaug.errors import SettingError
from lungaug.settings import from_mapping

DEMO = Path(__file__).resolve().parents[3] / "config.yaml"

T = TypeVar("T")


@dataclass(frozen=True)
class Setup:
    """A checked configuration.

    Attributes:
        config: all settings, defaults filled.
        schema: the schema of the configuration.
    """

    config: Mapping[str, Any]
    schema: Mapping[str, Any]

    @property
    def cohort(self) -> str:
        """Name of the cohort."""
        return str(self.config["cohort"])

    @property
    def is_phantom(self) -> bool:
        """Whether the patients are made up."""
        return bool(self.config["source"]["kind"] == "phantom")

    @property
    def kind(self) -> str:
        """The kind of source that stages know: a phantom is DICOM in a folder."""
        return "dicom" if self.is_phantom else str(self.config["source"]["kind"])

    @property
    def private(self) -> Path:
        """The private folder of the cohort, which may not exist yet."""
        return Path(self.config["private"], self.cohort)

    @property
    def key(self) -> Path:
        """The key of the pseudonyms, which may not exist yet."""
        return Path(self.config["key_file"] or self.private / "key")

    @property
    def ledger(self) -> Path:
        """The ledger, which may not exist yet."""
        return Path(self.config["ledger"] or f"ledgers/{self.cohort}.tsv")

    def source(self, name: str) -> Path | None:
        """A path of the section ``source``; None where it is not set."""
        value = self.config["source"][name]
        return Path(value) if value else None

    def stage(self, settings: type[T], name: str, **extra: Any) -> T:
        """The settings that the workflow runs a stage with.

        Args:
            settings: the stage's class of settings.
            name: of the stage.
            extra: see :func:`lungaug.configuration.stage_settings`.
        """
        text = configuration.stage_settings(self.config, self.schema, name, **extra)
        return from_mapping(settings, json.loads(text), where=name)

    def source_stage(self, settings: type[T], name: str, **extra: Any) -> T:
        """The settings that the workflow runs scan or ingest with."""
        own = self.config["ingest"]
        shared = {key: own[key] for key in ("on_bad_input", "unannotated")}
        return self.stage(settings, name, **{"kind": self.kind, **shared, **extra})

    def other_root(self) -> str:
        """Why a run would refuse the source folder as another cohort's, '' if it would not."""
        if self.is_phantom:
            return ""
        made = [Path(self.config["results"], self.cohort, "cohort.tsv"), self.ledger]
        try:
            cohort_root.check(self.private, self.cohort, self.config["source"]["root"], made)
        except SettingError as error:
            return str(error)
        return ""


def read(files: Sequence[Path]) -> Setup:
    """Read configuration files as Snakemake does, of which the later overrule the earlier.

    Args:
        files: the configuration files; none for the demo's.

    Raises:
        SettingError: every fault, a line each.
    """
    files = list(files) or [DEMO]
    written = configfiles.read(files)
    values: dict[str, Any] = {}
    try:
        for file in files:
            update_config(values, load_configfile(str(file)))
    except WorkflowError as error:
        raise SettingError(str(error)) from error
    schema = configuration.load_schema()
    return Setup(configuration.checked(values, schema, written=written), schema)
