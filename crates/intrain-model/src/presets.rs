//! The networks of the papers, and the one for the embedded digits.

mod defaults;

use crate::layer::{Init, LayerKind, Logits, Model, Pixels};
use crate::layers::{Layers, input};
use crate::residual::Block;
use crate::spelling::nearest;
use crate::{ModelError, ModelFile, imagenet, residual, tiny};

/// A preset's line.
#[derive(Debug, Clone, Copy)]
pub struct Preset {
    /// Name, as on the command line.
    pub name: &'static str,
    /// What it is.
    pub summary: &'static str,
    build: Build,
    /// What runs of it have where nobody says otherwise, as TOML.
    defaults: &'static str,
}

/// How a preset is made.
#[derive(Debug, Clone, Copy)]
enum Build {
    /// Always the same.
    Fixed(fn() -> Model),
    /// From the channels of its first layer, which a number behind a colon names: `vgg9:16`.
    Wide { width: usize, build: fn(usize) -> Model },
    /// From its width in quarters of the paper's, which a number behind a colon names: `mobilenet:1`.
    Quarters(fn(usize) -> Model),
}

/// All presets.
pub const PRESETS: &[Preset] = &[
    Preset {
        name: "digits-cnn",
        summary: "32C3-64C3-MP2-128FC-10 for the embedded 8x8 digits",
        build: Build::Fixed(digits_cnn),
        defaults: defaults::DIGITS_CNN,
    },
    Preset {
        name: "mlp",
        summary: "784-1000-1000-10 (Gupta 2015, MNIST)",
        build: Build::Fixed(mlp),
        defaults: defaults::MLP,
    },
    Preset {
        name: "mlp-norm",
        summary: "mlp with a layer norm in front of each ReLU",
        build: Build::Fixed(mlp_norm),
        defaults: defaults::NORMED,
    },
    Preset {
        name: "table-mlp",
        summary: "N-64-64-C for tables of numbers",
        build: Build::Wide { width: 64, build: table_mlp },
        defaults: defaults::TABLE_MLP,
    },
    Preset {
        name: "gupta-cnn",
        summary: "8C5-MP2-16C5-MP2-128FC-10 (Gupta 2015, MNIST)",
        build: Build::Fixed(gupta_cnn),
        defaults: defaults::GUPTA_CNN,
    },
    Preset {
        name: "gupta-cifar",
        summary: "3 x [64C5-MP3/2]-10 (Gupta 2015, CIFAR-10)",
        build: Build::Fixed(gupta_cifar),
        defaults: defaults::GUPTA_CIFAR,
    },
    Preset {
        name: "lenet5",
        summary: "32C5-MP2-64C5-MP2-512FC-10 (WAGE, MNIST)",
        build: Build::Fixed(lenet5),
        defaults: defaults::CHAIN,
    },
    Preset {
        name: "vgg7",
        summary: "2x128C3-MP2-2x256C3-MP2-2x512C3-MP2-1024FC-10 (WAGE, CIFAR-10)",
        build: Build::Wide { width: 128, build: vgg7 },
        defaults: defaults::VGG7,
    },
    Preset {
        name: "vgg7-norm",
        summary: "vgg7 with a norm behind each convolution and behind the first linear layer",
        build: Build::Wide { width: 128, build: vgg7_norm },
        defaults: defaults::VGG7_NORM,
    },
    Preset {
        name: "vgg9",
        summary: "2x64C3-MP2-2x128C3-MP2-3x256C3-MP2-256FC-10, norms behind all but the last (Li 2017, CIFAR-10)",
        build: Build::Wide { width: 64, build: vgg9 },
        defaults: defaults::NORMED,
    },
    Preset {
        name: "vgg-bc",
        summary: "2x128C3-MP2-2x256C3-MP2-2x512C3-MP2-2x1024FC-10, norm (BinaryConnect, CIFAR-10)",
        build: Build::Wide { width: 128, build: vgg_bc },
        defaults: defaults::NORMED,
    },
    Preset {
        name: "vgg-small",
        summary: "2x128C3-MP2-2x256C3-MP2-2x512C3-MP2-10, pool before norm (HWGQ 2017, CIFAR-10)",
        build: Build::Wide { width: 128, build: vgg_small },
        defaults: defaults::VGG_SMALL,
    },
    Preset {
        name: "resnet20",
        summary: "3 x 3 residual blocks of 16, 32 and 64 channels (He 2016, CIFAR-10)",
        build: Build::Wide { width: 16, build: |width| residual::cifar("resnet20", 3, width) },
        defaults: defaults::RESIDUAL,
    },
    Preset {
        name: "resnet56",
        summary: "3 x 9 residual blocks of 16, 32 and 64 channels (He 2016, CIFAR-10)",
        build: Build::Wide { width: 16, build: |width| residual::cifar("resnet56", 9, width) },
        defaults: defaults::RESIDUAL,
    },
    Preset {
        name: "wrn-56-2",
        summary: "resnet56 with twice the channels (Li 2017, CIFAR-10)",
        build: Build::Wide { width: 32, build: |width| residual::cifar("wrn-56-2", 9, width) },
        defaults: defaults::RESIDUAL,
    },
    Preset {
        name: "resnet8",
        summary: "3 residual blocks of 16, 32 and 64 channels (MLPerf Tiny, CIFAR-10)",
        build: Build::Wide { width: 16, build: tiny::resnet8 },
        defaults: defaults::TINY,
    },
    Preset {
        name: "mobilenet",
        summary: "13 depthwise separable convolutions, width in quarters (Howard 2017; strides for 32 x 32)",
        build: Build::Quarters(tiny::mobilenet),
        defaults: defaults::TINY,
    },
    Preset {
        name: "ds-cnn",
        summary: "64C10x4/2 and 4 depthwise separable convolutions (MLPerf Tiny, keyword spotting, 49 x 10)",
        build: Build::Fixed(tiny::ds_cnn),
        defaults: defaults::TINY,
    },
    Preset {
        name: "alexnet",
        summary: "5 convolutions and 3 linear layers, pool before norm (HWGQ 2017, ImageNet, 227 x 227)",
        build: Build::Fixed(imagenet::alexnet),
        defaults: defaults::ALEXNET,
    },
    Preset {
        name: "vgg-variant",
        summary: "96C7/2, 3 x 3 convolutions of 256, 512 and 512, 2x4096FC (HWGQ 2017, ImageNet)",
        build: Build::Fixed(imagenet::vgg_variant),
        defaults: defaults::VGG_VARIANT,
    },
    Preset {
        name: "resnet18",
        summary: "4 x 2 residual blocks of 64 to 512 channels (He 2016, ImageNet)",
        build: Build::Wide {
            width: 64,
            build: |width| residual::imagenet("resnet18", Block::Basic, [2, 2, 2, 2], width),
        },
        defaults: defaults::LARGE_RESIDUAL,
    },
    Preset {
        name: "resnet34",
        summary: "3, 4, 6 and 3 residual blocks of 64 to 512 channels (He 2016, ImageNet)",
        build: Build::Wide {
            width: 64,
            build: |width| residual::imagenet("resnet34", Block::Basic, [3, 4, 6, 3], width),
        },
        defaults: defaults::LARGE_RESIDUAL,
    },
    Preset {
        name: "resnet50",
        summary: "3, 4, 6 and 3 bottlenecks of 256 to 2048 channels (He 2016, ImageNet)",
        build: Build::Wide {
            width: 64,
            build: |width| residual::imagenet("resnet50", Block::Bottleneck, [3, 4, 6, 3], width),
        },
        defaults: defaults::RESNET50,
    },
    Preset {
        name: "googlenet",
        summary: "9 inceptions, norm behind each convolution (Szegedy 2015, ImageNet)",
        build: Build::Fixed(imagenet::googlenet),
        defaults: defaults::LARGE_RESIDUAL,
    },
];

/// Widths that a preset can have.
const WIDTHS: std::ops::RangeInclusive<usize> = 1..=1024;

/// Quarters of the paper's width.
const QUARTERS: std::ops::RangeInclusive<usize> = 1..=8;

/// The preset that `spec` names, with its width where it has one: the channels of the first layer (`vgg9`, `vgg9:16`), or the
/// quarters of the paper's (`mobilenet:1`).
///
/// # Errors
/// [`ModelError::UnknownPreset`] with the nearest name; [`ModelError::Preset`] for a wrong width.
pub fn preset(spec: &str) -> Result<Model, ModelError> {
    let (name, width) = spec.split_once(':').map_or((spec, None), |(name, width)| (name, Some(width)));
    let Some(preset) = PRESETS.iter().find(|p| p.name == name) else {
        return Err(ModelError::UnknownPreset {
            name: name.to_owned(),
            nearest: nearest(name, PRESETS.iter().map(|p| p.name)).to_owned(),
            all: PRESETS.iter().map(|p| p.name).collect::<Vec<_>>().join(", "),
        });
    };
    let (build, paper, widths, what) = match preset.build {
        Build::Wide { width, build } => (build, width, WIDTHS, "the channels of the first layer"),
        Build::Quarters(build) => (build, 4, QUARTERS, "the quarters of the paper's width"),
        Build::Fixed(build) if width.is_none() => return Ok(build()),
        Build::Fixed(_) => {
            let reason = format!("{name} has no widths; write {name} alone, or a model file");
            return Err(ModelError::Preset { spec: spec.to_owned(), reason });
        }
    };
    let Some(text) = width else { return Ok(build(paper)) };
    let width = text.parse().ok().filter(|width| widths.contains(width));
    let width = width.ok_or_else(|| ModelError::Preset {
        spec: spec.to_owned(),
        reason: format!("'{text}' is no width: write {what}, {widths:?}"),
    })?;
    Ok(Model { name: spec.to_owned(), ..build(width) })
}

impl Preset {
    /// How it is written, with a width where it has one.
    #[must_use]
    pub fn usage(&self) -> String {
        match self.build {
            Build::Fixed(_) => self.name.to_owned(),
            Build::Wide { .. } => format!("{}[:WIDTH]", self.name),
            Build::Quarters(_) => format!("{}[:QUARTERS]", self.name),
        }
    }
}

impl ModelFile {
    /// As [`preset`], with what its runs have where nobody says otherwise.
    ///
    /// # Errors
    /// As [`preset`].
    pub fn preset(spec: &str) -> Result<Self, ModelError> {
        let model = preset(spec)?;
        let name = spec.split(':').next().unwrap_or_default();
        let text = PRESETS.iter().find(|p| p.name == name).map_or("", |p| p.defaults);
        let defaults = text.parse().unwrap_or_else(|error| unreachable!("the defaults of '{name}': {error}"));
        Ok(Self { model, defaults })
    }
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

fn table_mlp(width: usize) -> Model {
    let hidden = |layers: Layers| layers.linear(width, false).relu();
    Model {
        name: "table-mlp".to_owned(),
        source: "two hidden layers, for features as bytes".to_owned(),
        input: input(1, 8, 1, Pixels::Symmetric),
        layers: hidden(hidden(Layers::default().flatten())).linear(10, false).layers,
        ..mlp_norm()
    }
}

/// As `mlp`, with the initial weights that norms let be any.
fn mlp_norm() -> Model {
    let hidden =
        |layers: Layers| layers.linear(1000, false).add("norm", LayerKind::LayerNorm { affine: true }).relu();
    Model {
        name: "mlp-norm".to_owned(),
        source: "Gupta et al. 2015, section 4.1, with layer norms (Ba et al. 2016, arXiv 1607.06450)"
            .to_owned(),
        input: input(28, 28, 1, Pixels::Unit255),
        init: Init::Uniform,
        logits: Logits::Exact,
        layers: hidden(hidden(Layers::default().flatten())).linear(10, true).layers,
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

fn vgg7(width: usize) -> Model {
    let pair =
        |layers: Layers, out| layers.conv(out, 3, 1, false).relu().conv(out, 3, 1, false).pool(2, 2).relu();
    Model {
        name: "vgg7".to_owned(),
        source: "Wu et al. 2018, section 4.1; boluoweifenda/WAGE@9d57688 source/NN.py".to_owned(),
        input: input(32, 32, 3, Pixels::Symmetric),
        init: Init::Uniform,
        logits: Logits::Exact,
        layers: pair(pair(pair(Layers::default(), width), 2 * width), 4 * width)
            .flatten()
            .linear(8 * width, false)
            .relu()
            .linear(10, false)
            .layers,
    }
}

/// As `vgg7`; poolings lie behind ReLUs, which changes no value of it.
fn vgg7_norm(width: usize) -> Model {
    let conv = |layers: Layers, out| layers.conv(out, 3, 1, false).norm(true).relu();
    let pair = |layers: Layers, out| conv(conv(layers, out), out).pool(2, 2);
    Model {
        name: "vgg7-norm".to_owned(),
        source: "Wu et al. 2018, section 4.1, with norms".to_owned(),
        input: input(32, 32, 3, Pixels::Symmetric),
        init: Init::Uniform,
        logits: Logits::Exact,
        layers: pair(pair(pair(Layers::default(), width), 2 * width), 4 * width)
            .flatten()
            .linear(8 * width, false)
            .norm(true)
            .relu()
            .linear(10, false)
            .layers,
    }
}

/// Three stages of 3 x 3 convolutions, each ended by a pooling.
fn vgg9(width: usize) -> Model {
    let conv = |layers: Layers, out| layers.conv(out, 3, 1, false).norm(true).relu();
    let stage = |layers: Layers, out, n| (0..n).fold(layers, |layers, _| conv(layers, out)).pool(2, 2);
    let layers = stage(stage(stage(Layers::default(), width, 2), 2 * width, 2), 4 * width, 3);
    Model {
        name: "vgg9".to_owned(),
        source: "Li et al. 2017, section 7; a norm behind fc1 as in the authors' tomgoldstein/loss-landscape@510fa3a, \
                 cifar10/models/vgg.py"
            .to_owned(),
        input: input(32, 32, 3, Pixels::Symmetric),
        init: Init::Uniform,
        logits: Logits::Exact,
        layers: layers.flatten().linear(4 * width, false).norm(true).relu().linear(10, true).layers,
    }
}

fn vgg_bc(width: usize) -> Model {
    let conv = |layers: Layers, out| layers.conv(out, 3, 1, false).norm(true).relu();
    let stage = |layers: Layers, out| conv(conv(layers, out), out).pool(2, 2);
    let layers = stage(stage(stage(Layers::default(), width), 2 * width), 4 * width);
    Model {
        name: "vgg-bc".to_owned(),
        source: "Courbariaux et al. 2015 (BinaryConnect), as Li et al. 2017 use it; softmax in place of its hinge loss"
            .to_owned(),
        input: input(32, 32, 3, Pixels::Symmetric),
        init: Init::Uniform,
        logits: Logits::Exact,
        layers: layers
            .flatten()
            .linear(8 * width, false)
            .norm(true)
            .relu()
            .linear(8 * width, false)
            .norm(true)
            .relu()
            .linear(10, true)
            .layers,
    }
}

/// Pooling lies in front of the norm, so that what is quantized has the norm's distribution; the last one behind ReLU.
fn vgg_small(width: usize) -> Model {
    let stage = |layers: Layers, out| {
        layers.conv(out, 3, 1, false).norm(false).relu().conv(out, 3, 1, false).pool(2, 2).norm(false).relu()
    };
    let layers = stage(stage(Layers::default(), width), 2 * width);
    let layers = layers.conv(4 * width, 3, 1, false).norm(false).relu().conv(4 * width, 3, 1, false);
    Model {
        name: "vgg-small".to_owned(),
        source: "Cai et al. 2017; zhaoweicai/hwgq@ebc706b".to_owned(),
        input: input(32, 32, 3, Pixels::Symmetric),
        init: Init::Uniform,
        logits: Logits::Exact,
        layers: layers.norm(true).relu().pool(2, 2).flatten().linear(10, true).layers,
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
        assert_eq!(parameters("vgg7:32"), 286_560 + 526_848);
        // Li 2017: 1,734,336 + 1,051,136, and the norms' gains and offsets.
        assert_eq!(parameters("vgg9"), 1_734_336 + 1_051_136 + 10 + 2 * (2 * 64 + 2 * 128 + 4 * 256));
        // He 2016: 0.27 M and 0.85 M.
        assert_eq!(parameters("resnet20"), 269_722);
        assert_eq!(parameters("resnet56"), 853_018);
        // As other implementations have them: with biases in the last layer alone.
        assert_eq!(parameters("resnet18"), 11_689_512);
        assert_eq!(parameters("resnet34"), 21_797_672);
        assert_eq!(parameters("resnet50"), 25_557_032);
        // MLPerf Tiny: 78,666 and 24,908 with 336 and 576 biases in front of norms and 480 and 1,152 running statistics, and
        // without the 192 gains and offsets of norms in shortcuts.
        assert_eq!(parameters("resnet8"), 78_042);
        assert_eq!(parameters("ds-cnn"), 23_180);
        assert_eq!(parameters("mobilenet"), 3_217_226);
        assert_eq!(parameters("mobilenet:4"), 3_217_226);
        assert_eq!(parameters("mobilenet:1"), 215_642);
        assert_eq!(parameters("mlp"), 784 * 1000 + 1000 + 1_000_000 + 1000 + 10_000 + 10);
        for p in PRESETS {
            let model = preset(p.name).unwrap();
            let classes = match model.input.shape.h {
                49 => 12,
                ..=200 => 10,
                _ => 1000,
            };
            assert_eq!(model.n_classes(), Ok(classes), "{}", p.name);
            assert_eq!(model.name, p.name);
        }
    }

    #[test]
    fn unknown_names_get_the_nearest() {
        assert_eq!(preset("vgg9:16").unwrap().name, "vgg9:16");
        for (spec, part) in [
            ("vgg9:0", "no width"),
            ("vgg9:x", "no width"),
            ("mobilenet:9", "the quarters of the paper's width, 1..=8"),
            ("lenet5:3", "has no widths"),
        ] {
            let message = preset(spec).unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
        let message = preset("lenet").unwrap_err().to_string();
        assert!(message.contains("did you mean 'lenet5'"), "{message}");
    }
}
