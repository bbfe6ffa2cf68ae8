# SPDX-License-Identifier: GPL-3.0-only
"""A pull over real sockets: what comes, what is kept, what is refused."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from fake_hub import (
    GGUF,
    MODEL,
    REPO,
    cut_after,
    fake_hub,
    instead,
    redirect,
    silent_after,
    status,
)
from modeld_pull.errors import (
    PullConflictError,
    PullDeniedError,
    PullDiskError,
    PullFailedError,
    PullNotFoundError,
    PullUnusableError,
)
from modeld_pull.files.folder import Folder, opened_folder
from modeld_pull.reference import reference_of
from pulling import Puller, at_url

from modeld.errors import InvalidRequestError

WHOLE = f"{REPO}/{MODEL}"
PART = [f"{WHOLE}.part", f"{WHOLE}.part.json"]


@asynccontextmanager
async def puller(root: Path, **members: Any) -> AsyncIterator[Puller]:
    async with fake_hub(**members) as hub:
        yield Puller(hub, root)


def test_a_model_is_in_its_repositorys_folder_with_all_its_bytes(tmp_path: Path) -> None:
    async def main() -> None:
        async with puller(tmp_path / "not there yet") as it:
            assert await it.pull() == [Path(WHOLE)]
            assert (it.root / WHOLE).read_bytes() == GGUF
            assert it.there() == [WHOLE]
            assert it.told[-1].completed_bytes == it.told[-1].total_bytes == len(GGUF)
            assert {each.status for each in it.told} == {"resolving", "verifying", "downloading"}
            asked = len(it.hub.asked_of("/cdn"))
            assert await it.pull() == [Path(WHOLE)]
            assert len(it.hub.asked_of("/cdn")) == asked == 1

    asyncio.run(main())


def test_the_token_goes_to_the_hub_and_to_nobody_else(tmp_path: Path, caplog) -> None:
    async def main() -> None:
        async with puller(tmp_path) as it:
            it.environ["HF_TOKEN"] = "hf_secret"
            await it.pull()
            sent = [(each.at, each.headers.get("Authorization")) for each in it.hub.asked]
            hub, cdn = it.hub.ports
            assert sent == [(hub, "Bearer hf_secret"), (hub, "Bearer hf_secret"), (cdn, None)]

    with caplog.at_level("DEBUG"):
        asyncio.run(main())
    assert "secret" not in caplog.text


def test_a_cut_is_gone_on_from_in_the_same_pull(tmp_path: Path) -> None:
    async def main() -> None:
        async with puller(tmp_path) as it:
            it.hub.cdn_faults = [cut_after(100_000), cut_after(50_000)]
            await it.pull()
            ranges = [each.headers.get("Range") for each in it.hub.asked_of("/cdn")]
            assert ranges == [None, "bytes=100000-", "bytes=150000-"]
            assert all(each.headers.get("If-Range") for each in it.hub.asked_of("/cdn")[1:])
            assert (it.root / WHOLE).read_bytes() == GGUF
            assert len(it.waits) == 2
            assert [each.detail for each in it.told if each.status == "waiting"]

    asyncio.run(main())


def test_a_cancelled_pull_is_gone_on_from_by_the_next(tmp_path: Path) -> None:
    async def main() -> None:
        async with puller(tmp_path) as it:
            never = asyncio.Event()
            it.hub.cdn_faults = [silent_after(120_000, never)]
            pulling = asyncio.create_task(it.pull())
            await it.until_written(PART[0], 120_000)
            pulling.cancel()
            await asyncio.gather(pulling, return_exceptions=True)
            assert it.there() == PART
            await it.pull()
            assert it.hub.asked_of("/cdn")[-1].headers["Range"] == "bytes=120000-"
            assert it.there() == [WHOLE]
            assert (it.root / WHOLE).read_bytes() == GGUF

    asyncio.run(main())


@pytest.mark.parametrize(
    "harm", ["bytes", "later bytes", "longer", "state", "no state", "other file"]
)
def test_what_was_kept_and_is_no_use_costs_only_itself(tmp_path: Path, harm: str) -> None:
    async def main() -> None:
        async with puller(tmp_path) as it:
            it.hub.cdn_faults = [cut_after(100_000)]
            with pytest.raises(PullFailedError, match="broke off"):
                await it.pull(retries=0)
            part, state = (it.root / each for each in PART)
            match harm:
                case "bytes":
                    part.write_bytes(b"x" * 100_000)
                case "later bytes":
                    part.write_bytes(GGUF[:99_999] + b"!")
                case "longer":
                    part.write_bytes(GGUF + b"more")
                case "state":
                    state.write_text("{")
                case "no state":
                    state.unlink()
                case "other file":
                    it.hub.files[MODEL] = GGUF[:-1] + b"!"
            await it.pull()
            assert (it.root / WHOLE).read_bytes() == it.hub.files[MODEL]
            assert it.there() == [WHOLE]

    asyncio.run(main())


def test_a_source_that_has_no_part_sends_the_whole(tmp_path: Path) -> None:
    async def main() -> None:
        async with puller(tmp_path) as it:
            for no_part in (
                instead(GGUF, ETag='"other"'),
                status(416),
                status(206, Content_Range="bytes 7-8/9"),
                status(206),
            ):
                it.hub.cdn_faults = [cut_after(100_000), no_part]
                await it.pull()
                assert (it.root / WHOLE).read_bytes() == GGUF
                (it.root / WHOLE).unlink()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (GGUF[:-1] + b"!", "other bytes than sha256:"),
        (b"<html>" + GGUF[6:], "no GGUF file"),
        (GGUF[:-1], "bytes where"),
        (GGUF + b"!", "bytes where"),
    ],
    ids=["wrong", "html", "short", "long"],
)
def test_wrong_bytes_are_never_offered(tmp_path: Path, sent: bytes, said: str) -> None:
    async def main() -> None:
        async with puller(tmp_path) as it:
            it.hub.cdn_faults = [instead(sent)]
            with pytest.raises(PullUnusableError, match=said):
                await it.pull()
            assert it.there() == []

    asyncio.run(main())


def test_a_file_that_changes_after_it_was_listed_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with puller(tmp_path) as it:
            it.hub.lies = {"oid": "0" * 64}
            with pytest.raises(PullUnusableError, match="another file since it was listed"):
                await it.pull()
            assert it.there() == []

    asyncio.run(main())


def test_a_small_file_is_verified_as_git_does(tmp_path: Path) -> None:
    async def main() -> None:
        async with puller(tmp_path, small={MODEL}) as it:
            it.hub.cdn_faults = [instead(GGUF[:-1] + b"!")]
            with pytest.raises(PullUnusableError, match="other bytes than git-blob:"):
                await it.pull()
            assert await it.pull() == [Path(WHOLE)]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("where", "fault", "kind"),
    [
        ("api_faults", status(404, X_Error_Code="RepoNotFound"), PullNotFoundError),
        ("api_faults", status(401), PullDeniedError),
        ("api_faults", instead(b"<html>"), PullUnusableError),
        ("api_faults", status(429, Retry_After="3600"), PullFailedError),
        ("resolve_faults", status(403, X_Error_Code="GatedRepo"), PullDeniedError),
        ("resolve_faults", status(302), PullUnusableError),
        ("resolve_faults", status(302, Location="ftp://x/y"), PullUnusableError),
        ("resolve_faults", status(302, Location="http://me:key@127.0.0.1/y"), PullUnusableError),
        ("resolve_faults", instead(GGUF, Content_Encoding="br"), PullUnusableError),
        ("cdn_faults", status(403), PullDeniedError),
        ("cdn_faults", status(400), PullUnusableError),
    ],
)
def test_what_the_source_refuses_is_said_and_not_tried_again(tmp_path, where, fault, kind) -> None:
    async def main() -> None:
        async with puller(tmp_path) as it:
            getattr(it.hub, where).append(fault)
            with pytest.raises(kind) as refused:
                await it.pull()
            assert type(refused.value) is kind
            assert "signature" not in refused.value.message
            assert not it.waits
            assert not (it.root / WHOLE).exists()

    asyncio.run(main())


def test_a_source_that_is_busy_is_asked_again_when_it_says(tmp_path: Path) -> None:
    async def main() -> None:
        async with puller(tmp_path) as it:
            it.hub.api_faults = [status(429, Retry_After="20")]
            it.hub.resolve_faults = [status(503), status(502)]
            it.hub.cdn_faults = [status(429, Retry_After="30")]
            await it.pull()
            assert it.waits[0] == 20.0
            assert it.waits[-1] == 30.0
            assert len(it.waits) == 4
            it.hub.api_faults = [status(500), status(500)]
            with pytest.raises(PullFailedError, match="500"):
                await it.pull(retries=1)

    asyncio.run(main())


def test_a_silent_source_is_left_and_asked_again(tmp_path: Path) -> None:
    async def main() -> None:
        async with puller(tmp_path) as it:
            never = asyncio.Event()
            it.hub.cdn_faults = [silent_after(100_000, never)]
            await it.pull(stall_timeout_s=0.1, retries=100)
            assert (it.root / WHOLE).read_bytes() == GGUF
            details = [each.detail for each in it.told if each.status == "waiting"]
            assert set(details) == {"127.0.0.1 has sent nothing for 0.1 s"}

    asyncio.run(main())


def test_a_hub_that_is_not_there_is_said(tmp_path: Path) -> None:
    async def main() -> None:
        async with puller(tmp_path) as it:
            with pytest.raises(PullFailedError, match=r"127\.0\.0\.1 cannot be reached: connect"):
                await it.pull(endpoint="http://127.0.0.1:1", retries=1)
            assert len(it.waits) == 1

    asyncio.run(main())


def test_a_split_model_comes_whole_and_its_files_add_up(tmp_path: Path) -> None:
    async def main() -> None:
        names = [f"Q8_0/x-Q8_0-0000{number}-of-00003.gguf" for number in (1, 2, 3)]
        contents = {name: b"GGUF" + name.encode() * 5000 for name in names}
        async with puller(tmp_path, files=contents, page=2) as it:
            it.hub.cdn_faults = [cut_after(50_000)]
            assert await it.pull() == [Path(REPO, name) for name in names]
            assert {name: (it.root / REPO / name).read_bytes() for name in names} == contents
            total = sum(map(len, contents.values()))
            assert {each.total_bytes for each in it.told[1:]} == {total}
            counts = [each.completed_bytes for each in it.told]
            assert counts[-1] == total
            assert len(it.hub.asked_of("/api")) == 2

    asyncio.run(main())


def test_a_list_that_goes_on_elsewhere_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with puller(tmp_path) as it:
            link = f'<{it.hub.cdn}/api>; rel="next"'
            it.hub.api_faults = [instead(b"[]", Link=link)]
            with pytest.raises(PullUnusableError, match="for its list of files"):
                await it.pull()

    asyncio.run(main())


@pytest.mark.parametrize("link", ["mailto:x", "http://[::1", "http://h:99999/"])
def test_a_list_that_goes_on_at_no_address_is_refused(tmp_path: Path, link: str) -> None:
    async def main() -> None:
        async with puller(tmp_path) as it:
            it.hub.api_faults = [instead(b"[]", Link=f'<{link}>; rel="next"')]
            with pytest.raises(PullUnusableError, match="no address for its list"):
                await it.pull()

    asyncio.run(main())


@pytest.mark.parametrize("location", [b"//h\xff/", b"http://h:99999/", b"mailto:x"])
def test_a_redirect_to_no_address_is_refused(tmp_path: Path, location: bytes) -> None:
    async def main() -> None:
        async with puller(tmp_path) as it:
            it.more["public"] = lambda _address: True
            it.hub.resolve_faults = [redirect(location)]
            with pytest.raises(PullUnusableError, match="address"):
                await it.pull()

    asyncio.run(main())


def test_a_folder_opens_no_path_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "link").symlink_to(tmp_path / "outside")
    with (
        opened_folder(tmp_path / "models", ()) as folder,
        pytest.raises(PullUnusableError, match="no name of a file"),
    ):
        folder.open("link/m.gguf", os.O_WRONLY | os.O_CREAT)
    assert list((tmp_path / "outside").iterdir()) == []


def test_no_token_goes_through_a_proxy_that_could_read_it(tmp_path: Path, monkeypatch) -> None:
    async def main() -> None:
        async with puller(tmp_path) as it:
            it.environ["HF_TOKEN"] = "hf_secret"
            for name in ("no_proxy", "NO_PROXY"):
                monkeypatch.delenv(name, raising=False)
            monkeypatch.setenv("http_proxy", it.hub.cdn)
            await it.pull()
            assert {each.at for each in it.hub.asked} == {it.hub.ports[1]}
            assert not any("Authorization" in each.headers for each in it.hub.asked)

    asyncio.run(main())


def test_a_file_at_a_url_goes_to_the_folder_itself(tmp_path: Path) -> None:
    async def main() -> None:
        async with puller(tmp_path) as it:
            it.environ["HF_TOKEN"] = "hf_secret"
            url = f"{it.hub.cdn}/cdn/{MODEL}?signature=secret"
            it.hub.cdn_faults = [cut_after(100_000)]
            assert await it.pull(at_url(url, GGUF)) == [Path(MODEL)]
            assert it.there() == [MODEL]
            assert not any("Authorization" in each.headers for each in it.hub.asked)
            (it.root / MODEL).unlink()
            with pytest.raises(PullUnusableError, match="other bytes"):
                await it.pull(at_url(url, b"other"))
            assert it.there() == []

    asyncio.run(main())


async def unmeasured(request: web.Request, content: bytes) -> web.StreamResponse:
    response = web.StreamResponse()
    response.enable_chunked_encoding()
    await response.prepare(request)
    await response.write(content)
    return response


def test_a_pull_from_a_url_that_goes_on_knows_how_much_there_is_before_it_asks(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        async with puller(tmp_path) as it:
            pull_of = at_url(f"{it.hub.cdn}/cdn/{MODEL}", GGUF)
            it.hub.cdn_faults = [cut_after(100_000)]
            with pytest.raises(PullFailedError, match="broke off"):
                await it.pull(pull_of, retries=0)
            it.told.clear()
            await it.pull(pull_of)
            asked = next(n for n, each in enumerate(it.told) if each.status == "downloading")
            assert it.told[asked].total_bytes == len(GGUF)

    asyncio.run(main())


def test_a_url_whose_length_nobody_says_is_brought_too(tmp_path: Path) -> None:
    async def main() -> None:
        async with puller(tmp_path) as it:
            it.hub.cdn_faults = [unmeasured]
            await it.pull(at_url(f"{it.hub.cdn}/cdn/{MODEL}", GGUF))
            assert (it.root / MODEL).read_bytes() == GGUF

    asyncio.run(main())


def test_a_source_outside_does_not_lead_into_the_network(tmp_path: Path) -> None:
    async def main() -> None:
        async with puller(tmp_path) as it:
            it.more["public"] = lambda address: address == "127.0.0.1"
            said = {"127.0.0.2": "of the internet", "[::1]": "of the internet"}
            said |= {"2130706434": "no sound address", "0x7f.2": "no sound address"}
            for inside, why in said.items():
                it.hub.location = lambda _path, to=inside: f"http://{to}:{it.hub.ports[1]}/cdn/x"
                with pytest.raises(PullUnusableError, match=why):
                    await it.pull()
            assert not it.hub.asked_of("/cdn")

    asyncio.run(main())


@pytest.mark.parametrize(
    "wrong",
    [
        instead(b"<html>come in</html>"),
        status(416, Content_Range="bytes */9"),
        status(206, Content_Range="bytes 0-8/9"),
    ],
    ids=["200", "416", "206"],
)
def test_a_response_of_another_size_does_not_cost_what_was_kept(tmp_path: Path, wrong) -> None:
    async def main() -> None:
        async with puller(tmp_path) as it:
            it.hub.cdn_faults = [cut_after(100_000), wrong]
            with pytest.raises(PullFailedError, match="bytes where"):
                await it.pull(retries=1)
            assert (it.root / PART[0]).read_bytes() == GGUF[:100_000]
            await it.pull()
            assert it.hub.asked_of("/cdn")[-1].headers["Range"] == "bytes=100000-"

    asyncio.run(main())


def test_bytes_that_came_before_are_no_progress(tmp_path: Path) -> None:
    async def whole_but_cut(request: web.Request, content: bytes) -> web.StreamResponse:
        return await cut_after(100_000)(request.clone(headers={}), content)

    async def main() -> None:
        async with puller(tmp_path) as it:
            it.hub.cdn_faults = [whole_but_cut] * 9
            with pytest.raises(PullFailedError, match="broke off"):
                await it.pull(retries=2)
            assert len(it.waits) == 2
            assert (it.root / PART[0]).stat().st_size == 100_000

    asyncio.run(main())


@pytest.mark.parametrize("is_measured", [True, False])
def test_the_disk_is_looked_at_while_bytes_come(tmp_path, monkeypatch, is_measured) -> None:
    async def main() -> None:
        async with puller(tmp_path) as it:
            monkeypatch.setattr("modeld_pull.files.transfer.CHECK_SPACE_BYTES", 1)
            pull_of = at_url(f"{it.hub.cdn}/cdn/{MODEL}", GGUF)
            it.hub.cdn_faults = [] if is_measured else [unmeasured]
            looks = iter([1 << 30, 1 << 30, 0])
            monkeypatch.setattr(Folder, "free_bytes", lambda _folder: next(looks))
            with pytest.raises(PullDiskError, match="keep_free_mb"):
                await it.pull(pull_of, keep_free_mb=1)
            assert it.there() == [f"{MODEL}.part", f"{MODEL}.part.json"]

    asyncio.run(main())


def test_a_circle_of_redirects_ends(tmp_path: Path) -> None:
    async def main() -> None:
        async with puller(tmp_path) as it:
            it.hub.location = lambda path: f"/{REPO}/resolve/main/{path}"
            with pytest.raises(PullUnusableError, match="more than 8 times"):
                await it.pull()

    asyncio.run(main())


def test_another_file_of_that_name_is_left_alone(tmp_path: Path) -> None:
    async def main() -> None:
        async with puller(tmp_path) as it:
            (tmp_path / REPO).mkdir(parents=True)
            (tmp_path / WHOLE).write_bytes(b"mine")
            with pytest.raises(PullConflictError, match="is another file"):
                await it.pull()
            assert (tmp_path / WHOLE).read_bytes() == b"mine"

    asyncio.run(main())


@pytest.mark.parametrize("link", ["someone", REPO, WHOLE, PART[0], PART[1]])
def test_no_link_is_followed(tmp_path: Path, link: str) -> None:
    async def main() -> None:
        outside = tmp_path / "outside"
        outside.mkdir()
        root = tmp_path / "models"
        (root / link).parent.mkdir(parents=True)
        target = outside / "file" if ".gguf" in link else outside
        (root / link).symlink_to(target)
        async with puller(root) as it:
            with pytest.raises(PullConflictError, match="follows no links"):
                await it.pull()
        assert list(outside.iterdir()) == []

    asyncio.run(main())


def test_a_fifo_where_a_part_should_be_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        (tmp_path / REPO).mkdir(parents=True)
        os.mkfifo(tmp_path / PART[0])
        async with puller(tmp_path) as it:
            with pytest.raises(PullConflictError, match="no regular file"):
                await it.pull()

    asyncio.run(main())


def test_what_does_not_fit_is_refused_before_it_is_asked_for(tmp_path: Path) -> None:
    async def main() -> None:
        async with puller(tmp_path) as it:
            free_mb = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize >> 20
            with pytest.raises(PullDiskError, match="keep_free_mb"):
                await it.pull(keep_free_mb=free_mb + 1024)
            assert not it.hub.asked_of(f"/{REPO}")
            reference = at_url(f"{it.hub.cdn}/cdn/{MODEL}", GGUF)
            with pytest.raises(PullDiskError, match="keep_free_mb"):
                await it.pull(reference, keep_free_mb=free_mb + 1024)

    asyncio.run(main())


def test_a_disk_that_fills_up_keeps_the_part(tmp_path: Path, monkeypatch) -> None:
    written, system = [0], os.write

    def write(descriptor: int, data: memoryview) -> int:
        if written[0] >= 100_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        done = system(descriptor, data[: 100_000 - written[0]])
        written[0] += done if len(data) > 200 else 0
        return done

    async def main() -> None:
        async with puller(tmp_path) as it:
            with monkeypatch.context() as full:
                full.setattr("modeld_pull.files.part.os.write", write)
                with pytest.raises(PullDiskError, match=r"the disk of .* is full"):
                    await it.pull()
            assert (it.root / PART[0]).stat().st_size == 100_000
            await it.pull()
            assert it.hub.asked_of("/cdn")[-1].headers["Range"] == "bytes=100000-"
            assert (it.root / WHOLE).read_bytes() == GGUF

    asyncio.run(main())


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    async def main() -> None:
        (tmp_path / "file").write_text("")
        async with puller(tmp_path / "file" / "models") as it:
            with pytest.raises((PullDiskError, PullConflictError), match="file"):
                await it.pull()

    asyncio.run(main())


def test_two_pulls_of_one_file_do_not_meet(tmp_path: Path) -> None:
    async def main() -> None:
        async with puller(tmp_path) as it:
            released, reached = asyncio.Event(), asyncio.Event()
            it.hub.cdn_faults = [silent_after(100_000, released, reached)]
            first = asyncio.create_task(it.pull())
            await reached.wait()
            with pytest.raises(PullConflictError, match="being pulled already"):
                await it.pull()
            released.set()
            assert await first == [Path(WHOLE)]

    asyncio.run(main())


def test_a_part_that_becomes_the_file_meanwhile_is_not_taken_for_one(tmp_path: Path) -> None:
    from modeld_pull.digest import Digest
    from modeld_pull.files.part import opened_part

    digest = Digest(algorithm="sha256", hex="0" * 64)
    with opened_folder(tmp_path, ("a",)) as folder:
        with opened_part(folder, "m.gguf", digest) as first:
            first.write(b"GGUF")
            before = folder.open("m.gguf.part", os.O_RDWR)
            first.commit()
            opened = [before]

        class Slow(Folder):
            def open(self, name: str, flags: int) -> int:
                return opened.pop() if opened else super().open(name, flags)

        with opened_folder(tmp_path, ("a",)) as again:
            slow = Slow(again._descriptor, again.path)
            with opened_part(slow, "m.gguf", digest) as second:
                assert second.size_bytes == 0
                second.write(b"GGUF2")
                with pytest.raises(PullConflictError, match="come there meanwhile"):
                    second.commit()
        assert (tmp_path / "a" / "m.gguf").read_bytes() == b"GGUF"


def test_a_digest_that_the_hub_does_not_know_is_refused_before_it_is_pulled(tmp_path: Path) -> None:
    async def main() -> None:
        async with puller(tmp_path) as it:
            with pytest.raises(InvalidRequestError, match="is not one file with this digest"):
                await it.pull(reference_of(REPO, sha256="0" * 64))
            assert not it.hub.asked_of("/cdn")
            await it.pull(reference_of(REPO, sha256=at_url("", GGUF).sha256))

    asyncio.run(main())
