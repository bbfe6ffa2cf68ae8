# SPDX-License-Identifier: GPL-3.0-only
import os
import subprocess
import sys

import pytest
from modeld_llama_cpp.backend import LlamaCpp


@pytest.mark.parametrize(
    ("given", "expected"),
    [({}, "1000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, "None")],
)
def test_workers_spin_less_unless_the_environment_says_otherwise(given, expected):
    imports = "; ".join(f"import {module}" for module in LlamaCpp.warm_imports)
    code = f"import os; {imports}; print(os.environ.get('GOMP_SPINCOUNT'))"
    kept = {name: value for name, value in os.environ.items() if "OMP_" not in name}
    done = subprocess.run(
        [sys.executable, "-c", code], env=kept | given, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == expected


def test_the_limit_is_set_before_openmp_is_loaded():
    assert LlamaCpp.warm_imports[0] == "modeld_llama_cpp.native.openmp_spin"
