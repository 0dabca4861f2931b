"""Errors for the person who caused them: what, where, what is accepted."""

from __future__ import annotations


class LungaugError(Exception):
    """An error that the command line prints as one message, without a traceback."""


class SettingError(LungaugError, ValueError):
    """A setting is unknown, of the wrong type or out of range."""


class InputError(LungaugError):
    """A file from outside cannot be used."""


class FileFormatError(LungaugError):
    """A file written by a stage is damaged or of another schema version."""


class LeakageError(LungaugError):
    """Data of a validation or test patient reached something that trains."""


class StorageError(LungaugError):
    """A file cannot be written: the disk is full, read-only or closed to the user."""
