#!/usr/bin/env python3
"""Writes classification_goldens.h: figures of scikit-learn, SciPy-free formulas in NumPy for what it lacks.

Usage: make_classification_goldens.py > classification_goldens.h   (NumPy 2, scikit-learn 1.5 or newer; seeded)
"""
import numpy as np
from sklearn import metrics

N, K = 90, 4
rng = np.random.default_rng(20)


def softmax(z):
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def emit(name, values, kind="double"):
    values = np.asarray(values)
    text = ", ".join(repr(v) for v in values.ravel().tolist()).replace("nan", "NAN").replace("inf", "INFINITY")
    print(f"static const {kind} {name}[{values.size}] = {{{text}}};")


def ece(confidence, right, bins, equal_mass):
    if equal_mass:
        parts = np.array_split(np.argsort(confidence, kind="stable"), bins)
    else:
        edges = np.arange(bins + 1) / bins
        place = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
        parts = [np.flatnonzero(place == b) for b in range(bins)]
    gaps = [abs(confidence[p].mean() - right[p].mean()) if len(p) else 0 for p in parts]
    return ([len(p) for p in parts], sum(g * len(p) for g, p in zip(gaps, parts)) / len(confidence), max(gaps))


def temperature(loss):
    """By golden section on log T: derivatives are not used."""
    a, b, g = np.log(0.05), np.log(20.0), (5 ** 0.5 - 1) / 2
    for _ in range(200):
        c, d = b - g * (b - a), a + g * (b - a)
        a, b = (a, d) if loss(np.exp(c)) < loss(np.exp(d)) else (c, b)
    return np.exp((a + b) / 2)


def delong(scores, positive):
    x, y = scores[positive], scores[~positive]
    kernel = (x[:, None] > y) + 0.5 * (x[:, None] == y)
    return kernel.mean(), np.sqrt(kernel.mean(1).var(ddof=1) / len(x) + kernel.mean(0).var(ddof=1) / len(y))


truth = rng.integers(0, K, N)
z = np.round(rng.normal(0, 2.5, (N, K)) + 2.2 * np.eye(K)[truth], 1).astype(np.float32)
z[10:20] = z[0:10]  # ties
p = softmax(z.astype(np.float64))
predicted = z.argmax(1)
print("/* Written by make_classification_goldens.py. */")
print(f"enum {{ N = {N}, K = {K} }};")
emit("logits", z, "float")
emit("truth", truth, "int")
emit("confusion", metrics.confusion_matrix(truth, predicted), "int64_t")
precision, recall, f1, _ = metrics.precision_recall_fscore_support(truth, predicted)
emit("precision", precision)
emit("recall", recall)
emit("f1", f1)
emit("auc", [metrics.roc_auc_score(truth == c, p[:, c]) for c in range(K)])
emit("auc_deviation", [delong(np.log(p[:, c] / (1 - p[:, c])).round(9), truth == c)[1] for c in range(K)])
emit("figures", [metrics.accuracy_score(truth, predicted), metrics.balanced_accuracy_score(truth, predicted),
                 metrics.f1_score(truth, predicted, average="macro"), metrics.log_loss(truth, p),
                 ((p - np.eye(K)[truth]) ** 2).sum(1).mean()])
t = temperature(lambda t: metrics.log_loss(truth, softmax(z.astype(np.float64) / t)))
emit("temperature", [t, metrics.log_loss(truth, softmax(z.astype(np.float64) / t))])
for name, mass in (("width", False), ("mass", True)):
    counts, e, m = ece(p.max(1), predicted == truth, 7, mass)
    emit(f"{name}_counts", counts, "int64_t")
    emit(f"{name}_errors", [e, m])

labels = (rng.random((N, K)) < 0.35).astype(np.uint8)
mz = np.round(rng.normal(-0.4, 1.8, (N, K)) + 2.0 * labels, 1).astype(np.float32)
mp, said = sigmoid(mz.astype(np.float64)), (mz > 0).astype(int)
emit("many_logits", mz, "float")
emit("many_labels", labels, "uint8_t")
precision, recall, f1, _ = metrics.precision_recall_fscore_support(labels, said)
emit("many_precision", precision)
emit("many_recall", recall)
emit("many_f1", f1)
emit("many_auc", [metrics.roc_auc_score(labels[:, c], mp[:, c]) for c in range(K)])
emit("many_figures", [metrics.accuracy_score(labels, said), metrics.f1_score(labels, said, average="macro"),
                      metrics.log_loss(labels.ravel(), mp.ravel()), metrics.brier_score_loss(labels.ravel(), mp.ravel())])
t = temperature(lambda t: metrics.log_loss(labels.ravel(), sigmoid(mz.astype(np.float64) / t).ravel()))
emit("many_temperature", [t])
counts, e, m = ece(mp.ravel(), labels.ravel().astype(float), 7, False)
emit("many_errors", [e, m])
