#!/usr/bin/env python3
"""Writes tests/golden/eval/metrics.json: scikit-learn's figures for small sets of answers.

Each case has the truths, the probabilities [n][n_labels] (single-precision numbers), the answers
(the highest probability, the lowest label on a tie) and what scikit-learn makes of them, with
zero_division=0 and log loss over all labels. Among the cases: a label that never occurs, one that
is never answered, one that is neither, probabilities of 0 and 1, a single row.
"""
import json
from pathlib import Path

import numpy as np
from sklearn.metrics import (accuracy_score, confusion_matrix, log_loss,
                             precision_recall_fscore_support)

PATH = Path(__file__).parent.parent / "tests/golden/eval/metrics.json"


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def drawn(seed, n, n_labels, truths_among, answers_among):
    """Rows whose labels are among truths_among and whose answers are among answers_among."""
    rng = np.random.default_rng(seed)
    truths = rng.choice(truths_among, n)
    logits = rng.normal(size=(n, n_labels)) * 2
    logits[np.arange(n), truths] += 1.5
    for label in set(range(n_labels)) - set(answers_among):
        logits[:, label] = -20
    return truths, softmax(logits)


def cases():
    yield "three labels", *drawn(1, 60, 3, [0, 1, 2], [0, 1, 2])
    yield "a label never occurs", *drawn(2, 25, 3, [0, 2], [0, 1, 2])
    yield "a label is never answered", *drawn(3, 25, 3, [0, 1, 2], [0, 2])
    yield "a label is neither", *drawn(4, 25, 4, [0, 1, 3], [0, 1, 3])
    yield "two labels", *drawn(5, 40, 2, [0, 1], [0, 1])
    yield "one answer to everything", *drawn(6, 12, 3, [0, 1, 2], [1])
    yield "many labels", *drawn(7, 30, 7, range(7), range(7))
    yield "one row, right", np.array([2]), np.array([[0.25, 0.25, 0.5]], np.float32)
    yield "one row, wrong", np.array([1]), np.array([[0.75, 0, 0.25]], np.float32)
    certain = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0], [0.5, 0.5, 0]], np.float32)
    yield "zeros and ones", np.array([0, 1, 0, 2, 1]), certain
    yield "all right", np.array([0, 1, 2]), np.eye(3, dtype=np.float32)


def averages(truths, answers, average):
    figures = precision_recall_fscore_support(truths, answers, average=average, zero_division=0)
    return dict(zip(("precision", "recall", "f1"), map(float, figures)))


def figures(name, truths, probabilities):
    answers = probabilities.argmax(axis=1)
    labels = range(probabilities.shape[1])
    p, r, f, support = precision_recall_fscore_support(truths, answers, labels=labels,
                                                       zero_division=0)
    return {
        "name": name,
        "truths": truths.tolist(),
        "answers": answers.tolist(),
        "probabilities": probabilities.astype(np.float64).tolist(),
        "accuracy": float(accuracy_score(truths, answers)),
        "log_loss": float(log_loss(truths, probabilities.astype(np.float64), labels=labels)),
        "confusion": confusion_matrix(truths, answers, labels=labels).tolist(),
        **{average: averages(truths, answers, average) for average in
           ("macro", "micro", "weighted")},
        "labels": [{"precision": float(p[i]), "recall": float(r[i]), "f1": float(f[i]),
                    "support": int(support[i])} for i in labels],
    }


def main():
    PATH.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(figures(*case)) for case in cases()]
    PATH.write_text("[\n" + ",\n".join(lines) + "\n]\n")


if __name__ == "__main__":
    main()
