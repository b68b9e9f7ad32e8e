"""Imports every module of the installed package. In: nothing. Out: nothing, or what is not there.

`make wheel` runs it: a module or a file that the wheel lacks, or a dependency that only developers have, shows here.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys

import streams


def main() -> None:
    """Raises ImportError with the first module that cannot be imported."""
    if "site-packages" not in (streams.__file__ or ""):
        sys.exit(f"{streams.__file__} is not an installed package: run this from a folder without the sources")
    for module in pkgutil.walk_packages(streams.__path__, "streams."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


if __name__ == "__main__":
    main()
