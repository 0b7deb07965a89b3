"""Methods by their formulas, in float64 NumPy, scikit-learn and PyTorch's own optimisers, with netgaze's random numbers where
a method draws any: each a function (net, layer, input [1,c,h,w], class, folder) -> map."""

import itertools
import math

import numpy as np
import torch
import torch.nn.functional as F

from compare_nets import tapped


# ---- netgaze's random numbers: Philox4x32-10 (src/base/random.h) -------------------------------

def philox(seed, stream, index):
    """The two 64-bit words of each index."""
    index = np.asarray(index, np.uint64)
    low = np.uint64(0xFFFFFFFF)
    c = [index & low, index >> np.uint64(32), np.full_like(index, stream & 0xFFFFFFFF), np.full_like(index, stream >> 32)]
    key = [seed & 0xFFFFFFFF, seed >> 32]
    for _ in range(10):
        a, b = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = [(b >> np.uint64(32)) ^ c[1] ^ np.uint64(key[0]), b & low, (a >> np.uint64(32)) ^ c[3] ^ np.uint64(key[1]), a & low]
        key = [(key[0] + 0x9E3779B9) & 0xFFFFFFFF, (key[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c[1] << np.uint64(32) | c[0], c[3] << np.uint64(32) | c[2]


def unit(words):
    return (words >> np.uint64(11)).astype(np.float64) * 2.0 ** -53


def uniform(seed, stream, index):
    return unit(philox(seed, stream, index)[0])


def normal(seed, stream, index):
    a, b = philox(seed, stream, index)
    return np.sqrt(-2 * np.log(1 - unit(a))) * np.cos(2 * math.pi * unit(b))


# ---- Running the network -----------------------------------------------------------------------

def image_of(x):
    return x[0].permute(1, 2, 0).double().numpy()


def tensor(net, images):
    kind = next(net.parameters()).dtype
    return torch.from_numpy(np.ascontiguousarray(np.asarray(images, np.float32).transpose(0, 3, 1, 2))).to(kind)


def scores(net, images, c):
    with torch.no_grad():
        return np.concatenate([net(tensor(net, images[i:i + 32]))[:, c].double().numpy() for i in range(0, len(images), 32)])


def gradient(net, image, c):
    x = tensor(net, image[None]).requires_grad_(True)
    net(x)[0, c].backward()
    return x.grad[0].permute(1, 2, 0).double().numpy()


def layer_values(net, name, x, c):
    """Activations and gradients of a layer, [h,w,channels] in double."""
    with tapped(net, name) as tap:
        kept = []
        hook = tap.register_forward_hook(lambda m, i, o: kept.append(o) or o.retain_grad())
        net(x.clone().requires_grad_(True))[0, c].backward()
        hook.remove()
    return tuple(v.detach()[0].permute(1, 2, 0).double().numpy() for v in (kept[0], kept[0].grad))


# ---- Class activation maps ---------------------------------------------------------------------

def cam(net, name, x, c, work):
    a, _ = layer_values(net, name, x, c)
    return a @ net.weights["scores/kernel"][:, c].astype(np.float64)


def gradcampp(net, name, x, c, work):
    """The paper's, up to the factor exp(score)."""
    a, g = layer_values(net, name, x, c)
    with np.errstate(divide="ignore", invalid="ignore"):
        alpha = np.nan_to_num(g * g / (2 * g * g + g ** 3 * a.sum((0, 1))))
    return a @ (alpha * np.maximum(g, 0)).sum((0, 1))


def randomcam(net, name, x, c, work):
    a, _ = layer_values(net, name, x, c)
    return a @ (2 * uniform(7, 0, np.arange(a.shape[2])) - 1)


def dff(net, name, x, c, work):
    """scikit-learn's NMF by multiplicative updates from netgaze's beginning; the concept with the largest share."""
    from sklearn.decomposition import non_negative_factorization
    a, g = layer_values(net, name, x, c)
    h, w, channels = a.shape
    table, k = np.maximum(a, 0).reshape(-1, channels), 3
    size = math.sqrt(table.mean() / k)
    begin_w = size * (0.5 + uniform(0, 0, np.arange(h * w * k)).reshape(-1, k))
    begin_h = size * (0.5 + uniform(0, 1, np.arange(k * channels)).reshape(k, -1))
    # sklearn updates its first factor first: that is netgaze's second one
    first, second, _ = non_negative_factorization(table.T, W=begin_h.T.copy(), H=begin_w.T.copy(), n_components=k, init="custom",
                                                  solver="mu", max_iter=100, tol=0)
    shares = [(np.outer(second[i], first[:, i]) * g.reshape(-1, channels)).sum() for i in range(k)]
    best = int(np.argmax(shares))
    return (second[best] * np.linalg.norm(first[:, best])).reshape(h, w)


# ---- Noise and masks ---------------------------------------------------------------------------

def noisy_images(x, n=8, sigma=0.15, seed=3):
    image = image_of(x).astype(np.float32)
    deviation = sigma * (float(image.max()) - float(image.min()))
    noise = [normal(seed, i, np.arange(image.size)).reshape(image.shape) for i in range(n)]
    return (image.astype(np.float64) + deviation * np.array(noise)).astype(np.float32)


def smoothgrad(kind):
    def run(net, name, x, c, work):
        g = np.array([gradient(net, image, c) for image in noisy_images(x)])
        return np.abs({"mean": g.mean(0), "squared": (g * g).mean(0), "variance": g.var(0)}[kind]).max(-1)
    return run


def rise_masks(h, w, n=40, s=5, p=0.5, seed=2):
    """The authors' generate_masks: a grid, bilinear, cut out at a random place."""
    cell, masks = (math.ceil(h / s), math.ceil(w / s)), []
    for i in range(n):
        grid = (uniform(seed, i, np.arange(s * s) + 2) < p).astype(np.float64).reshape(s, s)
        large = F.interpolate(torch.from_numpy(grid[None, None]), size=((s + 1) * cell[0], (s + 1) * cell[1]), mode="bilinear",
                              align_corners=False)[0, 0].numpy()
        dy, dx = (int(uniform(seed, i, np.array([k]))[0] * cell[k]) for k in range(2))
        masks.append(large[dy:dy + h, dx:dx + w])
    return np.array(masks)


def rise(net, name, x, c, work):
    """The authors' explain: sum S(x m) m / (N p)."""
    image = image_of(x)
    masks = rise_masks(*image.shape[:2])
    values = [scores(net, (image * m[..., None])[None], c)[0] for m in masks]
    return np.einsum("i,ihw->hw", values, masks) / len(masks) / 0.5


# ---- DeepLIFT ----------------------------------------------------------------------------------

class Rescale(torch.autograd.Function):
    """The rescale rule of a relu on a batch of two, the image and the baseline: multipliers where gradients would be. v: the
    values by which it decides, x itself or another run's."""

    @staticmethod
    def forward(context, x, v):
        context.save_for_backward(v)
        return x.clamp(min=0)

    @staticmethod
    def backward(context, m):
        v, = context.saved_tensors
        d, y = v[0] - v[1], v.clamp(min=0)
        same = d.abs() < 1e-7
        slope = torch.where(same, (v[0] > 0).to(v.dtype), (y[0] - y[1]) / torch.where(same, torch.ones_like(d), d))
        return torch.stack([m[0] * slope, torch.zeros_like(m[1])]), None


def maxima(x, pool, liked=None):
    """The flat index of each window's maximum, of those within 1e-5 of the layer's largest value `liked` or the first; x [c,h,w]."""
    c, h, w = x.shape
    size, step = (pool.kernel_size, pool.stride)
    windows = F.unfold(x[:, None], size, stride=step)  # [c, cells of a window, windows]
    places = F.unfold(torch.arange(h * w, dtype=torch.float64).reshape(1, 1, h, w), size, stride=step).long().expand(c, -1, -1)
    near = windows >= windows.max(1, keepdim=True)[0] - 1e-5 * x.abs().max()
    first = places.gather(1, near.to(torch.uint8).argmax(1, keepdim=True))[:, 0]
    if liked is None:
        return first
    return torch.where((near & (places == liked[:, None])).any(1), liked, first)


class SharedMaximum(torch.autograd.Function):
    """Of maximum pooling: a window's rise is shared by its maxima in the image and in the baseline."""

    @staticmethod
    def forward(context, x, v, pool):
        here = maxima(v[0], pool)
        context.save_for_backward(v, F.max_pool2d(v, pool.kernel_size, pool.stride), here, maxima(v[1], pool, here))
        return F.max_pool2d(x, pool.kernel_size, pool.stride)

    @staticmethod
    def backward(context, m):
        v, y, here, there = context.saved_tensors
        top, c = torch.maximum(y[0], y[1]), v.shape[1]
        spread = lambda values, where: torch.zeros_like(v[0]).reshape(c, -1).scatter_add(1, where, values.reshape(c, -1))
        shares = spread(m[0] * (top - y[1]), here) + spread(m[0] * (y[0] - top), there)
        d = (v[0] - v[1]).reshape(c, -1)
        same = d.abs() < max(1e-7, 1e-5 * float(v.abs().max()))
        out = torch.where(same, spread(m[0], here), shares / torch.where(same, torch.ones_like(d), d))
        return torch.stack([out.reshape(v[0].shape), torch.zeros_like(v[1])]), None, None


def deeplift(net, name, x, c, work, seen=None):
    """The rescale rule from a baseline of zeros, by autograd with the two rules above in place of the layers' own. seen: of the
    layers before relus and maxima, what another run gave for both inputs."""
    values = lambda v, source: (seen or {}).get(source, v.detach())
    with net.by_rule(lambda v, layer, source: Rescale.apply(v, values(v, source)),
                     lambda v, layer, source, pool: SharedMaximum.apply(v, values(v, source), pool)):
        both = torch.cat([x, torch.zeros_like(x)]).requires_grad_(True)
        net(both)[0, c].backward()
    return (both.grad[0] * x[0]).double().numpy().sum(0)


# ---- Superpixels: netgaze's own, as its map shows them ------------------------------------------

def superpixels(found):
    """Labels in the reading order of their first pixels, from a map that is constant on each."""
    _, first, labels = np.unique(found, return_index=True, return_inverse=True)
    order = np.argsort(np.argsort(first))
    return order[labels].reshape(found.shape), len(first)


def lime_samples(n, count=60, width=0.25, seed=1):
    """Which superpixels are seen, and what each sample weighs."""
    on = np.array([np.ones(n) if i == 0 else uniform(seed, i, np.arange(n)) < 0.5 for i in range(count)], np.float64)
    return on, np.exp(-(1 - np.sqrt(on.mean(1))) ** 2 / width ** 2)


def lime(net, name, x, c, work, found):
    """Ridge regression of scikit-learn, as the authors' package has it."""
    from sklearn.linear_model import Ridge
    image, (labels, n) = image_of(x), superpixels(found)
    on, weight = lime_samples(n)
    y = scores(net, np.where(on[:, labels][..., None] > 0, image, 0.5), c)
    return Ridge(alpha=1.0).fit(on, y, sample_weight=weight).coef_[labels]


def kernelshap(net, name, x, c, work, found):
    """Shapley's values by their definition, over all coalitions."""
    image, (labels, n) = image_of(x), superpixels(found)
    sets = np.array(list(itertools.product((0, 1), repeat=n)))
    y = dict(zip(map(tuple, sets), scores(net, np.where(sets[:, labels][..., None] > 0, image, 0.5), c)))
    values = np.zeros(n)
    for s in y:
        for k in range(n):
            if not s[k]:
                weight = math.factorial(sum(s)) * math.factorial(n - sum(s) - 1) / math.factorial(n)
                values[k] += weight * (y[s[:k] + (1,) + s[k + 1:]] - y[s])
    return values[labels]


# ---- What a library is given in place of its random numbers --------------------------------------

def given_noise(net, x, found):
    return {"noisy": noisy_images(x)}


def given_masks(net, x, found):
    return {"masks": rise_masks(*image_of(x).shape[:2]).astype(np.float32)[..., None]}


def given_samples(net, x, found):
    labels, n = superpixels(found)
    on, weight = lime_samples(n)
    return {"labels": labels.astype(np.int32), "on": on.astype(np.int32), "weight": weight}


# ---- Masks by gradient descent -----------------------------------------------------------------

def perturbation(variant, iterations=12):
    """The loss written for autograd, PyTorch's optimisers; the mask is a grid, bilinearly upsampled."""
    def run(net, name, x, c, work):
        from scipy.ndimage import gaussian_filter
        h, w = x.shape[2:]
        blurred = torch.from_numpy(gaussian_filter(image_of(x), (10, 10, 0), mode="nearest").transpose(2, 0, 1)[None].copy()).to(x.dtype)
        cells, area = 7, 0.1
        mask = torch.full((1, 1, cells, cells), 0.5 if variant == "extremal" else 1.0, dtype=x.dtype, requires_grad=True)
        with torch.no_grad():
            scale = abs(float(net(x)[0, c]))
        optimiser = torch.optim.SGD([mask], 0.01, momentum=0.9) if variant == "extremal" else torch.optim.Adam([mask], 0.1)
        ideal = (torch.arange(cells * cells) >= (1 - area) * cells * cells).to(x.dtype)
        weight = 3.0
        up = lambda m: F.interpolate(m, size=(h, w), mode="bilinear", align_corners=False)
        for _ in range(iterations):
            optimiser.zero_grad()
            score = net(blurred + (x - blurred) * up(mask))[0, c] / scale
            if variant == "extremal":
                loss = -score + weight * ((mask.flatten().sort(stable=True)[0] - ideal) ** 2).mean()
            else:
                edges = ((mask[..., 1:] - mask[..., :-1]) ** 2).sum() + ((mask[..., 1:, :] - mask[..., :-1, :]) ** 2).sum()
                loss = score + (1 - mask).sum() / cells ** 2 + edges / cells ** 2
            loss.backward()
            optimiser.step()
            with torch.no_grad():
                mask.clamp_(0, 1)
            weight *= 1.0035
        final = up(mask.detach().double())[0, 0].numpy()  # a mask of ones stays one
        return final if variant == "extremal" else 1 - final
    return run
