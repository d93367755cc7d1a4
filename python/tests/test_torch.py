"""PyTorch: values, gradients, layouts, states, compilation, optimizers; QPyTorch's names. Skipped where torch is not installed."""

import copy
import io
import os
import pickle

import numpy as np
import pytest

import intrain

torch = pytest.importorskip("torch")

import intrain.qtorch as qt  # noqa: E402
import intrain.torch as it  # noqa: E402


@pytest.fixture
def x():
    return torch.randn(8, 4, 6, 6, generator=torch.Generator().manual_seed(3)) * 2


def test_values_are_those_of_arrays(x):
    for row in ["Q4.4", "unit<8> stochastic<16>", "e4m3 sr-a<8>", "mxfp4@even", "levels<0.5,1>", "qtorch<5,2>"]:
        expected = intrain.quantize(x.numpy(), row, seed=3)
        assert np.array_equal(it.quantize(x, row, seed=3).numpy(), expected), row


def test_types_and_layouts(x):
    for dtype in (torch.bfloat16, torch.float16):
        q = it.quantize(x.to(dtype), "Q4.4")
        assert q.dtype == dtype and torch.equal(q.float(), it.quantize(x.to(dtype).float(), "Q4.4"))
    assert torch.equal(it.quantize(x.double(), "Q4.4"), it.quantize(x, "Q4.4").double())
    nhwc = x.contiguous(memory_format=torch.channels_last)
    q = it.quantize(nhwc, "Q4.4 stochastic<16>", seed=1)
    assert q.is_contiguous(memory_format=torch.channels_last)
    # Numbered as they lie in memory.
    assert torch.equal(q.permute(0, 2, 3, 1), it.quantize(x.permute(0, 2, 3, 1).contiguous(), "Q4.4 stochastic<16>", seed=1))
    assert torch.equal(it.quantize(nhwc, "mxfp4"), it.quantize(x, "mxfp4"))
    view = x[2:5, :, ::2]
    assert torch.equal(it.quantize(view, "Q4.4"), it.quantize(view.clone(), "Q4.4"))
    expected = x.clone()
    expected[2:5] = it.quantize(x[2:5], "Q4.4")
    it.quantize_(x[2:5], "Q4.4")
    assert torch.equal(x, expected)
    with pytest.raises(TypeError, match="x.float"):
        it.quantize(torch.arange(3), "Q4.4")


def test_gradients_by_each_surrogate():
    values = [-2.0, -1.0, -0.3, 0.0, 0.4, 0.9921875, 0.99609375, 1.5, 3.0]
    for row, expected in [
        ("unit<8> nearest-even", [1] * 9),
        ("unit<8> nearest-even saturate clipped", [0, 0, 1, 1, 1, 1, 0, 0, 0]),
        ("levels<0.5,1>", [1] * 9),
        ("levels<0.5,1> log-tailed", [0, 0, 0, 0, 1, 1, 1, 1 / 1.5, 1 / 3]),
    ]:
        x = torch.tensor(values, requires_grad=True)
        it.Quantizer(row)(x).sum().backward()
        assert x.grad.tolist() == pytest.approx(expected), row
    x = torch.tensor([0.3], requires_grad=True)
    (it.Quantizer(backward="Q4.2")(x) * 0.3).sum().backward()
    assert x.grad.item() == 0.25
    # Straight through is the identity's derivative.
    x = torch.randn(20, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(it.Quantizer(), x)


def test_modules_go_on_with_their_bits(x):
    q = it.Quantizer("Q4.4 stochastic<16>", "Q2.6 stochastic<16>", seed=5)
    first, second = q(x), q(x)
    assert not torch.equal(first, second)
    state = io.BytesIO()
    torch.save(q.state_dict(), state)
    third = q(x)
    again = it.Quantizer("Q4.4 stochastic<16>", "Q2.6 stochastic<16>", seed=5)
    again.load_state_dict(torch.load(io.BytesIO(state.getvalue())))
    assert torch.equal(again(x), third)
    a, b = copy.deepcopy(q), pickle.loads(pickle.dumps(q))
    assert repr(a) == repr(b) == repr(q)
    assert torch.equal(a(x), b(x)) and torch.equal(a(x), (q(x), q(x))[1])
    q.eval()
    assert torch.equal(q(x), q(x)) and torch.equal(q(x), it.quantize(x, "Q4.4 nearest-down"))
    with pytest.raises(TypeError, match="needs seed="):
        it.Quantizer("Q4.4 stochastic<16>")
    with pytest.raises(intrain.RecipeError, match="depends on the scale"):
        it.Quantizer("unit<8>@shift nearest-even saturate clipped")


def test_a_checkpoint_computes_anew_what_it_had(x):
    from torch.utils.checkpoint import checkpoint

    def gradient(through):
        q = it.Quantizer("Q4.4 stochastic<16>", "Q2.6 stochastic<16>", seed=5)
        y = x.clone().requires_grad_()
        (through(lambda v: q(v) ** 2, y)).sum().backward()
        return y.grad

    plain = gradient(lambda f, v: f(v))
    assert torch.equal(plain, gradient(lambda f, v: checkpoint(f, v, use_reentrant=False)))
    q = it.Quantizer("Q4.4 stochastic<16>", seed=5)
    y = x.clone().requires_grad_()
    twice = checkpoint(lambda v: q(q(v) ** 2), y, use_reentrant=False)
    with pytest.raises(RuntimeError, match="quantizer of its own"):
        twice.sum().backward()


def test_compiled_and_exported_without_a_break(x):
    model = torch.nn.Sequential(
        torch.nn.Conv2d(4, 4, 3), it.Quantizer("unit<8> nearest-even saturate clipped", "Q2.6 stochastic<16>", seed=2)
    )
    plain, other = copy.deepcopy(model), copy.deepcopy(model)
    compiled = torch.compile(other, backend="aot_eager", fullgraph=True)
    for _ in range(2):
        a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
        plain(a).sum().backward()
        compiled(b).sum().backward()
        assert torch.equal(a.grad, b.grad)
    assert plain[1].calls == other[1].calls == 2
    exported = torch.export.export(model.eval(), (x,))
    assert torch.equal(exported.module()(x), model(x))


def test_autocast(x):
    q = it.Quantizer("Q4.4")
    with torch.autocast("cpu", torch.bfloat16):
        y = q(torch.nn.functional.conv2d(x, torch.ones(4, 4, 1, 1)))
    assert y.dtype == torch.bfloat16


@pytest.mark.parametrize("make", [lambda p: torch.optim.SGD(p, 0.1, momentum=0.9), lambda p: torch.optim.Adam(p, 0.1)])
def test_an_optimizer_of_quantized_tensors_goes_on(make):
    def start():
        torch.manual_seed(1)
        model = torch.nn.Linear(6, 3)
        rows = [it.Quantizer("Q4.8 stochastic<16>", seed=i) for i in range(3)]
        return model, rows, it.OptimLP(make(model.parameters()), rows[0], grad_quant=rows[1], acc_quant=rows[2])

    def steps(model, optimizer, n):
        for i in range(n):
            optimizer.zero_grad()
            (model(torch.full((2, 6), 0.1 * (i + 1))) ** 2).sum().backward()
            optimizer.step()

    model, rows, optimizer = start()
    steps(model, optimizer, 3)
    state = copy.deepcopy([model.state_dict(), optimizer.state_dict(), [row.state_dict() for row in rows]])
    steps(model, optimizer, 2)
    assert torch.equal(model.weight, it.quantize(model.weight, "Q4.8"))
    again, new_rows, resumed = start()
    again.load_state_dict(state[0])
    resumed.load_state_dict(state[1])
    for row, kept in zip(new_rows, state[2]):
        row.load_state_dict(kept)
    steps(again, resumed, 2)
    assert torch.equal(again.weight, model.weight)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    scheduler.step()
    assert optimizer.optim.param_groups[0]["lr"] == pytest.approx(0.01)


def _loads(item):
    return it.quantize(torch.full((40_000,), 0.3), "Q4.4 stochastic<16>", seed=item)


class _Items(torch.utils.data.Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, item):
        return _loads(item)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_of_a_loader(method):
    expected = torch.stack([_loads(item) for item in range(8)])
    loader = torch.utils.data.DataLoader(_Items(), batch_size=4, num_workers=2, multiprocessing_context=method)
    assert torch.equal(torch.cat(list(loader)), expected)


# QPyTorch's names. Its own numbers were compared where it was installed; these are its definitions in plain PyTorch.


def fixed(x, wl, fl, clamp=True, symmetric=False):
    low = -(2.0 ** (wl - fl - 1)) + (2.0**-fl if symmetric else 0)
    q = torch.round(x.double() * 2.0**fl) * 2.0**-fl
    return (q.clamp(low, 2.0 ** (wl - fl - 1) - 2.0**-fl) if clamp else q).float()


def test_qpytorchs_fixed_point():
    x = torch.cat([torch.randn(5000) * 3, (torch.arange(-200, 200) + 0.5) / 16, torch.tensor([1e6, -1e6, 2.0**23 + 0.5])])
    for wl, fl in [(8, 4), (8, 7), (8, 12), (16, 2), (2, 1), (24, 10)]:
        for clamp, symmetric in [(True, False), (True, True), (False, False)]:
            q = qt.fixed_point_quantize(x, wl, fl, clamp, symmetric, "nearest")
            assert torch.equal(q, fixed(x, wl, fl, clamp, symmetric)), (wl, fl, clamp, symmetric)
    grid = fixed(torch.randn(1000), 8, 4)
    assert torch.equal(qt.fixed_point_quantize(grid, 8, 4), grid)


def test_qpytorchs_random_numbers():
    x = torch.full((100_000,), 0.3)
    for call in (
        lambda: qt.fixed_point_quantize(x, 8, 4),
        lambda: qt.float_quantize(x, 5, 2),
        lambda: qt.block_quantize(x, 4),
    ):
        qt.manual_seed(7)
        a, b = call(), call()
        qt.manual_seed(7)
        assert torch.equal(call(), a) and torch.equal(call(), b) and not torch.equal(a, b)
        assert len(a.unique()) == 2 and a.mean().item() == pytest.approx(0.3, abs=2e-3)


def test_qpytorchs_quantizer_and_models():
    for number in (qt.FixedPoint(8, 4), qt.FloatingPoint(5, 2), qt.BlockFloatingPoint(8), qt.BlockFloatingPoint(8, 0)):
        x = torch.randn(6, 5, requires_grad=True)
        q = qt.Quantizer(number, number, "nearest", "nearest")(x)
        q.sum().backward()
        assert torch.equal(x.grad, torch.ones(6, 5)) and str(number)
    x = torch.tensor([-9.0, -8.03125, 0.3, 7.9, 8.5], requires_grad=True)
    q = qt.quantizer(qt.FixedPoint(8, 4), None, "nearest", clamping_grad_zero=True)(x)
    q.sum().backward()
    assert x.grad.tolist() == [0, 1, 1, 1, 0] and q.tolist() == [-8, -8, 0.3125, 7.875, 7.9375]
    with pytest.raises(ValueError, match="only support fixed point"):
        qt.quantizer(qt.FloatingPoint(5, 2), clamping_grad_zero=True)
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU())
    lowered = qt.sequential_lower(model, ["linear"], qt.FixedPoint(8, 4), None, "nearest")
    expected = model[1](fixed(model[0](torch.ones(1, 4)), 8, 4))
    assert torch.equal(lowered(torch.ones(1, 4)), expected)
    qt.lower(model, ["linear"], qt.FixedPoint(8, 4), None, "nearest")
    assert torch.equal(model(torch.ones(1, 4)), expected)
    pickle.loads(pickle.dumps(lowered))


class Block(torch.nn.Module):
    def __init__(self, n_in, n_out, stride):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False)
        self.norm1 = torch.nn.BatchNorm2d(n_out)
        self.conv2 = torch.nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False)
        self.norm2 = torch.nn.BatchNorm2d(n_out)
        self.short = torch.nn.Sequential()
        if n_in != n_out:
            self.short = torch.nn.Sequential(
                torch.nn.Conv2d(n_in, n_out, 1, stride, bias=False), torch.nn.BatchNorm2d(n_out)
            )

    def forward(self, x):
        y = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(self.norm2(self.conv2(y)) + self.short(x))


class ResNet20(torch.nn.Module):
    def __init__(self, width=4):
        super().__init__()
        stages = [(width, 1), (2 * width, 2), (4 * width, 2)]
        blocks, n = [], width
        for n_out, stride in stages:
            for i in range(3):
                blocks.append(Block(n, n_out, stride if i == 0 else 1))
                n = n_out
        self.start = torch.nn.Sequential(torch.nn.Conv2d(1, width, 3, 1, 1, bias=False), torch.nn.BatchNorm2d(width))
        self.blocks = torch.nn.Sequential(*blocks)
        self.fc = torch.nn.Linear(n, 10)

    def forward(self, x):
        x = self.blocks(torch.relu(self.start(x)))
        return self.fc(torch.nn.functional.adaptive_avg_pool2d(x, 1).flatten(1))


def trained_module(module, x, y, steps=30):
    torch.manual_seed(0)
    optimizer = torch.optim.SGD(module.parameters(), 0.05, momentum=0.9)
    images = torch.from_numpy(x).permute(0, 3, 1, 2).float() / 255
    for i in range(steps):
        batch = torch.arange(32 * i, 32 * i + 32) % len(x)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(module(images[batch]), torch.from_numpy(y)[batch]).backward()
        optimizer.step()
    return module.eval()


def lenet():
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 6, 3, padding="same"),
        torch.nn.ReLU(inplace=True),
        torch.nn.AvgPool2d(2),
        torch.nn.Conv2d(6, 8, 3, padding=1),
        torch.nn.BatchNorm2d(8),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Dropout(0.1),
        torch.nn.Flatten(),
        torch.nn.Linear(32, 10),
    )


@pytest.mark.parametrize("make", [ResNet20, lenet])
def test_a_module_is_quantized_and_leaves(make, tmp_path, command):
    (x, y), (xt, yt) = intrain.datasets.load("digits")
    module = trained_module(make(), x, y)
    model = intrain.Model.from_torch(module, (8, 8, 1), name="mine")
    assert pickle.loads(pickle.dumps(model)) == model
    floats = intrain.Network(model, "float32", epochs=0).fit(x, y, test=(xt, yt), progress=False)
    # A run without a step is evaluated once, as it begins.
    assert [record["test_error"] for record in floats.history] == [pytest.approx(1 - floats.score(xt, yt))]
    logits, _ = floats.logits(xt)
    expected = module(torch.from_numpy(xt).permute(0, 3, 1, 2).float() / 255).detach().numpy()
    assert np.abs(logits - expected).max() < 1e-3 * np.abs(expected).max()
    quantized = intrain.Network(model, "intrain-int8", epochs=0).fit(x, y, progress=False)
    assert quantized.score(xt, yt) > floats.score(xt, yt) - 0.05
    tuned = intrain.Network(model, "intrain-int8", epochs=2, batch_size=32).fit(x, y, progress=False)
    assert tuned.score(xt, yt) > 0.8
    tuned.export("c", tmp_path / "c")
    tuned.save(tmp_path / "model.safetensors")
    command("export", tmp_path / "model.safetensors", "--to", "c", "--out", tmp_path / "again")
    for path in (tmp_path / "c").iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


def test_operators_without_a_counterpart_are_named():
    for module, part in [
        (torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.GELU()), "operator 'gelu' at 'gelu'"),
        (torch.nn.AdaptiveAvgPool2d(3), "to \\[3, 3\\] has no counterpart"),
        (torch.nn.BatchNorm2d(1, track_running_stats=False), "track_running_stats"),
    ]:
        with pytest.raises(intrain.ModelError, match=part):
            intrain.Model.from_torch(module, (8, 8, 1))
    with pytest.raises(intrain.ModelError, match="give both"):
        intrain.Model.from_onnx(b"", mean=[0.5])
    with pytest.raises(intrain.ModelError, match="ONNX"):
        intrain.Model.from_onnx(b"no file")
