"""A fitted estimator becomes an ONNX file that gives its answers, or a sentence that says why not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestRegressor
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.svm import LinearSVC
from threadpoolctl import threadpool_limits

from steelyard.errors import DataError, ModelError
from steelyard.models.inspect import inspect
from steelyard.models.sklearn_columns import prepared
from steelyard.models.sklearn_estimator import Exported, export_estimator
from steelyard.records.engine import Array

RNG = np.random.default_rng(0)
X = RNG.normal(size=(400, 4))
NUMBER = (X[:, 0] > 0).astype(int) + (X[:, 1] > 1)
WORD = np.array(["cat", "dog", "eel"])[NUMBER]
CITIES = pd.DataFrame(
    {
        "size (m²)": X[:, 0],
        "rooms": RNG.integers(1, 6, 400),
        "city": RNG.choice(["Rome", "Paris", "Oslo"], 400),
        "grade": RNG.choice(["low", "high"], 400),
        "note": ["never read"] * 400,
    }
)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Threads that wait for each other by spinning take seconds on a busy machine."""
    with threadpool_limits(1):
        yield


def answered(exported: Exported, inputs: dict[str, Array] | None = None) -> Array:
    session = onnxruntime.InferenceSession(exported.path)
    given = exported.inputs if inputs is None else inputs
    return np.asarray(session.run(None, {each.name: given[each.name] for each in session.get_inputs()})[0])


@pytest.mark.parametrize(
    "estimator", [make_pipeline(StandardScaler(), LogisticRegression()), HistGradientBoostingClassifier(max_iter=3)]
)
def test_a_classifier_gives_its_probabilities_in_the_order_of_its_classes(estimator: Any, tmp_path: Path) -> None:
    estimator.fit(X, WORD)
    exported = export_estimator(estimator, X, tmp_path / "m.onnx")
    assert exported.classes == ("cat", "dog", "eel")
    np.testing.assert_allclose(answered(exported), estimator.predict_proba(X), atol=1e-4)
    info = inspect({"path": str(exported.path)})
    assert (len(info.inputs), info.outputs[0].dtype, len(info.outputs)) == (1, "float32", 1)


def test_without_probabilities_it_gives_scores_of_the_predicted_classes(tmp_path: Path) -> None:
    estimator = LinearSVC().fit(X, WORD)
    exported = export_estimator(estimator, X, tmp_path / "m.onnx")
    assert (np.array(exported.classes)[answered(exported).argmax(1)] == estimator.predict(X)).all()


def test_a_regressor_gives_its_predictions(tmp_path: Path) -> None:
    estimator = RandomForestRegressor(5, random_state=0).fit(X, X[:, 0] * 3)
    exported = export_estimator(estimator, X, tmp_path / "m.onnx")
    assert exported.classes == ()
    np.testing.assert_allclose(answered(exported).ravel(), estimator.predict(X), atol=1e-4)


def test_linear_models_are_of_plain_operators_that_any_runtime_knows(tmp_path: Path) -> None:
    estimator = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, NUMBER)
    exported = export_estimator(estimator, X, tmp_path / "m.onnx")
    assert not {"LinearClassifier", "Scaler", "ZipMap"} & set(inspect({"path": str(exported.path)}).operators)


def by_columns() -> Any:
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    return make_pipeline(
        ColumnTransformer(
            [
                ("numbers", numbers, ["size (m²)", "rooms"]),
                ("cities", OneHotEncoder(handle_unknown="ignore"), ["city"]),
                ("grades", OrdinalEncoder(), ["grade"]),
            ]
        ),
        LogisticRegression(),
    )


def test_columns_come_in_by_name_and_words_as_numbers(tmp_path: Path) -> None:
    estimator = by_columns().fit(CITIES, (CITIES["city"] == "Rome") & (X[:, 0] > 0))
    exported = export_estimator(estimator, CITIES, tmp_path / "m.onnx")
    assert list(exported.inputs)[1:] == ["rooms", "city", "grade"]
    assert exported.inputs["city"].dtype == np.int64
    assert exported.told[0] == "the column city takes numbers for words: 0 Oslo, 1 Paris, 2 Rome; -1 for any other"
    np.testing.assert_allclose(answered(exported), estimator.predict_proba(CITIES), atol=1e-4)


def test_an_unknown_word_and_a_missing_number_are_answered_alike(tmp_path: Path) -> None:
    fitted_on = CITIES.assign(**{"size (m²)": CITIES["size (m²)"].where(np.arange(400) % 7 != 0)})
    estimator = by_columns().fit(fitted_on, NUMBER > 0)
    odd = fitted_on.assign(city=np.where(np.arange(400) % 2, "Atlantis", CITIES["city"]))
    exported = export_estimator(estimator, odd, tmp_path / "m.onnx")
    assert (exported.inputs["city"] == -1).mean() == 0.5
    np.testing.assert_allclose(answered(exported), estimator.predict_proba(odd), atol=1e-4)


def test_columns_chosen_by_a_selector(tmp_path: Path) -> None:
    numbers = CITIES[["size (m²)", "rooms"]]
    choose = ColumnTransformer([("all", StandardScaler(), make_column_selector(dtype_include=np.number))])
    estimator = make_pipeline(choose, Ridge()).fit(numbers, X[:, 0])
    exported = export_estimator(estimator, numbers, tmp_path / "m.onnx")
    np.testing.assert_allclose(answered(exported).ravel(), estimator.predict(numbers), atol=1e-4)


def test_a_table_without_a_column_transformer_is_one_matrix_in_the_fitted_order(tmp_path: Path) -> None:
    numbers = CITIES[["size (m²)", "rooms"]]
    estimator = make_pipeline(StandardScaler(), LogisticRegression()).fit(numbers, NUMBER)
    exported = export_estimator(estimator, numbers[["rooms", "size (m²)"]].loc[:, numbers.columns], tmp_path / "m.onnx")
    assert exported.inputs["X"].shape == (400, 2)
    turned = prepared(estimator, CITIES[["rooms", "size (m²)"]]).inputs["X"]
    np.testing.assert_array_equal(turned, exported.inputs["X"])


class Own(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """An estimator of somebody's own, which no converter knows."""

    def fit(self, x: Any, y: Any) -> Own:
        self.classes_ = np.unique(y)
        return self

    def predict(self, x: Any) -> Any:
        return np.zeros(len(x), int)


@pytest.mark.parametrize(
    ("estimator", "data", "error", "told"),
    [
        (LogisticRegression(), X, ModelError, "the LogisticRegression is not fitted"),
        (KMeans(2), X, ModelError, "KMeans is neither a classifier nor a regressor"),
        (make_pipeline(StandardScaler(), Own()).fit(X, NUMBER), X, ModelError, "Own cannot be converted to ONNX"),
        (
            MultiOutputClassifier(LogisticRegression()).fit(X, np.stack([NUMBER, NUMBER], 1)),
            X,
            ModelError,
            "one target at a time",
        ),
        (LogisticRegression().fit(X, NUMBER), CITIES[["city"]], DataError, "holds text"),
        (by_columns().fit(CITIES, NUMBER), X, DataError, "selects columns by name"),
        (by_columns().fit(CITIES, NUMBER), CITIES[["city"]], DataError, "lacks the columns size"),
        (
            make_pipeline(
                ColumnTransformer([("words", CountVectorizer(), "note")]), LogisticRegression()
            ).fit(CITIES, NUMBER),
            CITIES,
            ModelError,
            "'note' holds text that goes through CountVectorizer",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_converted_is_told(
    estimator: Any, data: Any, error: type[Exception], told: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=told):
        export_estimator(estimator, data, tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_numbers_too_fine_for_32_bits_are_noticed(tmp_path: Path) -> None:
    """Seconds since 1970 differ by less than a float of 32 bits can tell."""
    seconds = 1.7e9 + np.arange(400)[:, None] / 10
    estimator = make_pipeline(StandardScaler(), LogisticRegression()).fit(seconds, np.arange(400) > 200)
    with pytest.raises(ModelError, match="does not answer as the estimator"):
        export_estimator(estimator, seconds, tmp_path / "m.onnx")
