"""Keras's side of the parity check: makes keras.applications models with seeded random weights, saves them, and runs
Keras itself on one input. Run by parity.py, one process for each Keras, with a job as JSON on the command line."""

import json
import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "fixtures"))

import numpy as np

import case_reference as ref
import case_tfjs as tfjs

SHAKE = 1e-6  # logits of float32 kernels are about as far from exact ones
STEADY = 3e-5
NEAR = 5e-5  # of a layer's standard deviation: float32's rounding can lead a single activation over a kink that near
MOST = 60

# name -> class, input size, the layer expected to be chosen automatically, a layer in the middle, pixels 0..255. Layers
# that are not named here: the last spatial one, and one at three quarters of the way.
MODELS = {
    "inception_v3": ("InceptionV3", 299, "mixed10", "mixed7", False),
    "mobilenet_v2": ("MobileNetV2", 224, "out_relu", "block_13_expand_relu", False),
    "resnet50": ("ResNet50", 224, "conv5_block3_out", "conv4_block6_out", False),
    "vgg16": ("VGG16", 224, "block5_pool", "block4_conv3", False),
    "xception": ("Xception", 299, "block14_sepconv2_act", "block12_sepconv3_bn", False),
    "densenet121": ("DenseNet121", 224, "relu", "conv4_block24_concat", False),
    "efficientnet_b0": ("EfficientNetB0", 224, "top_activation", "block4a_expand_activation", True),
    "vgg19": ("VGG19", 96, "block5_pool", "block4_conv4", False),
    "resnet101": ("ResNet101", 96, "conv5_block3_out", "conv4_block23_out", False),
    "resnet152": ("ResNet152", 96, "conv5_block3_out", "conv4_block36_out", False),
    "resnet50_v2": ("ResNet50V2", 128, "post_relu", "conv4_block6_out", False),
    "resnet101_v2": ("ResNet101V2", 96, "post_relu", "conv4_block23_out", False),
    "resnet152_v2": ("ResNet152V2", 96, "post_relu", "conv4_block36_out", False),
    "inception_resnet_v2": ("InceptionResNetV2", 139, "conv_7b_ac", "block17_20_ac", False),
    "mobilenet": ("MobileNet", 128, "conv_pw_13_relu", "conv_pw_11_relu", False),
    "mobilenet_v3_small": ("MobileNetV3Small", 128, None, None, True),
    "mobilenet_v3_large": ("MobileNetV3Large", 128, None, None, True),
    "densenet169": ("DenseNet169", 96, "relu", "conv4_block32_concat", False),
    "densenet201": ("DenseNet201", 96, "relu", "conv4_block48_concat", False),
    "nasnet_mobile": ("NASNetMobile", 128, None, None, False),
    "nasnet_large": ("NASNetLarge", 107, None, None, False),
    "efficientnet_b1": ("EfficientNetB1", 96, "top_activation", "block4a_expand_activation", True),
    "efficientnet_b2": ("EfficientNetB2", 96, "top_activation", "block4a_expand_activation", True),
    "efficientnet_b3": ("EfficientNetB3", 96, "top_activation", "block4a_expand_activation", True),
    "efficientnet_b4": ("EfficientNetB4", 96, "top_activation", "block4a_expand_activation", True),
    "efficientnet_b5": ("EfficientNetB5", 96, "top_activation", "block4a_expand_activation", True),
    "efficientnet_b6": ("EfficientNetB6", 96, "top_activation", "block4a_expand_activation", True),
    "efficientnet_b7": ("EfficientNetB7", 96, "top_activation", "block4a_expand_activation", True),
    "efficientnet_v2_b0": ("EfficientNetV2B0", 96, "top_activation", "block4a_expand_activation", True),
    "efficientnet_v2_b1": ("EfficientNetV2B1", 96, "top_activation", "block4a_expand_activation", True),
    "efficientnet_v2_b2": ("EfficientNetV2B2", 96, "top_activation", "block4a_expand_activation", True),
    "efficientnet_v2_b3": ("EfficientNetV2B3", 96, "top_activation", "block4a_expand_activation", True),
    "efficientnet_v2_s": ("EfficientNetV2S", 96, "top_activation", "block4a_expand_activation", True),
    "efficientnet_v2_m": ("EfficientNetV2M", 96, "top_activation", "block4a_expand_activation", True),
    "efficientnet_v2_l": ("EfficientNetV2L", 96, "top_activation", "block4a_expand_activation", True),
    "convnext_tiny": ("ConvNeXtTiny", 96, None, None, True),
    "convnext_small": ("ConvNeXtSmall", 96, None, None, True),
    "convnext_base": ("ConvNeXtBase", 96, None, None, True),
    "convnext_large": ("ConvNeXtLarge", 64, None, None, True),
    "convnext_xlarge": ("ConvNeXtXLarge", 64, None, None, True),
}


def spatial_layers(model):
    """The last spatial layer of a model before its global reduction, and one at three quarters of the way."""
    found = []
    for layer in getattr(model, "operations", model.layers):  # Keras 3: a sum written as one is no layer
        shape = getattr(layer, "output_shape", None) or tuple(layer.output.shape)
        if len(shape) == 4 and shape[1] * shape[2] > 1 and type(layer).__name__ not in ("InputLayer", "Dropout"):
            found.append(layer)
    joints = [l for l in found if type(l).__name__ in ("Add", "Activation", "ReLU", "Concatenate", "Multiply")]
    return found[-1].name, joints[len(joints) * 3 // 4].name


def smooth_image(rng, size, low, high):
    """Something between noise and a photograph: a few octaves of upsampled noise."""
    image = np.zeros((size, size, 3))
    for cells in (4, 9, 23, 61, size):
        grid = rng.normal(0, 1, (cells, cells, 3))
        index = (np.arange(size) * cells) // size
        image += grid[index][:, index]
    image = (image - image.min()) / (image.max() - image.min())
    return (low + image * (high - low)).astype(np.float32)[None]


def settle(keras, model, rng, x, smooth):
    """Random weights under which activations keep a sane size: He's scale for kernels, batch norms whose moving
    statistics are near to those of the input but not equal. Offsets are large against what varies, so that few relus are
    near their kink (see shaken); not so in a network of smooth activations."""
    low, high = (0.6, 1.4) if smooth else (0.2, 0.4)
    for layer in ref.all_layers(model):
        kind, weights = type(layer).__name__, layer.get_weights()
        if kind == "BatchNormalization":
            gamma = [rng.uniform(low, high, weights[0].shape)] if layer.scale else []
            beta = [offsets(rng, weights[0].shape)] if layer.center else []
            layer.set_weights(gamma + beta + weights[len(gamma) + len(beta) :])
            layer.momentum = 0.0
        elif kind == "Normalization" and weights:
            layer.set_weights([np.array([0.48, 0.45, 0.4]), np.array([0.05, 0.05, 0.06])] + weights[2:])
            layer.finalize_state()
        elif kind in ("LayerNormalization", "LayerScale"):
            layer.set_weights([rng.uniform(0.3, 1.1, w.shape) if i == 0 else rng.normal(0, 0.1, w.shape) for i, w in
                               enumerate(weights)])
        elif kind in ("Conv2D", "SeparableConv2D", "DepthwiseConv2D", "Dense"):
            layer.set_weights([he(rng, w, "Depthwise" in kind or ("Separable" in kind and i == 0)) for i, w in
                               enumerate(weights)])
    model(x, training=True)
    for layer in ref.all_layers(model):
        if type(layer).__name__ == "BatchNormalization":
            weights = layer.get_weights()
            mean, variance = weights[-2:]
            mean = mean + 0.2 * np.sqrt(variance) * rng.normal(0, 1, mean.shape)
            variance = (variance + 1e-4) * rng.uniform(0.7, 1.5, variance.shape)
            layer.set_weights(weights[:-2] + [mean, variance])
            layer.momentum = 0.99


def offsets(rng, shape):
    return rng.choice([-1, 1], shape) * rng.uniform(0.6, 1.2, shape)


def he(rng, weight, depthwise):
    if weight.ndim < 2:
        return offsets(rng, weight.shape)
    fan_in = weight.shape[0] * weight.shape[1] if depthwise else np.prod(weight.shape[:-1])
    return rng.normal(0, np.sqrt(2.0 / fan_in), weight.shape)


def top_classes(logits):
    return [int(c) for c in np.argsort(-logits[0])[:4]]


def maps_of(act, grad):
    return [np.maximum(ref.gradcam(a, g), 0) for a, g in zip(act, grad)]


def shaken(net, x, rng):
    """The classes to explain and how far maps move when the input moves by what float32 kernels are off by (SHAKE). A relu
    within that of its kink makes a gradient jump: then no float32 program has the map to 1e-4, Keras's own included (random
    weights make this common: gradients nearly cancel in the mean)."""
    logits, act, grad = net(x, top_classes)
    picked = [ref.pick_class(act[i], grad[i]) for i in range(len(act))]
    classes, tops = [top_classes(logits)[k] for k, _ in picked], top_classes(logits)
    maps = maps_of(act, [grad[i][tops.index(c)] for i, c in enumerate(classes)])
    worst = [0.0] * len(maps)
    for _ in range(2):
        moved = x * (1 + SHAKE * rng.normal(0, 1, x.shape)).astype(np.float32)
        _, act, grad = net(moved, lambda _: classes)
        moved_maps = maps_of(act, [grad[i][i] for i in range(len(act))])
        worst = [max(w, ref.relative(m, maps[i])) for i, (w, m) in enumerate(zip(worst, moved_maps))]
    return classes, [float(share) for _, share in picked], worst, maps


def steady_input(producer, model, paths, inputs):
    """The first of some inputs whose maps float32 can give; at worst the best of them."""
    net, best = ref.Prepared(producer, model, paths, wide=False), None
    logits = [net(x, lambda _: [0])[0] for x in (inputs[0], inputs[0][:, ::-1])]
    if not ref.relative(*logits) > 0.005:  # fifty times what is allowed; mirrored, Xception's move by 0.008
        raise ValueError("the logits hardly depend on the input: %g" % ref.relative(*logits))
    for attempt, x in enumerate(inputs):
        classes, shares, worst, float32 = shaken(net, x, np.random.RandomState(attempt))
        if best is None or max(worst) < max(best[3]):
            best = (x, classes, shares, worst, attempt, float32)
        if max(worst) < STEADY:
            break
    return best


def bends(layer):
    """The kinks of a layer's activation: [(where, slope below, slope above)]."""
    kind = layer.activation.__name__ if type(layer).__name__ == "Activation" else type(layer).__name__.lower()
    if kind == "relu":
        top = getattr(layer, "max_value", None)
        return [(0, 0, 1)] + ([(float(top), 1, 0)] if top is not None else [])
    return {"relu6": [(0, 0, 1), (6, 1, 0)], "hard_sigmoid": [(-3, 0, 1 / 6), (3, 1 / 6, 0)],
            "hard_silu": [(-3, 0, -0.5), (3, 1.5, 1)]}.get(kind, [])


def near_kinks(layer, before):
    """Where an activation is near a kink: distances in standard deviations, and what changes sides."""
    value, found = before.numpy(), []
    for where, below, above in bends(layer):
        distance = np.abs(value - where) / value.std()
        found += [(distance[k], before[tuple(map(int, k))], k, (below - above) if value[k] > where else (above - below))
                  for k in zip(*np.where(distance < NEAR))]
    return found


def near_ties(layer, before, after):
    """Where the two largest of a maximum's window are near each other: likewise, the second minus the first."""
    value, (rows, columns) = before.numpy()[0], after.shape[1:3]
    size, step = layer.pool_size[0], layer.strides[0]
    pad = max((rows - 1) * step + size - value.shape[0], 0)
    padded = np.full((value.shape[0] + pad, value.shape[1] + pad, value.shape[2]), -np.inf)
    top = pad // 2
    padded[top : top + value.shape[0], top : top + value.shape[1]] = value
    window = np.stack([padded[i : i + step * rows - step + 1 : step, j : j + step * columns - step + 1 : step]
                       for i in range(size) for j in range(size)], 2)
    order = np.argsort(window, 2)[:, :, -2:]
    best = np.take_along_axis(window, order, 2)
    gap = (best[:, :, 1] - best[:, :, 0]) / value.std()
    found = []
    for y, x, c in zip(*np.where((gap < NEAR) & (gap > 0))):  # equal ones are zeros that a relu made
        first, second = (before[0, int(y * step - top + k // size), int(x * step - top + k % size), int(c)] for k in
                         order[y, x, ::-1, c])
        found.append((gap[y, x, c], second - first, (0, y, x, c), 1))
    return found


def kinks(producer, model, path, x, c):
    """How the map at `path` changes with each activation, or maximum, that is near its kink behind it on the other side (to
    first order): [distance in standard deviations, [h,w]], the nearest first. A gradient jumps there, and which side a sum
    of float32 falls on is rounding. Of Activation, ReLU and MaxPooling2D layers."""
    tf, keras = producer.tf, producer.keras
    net = ref.copy_as(producer, model, "float64")
    ref.without_final_activation(net.layers[-1])
    steps = list(getattr(net, "operations", net.layers))  # Keras 3: a sum written as one is no layer
    at = [step.name for step in steps].index(path)
    layers = [l for l in steps[at + 1 :] if
              type(l).__name__ == "MaxPooling2D" or (type(l).__name__ in ("ReLU", "Activation") and bends(l))]
    if not layers:
        return []
    full = keras.Model(net.inputs, [steps[at].output] + [l.input for l in layers] + [l.output for l in layers] +
                       [net.output])
    n, found = len(layers), []
    x = tf.constant(x.astype(np.float64))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        act, *rest, logits = full(x, training=False)
        score = logits[0, c]
        for layer, before, after in zip(layers, rest[:n], rest[n:]):
            tie = type(layer).__name__ == "MaxPooling2D"
            near = near_ties(layer, before, after) if tie else near_kinks(layer, before)
            found += [(f[0], f[1], after, f[2], f[3]) for f in near]
    plain = act.numpy()[0] @ tape.gradient(score, act).numpy()[0].mean((0, 1))
    out = []
    for distance, side, after, at, sign in sorted(found, key=lambda f: f[0])[:MOST]:
        way = tape.gradient(side, act)
        if way is not None:
            weights = way.numpy()[0].mean((0, 1)) * tape.gradient(score, after).numpy()[at] * sign
            out.append((distance, np.where(plain > 0, act.numpy()[0] @ weights, 0)))
    return out


def reference(producer, model, paths, inputs, wide):
    """The input chosen, logits, softmax and maps as plain arrays, and facts about them."""
    start = time.time()
    x, classes, shares, worst, attempt, float32 = steady_input(producer, model, paths, inputs)
    logits, act, grad = ref.Prepared(producer, model, paths, wide=wide)(x, lambda _: classes)
    grown = np.exp(logits - logits.max())
    out = {"logits": logits, "output": grown / grown.sum()}
    for i, m in enumerate(maps_of(act, [grad[i][i] for i in range(len(paths))])):
        out["map%d" % i] = m
        near = kinks(producer, model, paths[i], x, classes[i]) if wide else []
        out["kinks%d" % i] = np.array([change for _, change in near]).reshape((len(near),) + m.shape[1:])
        out["distances%d" % i] = np.array([distance for distance, _ in near])
    own = [ref.relative(m, out["map%d" % i]) for i, m in enumerate(float32)]
    maps = [{"layer": p, "class": c, "share": s, "float32": o, "shaken": w}
            for p, c, s, o, w in zip(paths, classes, shares, own, worst)]
    return x, out, {"producer": producer.text(), "maps": maps, "float64": wide, "input": attempt,
                    "seconds": round(time.time() - start, 1)}


def store(folder, out, facts, x):
    np.savez(os.path.join(folder, "reference.npz"), **{k: np.asarray(v, np.float64) for k, v in out.items()})
    np.save(os.path.join(folder, "input.npy"), x)
    with open(os.path.join(folder, "facts.json"), "w") as f:
        json.dump(facts, f, indent=1)


def applications(producer, job):
    folder, name = job["folder"], job["model"]
    keras_name, size, last, middle, pixels = MODELS[name]
    size = job["size"] or size
    producer.clear()
    rng = np.random.RandomState(job["seed"])
    keras = producer.keras
    keras.utils.set_random_seed(job["seed"])
    model = getattr(keras.applications, keras_name)(weights=None, input_shape=(size, size, 3))
    last, middle = (last, middle) if last else spatial_layers(model)
    low, high = (0, 255) if pixels else (-1, 1)
    x = smooth_image(rng, size, low, high)
    # The last maps of a small input have a few cells: too few for the statistics of batch norms, hence more images.
    settled = np.concatenate([x] + [smooth_image(rng, size, low, high) for _ in range(7 if size < 224 else 0)])
    settle(keras, model, rng, settled, smooth=name.startswith(("efficientnet", "mobilenet_v3")))
    files = []
    for form in job["formats"]:
        files.append("model." + form)
        path = os.path.join(folder, files[-1])
        if producer.modern:
            model.save(path, include_optimizer=False)
        else:
            model.save(path, **({"include_optimizer": False, "save_format": "h5"} if form == "h5" else {}))
    inputs = [x] + [smooth_image(rng, size, low, high) for _ in range(job["tries"] - 1)]
    x, out, facts = reference(producer, model, [last, middle], inputs, job["float64"])
    facts["files"] = files
    store(folder, out, facts, x)


def from_tfjs(producer, folder):
    """A TF.js layers model as Keras builds it from the same topology, with its weights dequantised."""
    with open(os.path.join(folder, "model.json")) as f:
        spec = json.load(f)
    topology = spec["modelTopology"].get("model_config", spec["modelTopology"])
    model = producer.keras.models.model_from_json(json.dumps(topology))
    found = tfjs.read(folder)
    model.set_weights([found.pop(ref.weight_name(w)) for w in ref.weights_of(model)])
    if found:
        raise ValueError("weights without a place: %s" % sorted(found)[:5])
    return model


def nsfwjs(producer, job):
    model = from_tfjs(producer, job["tfjs"])
    rng = np.random.RandomState(job["seed"])
    inputs = [smooth_image(rng, 299, 0, 1) for _ in range(job["tries"])]
    if job.get("photo"):
        from PIL import Image

        photo = Image.open(job["photo"]).convert("RGB").resize((299, 299), Image.BILINEAR)
        inputs = [(np.asarray(photo, np.float32) / 255.0)[None]]
    for form in job["formats"]:
        model.save(os.path.join(job["folder"], "model." + form), **({"save_format": "h5"} if form == "h5" else {}))
    x, out, facts = reference(producer, model, ["mixed10", "mixed7"], inputs, job["float64"])
    facts["files"] = ["model." + form for form in job["formats"]]
    store(job["folder"], out, facts, x)


def article(producer, job):
    """The article's pipeline, word by word: Keras's prediction, the gradient of the softmax probability, OpenCV's pictures."""
    import cv2

    keras, tf = producer.keras, producer.tf
    model = from_tfjs(producer, job["tfjs"])
    image = keras.preprocessing.image.load_img(job["photo"], target_size=(299, 299))
    x = keras.preprocessing.image.img_to_array(image)[None] / 127.5 - 1
    grad_model = keras.models.Model(model.inputs, [model.get_layer("mixed10").output, model.output])
    with tf.GradientTape() as tape:
        conv_output, predictions = grad_model(x)
        c = int(tf.argmax(predictions[0]))
        score = predictions[:, c]
    grads = tape.gradient(score, conv_output)
    weights = tf.reduce_mean(grads, axis=(0, 1, 2))
    cam = tf.reduce_sum(tf.multiply(weights, conv_output[0]), axis=-1).numpy()
    cam = np.maximum(cam, 0)
    cam = (cam - cam.min()) / (cam.max() - cam.min() + 1e-8)
    levels = np.uint8(255 * cam)
    picture = cv2.resize(cv2.imread(job["photo"]), (299, 299))
    large = cv2.resize(levels, (299, 299))
    overlay = cv2.addWeighted(picture, 0.7, cv2.applyColorMap(large, cv2.COLORMAP_JET), 0.3, 0)
    np.savez(os.path.join(job["folder"], "article.npz"), levels=levels, large=large, overlay=overlay[..., ::-1],
             probability=float(score[0]), jet=cv2.applyColorMap(np.arange(256, dtype=np.uint8)[None], cv2.COLORMAP_JET)[0, :, ::-1])
    with open(os.path.join(job["folder"], "facts.json"), "w") as f:
        json.dump({"producer": producer.text() + ", OpenCV " + cv2.__version__, "class": c}, f)


def main():
    job = json.loads(sys.argv[1])
    producer = ref.Producer(job["producer"])
    {"applications": applications, "nsfwjs": nsfwjs, "article": article}[job["kind"]](producer, job)


if __name__ == "__main__":
    main()
