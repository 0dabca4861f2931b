"""What an HDF5 file holds that is not in it: links and data in files that somebody else names."""

from __future__ import annotations

import h5py


def outside(file: h5py.File) -> str:
    """Return what of a slice file is no group of datasets of its own; '' if all is."""
    for name in file:
        if not isinstance(file.get(name, getlink=True), h5py.HardLink):
            return "holds a link"
        group = file[name]
        if not isinstance(group, h5py.Group):
            return "holds a dataset outside of a group"
        for inner in group:
            if not isinstance(group.get(inner, getlink=True), h5py.HardLink):
                return "holds a link"
            dataset = group[inner]
            if not isinstance(dataset, h5py.Dataset):
                return "holds a group within a group"
            if dataset.external or dataset.is_virtual:
                return "holds data of another file"
    return ""
