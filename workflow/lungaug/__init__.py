"""lungaug: augmentation of lung-CT training sets, measured honestly."""

__version__ = "0.1.0"
