"""What travels to a node arrives whole, once, and nowhere but in its folder; shares are never lost."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from steelyard.bundle import sha256
from steelyard.cluster.parcels import Shelf, chunks, inside, pack
from steelyard.cluster.shares import Share, Shares, divided
from steelyard.errors import InputError
from steelyard.records.candidate import Candidate, Numerics
from steelyard.records.data import Prepared
from steelyard.records.errand import Parcel
from steelyard.records.model import ModelInfo


@pytest.fixture
def packed(tmp_path: Path) -> tuple[Parcel, dict[str, Path]]:
    """A model of two files, one of them large, and an array; two of the contents are equal."""
    home = tmp_path / "home"
    (home / "data" / "judging").mkdir(parents=True)
    (home / "net.onnx").write_bytes(b"the graph")
    (home / "net.data").write_bytes(b"\x01" * 40_000_000)
    (home / "data" / "judging" / "x.npy").write_bytes(b"the graph")
    (home / "data" / "empty.npy").write_bytes(b"")
    (home / "data" / "prepared.json").write_bytes(b"not an array")
    info = ModelInfo(
        path=str(home / "net.onnx"), format="onnx", inputs=(), outputs=(), files=("net.onnx", "net.data"),
        size=1, sha256="m",
    )  # fmt: skip
    prepared = Prepared(
        folder=str(home / "data"), source="s", sha256="d", calibration={}, judging={}, labels=None,
        items_calibrate=0, items_select=1, items_confirm=1,
    )  # fmt: skip
    return pack(info, prepared)


def sent(shelf: Shelf, parcel: Parcel, contents: dict[str, Path]) -> list[str]:
    missing = shelf.missing(parcel)
    for content in missing:
        for chunk in chunks(contents[content]):
            shelf.take(content, chunk, last=False)
        shelf.take(content, b"", last=True)
    return missing


def test_it_arrives_whole_and_once(packed: tuple[Parcel, dict[str, Path]], tmp_path: Path) -> None:
    parcel, contents = packed
    shelf = Shelf(tmp_path / "node")
    assert len(sent(shelf, parcel, contents)) == 3, "equal contents travel once"
    place = shelf.laid_out(parcel)
    found = {f.relative_to(place).as_posix(): sha256(f) for f in place.rglob("*") if f.is_file()}
    assert found == parcel.files
    assert set(found) == {"model/net.onnx", "model/net.data", "data/judging/x.npy", "data/empty.npy"}
    assert all(f.stat().st_nlink == 1 for f in place.rglob("*") if f.is_file()), "a linked model would be refused"
    assert sent(shelf, parcel, contents) == []
    assert shelf.laid_out(parcel) == place


def test_another_parcel_takes_the_place(packed: tuple[Parcel, dict[str, Path]], tmp_path: Path) -> None:
    parcel, contents = packed
    shelf = Shelf(tmp_path / "node")
    sent(shelf, parcel, contents)
    place = shelf.laid_out(parcel)
    smaller = Parcel(files={"model/n.onnx": parcel.files["model/net.onnx"]}, model="n", prepared=parcel.prepared)
    assert sent(shelf, smaller, contents) == []
    assert not place.exists()
    assert len(list((tmp_path / "node" / "contents").iterdir())) == 1


def test_what_was_damaged_on_its_way_is_refused(packed: tuple[Parcel, dict[str, Path]], tmp_path: Path) -> None:
    parcel, contents = packed
    shelf = Shelf(tmp_path / "node")
    content = shelf.missing(parcel)[0]
    with pytest.raises(InputError, match="damaged on their way"):
        shelf.take(content, b"something else", last=True)
    assert content in shelf.missing(parcel)
    sent(shelf, parcel, contents)
    assert shelf.laid_out(parcel).is_dir()


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a/../../x", "", ".", "a\\..\\x", "a\0b"])
def test_no_path_leaves_its_folder(name: str) -> None:
    with pytest.raises(InputError, match="inside a folder"):
        inside(name)


@pytest.mark.parametrize("content", ["../../x", "abc", "A" * 64, ""])
def test_contents_are_named_by_their_hash_alone(content: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="sha256"):
        Shelf(tmp_path).take(content, b"", last=True)


def candidates() -> list[Candidate]:
    return [Candidate(variant=v, runtime="r", threads=t) for v in ("a", "b", "c", "d", "e") for t in (1, 2)]


@pytest.mark.parametrize("nodes", [1, 2, 3, 7])
def test_the_candidates_are_divided_by_numerics(nodes: int) -> None:
    shares = divided(candidates(), nodes)
    told = [name for share in shares for name in share.only or ()]
    assert sorted(told) == sorted({candidate.numerics for candidate in candidates()})
    assert len(shares) == min(nodes, 5)
    assert max(len(s.only or ()) for s in shares) - min(len(s.only or ()) for s in shares) <= 1


def test_a_share_that_is_given_back_goes_to_one_that_waits() -> None:
    first, second = Share((Numerics("a"),)), Share((Numerics("b"),))
    shares = Shares([first, second])
    assert shares.take() == first
    assert shares.take() == second
    shares.finish()
    taken: list[Share | None] = []
    waiting = threading.Thread(target=lambda: taken.append(shares.take()))
    waiting.start()
    shares.give_back(first)
    waiting.join(timeout=10)
    assert taken == [first]
    shares.finish()
    assert shares.take() is None


def test_closed_nobody_waits() -> None:
    shares = Shares([Share(None)])
    shares.take()
    taken: list[Share | None] = []
    waiting = threading.Thread(target=lambda: taken.append(shares.take()))
    waiting.start()
    shares.close()
    waiting.join(timeout=10)
    assert taken == [None]
