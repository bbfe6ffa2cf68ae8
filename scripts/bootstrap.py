# SPDX-License-Identifier: GPL-3.0-only
"""Brings a fresh checkout to life: ``python3 scripts/bootstrap.py VERB``. The Makefile calls it.

Any Python 3 can start it; it goes on with Python 3.11 or later, which it looks for. It needs
nothing but that Python and a C++ compiler, and does nothing that was done already.
"""

import os
import platform
import sys
from pathlib import Path

from bootstrapping import interpreters


def ensure_python() -> None:
    """Go on in a Python that is new enough and can make virtual environments."""
    try:
        import ensurepip  # noqa: F401, PLC0415  (Debian's Python may lack it)

        if sys.version_info >= interpreters.OLDEST:
            return
    except ImportError:
        pass
    found = interpreters.newest()
    if found is None:
        sys.exit(
            "bootstrap: error: no Python 3.11 or later with the venv module was found (this is"
            f" {platform.python_version()}); install one, for example with"
            " `apt-get install python3 python3-venv`, `brew install python` or"
            " `pyenv install 3.13`"
        )
    os.execv(found, [found, str(Path(__file__).resolve()), *sys.argv[1:]])


if __name__ == "__main__":
    ensure_python()
    from bootstrapping import verbs

    verbs.main()
