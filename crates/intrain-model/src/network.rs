//! Layers as a network: what enters each, its shape, and what all of them come to.

use crate::ModelError;
use crate::layer::{INPUT, Layer, LayerKind, Model, Shape};

/// Bytes of a layer's name, at most.
const NAME_MAX: usize = 255;

impl Model {
    /// Shape of the image, then behind each layer: `layers.len() + 1` of them.
    ///
    /// # Errors
    /// The first layer that does not fit, or a network that is not one.
    pub fn shapes(&self) -> Result<Vec<Shape>, ModelError> {
        let refuse = |reason: String| ModelError::Network { model: self.name.clone(), reason };
        let Shape { h, w, c } = self.input.shape;
        if [h, w, c].iter().any(|side| !(1..=4096).contains(side)) {
            return Err(refuse(format!(
                "an input of {} is impossible; each side must be in 1..=4096",
                self.input.shape
            )));
        }
        if !self.layers.iter().any(|layer| layer.kind.is_product()) {
            return Err(refuse("there is no conv or linear layer: nothing to train".to_owned()));
        }
        let sources = self.sources()?;
        let mut shapes = vec![self.input.shape];
        for (layer, sources) in self.layers.iter().zip(&sources) {
            let fail = |reason| ModelError::Layer { layer: layer.name.clone(), reason };
            let entering: Vec<Shape> = sources.iter().map(|&source| shapes[source]).collect();
            let entering = joined(layer.kind, &entering).map_err(fail)?;
            shapes.push(layer.kind.output(entering).map_err(fail)?);
        }
        Ok(shapes)
    }

    /// What enters each layer: 0 is the image, `i + 1` the output of layer `i`.
    ///
    /// # Errors
    /// A name that is missing, twice there, or not of an earlier layer; an output that goes nowhere.
    pub fn sources(&self) -> Result<Vec<Vec<usize>>, ModelError> {
        let mut all: Vec<Vec<usize>> = Vec::new();
        for (i, layer) in self.layers.iter().enumerate() {
            let fail = |reason: String| ModelError::Layer { layer: layer.name.clone(), reason };
            if layer.name.is_empty() || layer.name == INPUT || layer.name.contains(['*', '@', '/', '\n']) {
                let reason = "a name needs characters other than '*', '@' and '/', and 'input' is the image";
                return Err(fail(reason.to_owned()));
            }
            if layer.name.len() > NAME_MAX {
                let start: String = layer.name.chars().take(40).collect();
                let reason =
                    format!("a name of {} bytes is longer than {NAME_MAX}; shorten it", layer.name.len());
                return Err(ModelError::Layer { layer: format!("{start}..."), reason });
            }
            if self.layers[..i].iter().any(|other| other.name == layer.name) {
                return Err(fail("two layers have this name; names must be unique".to_owned()));
            }
            let place = |name: &String| match self.layers[..i].iter().position(|other| other.name == *name) {
                Some(place) => Ok(place + 1),
                None if name == INPUT => Ok(0),
                None => Err(fail(format!("from = '{name}' is no layer before it"))),
            };
            let sources: Vec<usize> = if layer.from.is_empty() {
                vec![i]
            } else {
                layer.from.iter().map(place).collect::<Result<_, _>>()?
            };
            let n = layer.kind.n_sources();
            if !n.contains(&sources.len()) {
                let (least, most) = (n.start(), n.end());
                let n = if least == most { least.to_string() } else { format!("{least} to {most}") };
                let reason = format!("{} outputs enter and it takes {n}; name {n} in 'from'", sources.len());
                return Err(fail(reason));
            }
            all.push(sources);
        }
        let is_used = |place: usize| all.iter().any(|sources| sources.contains(&place));
        let n = self.layers.len();
        if let Some(i) = (0..n.saturating_sub(1)).find(|i| !is_used(i + 1)) {
            let reason =
                "its output goes nowhere; name it in a later layer's 'from', or remove it".to_owned();
            return Err(ModelError::Layer { layer: self.layers[i].name.clone(), reason });
        }
        Ok(all)
    }

    /// The first layer that makes this more than a chain: one that takes another output than the one before it, or a kind
    /// that needs more than one image or pixel at a time.
    #[must_use]
    pub fn beyond_a_chain(&self) -> Option<&Layer> {
        let is_plain = |kind: &LayerKind| {
            kind.is_product()
                || matches!(kind, LayerKind::MaxPool { .. } | LayerKind::Relu | LayerKind::Flatten)
        };
        let is_behind = |i: usize, layer: &Layer| match (&layer.from[..], i) {
            ([], _) => true,
            ([from], 0) => from == INPUT,
            ([from], i) => *from == self.layers[i - 1].name,
            _ => false,
        };
        self.layers.iter().enumerate().find(|(i, l)| !is_plain(&l.kind) || !is_behind(*i, l)).map(|(_, l)| l)
    }

    /// How many classes the network tells apart: the length of its last vector.
    ///
    /// # Errors
    /// As [`Model::shapes`], and where the network does not end in a vector of at least two numbers.
    pub fn n_classes(&self) -> Result<usize, ModelError> {
        let last = self.shapes()?.last().copied().unwrap_or(self.input.shape);
        if last.h == 1 && last.w == 1 && last.c >= 2 {
            return Ok(last.c);
        }
        let reason = format!("the last layer gives {last}; end with a linear layer of one output per class");
        Err(ModelError::Network { model: self.name.clone(), reason })
    }

    /// Weights and biases, all layers together.
    ///
    /// # Errors
    /// As [`Model::shapes`].
    pub fn n_parameters(&self) -> Result<usize, ModelError> {
        Ok(self.parameters_of_layers()?.into_iter().sum())
    }

    /// Weights and biases of each layer.
    ///
    /// # Errors
    /// As [`Model::shapes`].
    pub fn parameters_of_layers(&self) -> Result<Vec<usize>, ModelError> {
        let (shapes, sources) = (self.shapes()?, self.sources()?);
        let of_layer = |(layer, sources): (&Layer, &Vec<usize>)| {
            let weights = layer.kind.weights(shapes[sources[0]]);
            let bias = layer.kind.biases(shapes[sources[0]]);
            if weights.is_empty() { 0 } else { weights.iter().product::<usize>() + bias }
        };
        Ok(self.layers.iter().zip(&sources).map(of_layer).collect())
    }
}

/// What enters a layer, where it takes several outputs as one.
fn joined(kind: LayerKind, entering: &[Shape]) -> Result<Shape, String> {
    let first = entering[0];
    if kind == LayerKind::Concat {
        if let Some(other) = entering.iter().find(|shape| (shape.h, shape.w) != (first.h, first.w)) {
            return Err(format!("it joins {first} and {other}; all must have one height and width"));
        }
        let c = entering.iter().map(|shape| shape.c).sum();
        return Ok(Shape { c, ..first });
    }
    match entering.iter().find(|shape| **shape != first) {
        Some(other) => Err(format!("it adds {first} and {other}; both must have one shape")),
        None => Ok(first),
    }
}
