"""Files come from a mirror, the cache or the net, whole or not at all."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections import namedtuple
from pathlib import Path

import pytest

from downloads import CONTENTS, Answering, made_set, sha256
from steelyard import datasets
from steelyard.datasets import fetching, places, progress
from steelyard.datasets.sources import DataSet, Remote
from steelyard.errors import DataError, UsageError

pytestmark = pytest.mark.usefixtures("no_mirror")


def obtain(dataset: DataSet, cache: Path) -> dict[str, bytes]:
    return {name: path.read_bytes() for name, path in fetching.obtain(dataset, cache, progress.silent).items()}


def left_over(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.rglob("*") if path.is_file())


def test_a_download_is_kept_and_not_made_twice(answering: Answering, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int | None]] = []
    found = fetching.obtain(made_set(answering.url), tmp_path, lambda *news: seen.append(news))
    assert {name: path.read_bytes() for name, path in found.items()} == CONTENTS
    assert seen[-1] == ("y.txt", len(CONTENTS["y.txt"]), len(CONTENTS["y.txt"]))
    assert [done for name, done, _ in seen if name == "x.txt"][-1] == len(CONTENTS["x.txt"])
    assert obtain(made_set(answering.url), tmp_path) == CONTENTS
    assert answering.asked == ["x.txt", "y.txt"]
    assert left_over(tmp_path) == ["x.txt", "y.txt"]


def test_a_damaged_file_in_the_cache_is_loaded_anew(answering: Answering, tmp_path: Path) -> None:
    obtain(made_set(answering.url), tmp_path)
    (tmp_path / "datasets" / "made" / "y.txt").write_bytes(b"1")
    assert obtain(made_set(answering.url), tmp_path) == CONTENTS
    assert answering.asked == ["x.txt", "y.txt", "y.txt"]


def test_wrong_contents_are_refused_and_not_kept(answering: Answering, tmp_path: Path) -> None:
    answering.bodies["x.txt"] = b"something else"
    with pytest.raises(DataError, match=r"x.txt of the data set made could not be downloaded") as caught:
        obtain(made_set(answering.url), tmp_path)
    assert sha256(b"something else") in caught.value.message
    assert sha256(CONTENTS["x.txt"]) in caught.value.message
    assert "STEELYARD_DATA" in caught.value.hint
    assert left_over(tmp_path) == []


def test_a_download_that_breaks_off_says_how_far_it_came(answering: Answering, tmp_path: Path) -> None:
    answering.withheld = 100
    whole = len(CONTENTS["x.txt"])
    with pytest.raises(DataError, match=f"broke off after {whole - 100} of {whole} bytes"):
        obtain(made_set(answering.url), tmp_path)
    assert left_over(tmp_path) == []


def test_a_server_without_the_file_is_named_with_its_answer(answering: Answering, tmp_path: Path) -> None:
    answering.bodies = {}
    with pytest.raises(DataError, match="the server answered 404"):
        obtain(made_set(answering.url), tmp_path)


def test_no_connection_is_no_traceback(answering: Answering, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"http://127.0.0.1:9/x.txt: Connection refused"):
        obtain(made_set("http://127.0.0.1:9"), tmp_path)
    with pytest.raises(DataError, match="could not be downloaded") as caught:
        obtain(made_set("http://nowhere.invalid"), tmp_path)
    assert "try again with a connection" in caught.value.hint


def test_the_second_address_serves_when_the_first_does_not(answering: Answering, tmp_path: Path) -> None:
    assert obtain(made_set("http://127.0.0.1:9", answering.url), tmp_path) == CONTENTS


def test_a_file_without_end_is_broken_off(
    answering: Answering, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "MOST_BYTES", 1000)
    with pytest.raises(DataError, match="larger than 1000 bytes"):
        obtain(made_set(answering.url), tmp_path)
    assert left_over(tmp_path) == []


def test_a_full_disk_is_told_before_it_is_full(
    answering: Answering, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "free")
    monkeypatch.setattr("steelyard.data.room.shutil.disk_usage", lambda _: usage(100))
    with pytest.raises(DataError, match="is too full: 40000 bytes are needed, 100 are free"):
        obtain(made_set(answering.url), tmp_path)
    assert left_over(tmp_path) == []


def test_a_cache_that_cannot_be_written_is_named(answering: Answering, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="nothing can be written to the cache") as caught:
        obtain(made_set(answering.url), tmp_path / "file")
    assert "STEELYARD_CACHE" in caught.value.hint


def test_killed_in_the_middle_nothing_is_taken_for_whole(answering: Answering, tmp_path: Path) -> None:
    answering.stall = threading.Event()
    program = (
        "import sys; from pathlib import Path; from downloads import made_set; "
        "from steelyard.datasets import fetching, progress; "
        "fetching.obtain(made_set(sys.argv[1]), Path(sys.argv[2]), progress.silent)"
    )
    child = subprocess.Popen([sys.executable, "-c", program, answering.url, str(tmp_path)])
    assert answering.half_sent.wait(60)
    child.send_signal(signal.SIGKILL)
    child.wait()
    answering.stall.set()
    assert not (tmp_path / "datasets" / "made" / "x.txt").exists()
    assert obtain(made_set(answering.url), tmp_path) == CONTENTS


def test_a_mirror_is_asked_first_and_held_against_the_hash(
    answering: Answering, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "mirror" / "made"
    folder.mkdir(parents=True)
    for name, raw in CONTENTS.items():
        (folder / name).write_bytes(raw)
    monkeypatch.setenv("STEELYARD_DATA", str(tmp_path / "mirror"))
    assert obtain(made_set(answering.url), tmp_path / "cache") == CONTENTS
    assert answering.asked == []
    (folder / "y.txt").write_bytes(b"1 1 1 1\n")
    with pytest.raises(DataError, match=r"made/y.txt is not the file that it should be") as caught:
        obtain(made_set(answering.url), tmp_path / "cache")
    assert "copy it into the mirror anew" in caught.value.hint
    (folder / "y.txt").unlink()
    assert obtain(made_set(answering.url), tmp_path / "cache") == CONTENTS
    assert answering.asked == ["x.txt", "y.txt"]
    monkeypatch.setenv("STEELYARD_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match="which is no folder"):
        obtain(made_set(answering.url), tmp_path / "cache")


def test_files_packed_otherwise_in_a_mirror_do_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answering: Answering
) -> None:
    there = made_set(answering.url)
    other = Remote("both.txt", (sha256(b"packed"),))
    dataset = DataSet("made", "", "", "", "made", (*there.ways, (other,)), there.read)
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "both.txt").write_bytes(b"packed")
    monkeypatch.setenv("STEELYARD_DATA", str(tmp_path))
    assert obtain(dataset, tmp_path / "cache") == {"both.txt": b"packed"}
    monkeypatch.delenv("STEELYARD_DATA")
    assert obtain(dataset, tmp_path / "cache") == CONTENTS


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STEELYARD_CACHE", str(tmp_path))
    assert places.cache_folder() == tmp_path
    monkeypatch.delenv("STEELYARD_CACHE")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert places.cache_folder() == tmp_path / "steelyard"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert places.cache_folder() == Path.home() / ".cache" / "steelyard"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert places.cache_folder() == Path.home() / "Library" / "Caches" / "steelyard"
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    assert places.cache_folder() == tmp_path / "steelyard" / "Cache"


def test_every_set_can_be_downloaded_from_a_real_address() -> None:
    for name in datasets.NAMES:
        dataset = datasets.describe(name)
        assert dataset.name == name
        assert any(all(remote.urls for remote in files) for files in dataset.ways), name
        for remote in (remote for files in dataset.ways for remote in files):
            assert remote.digests
            assert all(url.startswith("https://") for url in remote.urls)


def test_an_unknown_name_gets_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no data set is called 'minst'") as caught:
        datasets.load("minst", tmp_path)
    assert caught.value.hint == "did you mean mnist?"
