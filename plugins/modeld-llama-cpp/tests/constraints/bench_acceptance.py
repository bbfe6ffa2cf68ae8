# SPDX-License-Identifier: GPL-3.0-only
"""Counts the schemas of a collection that are taken, and checks what may be written under them.

    python bench_acceptance.py schemas FOLDER   # JSONSchemaBench: one folder for each of its sets
    python bench_acceptance.py suite FOLDER     # the JSON-Schema-Test-Suite's tests/draft2020-12

Of each set of schemas, 80 are taken at even distances in the order of their names. `--walks 5`
also makes so many texts at random for each schema and validates them. `--verbose` says why what is
refused is refused.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from random import Random
from typing import Any

import jsonschema
from following import compiled, takes, walk

from modeld.errors import InvalidRequestError

OF_EACH_SET = 80


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("schemas", "suite"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--walks", type=int, default=0)
    parser.add_argument("--verbose", action="store_true")
    wanted = parser.parse_args()
    if wanted.what == "schemas":
        measure_schemas(wanted.folder, walks=wanted.walks, verbose=wanted.verbose)
    else:
        measure_suite(wanted.folder, verbose=wanted.verbose)


def measure_schemas(folder: Path, *, walks: int, verbose: bool) -> None:
    counts: dict[str, int] = {}
    total = invalid = longest = 0.0
    for one_set in sorted(each for each in folder.iterdir() if each.is_dir()):
        files = sorted(one_set.glob("*.json"))
        for number in range(OF_EACH_SET):
            file = files[number * len(files) // OF_EACH_SET]
            schema = json.loads(file.read_text())
            start = time.perf_counter()
            grammar = attempt(schema, f"{one_set.name}/{file.name}", verbose=verbose)
            longest = max(longest, time.perf_counter() - start)
            total += 1
            counts[one_set.name] = counts.get(one_set.name, 0) + (grammar is not None)
            if grammar is not None:
                invalid += sum(not conforms(schema, grammar, seed) for seed in range(walks))
    for name, count in counts.items():
        print(f"{name:18} {count:3} of {OF_EACH_SET}")
    taken = sum(counts.values())
    print(f"{'all':18} {taken:3} of {total:g}: {taken / total:.1%}; longest {longest:.2f} s")
    if walks:
        print(f"{invalid:g} texts that do not conform")


def attempt(schema: Any, name: str, *, verbose: bool) -> str | None:
    try:
        return compiled("json_schema", schema)
    except InvalidRequestError as exc:
        if verbose:
            print(f"{name}: {exc}", file=sys.stderr)
        return None


def conforms(schema: Any, grammar: str, seed: int) -> bool:
    text = walk(grammar, Random(seed), 700)
    if text is None:
        return True
    validator = jsonschema.validators.validator_for(schema, jsonschema.Draft202012Validator)
    # Multiples of fractions are computed with doubles there, and come out wrong.
    errors = [
        e for e in validator(schema).iter_errors(json.loads(text)) if e.validator != "multipleOf"
    ]
    if errors:
        print(f"{text[:200]}: {errors[0].message[:200]}", file=sys.stderr)
    return not errors


def measure_suite(folder: Path, *, verbose: bool) -> None:
    total = taken = writable_invalid = valid = writable_valid = 0
    for file in sorted(folder.glob("*.json")):
        for case in json.loads(file.read_text()):
            total += 1
            name = f"{file.name}: {case['description']}"
            grammar = attempt(case["schema"], name, verbose=verbose)
            if grammar is None:
                continue
            taken += 1
            for each in case["tests"]:
                writable = is_writable(grammar, each["data"])
                valid += each["valid"]
                writable_valid += each["valid"] and writable
                writable_invalid += writable and not each["valid"]
                if writable and not each["valid"]:
                    print(f"{name}: {each['description']}", file=sys.stderr)
    print(f"{taken} of {total} schemas are taken")
    print(f"{writable_invalid} invalid instances can be written")
    print(f"{writable_valid} of {valid} valid instances can be written")


def is_writable(grammar: str, value: Any) -> bool:
    texts = [
        json.dumps(value, ensure_ascii=False, separators=each)
        for each in ((",", ":"), (", ", ": "))
    ]
    return any(takes(grammar, text) for text in texts if text.isprintable() or text.isascii())


if __name__ == "__main__":
    main()
