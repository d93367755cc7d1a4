"""Arrays: the same bits as the command, in place, of any layout, in forked processes; and what is refused."""

import itertools
import os

import numpy as np
import pytest

import intrain

FIXED = ["Q4.4", "fixed<1,15>", "unit<8>", "int<8>", "Q12.12", "unit<8>@shift", "fixed<2,30>"]
ROUNDINGS = ["nearest-even", "nearest-down", "nearest-away", "floor", "toward-zero", "stochastic<16>", "stochastic-magnitude<8>"]
OVERFLOWS = ["saturate", "wrap", "clip<5>"]
FLOATS = ["e4m3", "e5m2", "e2m1", "bfloat16", "float16", "float<5,3>", "mxfp8", "mxfp6", "mxfp4@even", "mxint8", "nvfp4@te", "bfp<6>"]
FLOAT_ROUNDINGS = ["nearest-even", "nearest-away", "toward-zero", "up", "down", "to-odd", "sr-a<8>", "sr-b<12>", "sr-c<23>"]


def values_of_command(command, tmp_path, x, *words):
    source, result = tmp_path / "x.npy", tmp_path / "q.npy"
    np.save(source, x)
    command("quantize", source, *words, "--out", result)
    return np.load(result)


def same(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and np.array_equal(a.view(f"u{a.itemsize}"), b.view(f"u{b.itemsize}"))


@pytest.mark.parametrize("format", FIXED)
def test_fixed_point_has_the_bits_of_the_command(command, tmp_path, numbers, format):
    for rounding, overflow in itertools.product(ROUNDINGS, OVERFLOWS):
        words = ("--as", format, "--round", rounding, "--overflow", overflow, "--seed", 9)
        expected = values_of_command(command, tmp_path, numbers, *words)
        assert same(intrain.quantize(numbers, format, rounding, overflow, seed=9), expected), (rounding, overflow)


@pytest.mark.parametrize("format", FLOATS)
def test_floats_and_blocks_have_the_bits_of_the_command(command, tmp_path, numbers, format):
    x = numbers[: 1 << 15].reshape(-1, 64)
    for rounding in FLOAT_ROUNDINGS:
        expected = values_of_command(command, tmp_path, x, "--as", format, "--round", rounding, "--seed", 9)
        assert same(intrain.quantize(x, format, rounding, seed=9), expected), rounding
    expected = values_of_command(command, tmp_path, x, "--as", format, "--axis", 0)
    assert same(intrain.quantize(x, format, axis=0), expected)


def test_many_elements_have_the_bits_of_few_at_any_number_of_threads(numbers):
    x = np.tile(numbers, 40)
    for format in ["Q4.4 stochastic<16>", "mxfp4@even sr-a<8>", "nvfp4@te", "e4m3 sr-b<8>", "unit<8>@shift"]:
        intrain.set_threads(1)
        expected = intrain.quantize(x, format, seed=3)
        for n in (2, 5):
            intrain.set_threads(n)
            assert intrain.threads() == n
            assert same(intrain.quantize(x, format, seed=3), expected), (format, n)
    intrain.set_threads(0)


def test_codes_are_worth_the_values(numbers):
    x = numbers[: 1 << 15].reshape(64, -1)
    for format in [*FIXED, *FLOATS, "levels<0.5,1,2>"]:
        encoded = intrain.encode(x, format)
        assert same(intrain.decode(encoded), intrain.quantize(x, format)), format
        assert encoded.codes.shape == x.shape
    assert intrain.encode(x, "unit<8>").codes.dtype == np.int8
    assert intrain.encode(x, "Q4.12").codes.dtype == np.int16
    assert intrain.encode(x, "mxfp4").scales.shape == (64, 16)
    assert intrain.encode(x, "e4m3").scales is None


def test_measure_says_what_the_command_says(command, tmp_path, numbers):
    np.save(tmp_path / "x.npy", numbers)
    for format, keys in [
        ("Q4.4", ["n", "bias", "mse", "error_max", "saturated", "zeros", "ties", "payload_min", "payload_max", "scale_log2"]),
        ("mxfp8", ["n", "bias", "mse", "error_max", "clipped", "zeros", "flushed", "blocks", "clipped_blocks", "tensor_scale"]),
    ]:
        record, expected = intrain.measure(numbers, format), command("quantize", tmp_path / "x.npy", "--as", format)
        assert [record[key] for key in keys] == [expected[key] for key in keys]


def test_in_place_is_out_of_place(numbers):
    for format in ["Q4.4 stochastic<16>", "unit<8>@shift", "mxfp4@even sr-a<8>", "levels<0.5,1>", "qtorch<5,2>"]:
        for x in (numbers, np.tile(numbers, 5)):
            expected = intrain.quantize(x, format, seed=4)
            y = x.copy()
            assert intrain.quantize(y, format, seed=4, out=y) is y
            assert same(y, expected), format
    y = numbers.astype(np.float64)
    intrain.quantize(y, "Q4.4", out=y)
    assert np.array_equal(y, intrain.quantize(numbers, "Q4.4").astype(np.float64))


def test_in_place_loses_nothing_to_nan():
    for n in (100, 100_000):
        x = np.full(n, 0.3, np.float32)
        x[-1] = np.nan
        before = x.copy()
        with pytest.raises(intrain.IntrainError, match=f"element {n - 1} is NaN"):
            intrain.quantize(x, "Q4.4", out=x)
        assert same(x, before)


def test_layouts():
    x = np.arange(-60, 60, dtype=np.float32).reshape(10, 12) / 7
    # An array that lies in Fortran order is numbered as it lies, as the command has it.
    assert same(intrain.quantize(x.T, "Q4.4 stochastic<16>", seed=1), intrain.quantize(x, "Q4.4 stochastic<16>", seed=1).T)
    # A view is read as its copy.
    view = x[::2, 1:]
    assert same(intrain.quantize(view, "Q4.4 stochastic<16>", seed=1), intrain.quantize(view.copy(), "Q4.4 stochastic<16>", seed=1))
    assert same(intrain.quantize(x.T, "mxfp4", axis=0), np.ascontiguousarray(intrain.quantize(x, "mxfp4", axis=1).T))
    with pytest.raises(ValueError, match="numpy.empty_like"):
        intrain.quantize(view.copy(), "Q4.4", out=np.zeros((10, 12), np.float32)[::2, 1:])
    assert intrain.quantize(np.float32(0.3), "Q4.4").shape == ()
    assert intrain.quantize(np.zeros((0, 3), np.float32), "mxfp4").shape == (0, 3)


def test_types():
    assert intrain.quantize([0.3, 1], "Q4.4").dtype == np.float64
    assert intrain.quantize(np.int32([3, 900]), "Q8.0").tolist() == [3.0, 127.0]
    half = intrain.quantize(np.float16([0.3, -1.7]), "Q4.4")
    assert half.dtype == np.float16 and half.tolist() == [0.3125, -1.6875]
    assert intrain.quantize(np.float16([0.3]), "e4m3").dtype == np.float16
    big = np.array([2**63], np.uint64)
    with pytest.raises(intrain.IntrainError, match="2\\^63"):
        intrain.quantize(big, "Q4.4")
    swapped = np.array([0.3, -1.7], ">f4")
    assert intrain.quantize(swapped, "Q4.4").tolist() == [0.3125, -1.6875]


def test_seeds_and_steps():
    x = np.full(1000, 0.3, np.float32)
    for format in ["Q4.4 stochastic<16>", "e4m3 sr-a<8>", "qtorch<5,2> stochastic"]:
        first = intrain.quantize(x, format, seed=1)
        assert same(first, intrain.quantize(x, format, seed=1))
        assert not same(first, intrain.quantize(x, format, seed=2))
        assert not same(first, intrain.quantize(x, format, seed=1, step=1))
        with pytest.raises(TypeError, match="needs seed="):
            intrain.quantize(x, format)


@pytest.mark.parametrize(
    "call, error, part",
    [
        (lambda x: intrain.quantize(x, "mxfp5"), intrain.RecipeError, "did you mean 'mxfp8'"),
        (lambda x: intrain.quantize(x, "Q4.4", "nearst"), intrain.RecipeError, "'nearst' is"),
        (lambda x: intrain.quantize(x, "Q4.4 up", "up"), intrain.RecipeError, "says its rounding already"),
        (lambda x: intrain.quantize(x, "mxfp4", axis=1), intrain.IntrainError, "axis 1 is no axis of \\[8\\]"),
        (lambda x: intrain.quantize(x.astype(str), "Q4.4"), TypeError, "convert it to float32"),
        (lambda x: intrain.quantize(x > 0, "Q4.4"), TypeError, "array of bool"),
        (lambda x: intrain.quantize(x.astype(complex), "e4m3"), TypeError, "array of complex"),
        (lambda x: intrain.quantize(x, "Q4.4", out=x.astype(float)), TypeError, "out is float64"),
        (lambda x: intrain.quantize(x, "Q4.4", out=x[:4].copy()), ValueError, "out has the shape \\[4\\]"),
        (lambda x: intrain.quantize(x[:4], "Q4.4", out=x[2:6]), ValueError, "overlaps"),
        (lambda x: intrain.quantize(x, "Q4.4", nan="max"), ValueError, "'raise' or 'propagate'"),
        (lambda x: intrain.quantize(x[1:] * np.inf, "unit<8>@shift"), intrain.IntrainError, "element 0 is infinite"),
        (lambda x: intrain.quantize(x, "Q4.4 stochastic<8>", seed=-1), OverflowError, "negative"),
        (lambda x: intrain.encode(x, "qtorch<5,2>"), intrain.IntrainError, "no codes"),
    ],
)
def test_mistakes(call, error, part):
    with pytest.raises(error, match=part):
        call(np.arange(8, dtype=np.float32))


def test_read_only_arrays_are_read_and_not_written():
    x = np.arange(8, dtype=np.float32)
    x.flags.writeable = False
    assert intrain.quantize(x, "Q4.4").tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    for out in (x, np.broadcast_to(np.float32(0), (8,))):
        with pytest.raises(ValueError):
            intrain.quantize(x, "Q4.4", out=out)


def test_nan_goes_through_where_asked():
    q = intrain.quantize(np.float32([np.nan, 1]), "e4m3", nan="propagate")
    assert np.isnan(q[0]) and q[1] == 1
    with pytest.raises(intrain.IntrainError, match="has no NaN"):
        intrain.quantize(np.float32([np.nan]), "Q4.4", nan="propagate")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_quantizes():
    x = np.random.default_rng(1).standard_normal(1 << 18).astype(np.float32)
    expected = intrain.quantize(x, "Q4.4 stochastic<16>", seed=1)
    child = os.fork()
    if child == 0:
        ok = same(intrain.quantize(x, "Q4.4 stochastic<16>", seed=1), expected)
        ok = ok and intrain.quantize(x[:8], "unit<8>@shift").shape == (8,)
        os._exit(0 if ok else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_explain_names_the_switch():
    x = np.random.default_rng(2).standard_normal((64, 128)).astype(np.float32)
    a, b = intrain.encode(x, "mxfp4@even"), intrain.encode(x, "mxfp4@div-floor")
    found = intrain.explain(a, b, x)
    assert found.is_explained and found.switch == [("scale rule", "even", "div-floor")]
    assert "the switch: scale rule" in repr(found) and found.first[0][0] == "scales"
    alone = intrain.explain((a.codes, a.scales), (b.codes, b.scales))
    assert alone.is_explained and ("e2m1", "even", "div-floor") in alone.pairs
    assert intrain.explain(a, a, x).is_explained
    noise = np.random.default_rng(3).integers(0, 16, (64, 128), dtype=np.uint8)
    assert not intrain.explain(noise, a.codes, x).is_explained
    values = intrain.quantize(x, "e4m3"), intrain.quantize(x, "e4m3", "toward-zero")
    assert [change[0] for change in intrain.explain(*values, x).switch] == ["rounding"]
    with pytest.raises(TypeError, match="explain takes"):
        intrain.explain("a", a)
