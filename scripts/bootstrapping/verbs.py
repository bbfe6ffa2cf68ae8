# SPDX-License-Identifier: GPL-3.0-only
"""What ``bootstrap.py`` can do, one function a verb."""

from __future__ import annotations

import argparse
import os

from checkout import ROOT, say

from bootstrapping import (
    bench_base,
    chat_templates,
    clients,
    environment,
    lock,
    matrix,
    peer,
    weights,
    wheel_tests,
    wheels,
)


def main() -> None:
    """Run the verb that the command line names."""
    _run(_parser().parse_args())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bootstrap.py", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("dev", help="make .venv with everything that testing needs")
    verbs.add_parser("models", help="bring the model files and chat templates that the tests use")
    bench = verbs.add_parser("bench", help="run the benchmarks")
    bench.add_argument("arguments", nargs="*", help="arguments for tests.bench, after --")
    serve = verbs.add_parser("run", help="serve SmolLM2")
    serve.add_argument("--port", type=int, default=8080)
    several = verbs.add_parser("matrix", help="run the tests on several Pythons")
    several.add_argument("--versions", default="", help="default: those that this machine has")
    several.add_argument("pytest", nargs="*", help="arguments for pytest, after --")
    verbs.add_parser("wheels", help="build the wheels of core and plugins into dist/")
    foreign = verbs.add_parser("clients", help="run the tests with the clients that people use")
    foreign.add_argument("--clients", default="", help="default: all; sdks, or some by name")
    foreign.add_argument("pytest", nargs="*", help="arguments for pytest, after --")
    several = verbs.add_parser("cluster", help="run the tests on several nodes of Ray")
    several.add_argument("pytest", nargs="*", help="arguments for pytest, after --")
    covered = verbs.add_parser("test", help="run the tests on the installed wheels")
    covered.add_argument("--minimum", type=float, required=True, help="in per cent")
    covered.add_argument("pytest", nargs="*", help="arguments for pytest, after --")
    locking = verbs.add_parser("lock", help="write the lock files anew")
    locking.add_argument("--check", action="store_true", help="only say whether they are current")
    locking.add_argument("--upgrade", action="store_true", help="take the newest versions")
    return parser


def _run(options: argparse.Namespace) -> None:
    match options.verb:
        case "dev":
            environment.ensure("dev")
        case "models":
            models()
        case "bench":
            run_bench(options.arguments)
        case "run":
            run(options.port)
        case "matrix":
            matrix.run(options.versions.split(), options.pytest)
        case "wheels":
            wheels.build(environment.ensure("dev"))
        case "test":
            built = wheels.build(environment.ensure("dev"))
            python = wheels.environment_of(built)
            wheel_tests.run(python, options.pytest, minimum=options.minimum)
        case "clients" | "cluster":
            run_apart(options)
        case "lock":
            lock.check() if options.check else lock.write(upgrade=options.upgrade)


def models() -> None:
    """Bring both models and the chat templates."""
    python = environment.ensure("runtime")
    for each in (weights.SMOLLM2, weights.GEMMA3):
        weights.bring(each, python)
    chat_templates.bring(python)


def run_bench(arguments: list[str]) -> None:
    """Run the benchmarks in place of this process, beside those of another revision if wanted."""
    base = bench_base.bring()
    python = environment.ensure("dev")
    command = [str(python), "-m", "tests.bench"]
    if "--no-peer" not in arguments:
        command += ["--llama-server", str(peer.bring(python))]
    if base is not None:
        command += ["--base", str(base)]
    os.chdir(ROOT)
    os.execv(command[0], [*command, *arguments])


def run_apart(options: argparse.Namespace) -> None:
    """Run the tests that need packages which modeld does without."""
    if options.verb == "clients":
        clients.run(options.clients.split(), options.pytest)
    else:
        run_cluster(options.pytest)


def run_cluster(arguments: list[str]) -> None:
    """Run the tests that need Ray in place of this process, in an environment that has it."""
    python = environment.ensure("cluster", ".venv-cluster")
    tests = ROOT / "plugins" / "modeld-ray" / "tests" / "cluster"
    os.chdir(ROOT)
    command = [str(python), "-m", "pytest", str(tests), "-c", str(tests / "pytest.ini")]
    os.execv(command[0], [*command, *arguments])


def run(port: int) -> None:
    """Serve SmolLM2 in place of this process."""
    python = environment.ensure("runtime")
    model = weights.bring(weights.SMOLLM2, python)
    modeld = str(python.with_name("modeld"))
    where = ["--addr", f"127.0.0.1:{port}", "--models-dir", str(model.parent)]
    say(f"starting modeld on port {port}; Ctrl-C ends it")
    os.execv(modeld, [modeld, "serve", *where, "--default-model", model.name])
