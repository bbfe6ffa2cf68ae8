# SPDX-License-Identifier: GPL-3.0-only
"""Which files of a repository are pulled."""

from __future__ import annotations

import pytest
from modeld_pull.digest import Digest
from modeld_pull.errors import PullNotFoundError, PullUnusableError
from modeld_pull.hub.choice import RemoteFile, chosen

from modeld.errors import InvalidRequestError

DIGEST = Digest(algorithm="sha256", hex="0" * 64)
SPLIT = [f"big/x-Q8_0-{number:05}-of-00003.gguf" for number in (1, 2, 3)]
SEVERAL = ["x-Q4_K_M.gguf", "x-Q8_0.gguf", "x-UD-IQ2_XXS.gguf", "sub/y-F16.gguf", *SPLIT[::-1]]
OTHERS = ["README.md", "config.json", "mmproj-x-F16.gguf", "x-imatrix.gguf"]


def files(*paths: str) -> list[RemoteFile]:
    return [RemoteFile(path=path, size_bytes=2 << 20, digest=DIGEST) for path in paths]


@pytest.mark.parametrize(
    ("there", "wanted", "paths"),
    [
        ([*OTHERS, "only-IQ1_S.gguf"], "", ["only-IQ1_S.gguf"]),
        ([*OTHERS, *SPLIT], "", SPLIT),
        (["mmproj-x.gguf"], "", ["mmproj-x.gguf"]),
        ([*OTHERS, *SEVERAL], "", ["x-Q4_K_M.gguf"]),
        (SEVERAL, "q4_k_m", ["x-Q4_K_M.gguf"]),
        (SEVERAL, "IQ2_XXS", ["x-UD-IQ2_XXS.gguf"]),
        (SEVERAL, "F16", ["sub/y-F16.gguf"]),
        (SEVERAL, "sub/y-F16.gguf", ["sub/y-F16.gguf"]),
        (SEVERAL, "y-F16.gguf", ["sub/y-F16.gguf"]),
        (SEVERAL, SPLIT[1], SPLIT),
        ([*OTHERS, *SEVERAL], "mmproj-x-F16.gguf", ["mmproj-x-F16.gguf"]),
        ([f"Q8_0/{SPLIT[0][:-20]}.gguf", "z-Q4_0.gguf"], "Q4_0", ["z-Q4_0.gguf"]),
    ],
)  # fmt: skip
def test_the_rule_chooses(there, wanted, paths) -> None:
    assert [file.path for file in chosen(files(*there), wanted, "a/b")] == paths


def test_of_several_none_is_guessed_and_all_are_listed_with_their_sizes() -> None:
    with pytest.raises(InvalidRequestError) as refused:
        chosen(files("x-Q5_0.gguf", "x-Q8_0.gguf", *SPLIT), "", "a/b")
    assert refused.value.field == "file"
    assert "'x-Q5_0.gguf' (2.0 MiB), 'x-Q8_0.gguf' (2.0 MiB)" in refused.value.message
    assert "'big/x-Q8_0-00001-of-00003.gguf' (6.0 MiB)" in refused.value.message
    with pytest.raises(InvalidRequestError, match="several models of 'Q8_0'"):
        chosen(files(*SEVERAL), "Q8_0", "a/b")
    with pytest.raises(InvalidRequestError, match="and 10 more"):
        chosen(files(*(f"x{number:02}-Q8_0.gguf" for number in range(50))), "", "a/b")


@pytest.mark.parametrize("wanted", ["Q2_K", "z.gguf", "4_K_M", "Q4_K", "4_K_M.gguf"])
def test_what_is_not_there_is_said_with_what_is(wanted) -> None:
    with pytest.raises(PullNotFoundError, match="it has 'big/x"):
        chosen(files(*SEVERAL), wanted, "a/b")


def test_a_repository_without_models_has_none() -> None:
    with pytest.raises(PullNotFoundError, match="a/b has no GGUF file"):
        chosen(files("model.safetensors"), "", "a/b")


def test_a_split_model_is_whole_or_refused() -> None:
    with pytest.raises(PullUnusableError, match="of the 3 files of 'big/x-Q8_0' only 2"):
        chosen(files(*SPLIT[1:]), "", "a/b")


@pytest.mark.parametrize("path", ["../x.gguf", "/x.gguf", "a/../x.gguf", ".x.gguf", "a\0b.gguf"])
def test_names_that_lead_elsewhere_are_refused(path) -> None:
    with pytest.raises(PullUnusableError, match="cannot be pulled"):
        chosen(files(path), "", "a/b")
