"""Networks: the command's bits, files, stopping and going on, inputs of all kinds; and what is refused."""

import os
import pickle
import signal
import threading

import numpy as np
import pytest

import intrain

README_HASH = "9d6bbd4adc7b56a0b2a626286892a636a8d1cb7ceb3d127650ca7b17bc8c03f4"


@pytest.fixture(scope="module")
def digits():
    return intrain.datasets.load("digits")


def digits_network(recipe="wage", epochs=2, **settings):
    return intrain.Network("digits-cnn", recipe, epochs=epochs, **settings)


def test_arrays_train_the_weights_of_the_readme(digits):
    (x, y), test = digits
    net = intrain.Network("digits-cnn", "wage").fit(x, y, test=test, name="digits", progress=False)
    assert net.weights_sha256 == README_HASH
    assert net.is_done and len(net.history) == 30
    assert net.history[-1]["test_error"] == pytest.approx(1 - net.score(*test))


@pytest.mark.parametrize("recipe", [name.split("[")[0] for name, _ in intrain.Recipe.presets()])
def test_every_recipe_has_the_file_of_the_command(command, tmp_path, digits, recipe):
    (x, y), test = digits
    model = {"lq": "mlp-norm"}.get(recipe, "digits-cnn")
    out = tmp_path / "run"
    command("train", "--data", "digits", "--model", model, "--recipe", recipe, "--epochs", 1, "--out", out)
    net = intrain.Network(model, recipe, epochs=1).fit(x, y, test=test, name="digits", progress=False)
    net.save(tmp_path / "model.safetensors")
    assert (tmp_path / "model.safetensors").read_bytes() == (out / "model.safetensors").read_bytes()


def test_a_recipe_with_another_row_is_the_commands(command, tmp_path, digits):
    (x, y), test = digits
    row = "unit<6> nearest-even saturate clipped"
    words = ["--data", "digits", "--recipe", "wage", "--epochs", 1, "--set", f"recipe.roles.activation='{row}'"]
    expected = command("train", *words, "--out", tmp_path / "run")["weights_sha256"]
    net = digits_network(intrain.Recipe("wage").replace(activation=row), 1)
    assert net.fit(x, y, test=test, name="digits", progress=False).weights_sha256 == expected


def test_mnist_has_the_file_of_the_command(command, tmp_path, mnist):
    (x, y), test = mnist
    words = ["--data", "mnist", "--model", "lenet5", "--recipe", "wage", "--max-steps", 100, "--out", tmp_path / "run"]
    command("train", *words)
    net = intrain.Network("lenet5", "wage", max_steps=100).fit(x, y, test=test, name="mnist", progress=False)
    net.save(tmp_path / "model.safetensors")
    assert (tmp_path / "model.safetensors").read_bytes() == (tmp_path / "run/model.safetensors").read_bytes()


def test_threads_change_nothing(digits):
    (x, y), _ = digits
    hashes = {digits_network(threads=n).fit(x, y, progress=False).weights_sha256 for n in (1, 2, 5)}
    assert len(hashes) == 1


def test_a_saved_network_answers_alike(tmp_path, digits):
    (x, y), (xt, yt) = digits
    net = digits_network().fit(x, y, progress=False)
    net.save(tmp_path / "model.safetensors")
    loaded = intrain.load(tmp_path / "model.safetensors")
    (a, bits_a), (b, bits_b) = net.logits(xt), loaded.logits(xt)
    assert bits_a == bits_b and a.dtype == np.int64 and np.array_equal(a, b)
    assert np.array_equal(net.predict(xt), loaded.predict(xt))
    assert loaded.score(xt, yt) == net.score(xt, yt)
    for name, tensor in net.state_dict().items():
        assert tensor.dtype == np.int8 and np.array_equal(tensor, loaded.state_dict()[name])
    assert loaded.weights_sha256 == net.weights_sha256


def test_a_network_travels(tmp_path, digits):
    (x, y), (xt, _) = digits
    assert repr(pickle.loads(pickle.dumps(digits_network()))) == repr(digits_network())
    net = digits_network().fit(x, y, progress=False)
    other = pickle.loads(pickle.dumps(net))
    assert np.array_equal(other.logits(xt)[0], net.logits(xt)[0]) and other.history == net.history
    net.save(tmp_path / "a.safetensors")
    other.save(tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    assert other.fit(x, y, progress=False).weights_sha256 == net.weights_sha256


def test_what_cannot_be_written_is_named(tmp_path, digits):
    (x, y), _ = digits
    net = digits_network(epochs=1).fit(x, y, progress=False)
    for network in (net, pickle.loads(pickle.dumps(net))):
        with pytest.raises(intrain.ArtefactError, match="nowhere.*cannot"):
            network.save(tmp_path / "nowhere" / "model.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_it_leaves_as_c(tmp_path, digits):
    (x, y), _ = digits
    net = digits_network().fit(x, y, progress=False)
    net.export("c", tmp_path / "out")
    assert any(path.suffix == ".c" for path in (tmp_path / "out").iterdir())
    with pytest.raises(intrain.ArtefactError, match="cc"):
        net.export("cc", tmp_path / "other")


def test_it_goes_on_where_it_was_stopped(digits):
    (x, y), test = digits
    whole = digits_network(epochs=3).fit(x, y, test=test, progress=False)
    parts = digits_network(epochs=3)
    parts.fit(x, y, test=test, progress=False, callbacks=lambda network, record: record["epoch"] == 1)
    assert not parts.is_done and len(parts.history) == 1
    parts.fit(progress=False)
    assert parts.weights_sha256 == whole.weights_sha256
    losses = [[record["train_loss"] for record in net.history] for net in (parts, whole)]
    assert losses[0] == losses[1]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signal")
def test_an_interrupt_keeps_the_state(digits):
    (x, y), _ = digits
    whole = digits_network(epochs=6).fit(x, y, progress=False)
    net = digits_network(epochs=6)
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    interrupted = False
    timer.start()
    try:
        net.fit(x, y, progress=False)
        timer.join()
    except KeyboardInterrupt:
        interrupted = True
    if interrupted:
        net.fit(progress=False)
    assert net.weights_sha256 == whole.weights_sha256


def test_callbacks(tmp_path, digits):
    (x, y), test = digits
    seen = []
    path = tmp_path / "best-{epoch}.safetensors"
    callbacks = [intrain.EarlyStop(1, "test_error"), intrain.Checkpoint(path, only_best=False), lambda n, r: seen.append(r["epoch"])]
    net = digits_network(epochs=30).fit(x, y, test=test, callbacks=callbacks, progress=False)
    assert seen == list(range(1, len(net.history) + 1)) and len(seen) < 30
    assert len(list(tmp_path.iterdir())) == len(seen)
    with pytest.raises(ZeroDivisionError):
        digits_network().fit(x, y, callbacks=lambda n, r: 1 / 0, progress=False)
    with pytest.raises(TypeError, match="cannot be called"):
        digits_network().fit(x, y, callbacks=["stop"], progress=False)


def test_tables_of_floats(tmp_path):
    rng = np.random.default_rng(3)
    x = rng.standard_normal((600, 5)) * [1, 10, 100, 0, 1e-3] + [0, 5, 0, 2, 0]
    y = np.where(x[:, 0] + x[:, 1] / 10 > 0.5, "yes", "no")
    net = intrain.Network("table-mlp", "gupta", epochs=20).fit(x, y, progress=False)
    assert net.score(x, y) > 0.9 and set(net.predict(x)) == {"yes", "no"}
    net.save(tmp_path / "m.safetensors")
    loaded = intrain.load(tmp_path / "m.safetensors")
    assert np.array_equal(loaded.logits(x)[0], net.logits(x)[0]) and np.array_equal(loaded.predict(x), net.predict(x))
    with pytest.raises(intrain.DataError, match="4 features, and the network knows 5"):
        net.predict(x[:, :4])


def test_tables_are_encoded_as_the_command_does(command, tmp_path):
    rng = np.random.default_rng(4)
    x, y = rng.standard_normal((300, 4)).round(3), rng.integers(0, 3, 300)
    for name, rows in [("a", slice(0, 250)), ("b", slice(250, 300))]:
        lines = [",".join([*map(repr, row.tolist()), str(label)]) for row, label in zip(x[rows], y[rows])]
        (tmp_path / f"{name}.csv").write_text("\n".join(["p,q,r,s,label", *lines]) + "\n")
    data = f"csv:{tmp_path}/a.csv,label=label,test={tmp_path}/b.csv"
    words = ["--data", data, "--model", "table-mlp", "--recipe", "gupta", "--epochs", 2, "--out", tmp_path / "run"]
    expected = command("train", *words)["weights_sha256"]
    net = intrain.Network("table-mlp", "gupta", epochs=2)
    net.fit(x[:250], y[:250], test=(x[250:], y[250:]), progress=False)
    assert net.weights_sha256 == expected


def test_floats_of_images(digits):
    (x, y), _ = digits
    bytes_ = digits_network().fit(x, y, progress=False)
    floats = digits_network().fit(x / 255.0, y, progress=False)
    centred = digits_network(range=(-1, 1)).fit(x / 127.5 - 1, y, progress=False)
    assert bytes_.weights_sha256 == floats.weights_sha256 == centred.weights_sha256
    with pytest.raises(intrain.DataError, match="numbers from .* range="):
        digits_network().fit(x / 127.5 - 1, y, progress=False)


def test_plans_and_recipes():
    plan = intrain.Network("lenet5", "wage").plan()
    assert plan[0]["operation"] == "quantize" and not any(row["is_float"] for row in plan)
    assert "conv1" in repr(plan) and "<table>" in plan._repr_html_() and "unit&lt;8&gt;" in plan._repr_html_()
    base = intrain.Recipe("wage")
    six = base.replace(activation="unit<6> nearest-even saturate clipped", error_activation="unit<9>@shift nearest-even saturate")
    assert [row for row, _, _ in base.diff(six)] == ["activation", "error.activation"]
    for thing in (base, six, intrain.Model("resnet20:8")):
        assert pickle.loads(pickle.dumps(thing)) == thing
        assert type(thing)(thing.to_toml()).to_toml() == thing.to_toml()
        assert "<table>" in thing._repr_html_()
    assert intrain.Model("lenet5").layers[0][0] == "conv1"


@pytest.mark.parametrize(
    "call, error, part",
    [
        (lambda x, y: intrain.Network("lenet"), intrain.ModelError, "did you mean 'lenet5'"),
        (lambda x, y: intrain.Network("lenet5", "wag"), intrain.RecipeError, "did you mean 'wage'"),
        (lambda x, y: intrain.Network("lenet5", lambda: 1), TypeError, "recipe is <function"),
        (lambda x, y: intrain.Recipe("wage").replace(activatio="Q4.4 floor"), intrain.RecipeError, "activatio"),
        (lambda x, y: intrain.Recipe("wage").replace(activation=8), intrain.RecipeError, "a row is a text"),
        (lambda x, y: intrain.Recipe("/nowhere.toml"), intrain.RecipeError, "cannot read"),
        (lambda x, y: digits_network(momentun=0.9).fit(x, y), intrain.IntrainError, "did you mean 'momentum'"),
        (lambda x, y: digits_network(learning_rate=object()), TypeError, "a setting is a number"),
        (lambda x, y: digits_network().fit(x), intrain.DataError, "y is missing"),
        (lambda x, y: digits_network().fit(x, y[:-1]), intrain.DataError, "labels for"),
        (lambda x, y: digits_network().fit(x[0, :, 0, 0], y), intrain.DataError, "has the shape \\(8,\\)"),
        (lambda x, y: digits_network().fit(x * np.nan, y), intrain.DataError, "NaN"),
        (lambda x, y: digits_network().fit(x.astype(object), y), intrain.DataError, "array of object"),
        (lambda x, y: digits_network().fit(x, y - 1), intrain.DataError, "count classes from 0"),
        (lambda x, y: digits_network().fit(x, y, classes=["a"]), intrain.DataError, "1 names"),
        (lambda x, y: digits_network().fit(x, y, test=(x, y + 1)), intrain.DataError, "the label 10 at"),
        (lambda x, y: digits_network().fit(), intrain.IntrainError, "nothing to go on with"),
        (lambda x, y: digits_network().predict(x), intrain.IntrainError, "has not learned yet"),
        (lambda x, y: intrain.load("/nowhere"), intrain.ArtefactError, "No such file.*run folder"),
        (lambda x, y: intrain.load(__file__), intrain.ArtefactError, "test_network.py"),
        (lambda x, y: intrain.datasets.load("minst"), intrain.DataError, "did you mean `mnist`"),
    ],
)
def test_mistakes(digits, call, error, part):
    (x, y), _ = digits
    with pytest.raises(error, match=part):
        call(x, y)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_network_of_the_parent_is_refused_in_a_child(digits):
    (x, y), _ = digits
    net = digits_network(epochs=1).fit(x, y, progress=False)
    child = os.fork()
    if child == 0:
        try:
            net.predict(x)
        except RuntimeError as error:
            os._exit(0 if "another process" in str(error) else 1)
        os._exit(2)
    assert os.waitpid(child, 0)[1] == 0


def test_the_command_is_installed(command, tmp_path):
    assert "weights_sha256" in command("train", "--epochs", 1, "--out", tmp_path / "run")
    assert "did you mean" in command("train", "--model", "lenet", ok=False)
