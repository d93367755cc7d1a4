//! The networks of the papers, and the one for the embedded digits.

use crate::ModelError;
use crate::layer::{Init, Input, Layer, LayerKind, Logits, Model, Pixels, Shape};

/// A preset's line.
#[derive(Debug, Clone, Copy)]
pub struct Preset {
    /// Name, as on the command line.
    pub name: &'static str,
    /// What it is.
    pub summary: &'static str,
    build: fn() -> Model,
}

/// All presets.
pub const PRESETS: &[Preset] = &[
    Preset {
        name: "digits-cnn",
        summary: "32C3-64C3-MP2-128FC-10 for the embedded 8x8 digits",
        build: digits_cnn,
    },
    Preset { name: "mlp", summary: "784-1000-1000-10 (Gupta 2015, MNIST)", build: mlp },
    Preset { name: "gupta-cnn", summary: "8C5-MP2-16C5-MP2-128FC-10 (Gupta 2015, MNIST)", build: gupta_cnn },
    Preset { name: "gupta-cifar", summary: "3 x [64C5-MP3/2]-10 (Gupta 2015, CIFAR-10)", build: gupta_cifar },
    Preset { name: "lenet5", summary: "32C5-MP2-64C5-MP2-512FC-10 (WAGE, MNIST)", build: lenet5 },
    Preset {
        name: "vgg7",
        summary: "2x128C3-MP2-2x256C3-MP2-2x512C3-MP2-1024FC-10 (WAGE, CIFAR-10)",
        build: vgg7,
    },
];

/// The preset of that name.
///
/// # Errors
/// [`ModelError::UnknownPreset`] with the nearest name.
pub fn preset(name: &str) -> Result<Model, ModelError> {
    if let Some(preset) = PRESETS.iter().find(|p| p.name == name) {
        return Ok((preset.build)());
    }
    let nearest = PRESETS.iter().map(|p| p.name).min_by_key(|p| strsim::damerau_levenshtein(name, p));
    Err(ModelError::UnknownPreset {
        name: name.to_owned(),
        nearest: nearest.unwrap_or_default().to_owned(),
        all: PRESETS.iter().map(|p| p.name).collect::<Vec<_>>().join(", "),
    })
}

/// Collects layers and names them by kind and number: `conv1`, `pool1`, `relu1`, `fc1`.
#[derive(Default)]
struct Layers {
    layers: Vec<Layer>,
}

impl Layers {
    fn add(mut self, prefix: &str, kind: LayerKind) -> Self {
        let n = 1 + self.layers.iter().filter(|l| l.name.starts_with(prefix)).count();
        self.layers.push(Layer { name: format!("{prefix}{n}"), kind });
        self
    }

    fn conv(self, out: usize, kernel: usize, pad: usize, bias: bool) -> Self {
        self.add("conv", LayerKind::Conv { out, kernel, stride: 1, pad, bias })
    }

    fn pool(self, size: usize, stride: usize) -> Self {
        self.add("pool", LayerKind::MaxPool { size, stride })
    }

    fn relu(self) -> Self {
        self.add("relu", LayerKind::Relu)
    }

    fn flatten(self) -> Self {
        self.add("flatten", LayerKind::Flatten)
    }

    fn linear(self, out: usize, bias: bool) -> Self {
        self.add("fc", LayerKind::Linear { out, bias })
    }
}

fn input(h: usize, w: usize, c: usize, pixels: Pixels) -> Input {
    Input { shape: Shape { h, w, c }, pixels }
}

fn digits_cnn() -> Model {
    Model {
        name: "digits-cnn".to_owned(),
        source: "in the manner of WAGE's LeNet-5, for 8x8 images".to_owned(),
        input: input(8, 8, 1, Pixels::Unit256),
        init: Init::Uniform,
        logits: Logits::Exact,
        layers: Layers::default()
            .conv(32, 3, 1, false)
            .relu()
            .conv(64, 3, 1, false)
            .pool(2, 2)
            .relu()
            .flatten()
            .linear(128, false)
            .relu()
            .linear(10, false)
            .layers,
    }
}

fn mlp() -> Model {
    Model {
        name: "mlp".to_owned(),
        source: "Gupta et al. 2015, section 4.1; weights N(0, 0.01^2), biases 0".to_owned(),
        input: input(28, 28, 1, Pixels::Unit255),
        init: Init::Normal { deviation_millionths: 10_000 },
        logits: Logits::Exact,
        layers: Layers::default()
            .flatten()
            .linear(1000, true)
            .relu()
            .linear(1000, true)
            .relu()
            .linear(10, true)
            .layers,
    }
}

fn gupta_cnn() -> Model {
    Model {
        name: "gupta-cnn".to_owned(),
        source: "Gupta et al. 2015, section 4.1; the initial weights are not stated there".to_owned(),
        input: input(28, 28, 1, Pixels::Unit255),
        init: Init::Uniform,
        logits: Logits::Exact,
        layers: Layers::default()
            .conv(8, 5, 0, true)
            .relu()
            .pool(2, 2)
            .conv(16, 5, 0, true)
            .relu()
            .pool(2, 2)
            .flatten()
            .linear(128, true)
            .relu()
            .linear(10, true)
            .layers,
    }
}

fn gupta_cifar() -> Model {
    let block = |layers: Layers| layers.conv(64, 5, 2, true).relu().pool(3, 2);
    Model {
        name: "gupta-cifar".to_owned(),
        source: "Gupta et al. 2015, section 4.2; padding and initial weights are not stated there".to_owned(),
        input: input(32, 32, 3, Pixels::Unit255),
        init: Init::Uniform,
        logits: Logits::Exact,
        layers: block(block(block(Layers::default()))).flatten().linear(10, true).layers,
    }
}

fn lenet5() -> Model {
    Model {
        name: "lenet5".to_owned(),
        source: "Wu et al. 2018, section 4.1; boluoweifenda/WAGE of October 2017: VALID convolutions, quantized logits"
            .to_owned(),
        input: input(28, 28, 1, Pixels::Unit256),
        init: Init::Uniform,
        logits: Logits::Quantized,
        layers: Layers::default()
            .conv(32, 5, 0, false)
            .pool(2, 2)
            .relu()
            .conv(64, 5, 0, false)
            .pool(2, 2)
            .relu()
            .flatten()
            .linear(512, false)
            .relu()
            .linear(10, false)
            .layers,
    }
}

fn vgg7() -> Model {
    let pair =
        |layers: Layers, out| layers.conv(out, 3, 1, false).relu().conv(out, 3, 1, false).pool(2, 2).relu();
    Model {
        name: "vgg7".to_owned(),
        source: "Wu et al. 2018, section 4.1; boluoweifenda/WAGE@9d57688 source/NN.py".to_owned(),
        input: input(32, 32, 3, Pixels::Symmetric),
        init: Init::Uniform,
        logits: Logits::Exact,
        layers: pair(pair(pair(Layers::default(), 128), 256), 512)
            .flatten()
            .linear(1024, false)
            .relu()
            .linear(10, false)
            .layers,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_the_papers() {
        let parameters = |name: &str| preset(name).unwrap().n_parameters().unwrap();
        assert_eq!(parameters("lenet5"), 52_000 + 529_408);
        assert_eq!(parameters("vgg7"), 4_574_592 + 8_398_848);
        assert_eq!(parameters("mlp"), 784 * 1000 + 1000 + 1_000_000 + 1000 + 10_000 + 10);
        for p in PRESETS {
            assert_eq!((p.build)().n_classes(), Ok(10), "{}", p.name);
            assert_eq!((p.build)().name, p.name);
        }
    }

    #[test]
    fn unknown_names_get_the_nearest() {
        let message = preset("lenet").unwrap_err().to_string();
        assert!(message.contains("did you mean 'lenet5'"), "{message}");
    }
}
