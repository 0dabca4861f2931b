"""Hosts: slices of training patients, healthy unless asked, spread evenly over the patients."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lungaug.errors import InputError, SettingError
from lungaug.insertion.protocol import rng_of
from lungaug.listing import Place, SliceFiles
from lungaug.settings import setting

_WITH_LUNGS = (b"ok", b"one_lung")
_HEALTHY = b"LR1"


@dataclass(frozen=True)
class HostSettings:
    """Which slices may receive a nodule."""

    patients: Literal["all", "healthy"] = setting(
        "all", "healthy: of Lung-RADS 1 only; all: of others too, far from their nodules"
    )
    distance_mm: float = setting(
        10.0, "least distance along z from every slice with a nodule, mm", minimum=0
    )

    beside_nodules: bool = setting(
        False,
        "slices with a nodule too, and those near them, off the nodule: for collections that have "
        "no healthy slices",
    )

    def __post_init__(self) -> None:
        if not math.isfinite(self.distance_mm):
            raise SettingError(f"distance_mm: got {self.distance_mm}; accepted: a finite number")


class Hosts:
    """The slices that may receive a nodule, by patient.

    Args:
        of_patient: for each patient, where slices lie: file, group, rows (n,).
    """

    def __init__(self, of_patient: dict[str, list[tuple[str, str, NDArray[np.int32]]]]) -> None:
        self._of_patient = of_patient

    @classmethod
    def find(
        cls,
        files: SliceFiles,
        names: Iterable[str],
        patients: Collection[str],
        settings: HostSettings,
    ) -> Hosts:
        """Look through the tables of slice files; no image is read.

        Args:
            files: where they lie.
            names: of the preprocess files.
            patients: those that train.
            settings: which of their slices.

        Raises:
            InputError: there is no host; it says what to do.
        """
        of_patient: dict[str, list[tuple[str, str, NDArray[np.int32]]]] = {}
        healthy = 0
        for name in names:
            for stack in files.file(name).stacks():
                if stack.patient not in patients:
                    continue
                healthy += int(np.count_nonzero(_healthy(stack.slices)))
                rows = stack.rows.start + np.flatnonzero(hosts_in(stack.slices, settings))
                if len(rows):
                    held = of_patient.setdefault(stack.patient, [])
                    held.append((name, stack.group, rows.astype(np.int32)))
        if not of_patient:
            raise InputError(no_hosts(len(patients), healthy, settings))
        return cls(of_patient)

    def __len__(self) -> int:
        return sum(len(rows) for held in self._of_patient.values() for *_, rows in held)

    @property
    def patients(self) -> list[str]:
        return sorted(self._of_patient)

    def in_turn(self, seed: int) -> Iterator[Place]:
        """Hosts without end: a slice of every patient, then another of every patient, and so on.

        The order of patients and of each one's slices is drawn from the seed. A patient whose
        slices are used up begins again.
        """
        order = rng_of(seed, "patients").permutation(self.patients).tolist()
        turns = {patient: self._order(patient, seed) for patient in order}
        position = 0
        while True:
            for patient in order:
                turn = turns[patient]
                yield self._place(patient, int(turn[position % len(turn)]))
            position += 1

    def _order(self, patient: str, seed: int) -> NDArray[np.int64]:
        n = sum(len(rows) for *_, rows in self._of_patient[patient])
        return rng_of(seed, patient).permutation(n)

    def _place(self, patient: str, position: int) -> Place:
        for name, group, rows in self._of_patient[patient]:
            if position < len(rows):
                return name, group, int(rows[position])
            position -= len(rows)
        raise IndexError(position)


def hosts_in(slices: NDArray[np.void], settings: HostSettings) -> NDArray[np.bool_]:
    """(N,) which slices of one series may be hosts.

    Those with lungs on which somebody looked for nodules and found none, far enough from every
    slice of the series that has one. Where positions are unknown no slice of a series with a
    nodule is far enough. With ``beside_nodules`` all slices with lungs that somebody looked at.

    Args:
        slices: (N,) rows of the slice table.
        settings: see :class:`HostSettings`.
    """
    diameter = slices["diameter_mm"]
    if settings.beside_nodules:
        return np.asarray(np.isin(slices["status"], _WITH_LUNGS) & (diameter >= 0))
    fit = _healthy(slices)
    ill = diameter > 0
    if settings.patients == "healthy":
        fit &= slices["lung_rads"] == _HEALTHY
    if ill.any():
        away = np.abs(slices["z_mm"][:, None] - slices["z_mm"][ill]).min(axis=1)
        fit &= away >= settings.distance_mm
    return np.asarray(fit)


def _healthy(slices: NDArray[np.void]) -> NDArray[np.bool_]:
    """(N,) which slices have lungs and no nodule, as somebody saw who looked."""
    return np.asarray(np.isin(slices["status"], _WITH_LUNGS) & (slices["diameter_mm"] == 0))


def no_hosts(n_patients: int, n_healthy: int, settings: HostSettings) -> str:
    """Say that no slice can receive a nodule, and which settings could still change that.

    Args:
        n_patients: of training.
        n_healthy: slices of theirs with lungs and without a nodule.
        settings: that no slice fits.
    """
    helps = ["Lung-RADS 1 patients in training"]
    if n_healthy and settings.patients != "all":
        helps.append(f"insert.hosts.patients: all (now {settings.patients})")
    if n_healthy and settings.distance_mm > 0:
        helps.append(f"insert.hosts.distance_mm below {settings.distance_mm:g}")
    if not settings.beside_nodules:
        helps.append("insert.hosts.beside_nodules: true (now false)")
    return (
        f"no slice of the {n_patients} training patients can be a host that receives nodules; "
        f"{n_healthy} slices have lungs and no nodule; accepted: {', '.join(helps)}, or arms "
        "without generators"
    )
