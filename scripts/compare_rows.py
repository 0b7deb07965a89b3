"""What compare_methods.py compares with what: a row for each method, its parameters and the peer."""

import importlib.util
import types

import compare_formulas as N
import compare_peers as P

Row = types.SimpleNamespace


def row(method, peer, run, parameters="", target="logit", layer=False, options=(), nets=None, note="", after=None, deep=None, layers=None,
        unstable=False):
    """layer: at each of the net's layers, else at the input; options: of explain; nets: only these; after: what is done with
    netgaze's map; deep: compared with float64 on the real network, and what netgaze's float32 run decides there: RELUS,
    UNFUSED, SLOPES or NOTHING; layers: these, as one; unstable: rounding grows on the real network, and the table says why."""
    return Row(method=method, peer=peer, run=run, parameters=parameters, target=target, at_layer=layer, options=list(options), nets=nets,
               note=note, after=after, deep=deep, layers=layers, unstable=unstable)


RELUS, UNFUSED, SLOPES, NOTHING = "relus", "relus of an unfused run", "slopes", "nothing"


def cams():
    """At a layer."""
    def of(method, class_name, parameters="", target="logit", note=""):
        return row(method, "grad-cam", P.pgc(class_name), parameters, target, layer=True, note=note)
    sign = "up to the sign, which is arbitrary"
    return [
        row("cam", "formula", N.cam, layer=True, nets=["pooled"], layers=["r3"]),
        of("gradcam", "GradCAM"), of("hirescam", "HiResCAM"), of("gradcamelementwise", "GradCAMElementWise"),
        of("gradcam++", "GradCAMPlusPlus", "variant=pgc"),
        row("gradcam++", "paper's formula", N.gradcampp, layer=True), of("xgradcam", "XGradCAM"), of("layercam", "LayerCAM"),
        of("scorecam", "ScoreCAM", "variant=pgc"), of("ablationcam", "AblationCAM"), of("eigencam", "EigenCAM", note=sign),
        of("eigengradcam", "EigenGradCAM", note=sign), of("kpcacam", "KPCA_CAM", note=sign), of("finercam", "FinerCAM", "alpha=0.6"),
        of("fem", "FEM"), of("shapleycam", "ShapleyCAM", target="rest"),
        row("randomcam", "formula, the same numbers", N.randomcam, "seed=7", layer=True),
        row("dff", "scikit-learn's NMF, the same beginning", N.dff, "concepts=3,iterations=100", layer=True),
        row("gradcam", "grad-cam, aug_smooth", P.pgc_smoothed("GradCAM", True), options=["--smooth", "scaled"], layer=True),
        row("gradcam", "grad-cam, mean of its transforms", P.pgc_smoothed("GradCAM", False), options=["--smooth", "augment"], layer=True),
        row("layercam", "grad-cam, aug_smooth", P.pgc_smoothed("LayerCAM", True), options=["--smooth", "scaled"], layer=True),
        *(row(m, "grad-cam, eigen_smooth", P.pgc(n, eigen=True), options=["--eigen-smooth"], layer=True, note=sign)
          for m, n in (("gradcam", "GradCAM"), ("hirescam", "HiResCAM"), ("layercam", "LayerCAM"), ("xgradcam", "XGradCAM"))),
        *(row(m, "grad-cam, several target_layers", P.pgc_layers(n), options=["--fuse", "mean"], layer=True, nets=[net],
              layers=[layers], after=P.scaled, note="scaled to 0..1 at last, as there")
          for m, n in (("gradcam", "GradCAM"), ("layercam", "LayerCAM"))
          for net, layers in (("pooled", "r2,r3"), ("deep", "ra,c3"), ("inception", "mixed7,mixed10"))),
    ]


def pixel_methods():
    """At the input."""
    k = "captum"
    return [
        row("fullgrad", "grad-cam", P.pgc_fullgrad, "variant=pgc"),
        row("saliency", k, P.captum("Saliency", "abs-max"), "reduce=abs-max", deep=RELUS),
        row("inputxgradient", k, P.captum("InputXGradient"), deep=RELUS),
        row("guidedbackprop", k, P.captum("GuidedBackprop"), deep=RELUS), row("deconvnet", k, P.captum("Deconvolution"), deep=RELUS),
        row("guidedgradcam", k, P.captum_guided_gradcam, layer=True, deep=RELUS),
        row("integratedgradients", k, P.captum_ig("black", 50), "baseline=zero", deep=RELUS),
        row("integratedgradients", k, P.captum_ig("white", 5), "baseline=white,steps=5", deep=RELUS),
        row("integratedgradients", k, P.captum_ig("blur", 5), "baseline=blur,blur=3,steps=5", deep=RELUS),
        row("integratedgradients", k, P.captum_ig("given", 5), "steps=5", deep=RELUS, options=["--baseline", "{work}/baseline.npy"]),
        row("smoothgrad", "formula, the same noise", N.smoothgrad("mean"), "samples=8,seed=3", deep=RELUS),
        row("smoothgrad", "formula, the same noise", N.smoothgrad("squared"), "samples=8,seed=3,variant=squared", deep=RELUS),
        row("vargrad", "formula, the same noise", N.smoothgrad("variance"), "samples=8,seed=3", deep=RELUS),
        row("guidedig", "saliency", P.pair_guided_ig("black"), "baseline=zero,steps=20", deep=RELUS, unstable=True),
        row("guidedig", "saliency", P.pair_guided_ig("given", 2), "steps=2", deep=RELUS, unstable=True,
            options=["--baseline", "{work}/baseline.npy"]),
        row("xrai", "saliency", P.pair_xrai, "steps=4,rule=riemann", deep=RELUS),
        row("occlusion", k, P.captum_occlusion(8, 4), "window=8,stride=4,baseline=zero", nets=["pooled", "deep"]),
        row("occlusion", k, P.captum_occlusion(75, 56), "window=75,stride=56,baseline=zero", nets=["inception"]),
        row("rise", "authors' formula, the same masks", N.rise, "samples=40,cells=5,seed=2", deep=NOTHING),
        row("lime", "scikit-learn's Ridge, the same samples", N.lime, "samples=60,segments=12,seed=1,baseline=grey,compactness=100"),
        row("kernelshap", "Shapley's definition", N.kernelshap, "samples=1024,segments=8,baseline=grey,compactness=100"),
        row("extremalperturbation", "formula, PyTorch's SGD", N.perturbation("extremal"), "iterations=12,cells=7"),
        *(row("extremalperturbation", "formula, PyTorch's Adam", N.perturbation("meaningful", n),
              f"variant=meaningful,iterations={n},cells=7", deep=RELUS, unstable=n > 1) for n in (12, 1)),
        *([row("extremalperturbation", "torchray", P.torchray(60), "variant=torchray,iterations=60", nets=["pooled", "deep"])]
          if importlib.util.find_spec("torchray") else []),
        # behind maximum pooling captum's own attributions miss the score's rise, netgaze's add up (tests/attr)
        row("deeplift", k, P.captum_deeplift, "baseline=zero", nets=["pooled"]),
        row("deeplift", "formula", N.deeplift, "baseline=zero", deep=SLOPES),
        *(row("lrp", "zennit, its merged batch norms mended", P.zennit_lrp(n), "preset=" + p, deep=UNFUSED)
          for n, p in (("EpsilonPlusFlat", "epsilon-plus-flat"), ("EpsilonPlus", "epsilon-plus"), ("EpsilonAlpha2Beta1", "epsilon-alpha2-beta1"),
                        ("EpsilonGamma", "epsilon-gamma"))),
    ]


def keras_rows(python):
    """tf-keras-vis and xplique."""
    t, q, scale = "tf-keras-vis", "xplique", "its relu, up to the factor exp(score)"

    def tkv(method, parameters="", peer=t, note="", after=None, **options):
        return row(method, peer, P.keras(python, "tkv." + method, **options), parameters, layer=True, note=note, after=after)

    def xplique(method, name, parameters="", after=None, layer=False, nets=None, given=None, note="", **options):
        run = P.keras(python, "xplique." + name, given, **options)
        return row(method, q, run, parameters, layer=layer, nets=nets, after=after, note=note)
    small = {"nets": ["pooled", "deep"]}  # what depends on float32's choices is compared in float64 on the real network
    noise = {"given": N.given_noise, "note": "the same noise", "nb_samples": 8, **small}
    return [
        tkv("gradcam"), tkv("layercam"), tkv("gradcam++", "variant=tkv", note=scale, after="unit"), tkv("scorecam", "variant=tkv"),
        tkv("scorecam", "variant=tkv,channels=5", t + ", max_N", max_N=5),
        xplique("gradcam", "GradCAM", layer=True, after=P.positive, note="its relu"),
        xplique("saliency", "Saliency", "reduce=abs-max", reducer="max", **small),
        *(xplique(m, name, **small) for m, name in (("inputxgradient", "GradientInput"), ("guidedbackprop", "GuidedBackprop"),
                                                    ("deconvnet", "DeconvNet"))),
        xplique("integratedgradients", "IntegratedGradients", "baseline=zero,rule=trapezoid,steps=20", steps=20, batch_size=20,
                **small),
        xplique("smoothgrad", "SmoothGrad", "samples=8,seed=3,reduce=sum", **noise),
        xplique("smoothgrad", "SquareGrad", "samples=8,seed=3,variant=squared,reduce=sum", **noise),
        xplique("vargrad", "VarGrad", "samples=8,seed=3,reduce=sum", after=P.unbiased(8), **noise),
        *(xplique("occlusion", "Occlusion", f"window={w},stride={w},baseline=zero", nets=[net], patch_size=w, patch_stride=w)
          for net, w in (("deep", 8), ("inception", 23))),
        xplique("rise", "Rise", "samples=40,cells=5,seed=2", given=N.given_masks, note="the same masks", nb_samples=40),
        xplique("lime", "Lime", "samples=60,segments=12,seed=1,baseline=grey,compactness=100", given=N.given_samples,
                note="the same samples and weights", nb_samples=60)]
