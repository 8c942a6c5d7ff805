"""Weigh a scikit-learn pipeline on a table of named columns; needs the extra `sklearn`, and pandas.

Run it with: python examples/weigh_sklearn.py
"""

from __future__ import annotations

from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import steelyard


def main(within: str = "60s") -> None:
    table = load_breast_cancer(as_frame=True).frame.sample(frac=1, random_state=0)
    train, judge = table[:200], table[200:]
    columns = ColumnTransformer([("all", StandardScaler(), make_column_selector())])
    pipeline = make_pipeline(columns, LogisticRegression(max_iter=500))
    pipeline.fit(train.drop(columns="target"), train["target"])
    balance = steelyard.weigh(
        pipeline, judge, labels="target", p95="5ms", quality_drop="5%", within=within, out="sklearn-plan"
    )
    plan = balance.plan
    print(f"{plan.status}: {plan.summary}")
    print(f"the pipeline as it was converted: accuracy {plan.reference.quality.value:.3f}")


if __name__ == "__main__":
    main()
