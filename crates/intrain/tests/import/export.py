#!/usr/bin/env python3
"""Networks of PyTorch as ONNX files, with images and PyTorch's own logits: what `intrain import` is tested with.

    export.py fixtures FOLDER                       the small networks of the tests, drawn from a seed
    export.py resnet20 model.safetensors data_batch_1.bin OUT.onnx
                                                    a trained resnet20 of Intrain (recipe float32) as a PyTorch network

Needs torch and onnx. NAME.onnx, NAME.images (bytes, [16, height, width, channels]) and NAME.logits (float32, [16, classes]) lie
beside each other; the Rust tests read them without Python. lenet.normalized are its logits for (x / 255 - 0.4) / 0.3.
"""

import json
import struct
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

IMAGES = 16
CLASSES = 10


def norm(channels, eps=1e-5):
    """A norm as it is after some training: no number is what it starts with."""
    layer = nn.BatchNorm2d(channels, eps=eps)
    with torch.no_grad():
        layer.weight.uniform_(0.5, 1.5)
        layer.bias.uniform_(-0.3, 0.3)
        layer.running_mean.uniform_(-0.5, 0.5)
        layer.running_var.uniform_(0.3, 2.0)
    return layer


class LeNet(nn.Module):
    """Biases, poolings, a linear layer behind a flattened image that is not square, dropout."""

    shape = (18, 14, 1)

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 12, 3), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1)
        )
        self.classifier = nn.Sequential(nn.Flatten(), nn.Linear(12 * 3 * 2, 24), nn.ReLU(), nn.Dropout(), nn.Linear(24, CLASSES))

    def forward(self, x):
        return self.classifier(self.features(x))


class Block(nn.Module):
    def __init__(self, before, channels, stride):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(before, channels, 3, stride, 1, bias=False), norm(channels), nn.ReLU(),
            nn.Conv2d(channels, channels, 3, 1, 1, bias=False), norm(channels),
        )
        is_other = stride != 1 or before != channels
        self.shortcut = nn.Sequential(nn.Conv2d(before, channels, 1, stride, bias=False), norm(channels)) if is_other else nn.Identity()

    def forward(self, x):
        return torch.relu(self.body(x) + self.shortcut(x))


class ResNet(nn.Module):
    """ResNet-20 with fewer and narrower blocks: residual sums, strides, projections."""

    shape = (16, 16, 3)

    def __init__(self, widths=(4, 6, 8), blocks=2):
        super().__init__()
        layers, before = [nn.Conv2d(3, widths[0], 3, 1, 1, bias=False), norm(widths[0]), nn.ReLU()], widths[0]
        for stage, channels in enumerate(widths):
            for block in range(blocks):
                layers.append(Block(before, channels, 2 if stage and not block else 1))
                before = channels
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, CLASSES))

    def forward(self, x):
        return self.layers(x)


class MobileNet(nn.Module):
    """Depthwise convolutions, ReLU6, and an epsilon that is not that of Intrain's norms."""

    shape = (12, 12, 3)

    def __init__(self):
        super().__init__()
        layers = [nn.Conv2d(3, 8, 3, 2, 1, bias=False), norm(8, 1e-3), nn.ReLU6()]
        for before, after, stride in [(8, 12, 1), (12, 16, 2)]:
            layers += [
                nn.Conv2d(before, before, 3, stride, 1, groups=before, bias=False), norm(before, 1e-3), nn.ReLU6(),
                nn.Conv2d(before, after, 1, bias=False), norm(after, 1e-3), nn.ReLU6(),
            ]
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(16, CLASSES))

    def forward(self, x):
        return self.layers(x)


class Inception(nn.Module):
    """Branches that are joined, groups, means, a product of matrices with its sum, and a softmax at the end."""

    shape = (10, 12, 2)

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(2, 8, (3, 5), stride=(1, 2), padding=(1, 2))
        self.groups = nn.Conv2d(8, 4, 3, padding=2, dilation=2, groups=2)
        self.pixels = nn.Conv2d(8, 6, 1)
        self.weight = nn.Parameter(torch.randn(18 * 5 * 3, 12) * 0.2)
        self.bias = nn.Parameter(torch.randn(12) * 0.2)
        self.last = nn.Linear(12, CLASSES)

    def logits(self, x):
        x = torch.relu(self.stem(x))
        branches = [torch.relu(self.groups(x)), torch.relu(self.pixels(x)), nn.functional.max_pool2d(x, 3, 1, 1)]
        x = nn.functional.avg_pool2d(torch.cat(branches, 1), 2)
        x = torch.relu(torch.flatten(x, 1) @ self.weight + self.bias)
        return self.last(x)

    def forward(self, x):
        return torch.softmax(self.logits(x), 1)


def pixels(images):
    """Bytes [images, height, width, channels] as the networks see them: x / 255, channels first."""
    return torch.from_numpy(images.astype(np.float32) / np.float32(255)).permute(0, 3, 1, 2).contiguous()


def export(network, shape, path):
    height, width, channels = shape
    # Without its folding the exporter would put norms into convolutions.
    torch.onnx.export(
        network, (torch.zeros(1, channels, height, width),), str(path), dynamo=False, input_names=["image"], output_names=["logits"],
        dynamic_axes={"image": {0: "n"}, "logits": {0: "n"}}, training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False,
    )


def fixtures(folder):
    for seed, (name, kind) in enumerate([("lenet", LeNet), ("resnet", ResNet), ("mobilenet", MobileNet), ("inception", Inception)]):
        torch.manual_seed(seed)
        network = kind().eval()
        images = np.random.default_rng(seed).integers(0, 256, (IMAGES, *kind.shape), dtype=np.uint8)
        with torch.no_grad():
            logits = getattr(network, "logits", network)(pixels(images)).numpy().astype("<f4")
            normalized = network((pixels(images) - 0.4) / 0.3).numpy().astype("<f4")
        export(network, kind.shape, folder / f"{name}.onnx")
        if name == "lenet":
            normalized.tofile(folder / "lenet.normalized")
        images.tofile(folder / f"{name}.images")
        logits.tofile(folder / f"{name}.logits")


def tensors(path):
    """A safetensors file as arrays."""
    data = Path(path).read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    for name, tensor in header.items():
        assert tensor["dtype"] == "F32", "train with --recipe float32"
        start, end = tensor["data_offsets"]
        yield name, np.frombuffer(data[8 + length + start : 8 + length + end], "<f4").reshape(tensor["shape"])


class ResNet20(nn.Module):
    """He et al. 2016 for CIFAR-10. The shortcuts take every second pixel with zeros for new channels, here a convolution."""

    def __init__(self, weights):
        super().__init__()
        self.weights, self.n, before = dict(weights), 0, 16
        self.stem = self.product(3, 16, 1)
        self.blocks, self.shortcuts = nn.ModuleList(), nn.ModuleList()
        for stage, channels in enumerate([16, 32, 64]):
            for block in range(3):
                stride = 2 if stage and not block else 1
                self.blocks.append(nn.Sequential(self.product(before, channels, stride), nn.ReLU(), self.product(channels, channels, 1)))
                self.shortcuts.append(self.every_second(before, channels) if stride == 2 else nn.Identity())
                before = channels
        self.mean = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.last = nn.Linear(64, CLASSES)
        with torch.no_grad():
            self.last.weight.copy_(torch.from_numpy(self.weights["fc1.weight"].T.copy()))
            self.last.bias.copy_(torch.from_numpy(self.weights["fc1.bias"].copy()))

    def product(self, before, after, stride):
        self.n += 1
        conv, norm = nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after)
        of = lambda part: torch.from_numpy(self.weights[part].copy())
        with torch.no_grad():
            conv.weight.copy_(of(f"conv{self.n}.weight").permute(3, 2, 0, 1))
            for ours, theirs in [("weight", norm.weight), ("bias", norm.bias), ("mean", norm.running_mean), ("variance", norm.running_var)]:
                theirs.copy_(of(f"norm{self.n}.{ours}"))
        return nn.Sequential(conv, norm)

    @staticmethod
    def every_second(before, after):
        conv = nn.Conv2d(before, after, 1, 2, bias=False)
        with torch.no_grad():
            conv.weight.zero_()
            conv.weight[range(before), range(before), 0, 0] = 1
        return nn.Sequential(conv, nn.BatchNorm2d(after))

    def settle(self, images):
        """Gives the norms of the shortcuts the statistics of `images`, and the gains and offsets that take them back."""
        with torch.no_grad():
            x = torch.relu(self.stem(images))
            for block, shortcut in zip(self.blocks, self.shortcuts):
                if isinstance(shortcut, nn.Sequential):
                    y, norm = shortcut[0](x), shortcut[1]
                    norm.running_mean.copy_(y.mean((0, 2, 3)))
                    norm.running_var.copy_(y.var((0, 2, 3), unbiased=False))
                    norm.weight.copy_((norm.running_var + norm.eps).sqrt())
                    norm.bias.copy_(norm.running_mean)
                x = torch.relu(block(x) + shortcut(x))
        return self

    def forward(self, x):
        x = torch.relu(self.stem(x))
        for block, shortcut in zip(self.blocks, self.shortcuts):
            x = torch.relu(block(x) + shortcut(x))
        return self.last(self.mean(x))


def main():
    match sys.argv[1:]:
        case ["fixtures", folder]:
            Path(folder).mkdir(parents=True, exist_ok=True)
            fixtures(Path(folder))
        case ["resnet20", weights, batch, out]:
            records = np.fromfile(batch, np.uint8).reshape(-1, 3073)[:2000, 1:].reshape(-1, 3, 32, 32)
            images = torch.from_numpy(records.astype(np.float32) / np.float32(127.5) - 1)
            export(ResNet20(tensors(weights)).eval().settle(images), (32, 32, 3), out)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
