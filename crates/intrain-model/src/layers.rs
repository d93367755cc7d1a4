//! How presets are written: layers one behind the other, with names by kind and number.

use crate::layer::{Input, Layer, LayerKind, Pixels, Shape, Window};

/// Collects layers and names them by kind and number: `conv1`, `pool1`, `relu1`, `fc1`.
#[derive(Default)]
pub(crate) struct Layers {
    pub(crate) layers: Vec<Layer>,
}

impl Layers {
    pub(crate) fn add(self, prefix: &str, kind: LayerKind) -> Self {
        self.add_behind(prefix, kind, &[])
    }

    /// A layer behind others than the last one.
    pub(crate) fn add_behind(mut self, prefix: &str, kind: LayerKind, from: &[&str]) -> Self {
        let n =
            1 + self.layers.iter().filter(|l| l.name.trim_end_matches(char::is_numeric) == prefix).count();
        let from = from.iter().map(ToString::to_string).collect();
        self.layers.push(Layer { name: format!("{prefix}{n}"), kind, from });
        self
    }

    /// Name of the last layer.
    pub(crate) fn last(&self) -> String {
        self.layers.last().map_or_else(|| crate::INPUT.to_owned(), |layer| layer.name.clone())
    }

    pub(crate) fn norm(self, affine: bool) -> Self {
        self.add("norm", LayerKind::BatchNorm { affine })
    }

    pub(crate) fn conv(self, out: usize, kernel: usize, pad: usize, bias: bool) -> Self {
        self.add("conv", LayerKind::Conv { out, window: Window::square(kernel, 1, pad), bias })
    }

    pub(crate) fn pool(self, size: usize, stride: usize) -> Self {
        self.add("pool", LayerKind::MaxPool { size, stride, pad: 0 })
    }

    pub(crate) fn relu(self) -> Self {
        self.add("relu", LayerKind::Relu)
    }

    pub(crate) fn flatten(self) -> Self {
        self.add("flatten", LayerKind::Flatten)
    }

    pub(crate) fn linear(self, out: usize, bias: bool) -> Self {
        self.add("fc", LayerKind::Linear { out, bias })
    }
}

pub(crate) fn input(h: usize, w: usize, c: usize, pixels: Pixels) -> Input {
    Input { shape: Shape { h, w, c }, pixels }
}
