"""What one would run today instead of Intrain, on the same works: PyTorch, with QPyTorch for rounding.

`cargo xtask peers` starts it once for all works, so that loading torch does not count:

    peers.py THREADS         reads the name of a work per line and runs it for about SECONDS; answers with a line of JSON,
                             {"ms": the median run} or {"missing": why it cannot run here}; first of all {"torch": version}
    peers.py THREADS NAME    runs a work once in a process of its own: {"memory_bytes": the most that it has held}

Networks have the layers, batches and momentum of Intrain's. Images lie channels last, which is the fast way.
"""

import json
import math
import os
import resource
import statistics
import sys
import time

# Libraries may print: only answers go to standard output.
ANSWERS = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)
# Where the environment's tools lie: QPyTorch builds itself with ninja when it is first loaded.
os.environ["PATH"] = os.path.dirname(sys.executable) + os.pathsep + os.environ.get("PATH", "")

try:
    import torch
    from torch import nn
    from torch.nn import functional
    from torch.nn.utils import parametrize
except ImportError as error:
    ANSWERS.write(json.dumps({"missing": str(error)}) + "\n")
    sys.exit()

SECONDS = 0.3
WARM_UP = 2


# Networks.


def mlp():
    sizes = ((784, 1000), (1000, 1000), (1000, 10))
    layers = [layer for size in sizes for layer in (nn.Linear(*size), nn.ReLU())]
    return nn.Sequential(nn.Flatten(), *layers[:-1])


def gupta_cnn():
    conv1 = (nn.Conv2d(1, 8, 5), nn.ReLU(), nn.MaxPool2d(2))
    conv2 = (nn.Conv2d(8, 16, 5), nn.ReLU(), nn.MaxPool2d(2))
    return nn.Sequential(*conv1, *conv2, nn.Flatten(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10))


def lenet5():
    conv1 = (nn.Conv2d(1, 32, 5, bias=False), nn.MaxPool2d(2), nn.ReLU())
    conv2 = (nn.Conv2d(32, 64, 5, bias=False), nn.MaxPool2d(2), nn.ReLU())
    return nn.Sequential(*conv1, *conv2, *head(1024, 512))


def vgg7():
    layers = []
    for inputs, outputs in ((3, 128), (128, 256), (256, 512)):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.ReLU()]
        layers += [nn.Conv2d(outputs, outputs, 3, padding=1, bias=False), nn.MaxPool2d(2), nn.ReLU()]
    return nn.Sequential(*layers, *head(8192, 1024))


class Residual(nn.Module):
    """Two convolutions beside a shortcut without parameters: every second pixel, and zeros for new channels."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.first, self.second = conv_norm(inputs, outputs, stride), conv_norm(outputs, outputs, 1)
        self.stride, self.new = stride, outputs - inputs

    def forward(self, x):
        y = self.second(functional.relu(self.first(x)))
        if self.new:
            x = functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.new))
        return functional.relu(x + y)


def conv_norm(inputs, outputs, stride):
    conv = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs))


def resnet20():
    sizes = ((16, 16, 1),) * 3 + ((16, 32, 2),) + ((32, 32, 1),) * 2 + ((32, 64, 2),) + ((64, 64, 1),) * 2
    layers = [conv_norm(3, 16, 1), nn.ReLU(), *(Residual(*size) for size in sizes)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


class Projected(nn.Module):
    """Two convolutions beside a shortcut, which is a convolution of single pixels where shapes change."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.first, self.second = conv_norm(inputs, outputs, stride), conv_norm(outputs, outputs, 1)
        conv = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
        self.around = nn.Sequential(conv, nn.BatchNorm2d(outputs)) if inputs != outputs else nn.Identity()

    def forward(self, x):
        return functional.relu(self.second(functional.relu(self.first(x))) + self.around(x))


def resnet8():
    layers = [conv_norm(3, 16, 1), nn.ReLU(), Projected(16, 16, 1), Projected(16, 32, 2), Projected(32, 64, 2)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def separable(inputs, outputs, stride):
    depthwise = nn.Conv2d(inputs, inputs, 3, stride, padding=1, groups=inputs, bias=False)
    pointwise = nn.Conv2d(inputs, outputs, 1, bias=False)
    return depthwise, nn.BatchNorm2d(inputs), nn.ReLU(), pointwise, nn.BatchNorm2d(outputs), nn.ReLU()


def mobilenet():
    """A quarter of the paper's width, for images of 32 x 32 pixels."""
    sizes = [(16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), *[(128, 1)] * 5, (256, 2), (256, 1)]
    layers, inputs = [conv_norm(3, 8, 1), nn.ReLU()], 8
    for outputs, stride in sizes:
        layers += separable(inputs, outputs, stride)
        inputs = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, 10))


def head(inputs, hidden):
    return nn.Flatten(), nn.Linear(inputs, hidden, bias=False), nn.ReLU(), nn.Linear(hidden, 10, bias=False)


# Layers, images in a step, their shape, and what the optimizer does besides.
NETS = {
    "mlp": (mlp, 100, (1, 28, 28), {}),
    "gupta-cnn": (gupta_cnn, 100, (1, 28, 28), {"momentum": 0.9, "weight_decay": 5e-4}),
    "lenet5": (lenet5, 128, (1, 28, 28), {}),
    "vgg7": (vgg7, 128, (3, 32, 32), {}),
    "resnet20": (resnet20, 128, (3, 32, 32), {"momentum": 0.9, "weight_decay": 1e-4}),
    "resnet8": (resnet8, 128, (3, 32, 32), {"momentum": 0.9, "weight_decay": 1e-4}),
    "mobilenet-1": (mobilenet, 128, (3, 32, 32), {"momentum": 0.9, "weight_decay": 1e-4}),
}


def images_last(x):
    return x.to(memory_format=torch.channels_last)


def batch_of(n, shape):
    return images_last(torch.rand(n, *shape)), torch.randint(10, (n,))


def float_step(net, bf16):
    make, n, shape, more = NETS[net]
    model, (images, labels) = images_last(make()), batch_of(n, shape)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, **more)

    def step():
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logits = model(images)
        functional.cross_entropy(logits.float(), labels).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


# WAGE (Wu et al. 2018) with 2-8-8-8 bits as fake quantization: floats on the grids of its integers.


def on_grid(x, bits):
    scale = 2.0 ** (bits - 1)
    return (x * scale).round_().clamp_(1 - scale, scale - 1).div_(scale)


def relative(x):
    """`x` by the power of two that is nearest to its largest magnitude."""
    return x * 2.0 ** -torch.log2(x.abs().max().clamp_min(1e-30)).round()


class ReadWeight(torch.autograd.Function):
    @staticmethod
    def forward(_, weight):
        return on_grid(weight, 2)

    @staticmethod
    def backward(_, error):
        return error


class RoundActivation(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, alpha):
        x = x / alpha
        ctx.alpha = alpha
        ctx.save_for_backward(x.abs() < 1)
        return on_grid(x, 8)

    @staticmethod
    def backward(ctx, error):
        (inside,) = ctx.saved_tensors
        return on_grid(relative(error), 8).mul_(inside).div_(ctx.alpha), None


class Apply(nn.Module):
    def __init__(self, function, *args):
        super().__init__()
        self.function, self.args = function, args

    def forward(self, x):
        return self.function.apply(x, *self.args)


def wage_model(layers):
    quantized, alpha = [], 1.0
    for layer in layers:
        quantized.append(layer)
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            layer.bias = None
            limit, least = math.sqrt(6 / layer.weight[0].numel()), 0.75
            alpha = max(2.0 ** round(math.log2(least / limit)), 1.0)
            weight = torch.empty_like(layer.weight).uniform_(-max(limit, least), max(limit, least))
            layer.weight = nn.Parameter(on_grid(weight, 8))
            parametrize.register_parametrization(layer, "weight", Apply(ReadWeight))
        elif isinstance(layer, nn.ReLU):
            quantized.append(Apply(RoundActivation, alpha))
    return nn.Sequential(*quantized, Apply(RoundActivation, alpha))


@torch.no_grad()
def wage_update(parameters, rate=8.0):
    step = 2.0**-7
    for weight in parameters:
        update = relative(weight.grad).mul_(rate)
        rounded = update.abs().add_(torch.rand_like(update)).floor_().mul_(update.sign())
        weight.sub_(rounded, alpha=step).clamp_(step - 1, 1 - step)
        weight.grad = None


def wage_step(net):
    make, n, shape, _ = NETS[net]
    model, (images, labels) = images_last(wage_model(make())), batch_of(n, shape)
    images, targets = on_grid(images, 8), 2.0 * functional.one_hot(labels, 10) - 1
    parameters = list(model.parameters())

    def step():
        (0.5 * (model(images) - targets).square().sum()).backward()
        wage_update(parameters)

    return step


# Products of M x N x K, the weight packed before where the library can.


def product_u8(m, n, k):
    torch.backends.quantized.engine = "onednn"
    x = torch.quantize_per_tensor(torch.rand(m, k), 1 / 127, 0, torch.quint8)
    weight = torch.quantize_per_tensor(torch.rand(n, k) - 0.5, 1 / 254, 0, torch.qint8)
    packed = torch.ops.quantized.linear_prepack(weight, None)
    return lambda: torch.ops.quantized.linear(x, packed, 0.1, 64)


def product_i8(m, n, k):
    a, b = (torch.randint(-127, 128, shape, dtype=torch.int8) for shape in ((m, k), (k, n)))
    return lambda: torch._int_mm(a, b)


def product_f32(m, n, k):
    x = torch.rand(m, k) - 0.5
    packed = torch.ops.mkldnn._reorder_linear_weight(torch.rand(n, k) - 0.5, m)
    return lambda: torch.ops.mkldnn._linear_pointwise(x, packed, None, "none", [], "")


PRODUCTS = {"u8": product_u8, "i8": product_i8, "f32": product_f32}


# Depthwise convolutions of 3 x 3 windows over 32 images of 32 x 32 pixels and 128 channels, in floats.


def depthwise(direction):
    x = images_last(torch.rand(32, 128, 32, 32) - 0.5).requires_grad_(direction == "error")
    conv = images_last(nn.Conv2d(128, 128, 3, padding=1, groups=128, bias=False))
    conv.requires_grad_(direction == "gradient")
    if direction == "forward":
        return torch.inference_mode()(lambda: torch.relu_(conv(x)))
    error = images_last(torch.rand(32, 128, 32, 32) - 0.5)
    mask = [direction == "error", direction == "gradient", False]
    backward = torch.ops.aten.convolution_backward
    return lambda: backward(error, x, conv.weight, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 128, mask)


# Rounding of 16 Mi floats to 8 bits, 7 of them behind the point.


def some_floats():
    return torch.rand(16 << 20) * 1.6 - 0.8


def torch_copy():
    x = some_floats()
    to = torch.empty_like(x)
    return lambda: to.copy_(x)


def torch_stochastic():
    x = some_floats()
    return lambda: (x * 128).add_(torch.rand_like(x)).floor_().clamp_(-128, 127).to(torch.int8)


def qpytorch_stochastic():
    from qtorch.quant import fixed_point_quantize

    x = some_floats()
    return lambda: fixed_point_quantize(x, 8, 7, rounding="stochastic")


ROUNDING = {"copy": torch_copy, "stochastic": torch_stochastic, "qpytorch": qpytorch_stochastic}


def work(name):
    """The work `name`, ready to run: NET-f32, NET-bf16, NET-wage, u8-MxNxK, i8-, f32-, depthwise-, or a key of ROUNDING."""
    if name in ROUNDING:
        return torch.inference_mode()(ROUNDING[name]())
    head, tail = name.rsplit("-", 1)
    if head == "depthwise":
        return depthwise(tail)
    if head in PRODUCTS:
        return torch.inference_mode()(PRODUCTS[head](*map(int, tail.split("x"))))
    return wage_step(head) if tail == "wage" else float_step(head, {"f32": False, "bf16": True}[tail])


def median_ms(run):
    times, began = [], time.perf_counter()
    while not times or time.perf_counter() - began < SECONDS:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)


def serve():
    ready = {}
    ANSWERS.write(json.dumps({"torch": torch.__version__}) + "\n")
    for name in map(str.strip, sys.stdin):
        try:
            if name not in ready:
                ready[name] = work(name)
                for _ in range(WARM_UP):
                    ready[name]()
            answer = {"ms": median_ms(ready[name])}
        except ImportError as error:
            answer = {"missing": str(error)}
        ANSWERS.write(json.dumps(answer) + "\n")


def once(name):
    work(name)()
    # Linux counts in KiB, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    memory_bytes = unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ANSWERS.write(json.dumps({"memory_bytes": memory_bytes}) + "\n")


torch.set_num_threads(int(sys.argv[1]))
torch.manual_seed(1)
once(sys.argv[2]) if len(sys.argv) > 2 else serve()
