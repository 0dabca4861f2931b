import os
import sys

from lungaug.cli import main

status = main()
if status:
    sys.stderr.flush()
    # HDF5 crashes at an orderly exit after a write that the disk had no room for.
    os._exit(status)
