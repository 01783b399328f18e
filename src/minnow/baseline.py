"""Pure: the plain baseline, logistic regression over TF-IDF of character n-grams. A transformer has to clear it."""

from collections.abc import Sequence

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline

from minnow.metrics import Array

# The inverse strength of the penalty. On Hannousse's validation split F1 was 0.941 at 1, 0.950 at 3, 0.955 at 10 and
# at 30; letter case and 5-grams brought nothing.
C = 10.0


def fit_baseline(texts: Sequence[str], labels: Sequence[int]) -> Pipeline:
    """Fit character 1-to-4-grams and logistic regression; the same rows in the same order give the same pipeline."""
    features = TfidfVectorizer(analyzer="char", ngram_range=(1, 4), sublinear_tf=True, min_df=2)
    return make_pipeline(features, LogisticRegression(C=C, max_iter=1000, random_state=0)).fit(texts, labels)


def baseline_logits(pipeline: Pipeline, texts: Sequence[str]) -> Array:
    """Return logits of shape (rows, 2) whose softmax is the regression's probability."""
    margin = pipeline.decision_function(texts)
    return np.stack([-margin / 2, margin / 2], axis=1)


def parameters(pipeline: Pipeline) -> int:
    """Return how many numbers were fitted: an idf and a coefficient for each n-gram, and the intercept."""
    features, regression = pipeline[0], pipeline[-1]
    return int(features.idf_.size + regression.coef_.size + regression.intercept_.size)


def size_bytes(pipeline: Pipeline) -> int:
    """Return the bytes to store it without compression: n-grams as lines of UTF-8, the numbers as float32."""
    lines = sum(len(ngram.encode()) + 1 for ngram in pipeline[0].vocabulary_)
    return lines + 4 * parameters(pipeline)
