"""netgaze's own choices for a float64 reference. Where a relu's input is zero but for rounding, or two values of a maximum are
equal but for rounding, float32 and float64 choose differently, and the gradient is another one. Here PyTorch runs the
network in float64, but each relu lets through, and each maximum takes, what netgaze's float32 run of the same input did. What
is left is rounding."""

import contextlib
import ctypes
import pathlib

import numpy as np
import torch
import torch.nn.functional as F


class Options(ctypes.Structure):
    """ng_session_opts."""
    _fields_ = [("struct_size", ctypes.c_size_t), ("batch", ctypes.c_int), ("threads", ctypes.c_int), ("backend", ctypes.c_char_p),
                ("layers", ctypes.POINTER(ctypes.c_int)), ("layer_count", ctypes.c_int), ("exact", ctypes.c_int),
                ("forward_only", ctypes.c_int), ("calibration", ctypes.c_void_p)]


class Activations:
    """Runs netgaze's library: called with [c,h,w], gives the layers' activations by name, [c,h,w]. Layers that are not named
    may be fused with their neighbours, as in a run of the program."""

    def __init__(self, library, model, names, backend, forward_only):
        self.lib = ctypes.CDLL(str(pathlib.Path(library).resolve()))
        self.lib.ng_session_activations.restype = ctypes.POINTER(ctypes.c_float)
        self.error, self.model, self.session = ctypes.create_string_buffer(2048), ctypes.c_void_p(), ctypes.c_void_p()
        self.check(self.lib.ng_model_load(str(model).encode(), None, ctypes.byref(self.model), self.error))
        self.layers = {n: self.find(n) for n in names}
        options = Options()
        self.lib.ng_session_opts_init(ctypes.byref(options))
        numbers = (ctypes.c_int * len(self.layers))(*self.layers.values())
        options.backend, options.layers, options.layer_count = backend.encode(), numbers, len(numbers)
        options.forward_only = int(forward_only)
        self.check(self.lib.ng_session_create(self.model, ctypes.byref(options), ctypes.byref(self.session), self.error))

    def check(self, status):
        if status:
            raise RuntimeError(self.error.raw[4:].split(b"\0")[0].decode())

    def find(self, name):
        index = ctypes.c_int()
        self.check(self.lib.ng_model_find_layer(self.model, name.encode(), ctypes.byref(index), self.error))
        return index.value

    def __call__(self, x, shapes):
        """shapes: of each layer's output, [c,h,w]."""
        pixels = np.ascontiguousarray(x.permute(1, 2, 0).numpy().astype(np.float32))
        self.check(self.lib.ng_session_run(self.session, pixels.ctypes.data_as(ctypes.c_void_p), 1, self.error))
        found = {}
        for name, layer in self.layers.items():
            c, h, w = shapes[name]
            values = np.ctypeslib.as_array(self.lib.ng_session_activations(self.session, layer), (h, w, c))
            found[name] = torch.from_numpy(values.transpose(2, 0, 1).astype(np.float64))
        return found

    def close(self):
        self.lib.ng_session_free(self.session)
        self.lib.ng_model_free(self.model)


class GivenRelu(torch.autograd.Function):
    @staticmethod
    def forward(context, x, on):
        context.save_for_backward(on)
        return x * on

    @staticmethod
    def backward(context, g):
        return g * context.saved_tensors[0], None


def given_maximum(x, values, pool):
    """Of each window of x where `values` have their first maximum."""
    places = F.max_pool2d(values, pool.kernel_size, pool.stride, return_indices=True)[1]
    return x.flatten(2).gather(2, places.flatten(2)).reshape(places.shape)


@contextlib.contextmanager
def seen(net, library, backend, unfused):
    """What netgaze's layers give for the input that the network has just been called with, by name: those that decide, relus
    and what comes to maxima (unfused: all layers, then none is fused and no gradient planned), where they have height and width; a
    dense layer's few relus choose for themselves."""
    now, shapes = {}, net.shapes()
    deciding = {sources[0] if pool else name for name, sources, pool, _ in net.choosing()} | {net.input}
    names = {n for n, shape in shapes.items() if len(shape) == 3 and min(shape[1:]) > 1 and (unfused or n in deciding)}
    activations = Activations(library, net.folder, sorted(names), backend, unfused)

    def before(module, inputs):
        runs = [activations(image.detach(), shapes) for image in inputs[0]]
        now.update({n: torch.stack([r[n] for r in runs]) for n in names})

    hook = net.register_forward_pre_hook(before)
    try:
        yield now
    finally:
        hook.remove()
        activations.close()


@contextlib.contextmanager
def chosen(net, library, backend, unfused=False):
    """The network with netgaze's choices; unfused: in a run that fuses no layers, as methods that go back by their own rules do."""
    with seen(net, library, backend, unfused) as now:
        with net.by_rule(lambda x, name, source: GivenRelu.apply(x, (now.get(name, x) > 0).to(x)),
                         lambda x, name, source, pool: given_maximum(x, now[source], pool)):
            yield
