"""What the libraries say: for each a function (net, layer, input [1,c,h,w], class, folder) -> map, before any display."""

import functools
import importlib.util
import json
import pathlib
import subprocess
import sys
import types

import numpy as np
import torch

from compare_nets import tapped


def pixels(values, how="sum"):
    v = values.detach()[0].double().numpy()
    return {"sum": v.sum(0), "abs-max": np.abs(v).max(0)}[how]


def scaled(m):
    """pytorch-grad-cam's scale_cam_image, without its resizing."""
    m = m - m.min()
    return m / (1e-7 + m.max())


def positive(m):
    return np.maximum(m, 0)


def unbiased(n):
    """Of n samples' variance."""
    return lambda m: m * n / (n - 1)


# ---- pytorch-grad-cam --------------------------------------------------------------------------

def pgc_maps(class_name, net, layers, inputs, c, eigen=False, **options):
    """The maps before relu and scaling, of each input."""
    import pytorch_grad_cam
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
    if class_name == "KPCA_CAM":
        options.setdefault("kernel", "sigmoid")
    cam = getattr(pytorch_grad_cam, class_name)(model=net, target_layers=layers, **options)
    base, got = getattr(cam, "base_cam", cam), []
    original = base.get_cam_image
    base.get_cam_image = lambda *a, **k: got.append(original(*a, **k)) or got[-1]
    for x in inputs:
        if class_name == "FinerCAM":
            cam(input_tensor=x, alpha=0.6, target_idx=c)
        elif class_name == "ShapleyCAM":
            cam(input_tensor=x.clone().requires_grad_(True), targets=[lambda z: z[c] + torch.log_softmax(z, -1)[c]])
        else:
            cam(input_tensor=x, targets=[ClassifierOutputTarget(c)], eigen_smooth=eigen)
    return [np.asarray(v.detach() if torch.is_tensor(v) else v, dtype=np.float64)[0] for v in got]


def pgc(class_name, eigen=False, **options):
    def run(net, name, x, c, work):
        with tapped(net, name) as tap:
            return pgc_maps(class_name, net, [tap], [x], c, eigen, **options)[0]
    return run


def pgc_smoothed(class_name, scale):
    """aug_smooth: the versions of pytorch-grad-cam's own transforms, its maps of them, their mean at the layer's grid."""
    def run(net, name, x, c, work):
        import pytorch_grad_cam
        with tapped(net, name) as tap:
            versions = pytorch_grad_cam.GradCAM(model=net, target_layers=[tap]).tta_transforms
            inputs = [v.augment_image(x) for v in versions]
            maps = pgc_maps(class_name, net, [tap], inputs, c)
        led_back = [v.deaugment_mask(torch.from_numpy(m[None, None].copy())).numpy()[0, 0] for v, m in zip(versions, maps)]
        return np.mean([scaled(np.maximum(m, 0)) if scale else m for m in led_back], axis=0)
    return run


def pgc_layers(class_name):
    """Several target_layers: the library's whole result, at the input's size and scaled to 0..1."""
    def run(net, names, x, c, work):
        import pytorch_grad_cam
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
        cam = getattr(pytorch_grad_cam, class_name)(model=net, target_layers=[getattr(net, n) for n in names.split(",")])
        return np.asarray(cam(input_tensor=x, targets=[ClassifierOutputTarget(c)]), np.float64)[0]
    return run


def pgc_fullgrad(net, name, x, c, work):
    import pytorch_grad_cam
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
    cam = pytorch_grad_cam.FullGrad(model=net, target_layers=[])
    got = []
    original = cam.compute_cam_per_layer
    cam.compute_cam_per_layer = lambda *a, **k: got.append(original(*a, **k)) or got[-1]
    cam(input_tensor=x, targets=[ClassifierOutputTarget(c)])
    return got[0][0, 0]


# ---- captum ------------------------------------------------------------------------------------

def captum(class_name, how="sum", **options):
    def run(net, name, x, c, work):
        import captum.attr
        method = getattr(captum.attr, class_name)(net)
        return pixels(method.attribute(x.clone().requires_grad_(True), target=int(c), **options), how)
    return run


def captum_guided_gradcam(net, name, x, c, work):
    from captum.attr import GuidedGradCam
    with tapped(net, name) as tap:
        a = GuidedGradCam(net, tap).attribute(x.clone().requires_grad_(True), target=int(c), interpolate_mode="bilinear")
    return pixels(a)


def captum_ig(baseline, steps):
    def run(net, name, x, c, work):
        from captum.attr import IntegratedGradients
        start = {"black": torch.zeros_like(x), "white": torch.ones_like(x), "given": 0.5 * x.flip(3)}.get(baseline)
        if start is None:  # blur: scipy's own, rounded as netgaze keeps it, so that both begin at the same image
            from scipy.ndimage import gaussian_filter1d
            blurred = x[0].double().numpy()
            for axis in (1, 2):
                blurred = gaussian_filter1d(blurred, 3, axis, mode="nearest").astype(np.float32).astype(np.float64)
            start = torch.from_numpy(blurred[None]).to(x.dtype)
        return pixels(IntegratedGradients(net).attribute(x, baselines=start, target=int(c), n_steps=steps, method="gausslegendre",
                                                         internal_batch_size=4))
    return run


def captum_occlusion(window, stride):
    def run(net, name, x, c, work):
        from captum.attr import Occlusion
        depth = x.shape[1]
        a = Occlusion(net).attribute(x, sliding_window_shapes=(depth, window, window), strides=(depth, stride, stride), target=int(c),
                                     baselines=0)
        return a.detach()[0].double().numpy().mean(0)
    return run


def captum_deeplift(net, name, x, c, work):
    from captum.attr import DeepLift
    return pixels(DeepLift(net).attribute(x, baselines=torch.zeros_like(x), target=int(c)))


# ---- zennit ------------------------------------------------------------------------------------

def zennit_composite(name, canonizers):
    """One of the library's; EpsilonGamma is its EpsilonGammaBox without the rule of its own for the first layer."""
    import zennit.composites as composites
    from zennit.rules import Epsilon, Gamma
    from zennit.types import Convolution, Linear
    if name != "EpsilonGamma":
        return getattr(composites, name)(canonizers=canonizers)
    rules = [(Convolution, Gamma(gamma=0.25)), (Linear, Epsilon(epsilon=1e-6))]
    return composites.LayerMapComposite(layer_map=rules + composites.layer_map_base(), canonizers=canonizers)


def zennit_lrp(composite):
    """Batch norms are merged with the convolutions before them, by the graph. zennit's canonizer leaves the merged norm's
    epsilon in place, so that it still divides by sqrt(1 + epsilon), 5e-4 at Keras's 1e-3: that is taken out here."""
    def run(net, name, x, c, work):
        import zennit.attribution
        import zennit.canonizers
        import zennit.composites

        class Merge(zennit.canonizers.NamedMergeBatchNorm):
            def merge_batch_norm(self, modules, batch_norm):
                super().merge_batch_norm(modules, batch_norm)
                self.kept, batch_norm.eps = (batch_norm, batch_norm.eps), 0.0

            def remove(self):
                super().remove()
                self.kept[0].eps = self.kept[1]

        convolutions = {n: m for n, m in net.named_modules() if isinstance(m, torch.nn.Conv2d)}
        pairs = [([next(n for n in convolutions if n == s[0] or n.startswith(s[0] + "."))], name_)
                 for name_, s, _, kind in net.order if kind == "BatchNormalization"]
        made = zennit_composite(composite, [Merge(pairs)])
        with zennit.attribution.Gradient(model=net, composite=made) as attributor:
            _, relevance = attributor(x.clone(), lambda z: z * torch.nn.functional.one_hot(torch.tensor([c]), z.shape[1]))
        return pixels(relevance)
    return run


# ---- The saliency package (PAIR) ---------------------------------------------------------------

def saliency_module(name):
    """One module of the package, whose __init__ wants more than these need."""
    import saliency.core.base  # noqa: F401
    return importlib.import_module(f"saliency.core.{name}")


def gradients_of(net, c):
    import saliency.core.base as base

    def call(x, call_model_args=None, expected_keys=None):
        t = torch.from_numpy(np.asarray(x).transpose(0, 3, 1, 2).copy()).to(next(net.parameters()).dtype).requires_grad_(True)
        net(t)[:, c].sum().backward()
        return {base.INPUT_OUTPUT_GRADIENTS: t.grad.double().numpy().transpose(0, 2, 3, 1)}
    return call


def pair_xrai(net, name, x, c, work):
    xrai = saliency_module("xrai")
    image = x[0].permute(1, 2, 0).double().numpy()
    return xrai.XRAI().GetMask(image, gradients_of(net, c), extra_parameters=xrai.XRAIParameters(steps=4))


def pair_guided_ig(baseline, steps=20):
    def run(net, name, x, c, work):
        image = x[0].permute(1, 2, 0).double().numpy()
        start = np.zeros_like(image) if baseline == "black" else np.load(work / "baseline.npy").astype(np.float64)
        return saliency_module("guided_ig").GuidedIG().GetMask(
            image, gradients_of(net, c), x_baseline=start, x_steps=steps, fraction=0.25, max_dist=0.02).sum(-1)
    return run


# ---- TorchRay -----------------------------------------------------------------------------------

def torchray(iterations):
    """extremal_perturbation with its defaults. It imports matplotlib, for pictures that are not drawn here."""
    def run(net, name, x, c, work):
        try:
            importlib.import_module("matplotlib.pyplot")
        except ImportError:
            for module in ("matplotlib", "matplotlib.pyplot", "matplotlib.cm"):
                sys.modules[module] = types.ModuleType(module)
            sys.modules["matplotlib"].pyplot, sys.modules["matplotlib"].cm = (sys.modules["matplotlib." + m] for m in ("pyplot", "cm"))
        from torchray.attribution.extremal_perturbation import extremal_perturbation
        grads = [p.requires_grad for p in net.parameters()]
        mask, _ = extremal_perturbation(net, x.float(), int(c), max_iter=iterations)
        for p, wanted in zip(net.parameters(), grads):  # it switches them off
            p.requires_grad_(wanted)
        return mask[0, 0].double().numpy()
    return run


# ---- tf-keras-vis and xplique, in a Python of their own ----------------------------------------

@functools.lru_cache
def keras_process(python, work):
    script = pathlib.Path(__file__).with_name("compare_keras.py")
    return subprocess.Popen([python, str(script), str(work)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            stderr=subprocess.DEVNULL, text=True)


def keras(python, method, given=None, **options):
    """given: a function (net, x, found) -> arrays by name, which the library takes in place of its random numbers."""
    def run(net, name, x, c, work, found):
        np.savez(work / "given.npz", **(given(net, x, found) if given else {}))
        process = keras_process(python, work)
        process.stdin.write(json.dumps([str(net.folder), name, c, method, options]) + "\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        if answer != "\n":
            raise RuntimeError(answer.strip() or "the Python with TensorFlow has ended")
        return np.load(work / "keras.npy").astype(np.float64)
    return run
