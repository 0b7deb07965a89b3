#!/usr/bin/env python3
"""Writes map_goldens.h: localisation and faithfulness of maps by the formulas in NumPy, imputation by SciPy's direct solver.

Usage: make_map_goldens.py > map_goldens.h   (NumPy, SciPy; seeded)

Where they can be imported, Quantus (localisation) and pytorch-grad-cam (imputation) must say the same; which were asked is
printed on standard error.
"""
import sys

import numpy as np
from scipy import ndimage
from scipy.sparse import lil_matrix
from scipy.sparse.linalg import spsolve

rng = np.random.default_rng(4)


def emit(name, values, kind="double"):
    values = np.asarray(values)
    text = ", ".join(repr(v) for v in values.ravel().tolist()).replace("nan", "NAN")
    print(f"static const {kind} {name}[{values.size}] = {{{text}}};")


def resize(m, y0, x0, y1, x1, oh, ow):
    """Half-pixel bilinear of a window of the map, edges repeated."""
    def taps(low, high, n, out):
        at = np.clip(low + (np.arange(out) + 0.5) * (high - low) / out - 0.5, 0, n - 1)
        i = np.minimum(at.astype(int), n - 2)
        return i, at - i
    (i, a), (j, b) = taps(y0, y1, m.shape[0], oh), taps(x0, x1, m.shape[1], ow)
    top = m[i][:, j] * (1 - b) + m[i][:, j + 1] * b
    bottom = m[i + 1][:, j] * (1 - b) + m[i + 1][:, j + 1] * b
    return top * (1 - a)[:, None] + bottom * a[:, None]


# ---- Localisation: a map of a crop, at the pixels of an image --------------------------------------------------------

MH, MW, H, W = 5, 6, 37, 52
X0, Y0, X1, Y1 = 7.5, 0.0, 44.5, 37.0  # the middle square


def localise(m, mask, share):
    v = resize(m, -Y0 * MH / (Y1 - Y0), -X0 * MW / (X1 - X0), (H - Y0) * MH / (Y1 - Y0), (W - X0) * MW / (X1 - X0), H, W)
    cy, cx = np.arange(H) + 0.5, np.arange(W) + 0.5
    v[~((cy >= Y0) & (cy < Y1))] = 0
    v[:, ~((cx >= X0) & (cx < X1))] = 0
    v = v.astype(np.float32).astype(float)
    k = mask.sum()
    last = np.sort(v.ravel())[::-1][k - 1]
    tied = v == last
    rank = ((mask & (v > last)).sum() + (k - (v > last).sum()) * (mask & tied).sum() / tied.sum()) / k
    best = np.argwhere(v == v.max())
    region = np.argwhere(mask)
    distance = min(((region - b) ** 2).sum(1).min() for b in best)
    iou = [(mask & (v >= s * v.max())).sum() / (mask | (v >= s * v.max())).sum() for s in np.arange(1, 20) / 20]
    labels, n = ndimage.label(v >= share * v.max(), np.ones((3, 3)))
    box = ndimage.find_objects(labels)[np.argmax(np.bincount(labels.ravel())[1:])]
    ys, xs = np.nonzero(mask)
    truth = (slice(ys.min(), ys.max() + 1), slice(xs.min(), xs.max() + 1))
    boxes = [np.zeros((H, W), bool) for _ in range(2)]
    boxes[0][box], boxes[1][truth] = True, True
    box_iou = (boxes[0] & boxes[1]).sum() / (boxes[0] | boxes[1]).sum()
    figures = [mask.mean(), v[mask].sum() / v.sum(), rank, float((mask & (v == v.max())).any()), float(distance < 225)]
    ask_quantus(v, mask, figures, tied.sum() == 1)
    return figures + [box_iou] + iou


def ask_quantus(v, mask, figures, rank_is_clear):
    try:
        import quantus
    except ImportError:
        return
    x, a, s = np.zeros((1, 1, H, W)), v[None, None], mask[None, None]
    common = dict(model=None, x_batch=x, y_batch=np.zeros(1, int), a_batch=a, s_batch=s)
    options = dict(disable_warnings=True, display_progressbar=False, abs=False, normalise=False)
    said = [quantus.RelevanceMassAccuracy(**options)(**common)[0], quantus.RelevanceRankAccuracy(**options)(**common)[0],
            float(quantus.PointingGame(**options)(**common)[0])]
    expected = [figures[1], figures[2] if rank_is_clear else said[1], figures[3]]  # ties fall to whatever argsort does
    assert np.allclose(said, expected, atol=1e-6), (said, expected)
    print("Quantus says the same of mass, rank (unless tied) and pointing", file=sys.stderr)


def localisation():
    print(f"enum {{ MAP_H = {MH}, MAP_W = {MW}, IMAGE_H = {H}, IMAGE_W = {W} }};")
    y, x = np.mgrid[:H, :W]
    mask = ((y - 20) / 9) ** 2 + ((x - 27) / 7) ** 2 <= 1
    emit("image_mask", mask.astype(int) * 255, "unsigned char")
    on = np.clip(rng.normal(0, 1, (MH, MW)), 0, None).astype(np.float32)
    on[2, 3] = 4  # on the thing
    off = on.copy()
    off[0, 0] = 5  # a corner of the crop, far from it
    near = np.zeros((MH, MW), np.float32)
    near[2, 0] = 3  # 10 pixels from it
    for name, m in (("on", on), ("off", off), ("near", near)):
        emit(f"map_{name}", m, "float")
        emit(f"located_{name}", localise(m.astype(float), mask, 0.3))


# ---- Imputation and faithfulness: a network of one mean per channel and a Dense layer ---------------------------------

N, C, K = 12, 2, 3
STEPS, ROAD = 7, 3
AROUND = [((1, 1), 1 / 12), ((0, 1), 1 / 6), ((-1, 1), 1 / 12), ((1, -1), 1 / 12), ((0, -1), 1 / 6), ((-1, -1), 1 / 12),
          ((1, 0), 1 / 6), ((-1, 0), 1 / 6)]


def impute(x, removed):
    index = np.full(removed.shape, -1)
    index[removed] = np.arange(removed.sum())
    a, b = lil_matrix((removed.sum(),) * 2), np.zeros((removed.sum(), x.shape[2]))
    for (y, k), i in zip(np.argwhere(removed), range(removed.sum())):
        for (dy, dx), weight in AROUND:
            py, px = y + dy, k + dx
            if not (0 <= py < removed.shape[0] and 0 <= px < removed.shape[1]):
                continue
            a[i, i] += weight
            if removed[py, px]:
                a[i, index[py, px]] -= weight
            else:
                b[i] += weight * x[py, px]
    out = x.copy()
    out[removed] = spsolve(a.tocsc(), b).reshape(b.shape)
    ask_road(x, removed, out)
    return out


def ask_road(x, removed, out):
    try:
        import torch
        from pytorch_grad_cam.metrics.road import NoisyLinearImputer
    except ImportError:
        return
    said = NoisyLinearImputer(noise=0)(torch.tensor(x.transpose(2, 0, 1), dtype=torch.float32),
                                       torch.tensor(1.0 * ~removed))
    assert np.allclose(said.numpy().transpose(1, 2, 0), out, atol=1e-5)
    print("pytorch-grad-cam imputes the same", file=sys.stderr)


def faithfulness():
    print(f"enum {{ SIDE = {N}, CHANNELS = {C}, CLASSES = {K}, STEPS = {STEPS}, ROAD = {ROAD} }};")
    x = ndimage.gaussian_filter(rng.normal(0, 1, (N, N, C)), (2, 2, 0)) * 3 + 0.5
    x = x.astype(np.float32).astype(float)
    kernel = (1 * rng.normal(0, 1, (C, K))).astype(np.float32).astype(float)
    bias = rng.normal(0, 0.3, K).astype(np.float32).astype(float)
    m = rng.normal(0, 1, (4, 3)).astype(np.float32).astype(float)
    target = int(np.argmax(x.mean((0, 1)) @ kernel + bias))
    print(f"enum {{ TARGET = {target} }};")

    def p(image):
        z = image.mean((0, 1)) @ kernel + bias
        e = np.exp(z - z.max())
        return (e / e.sum())[target]

    black, white = np.array([-1.0, -0.5]), np.array([1.0, 1.5])
    scaled = resize(np.clip(m, 0, None), 0, 0, 4, 3, N, N)
    scaled = (scaled - scaled.min()) / (scaled.max() - scaled.min())
    y, o = p(x), p(black + (x - black) * scaled[..., None])
    order = np.argsort(-resize(m, 0, 0, 4, 3, N, N).astype(np.float32).ravel(), kind="stable")
    grey = np.broadcast_to((black + white) / 2, x.shape)
    blur = ndimage.gaussian_filter(x, (2, 2, 0), mode="nearest", truncate=4)

    def curve(start, end):
        points = []
        for k in range(STEPS + 1):
            image = start.reshape(-1, C).copy()
            n = int(N * N * k / STEPS + 0.5)
            image[order[:n]] = end.reshape(-1, C)[order[:n]]
            points.append(p(image.reshape(x.shape)))
        return (sum(points) - points[0] / 2 - points[-1] / 2) / (len(points) - 1)

    def road(order):
        points = []
        for k in range(1, ROAD + 1):
            removed = np.zeros(N * N, bool)
            removed[order[:N * N * k // (ROAD + 1)]] = True
            points.append(p(impute(x, removed.reshape(N, N))))
        return np.mean(points)

    morf, lerf = road(order), road(order[::-1])
    emit("input", x, "float")
    emit("kernel", kernel, "float")
    emit("bias", bias, "float")
    emit("black", black, "float")
    emit("white", white, "float")
    emit("cells", m, "float")
    emit("faithful", [y, max(0, y - o) / y, float(o > y), curve(x, grey), curve(blur, x), morf, lerf, (lerf - morf) / 2])
    hole = np.zeros((N, N), bool)
    hole[2:9, 3:] = True
    hole[0, 0] = True
    emit("hole", hole.astype(int), "unsigned char")
    emit("filled", impute(x, hole))


print(f"/* Made by {sys.argv[0].split('/')[-1]}; NumPy {np.__version__}. Not edited by hand. */")
print("/* located: area, energy, rank, pointing, pointing near, box IoU, IoU at 1/20 ... 19/20. faithful: probability, drop, "
      "increase,\n * deletion, insertion, MoRF, LeRF, ROAD without noise. */")
localisation()
faithfulness()
