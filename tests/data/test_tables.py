from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from steelyard.errors import DataError
from steelyard.records.data import Preprocess
from steelyard.records.model import TensorInfo

Prepare = Callable[..., Any]
Rows = Mapping[str, Sequence[Any]]

PEOPLE: dict[str, list[Any]] = {
    "age": [20 + n for n in range(20)],
    "town": [("oslo", "rome", "lima")[n % 3] for n in range(20)],
    "income": [1000.5 * n for n in range(20)],
    "label": [n % 2 for n in range(20)],
}
TWO = TensorInfo(name="x", dtype="float32", shape=(None, 2))


def column(name: str, dtype: str = "float32") -> TensorInfo:
    """One column, as an exporter of column transformers makes it an input."""
    return TensorInfo(name=name, dtype=dtype, shape=(None, 1))


@pytest.fixture(params=["csv", "jsonl", "parquet"])
def saved(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Rows], Path]:
    """Write a table in one of the formats."""

    def save(rows: Rows) -> Path:
        path = tmp_path / f"table.{request.param}"
        write(path, rows)
        return path

    return save


def write(path: Path, rows: Rows) -> None:
    count = len(next(iter(rows.values())))
    if path.suffix == ".parquet":
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(pyarrow.table(dict(rows)), path, row_group_size=7)
        return
    items = [{name: cells[n] for name, cells in rows.items()} for n in range(count)]
    with path.open("w", newline="") as out:
        if path.suffix == ".jsonl":
            out.writelines(json.dumps(item) + "\n" for item in items)
            return
        writer = csv.writer(out)
        writer.writerow(rows)
        for item in items:
            writer.writerow(
                ["" if cell is None else json.dumps(cell) if isinstance(cell, list) else cell for cell in item.values()]
            )


def test_all_numbers_but_the_labels_in_the_order_of_the_file(prepared: Prepare, saved: Callable[[Rows], Path]) -> None:
    outcome = prepared(saved(PEOPLE), TWO, outputs=2)
    rows = dict(zip(PEOPLE["age"], zip(PEOPLE["income"], PEOPLE["label"], strict=True), strict=True))
    assert outcome.x.dtype == np.float32
    assert [
        (income, label) for (_, income), label in zip(outcome.x.tolist(), outcome.labels.tolist(), strict=True)
    ] == [rows[int(age)] for age, _ in outcome.x.tolist()]
    assert outcome.told == ("input x takes 2 columns: age, income",)
    assert outcome.prepared.items_calibrate == 2


def test_one_input_a_column(prepared: Prepare, saved: Callable[[Rows], Path]) -> None:
    inputs = [column("age", "int64"), column("town", "str"), column("income")]
    outcome = prepared(saved(PEOPLE), inputs, outputs=2)
    towns = dict(zip(PEOPLE["age"], PEOPLE["town"], strict=True))
    assert outcome.judging["age"].dtype == np.int64
    assert outcome.judging["town"].shape == (18, 1)
    assert outcome.judging["town"][:, 0].tolist() == [towns[age] for age in outcome.judging["age"][:, 0].tolist()]
    assert outcome.prepared.judging["town"].dtype == "str"


def test_columns_are_named_in_the_order_of_the_model(prepared: Prepare, saved: Callable[[Rows], Path]) -> None:
    path = saved(PEOPLE | {"noise": [0.5 * n for n in range(20)]})
    turned = prepared(path, TWO, columns=("income", "age"))
    assert turned.x[:, 0].tolist() == [1000.5 * (age - 20) for age in turned.x[:, 1].tolist()]
    by_input = prepared(path, TWO, inputs={"x": "income, age"})
    assert by_input.x.tolist() == turned.x.tolist()
    with pytest.raises(
        DataError, match=r"which columns go into the model's input 'x' \(\? × 2, float32\)\? 3 columns"
    ) as caught:
        prepared(path, TWO)
    assert "--columns age,income" in caught.value.hint
    with pytest.raises(DataError, match=r"no column 'pay' for columns; there are age \(number\), town \(text\)"):
        prepared(path, TWO, columns=("pay", "age"))
    with pytest.raises(DataError, match="takes 2, 3 columns of"):
        prepared(path, TWO, columns=("age", "income", "noise"))


def test_inputs_whose_names_the_exporter_changed(prepared: Prepare, saved: Callable[[Rows], Path]) -> None:
    rows = {"Age (years)": PEOPLE["age"], "income": PEOPLE["income"], "label": PEOPLE["label"]}
    outcome = prepared(saved(rows), [column("age_years_"), column("income")])
    assert sorted(outcome.judging["age_years_"][:, 0].tolist())[0] >= 20
    with pytest.raises(
        DataError, match=r"no column is called like the model's inputs a, b; there are Age \(years\) \(number\)"
    ):
        prepared(saved(rows), [column("a"), column("b")])


def test_text_does_not_go_into_numbers(prepared: Prepare, saved: Callable[[Rows], Path]) -> None:
    with pytest.raises(DataError, match=r"column 'town' of .* holds text \('oslo' in row 1\), .* takes float32"):
        prepared(saved(PEOPLE), [column("age"), column("town")])


def test_numbers_go_into_words_as_they_are_written(prepared: Prepare, saved: Callable[[Rows], Path]) -> None:
    outcome = prepared(saved(PEOPLE), [column("age", "str"), column("income")])
    assert set(outcome.judging["age"][:, 0].tolist()) < {str(age) for age in PEOPLE["age"]}


def test_missing_values(prepared: Prepare, saved: Callable[[Rows], Path]) -> None:
    rows = dict(PEOPLE)
    rows["income"] = [None if n in (3, 7) else 1.5 * n for n in range(20)]
    rows["town"] = [None if n == 5 else "oslo" for n in range(20)]
    inputs = [column("age"), column("town", "str"), column("income")]
    path = saved(rows)
    dropped = prepared(path, inputs)
    assert dropped.told == (
        "2 items left out: no value in the column 'income' (row 4, row 8)",
        "1 item left out: no value in the column 'town' (row 6)",
    )
    kept = prepared(path, inputs, missing="keep")
    assert kept.told == ()
    assert np.isnan(np.concatenate([kept.judging["income"], kept.calibration["income"]])).sum() == 2
    assert "" in {*kept.judging["town"][:, 0], *kept.calibration["town"][:, 0]}


def test_missing_whole_numbers_are_never_kept(prepared: Prepare, saved: Callable[[Rows], Path]) -> None:
    rows = {"age": [None, *range(21, 40)], "label": PEOPLE["label"]}
    outcome = prepared(saved(rows), column("age", "int64"), missing="keep")
    assert outcome.told == ("1 item left out: no value in the column 'age' (row 1)",)


def test_a_label_may_be_a_word_or_a_measurement(prepared: Prepare, saved: Callable[[Rows], Path]) -> None:
    words = prepared(saved(PEOPLE), [column("age"), column("income")], labels="town")
    assert words.prepared.classes == ("lima", "oslo", "rome")
    assert words.told == ("classes are the words that occur, sorted: lima, oslo, rome",)
    measured = prepared(saved(PEOPLE), column("age"), labels="income")
    assert measured.labels.dtype == np.float64
    assert measured.labels.tolist() == [1000.5 * (age - 20) for age in measured.x[:, 0].tolist()]
    assert measured.told[0] == "labels are measured values: not all of them are whole"
    whole = prepared(saved(PEOPLE), column("income"), labels="age", measured=True)
    assert (whole.labels.dtype, whole.told) == (np.float64, ())
    with pytest.raises(DataError, match="no column 'sex' for the labels"):
        prepared(saved(PEOPLE), TWO, labels="sex")


def test_arithmetic_per_column(prepared: Prepare, saved: Callable[[Rows], Path]) -> None:
    plain = prepared(saved(PEOPLE), TWO)
    scaled = prepared(saved(PEOPLE), TWO, preprocess=Preprocess(mean=(20, 0), std=(1, 1000.5)))
    assert scaled.x[:, 0].tolist() == (plain.x[:, 0] - 20).tolist()
    np.testing.assert_allclose(scaled.x[:, 1], scaled.x[:, 0])
    with pytest.raises(DataError, match=r"mean has 3 numbers, a row of .* has 2 channels"):
        prepared(saved(PEOPLE), TWO, preprocess=Preprocess(mean=(1, 2, 3)))


def test_equal_rows(prepared: Prepare, saved: Callable[[Rows], Path]) -> None:
    rows = {"a": [n % 4 for n in range(20)], "label": [n % 4 for n in range(20)]}
    with pytest.raises(DataError, match="more than half") as caught:
        prepared(saved(rows), column("a"))
    assert "--duplicates keep" in caught.value.hint
    kept = prepared(saved(rows), column("a"), duplicates="keep").prepared
    assert (kept.items_calibrate, kept.items_select, kept.items_confirm) == (2, 2, 16)


def test_a_second_table_calibrates(prepared: Prepare, saved: Callable[[Rows], Path], tmp_path: Path) -> None:
    write(tmp_path / "cal.csv", {"income": [1.5, 2.5, 3.5], "age": [7, 8, 9]})
    outcome = prepared(saved(PEOPLE), TWO, calibration=str(tmp_path / "cal.csv"), columns=("age", "income"))
    assert sorted(outcome.calibration["x"].tolist()) == [[7, 1.5], [8, 2.5], [9, 3.5]]
    assert len(outcome.x) == 20
    with pytest.raises(DataError, match="names a second table, and there is none"):
        prepared(saved(PEOPLE), TWO, calibration="cal")


def test_lists_are_vectors_or_sequences(prepared: Prepare, saved: Callable[[Rows], Path]) -> None:
    vectors = {"v": [[n, n + 0.5, 2 * n] for n in range(20)], "label": PEOPLE["label"]}
    assert prepared(saved(vectors), TensorInfo(name="x", dtype="float32", shape=(None, 3))).x.shape == (18, 3)
    with pytest.raises(DataError, match="is 3 to 3, the model's input 'x' takes 4"):
        prepared(saved(vectors), TensorInfo(name="x", dtype="float32", shape=(None, 4)))
    series = {"v": [[[float(n), float(t)] for t in range(1 + n % 5)] for n in range(20)], "label": PEOPLE["label"]}
    outcome = prepared(saved(series), TensorInfo(name="x", dtype="float32", shape=(None, None, 2)))
    assert all(len(item) == 1 + int(item[0, 0]) % 5 for item in outcome.x)
    assert outcome.told == ("items of different length: 1 to 5 steps, half of them at most 3 (x)",)
    with pytest.raises(DataError, match=r"is 1 to 5 × 2, the model's input 'x' takes \? × 3"):
        prepared(saved(series), TensorInfo(name="x", dtype="float32", shape=(None, None, 3)))


def test_words_that_only_pictures_or_arrays_understand(
    prepared: Prepare, saved: Callable[[Rows], Path], table: Callable[..., Path], features: TensorInfo
) -> None:
    with pytest.raises(DataError, match="resize and crop work on pictures"):
        prepared(saved(PEOPLE), TWO, preprocess=Preprocess(resize=4))
    with pytest.raises(DataError, match="`columns` is about tables"):
        prepared(table(x=np.zeros((9, 4))), features, columns=("a",))
    with pytest.raises(DataError, match="takes 3 × 8 × 8, 2 columns") as caught:
        prepared(saved(PEOPLE), TensorInfo(name="x", dtype="float32", shape=(None, 3, 8, 8)), columns=("age", "income"))
    assert "manifest" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "raw", "message"),
    [
        ("t.csv", b"", "is empty"),
        ("t.csv", b"a,b\n", "has no rows"),
        ("t.csv", b"a,b\n1,2\n3\n", "row 2 has 1 cells, the first row has 2"),
        ("t.csv", b"a,a\n1,2\n", "two columns called 'a'"),
        ("t.csv", b"a,b\n\xff,2\n", "not UTF-8"),
        ("t.jsonl", b"", "is empty"),
        ("t.jsonl", b"[1, 2]\n", "line 1 holds a list, expected an object"),
        ("t.jsonl", b'{"a": 1}\n{"a": \n', "line 2 is no JSON"),
        ("t.jsonl", b"[" * 100_000, "line 1 is no JSON"),
        ("t.jsonl", b'{"a": {"b": 1}}\n' * 9, r"holds objects or dates \(\"\{'b': 1\}\" in row 1\)"),
        ("t.jsonl", b'{"a": [1, "x"]}\n' * 9, "has a list in row 1 that is not one of numbers"),
        ("t.jsonl", b'{"a": [[1], [2, 3]]}\n' * 9, "has a list in row 1 that is not one of numbers"),
        ("t.parquet", b"PAR1 no", "not a readable Parquet file"),
        ("t.parquet", b"", "not a readable Parquet file"),
    ],
)
def test_tables_that_are_none(prepared: Prepare, tmp_path: Path, name: str, raw: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(DataError, match=message):
        prepared(tmp_path / name, column("a"))


def test_separators_quotes_and_row_numbers_of_a_data_frame(prepared: Prepare, tmp_path: Path) -> None:
    lines = ["\ufeff;a;b;label", *(f'{n};{n}.5;"{2 * n}";{n % 2}' for n in range(20))]
    (tmp_path / "t.csv").write_text("\r\n".join(lines), encoding="utf-8")
    outcome = prepared(tmp_path / "t.csv", TWO)
    assert (outcome.x[:, 1] == 2 * outcome.x[:, 0] - 1).all()
    assert outcome.told[-1] == "a column without a name was taken for row numbers and left out"
    lines[0] = "Unnamed: 0;a;b;label"
    (tmp_path / "t.csv").write_text("\n".join(lines))
    assert prepared(tmp_path / "t.csv", TWO).x.tolist() == outcome.x.tolist()


def test_whole_floats_are_words_without_a_point(prepared: Prepare, tmp_path: Path) -> None:
    write(tmp_path / "t.jsonl", {"zone": [float(n) for n in range(19)] + [0.5], "label": PEOPLE["label"]})
    outcome = prepared(tmp_path / "t.jsonl", column("zone", "str"))
    assert {*outcome.x[:, 0], *outcome.calibration["zone"][:, 0]} == {*map(str, range(19)), "0.5"}


def test_whole_numbers_too_large_to_tell_apart(prepared: Prepare, tmp_path: Path) -> None:
    write(tmp_path / "t.jsonl", {"a": [2**53 + n for n in range(20)], "label": PEOPLE["label"]})
    with pytest.raises(DataError, match="too large to be told from its neighbours"):
        prepared(tmp_path / "t.jsonl", column("a", "int64"))
