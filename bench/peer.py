"""One peer of bench/compare.py: python bench/peer.py NAME FOLDER INPUT.npy THREADS LAYER. Answers lines as worker.c does."""
import json
import os
import sys
import time

name, folder, input_path, threads, layer = sys.argv[1:6]
threads = int(threads)
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = str(threads)
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import numpy as np

x = np.load(input_path)[None] if np.load(input_path).ndim == 3 else np.load(input_path)


def path_of(file):
    return os.path.join(folder, file)


def onnxruntime(file="model.onnx"):
    import onnxruntime as ort
    opts = ort.SessionOptions()
    opts.intra_op_num_threads, opts.inter_op_num_threads = threads, 1
    opts.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = ort.InferenceSession(path_of(file), opts, providers=["CPUExecutionProvider"])
    source = session.get_inputs()[0].name
    return "onnxruntime " + ort.__version__, {"forward": lambda: session.run(None, {source: x})[0][0]}


def onnxruntime_any():
    return onnxruntime("model-any.onnx")


def onnxruntime_int8():
    version, tasks = onnxruntime("model-int8.onnx")
    return version + " int8", tasks


def tfjs():
    """TensorFlow.js with its WebAssembly back end, in Node: bench/tfjs.js answers for it."""
    import subprocess
    node = subprocess.Popen(["node", os.path.join(os.path.dirname(os.path.abspath(__file__)), "tfjs.js"), folder, input_path],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    version = node.stdout.readline().strip()

    def forward():
        node.stdin.write("forward\n")
        node.stdin.flush()
        return np.array(json.loads(node.stdout.readline()), np.float32)

    return version, {"forward": forward}


def openvino():
    import openvino as ov
    core = ov.Core()
    net = core.compile_model(path_of("model.onnx"), "CPU", {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY",
                                                            "INFERENCE_PRECISION_HINT": "f32"})
    request = net.create_infer_request()
    return "openvino " + ov.__version__.split("-")[0], {
        "forward": lambda: np.array(request.infer([x])[net.outputs[0]])[0]}


def tensorflow():
    import tensorflow as tf
    import tf_keras
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    return tf, tf_keras, tf_keras.models.load_model(path_of("model.h5"), compile=False)


def keras():
    """Forward compiled by tf.function; Grad-CAM as the article's eager code does it, on the score before the softmax."""
    tf, tf_keras, model = tensorflow()
    model.layers[-1].activation = tf_keras.activations.linear
    compiled = tf.function(model)
    constant = tf.constant(x)

    def find(m):
        for l in m.layers:
            if l.name == layer:
                return m, l
            if hasattr(l, "layers"):
                found = find(l)
                if found:
                    return found
        return None

    _, wanted = find(model)
    grad_model = tf_keras.Model(model.inputs, [wanted.output, model.output])

    def gradcam():
        with tf.GradientTape() as tape:
            act, score = grad_model(constant)
            chosen = score[:, int(tf.argmax(score[0]))]
        grads = tape.gradient(chosen, act)
        weights = tf.reduce_mean(grads, axis=(1, 2))[0]
        return tf.nn.relu(tf.reduce_sum(act[0] * weights, axis=-1)).numpy()

    return "tensorflow " + tf.__version__ + " tf_keras " + tf_keras.__version__, {
        "forward": lambda: tf.nn.softmax(compiled(constant))[0].numpy(), "gradcam": gradcam}


def tf_keras_vis():
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    import tensorflow as tf
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    import tf_keras_vis
    from tf_keras_vis.gradcam import Gradcam
    from tf_keras_vis.utils.scores import CategoricalScore
    model = tf.keras.models.load_model(path_of("model.h5"), compile=False)
    model.layers[-1].activation = tf.keras.activations.linear
    chosen = int(np.argmax(model(x)[0]))
    cam = Gradcam(model, clone=False)
    return "tf-keras-vis " + tf_keras_vis.__version__, {
        "gradcam": lambda: cam(CategoricalScore(chosen), x, penultimate_layer=layer, seek_penultimate_conv_layer=False,
                               expand_cam=False, normalize_cam=False)[0]}


def torch_model(torch):
    """The operations of export.py as modules, each of which can be hooked by its layer's name."""
    nn, fn = torch.nn, torch.nn.functional
    with open(path_of("ops.json")) as f:
        ops = json.load(f)
    arrays = np.load(path_of("arrays.npz"))

    def tensor(key):
        return torch.from_numpy(np.ascontiguousarray(arrays[key])) if key in arrays else None

    def same(t, size, stride, value):
        total = [max((-(-n // s) - 1) * s + k - n, 0) for n, k, s in zip(t.shape[2:], size, stride)]
        return fn.pad(t, (total[1] // 2, total[1] - total[1] // 2, total[0] // 2, total[0] - total[0] // 2), value=value)

    class Step(nn.Module):
        def __init__(self, op):
            super().__init__()
            self.op, n = op, op["name"]
            if op["op"] == "Conv2D":
                k = tensor(n + "/kernel").permute(3, 2, 0, 1).contiguous()
                same_pad = [(s - 1) // 2 for s in op["kernel_size"]] if op["padding"] == "same" else 0
                assert op["padding"] != "same" or op["strides"] == [1, 1] or tuple(op["strides"]) == (1, 1)
                self.run = nn.Conv2d(k.shape[1], k.shape[0], k.shape[2:], tuple(op["strides"]), same_pad,
                                     bias=tensor(n + "/bias") is not None)
                self.run.weight.data = k
                if tensor(n + "/bias") is not None:
                    self.run.bias.data = tensor(n + "/bias")
            elif op["op"] == "BatchNormalization":
                mean = tensor(n + "/moving_mean")
                self.run = nn.BatchNorm2d(len(mean), eps=op["epsilon"])
                self.run.running_mean, self.run.running_var = mean, tensor(n + "/moving_variance")
                if tensor(n + "/gamma") is not None:
                    self.run.weight.data = tensor(n + "/gamma")
                self.run.bias.data = tensor(n + "/beta")
            elif op["op"] == "Dense":
                self.run = nn.Linear(*tensor(n + "/kernel").shape)
                self.run.weight.data, self.run.bias.data = tensor(n + "/kernel").T.contiguous(), tensor(n + "/bias")

        def forward(self, *t):
            op = self.op
            kind = op["op"]
            if kind in ("Conv2D", "BatchNormalization", "Dense"):
                t = self.run(t[0])
                return fn.relu(t) if op.get("activation") == "relu" else t  # the softmax is left out: scores
            if kind == "Activation":
                return fn.relu(t[0])
            if kind == "MaxPooling2D":
                pad = same(t[0], op["pool_size"], op["strides"], float("-inf")) if op["padding"] == "same" else t[0]
                return fn.max_pool2d(pad, tuple(op["pool_size"]), tuple(op["strides"]))
            if kind == "AveragePooling2D":
                half = op["pool_size"][0] // 2 if op["padding"] == "same" else 0
                return fn.avg_pool2d(t[0], tuple(op["pool_size"]), tuple(op["strides"]), half, count_include_pad=False)
            if kind == "Concatenate":
                return torch.cat(t, 1)
            if kind == "GlobalAveragePooling2D":
                return t[0].mean((2, 3))
            return t[0].flatten(1) if kind == "Flatten" else t[0]

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.steps = nn.ModuleList([Step(op) for op in ops])
            self.by_name = {op["name"]: s for op, s in zip(ops, self.steps)}

        def forward(self, image):
            done = {}
            for op, step in zip(ops, self.steps):
                done[op["name"]] = step(*[done[i] for i in op["inputs"]]) if op["inputs"] else image
            return done[ops[-1]["name"]]

    return Net().eval()


def torch():
    import torch as t
    t.set_num_threads(threads)
    net = torch_model(t)
    image = t.from_numpy(x.transpose(0, 3, 1, 2)).contiguous()
    layout = net.to(memory_format=t.channels_last)
    image = image.to(memory_format=t.channels_last)

    def forward():
        with t.no_grad():
            return t.softmax(layout(image), 1)[0].numpy()

    from pytorch_grad_cam import GradCAM, ScoreCAM
    cam = GradCAM(net, [net.by_name[layer]])

    def gradcam():
        cam(image, None)
        act, grad = cam.activations_and_grads.activations[0], cam.activations_and_grads.gradients[0]
        weights = grad.numpy().mean((2, 3), keepdims=True)
        return np.maximum((act.numpy() * weights).sum(1), 0)[0]

    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
    scores = ScoreCAM(net, [net.by_name[layer]])

    def channel_weights(drawn):
        """Its own weights of channels drawn at random (0: of all), and the activations."""
        score = scores.activations_and_grads(image)
        act = scores.activations_and_grads.activations[0].numpy()
        if drawn:
            act = act[:, np.sort(np.random.default_rng(1).permutation(act.shape[1])[:drawn])]
        return scores.get_cam_weights(image, None, [ClassifierOutputTarget(int(score[0].argmax()))], act, None), act

    def scorecam():
        weights, act = channel_weights(0)
        return np.maximum((act * weights[:, :, None, None]).sum(1), 0)[0]

    def channels():
        scores.activations_and_grads(image)
        return scores.activations_and_grads.activations[0].shape[1]

    def occlusion(window, stride):
        """captum's, four windows at a time; black covers them."""
        from captum.attr import Occlusion
        with t.no_grad():
            target = int(net(image)[0].argmax())
            found = Occlusion(net).attribute(image, (x.shape[3], window, window), (x.shape[3], stride, stride), 0, target,
                                             perturbations_per_eval=4)
        return np.maximum(found[0, 0].numpy(), 0)

    return "pytorch " + t.__version__ + ", pytorch-grad-cam", {
        "forward": forward, "occlusion-of": lambda sizes: occlusion(*map(int, sizes.split("x"))), "gradcam": gradcam, "scorecam": scorecam, "channels": channels,
        "scorecam-of": lambda drawn: channel_weights(int(drawn))[0]}


# ---- A training step: the weights of convolutions and dense layers behind `layer`, plain SGD; losses of all steps so far -------


def behind(ops):
    """Names of the operations that read, directly or not, what the layer gives."""
    found = set()
    for op in ops:
        if any(i == layer or i in found for i in op["inputs"]):
            found.add(op["name"])
    return found


def torch_step():
    import torch as t
    t.set_num_threads(threads)
    net = torch_model(t)
    with open(path_of("ops.json")) as f:
        learning = behind(json.load(f))
    for p in net.parameters():
        p.requires_grad = False
    learners = [s.run for name, s in net.by_name.items() if name in learning and hasattr(s, "run")]
    learned = [p for r in learners if isinstance(r, (t.nn.Conv2d, t.nn.Linear)) for p in r.parameters()]
    for p in learned:
        p.requires_grad = True
    optimizer, losses = t.optim.SGD(learned, lr=1e-3), []
    net = net.to(memory_format=t.channels_last)
    images = t.from_numpy(x.transpose(0, 3, 1, 2)).contiguous().to(memory_format=t.channels_last)
    truth = None

    def step():
        nonlocal truth
        optimizer.zero_grad(set_to_none=True)
        scores = net(images)
        truth = t.arange(len(x)) % scores.shape[1] if truth is None else truth
        loss = t.nn.functional.cross_entropy(scores, truth)
        loss.backward()
        optimizer.step()
        losses.append(float(loss))
        return losses

    return "pytorch " + t.__version__, {"step": step}


def keras_step():
    tf, tf_keras, model = tensorflow()
    model.layers[-1].activation = tf_keras.activations.linear
    with open(path_of("ops.json")) as f:
        learning = behind(json.load(f))

    def freeze(m):
        for l in m.layers:
            if hasattr(l, "layers"):
                freeze(l)
            else:
                l.trainable = l.name in learning and type(l).__name__ in ("Conv2D", "Dense")

    freeze(model)
    optimizer, losses, images = tf_keras.optimizers.SGD(1e-3), [], tf.constant(x)
    truth = tf.constant(np.arange(len(x)) % model.output_shape[-1])

    @tf.function
    def update():
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(truth, model(images, training=False)))
        optimizer.apply_gradients(zip(tape.gradient(loss, model.trainable_variables), model.trainable_variables))
        return loss

    def step():
        losses.append(float(update()))
        return losses

    return "tensorflow " + tf.__version__ + " tf_keras " + tf_keras.__version__, {"step": step}


# ---- A head trained on features [n,width]: Adam, batches of 32; `layer`: its units, such as 256,6. bench-head has saved the
# start and the epochs' orders beside the features. Losses of all epochs so far --------------------------------------------------


def head_start():
    """(kernel [in,out], bias) of each layer, and the rows' classes."""
    flat, layers, inputs = np.load(input_path[:-4] + "-start.npy"), [], x.shape[1]
    for units in map(int, layer.split(",")):
        kernel, bias, flat = np.split(flat, [inputs * units, inputs * units + units])
        layers.append((kernel.reshape(inputs, units), bias))
        inputs = units
    return layers, np.arange(len(x)) % inputs


def head_epochs(step, truth):
    """A task of the update `step` of rows of x and their classes, which returns the loss."""
    orders = np.load(input_path[:-4] + "-order.npy").astype(np.int64)
    losses = []

    def epoch():
        order, total = orders[len(losses)], 0.0
        for i in range(0, len(order), 32):
            rows = order[i:i + 32]
            total += float(step(x[rows], truth[rows])) * len(rows)
        losses.append(total / len(order))
        return losses

    return {"epoch": epoch}


def torch_head():
    import torch as t
    t.set_num_threads(threads)
    start, truth = head_start()
    net = t.nn.Sequential()
    for kernel, bias in start:
        dense = t.nn.Linear(*kernel.shape)
        dense.weight.data, dense.bias.data = t.from_numpy(kernel.T.copy()), t.from_numpy(bias)
        net.extend([t.nn.ReLU(), dense] if len(net) else [dense])
    optimizer = t.optim.Adam(net.parameters(), lr=1e-4, eps=1e-7)

    def step(rows, classes):
        optimizer.zero_grad(set_to_none=True)
        loss = t.nn.functional.cross_entropy(net(t.from_numpy(rows)), t.from_numpy(classes))
        loss.backward()
        optimizer.step()
        return loss

    return "pytorch " + t.__version__, head_epochs(step, truth)


def keras_head():
    import tensorflow as tf
    import tf_keras
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    start, truth = head_start()
    net = tf_keras.Sequential([tf_keras.Input((x.shape[1],))] + [tf_keras.layers.Dense(
        len(bias), activation="relu" if i + 1 < len(start) else None) for i, (_, bias) in enumerate(start)])
    net.set_weights([w for pair in start for w in pair])
    optimizer = tf_keras.optimizers.Adam(1e-4)

    @tf.function
    def step(rows, classes):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(classes, net(rows)))
        optimizer.apply_gradients(zip(tape.gradient(loss, net.trainable_variables), net.trainable_variables))
        return loss

    return "tensorflow " + tf.__version__ + " tf_keras " + tf_keras.__version__, head_epochs(step, truth)


# of one thread the processor's time, which other programs disturb less
clock = time.process_time if threads == 1 and name != "tfjs" else time.perf_counter
version, tasks = globals()[name]()
last = {}
print("ready " + version, flush=True)
for line in sys.stdin:
    words = line.split()
    if words[0] == "save":
        np.save(words[2], np.asarray(last[words[1]], np.float32))
        print("saved", flush=True)
        continue
    task, *numbers = words[0].split(":")
    start = clock()
    last[words[0]] = tasks[task](*numbers)
    print("%.6f" % ((clock() - start) * 1e3), flush=True)
