//! Convolutions, linear layers and norms: layers with weights, brought into the layout of this project.

use intrain_model::{LayerKind, Shape, Window};

use super::{Builder, Flow, numbers};
use crate::Weights;
use crate::error::ImportError;
use crate::onnx::Node;
use crate::tensor::Tensor;

/// What the norms of this project add to a variance (`docs/arithmetic.md`, section 9).
const EPSILON: f64 = 1e-5;
/// What ONNX adds where a node says nothing.
const EPSILON_DEFAULT: f32 = 1e-5;

impl<'a> Builder<'a> {
    pub(super) fn conv(&mut self, node: &Node<'a>) -> Result<Flow, ImportError> {
        let flow = self.flow(node, 0)?;
        if flow.order.is_some() {
            return Err(node.refuse("a convolution takes an image, and a vector enters it"));
        }
        let kernel = self.optional(node, 1)?.ok_or_else(|| node.refuse("it has no weights"))?;
        let [out, of_group, height, width] = kernel.dims[..] else {
            return Err(node
                .refuse(format!("its weights are {:?}, and [out, in, height, width] is read", kernel.dims)));
        };
        let groups = usize::try_from(node.int("group", 1)).unwrap_or(0);
        if groups == 0 || of_group.checked_mul(groups) != Some(flow.shape.c) {
            return Err(node.refuse(format!(
                "its weights are {:?} in {groups} groups, and {} channels enter it",
                kernel.dims, flow.shape.c
            )));
        }
        let window = window(node, [height, width], flow.shape)?;
        let values = kernel.floats().map_err(|reason| node.refuse(reason))?;
        let mut bias = self.optional(node, 2)?.map(|bias| numbers(node, bias, out)).transpose()?;
        let mut weight = Vec::with_capacity(values.len());
        for tap in 0..height * width {
            for input in 0..of_group {
                weight.extend((0..out).map(|o| values[(o * of_group + input) * height * width + tap]));
            }
        }
        let channel = |i: usize, o: usize| o / (out / groups) * of_group + i % of_group;
        if out >= groups {
            self.see_pixels(node, &flow, (&mut weight, &mut bias), window.pad, channel)?;
        }
        let has_bias = bias.is_some();
        let kind = match groups {
            1 => LayerKind::Conv { out, window, bias: has_bias },
            _ => LayerKind::GroupedConv { out, window, groups, bias: has_bias },
        };
        let result = self.push(node, "conv", kind, &[flow])?;
        self.keep(Weights { weight, bias, ..Weights::default() });
        Ok(result)
    }

    pub(super) fn gemm(&mut self, node: &Node<'a>) -> Result<Flow, ImportError> {
        if node.int("transA", 0) != 0 {
            return Err(node.refuse("transA = 1 would multiply images with each other"));
        }
        let scale = node.float("alpha").unwrap_or(1.0);
        let beta = node.float("beta").unwrap_or(1.0);
        let is_turned = node.int("transB", 0) != 0;
        self.linear(node, is_turned, scale, beta)
    }

    pub(super) fn mat_mul(&mut self, node: &Node<'a>) -> Result<Flow, ImportError> {
        self.linear(node, false, 1.0, 1.0)
    }

    /// A linear layer; behind flattened images its inputs change their order.
    fn linear(
        &mut self,
        node: &Node<'a>,
        is_turned: bool,
        scale: f32,
        beta: f32,
    ) -> Result<Flow, ImportError> {
        let flow = self.flow(node, 0)?;
        if flow.order.is_none() {
            return Err(node.refuse("it multiplies an image, and a vector is read; put a Flatten before it"));
        }
        let tensor = self.optional(node, 1)?.ok_or_else(|| node.refuse("it has no weights"))?;
        let [rows, columns] = tensor.dims[..] else {
            return Err(node.refuse(format!("its weights are {:?}, and a matrix is read", tensor.dims)));
        };
        let (n_in, out) = if is_turned { (columns, rows) } else { (rows, columns) };
        if n_in != flow.shape.len() {
            return Err(
                node.refuse(format!("its weights take {n_in} numbers, and {} enter it", flow.shape.len()))
            );
        }
        let values = tensor.floats().map_err(|reason| node.refuse(reason))?;
        let mut bias = self.optional(node, 2)?.map(|bias| numbers(node, bias, out)).transpose()?;
        bias.iter_mut().flatten().for_each(|bias| *bias *= beta);
        let mut weight = Vec::with_capacity(values.len());
        for i in flow.places() {
            let at = |o: usize| if is_turned { o * n_in + i } else { i * out + o };
            weight.extend((0..out).map(|o| scale * values[at(o)]));
        }
        let channels = self.entering.scale.len();
        self.see_pixels(node, &flow, (&mut weight, &mut bias), [0, 0], |i, _| i % channels)?;
        let kind = LayerKind::Linear { out, bias: bias.is_some() };
        let result = self.push(node, "fc", kind, &[flow])?;
        self.keep(Weights { weight, bias, ..Weights::default() });
        Ok(Flow { order: Some(vec![result.shape]), ..result })
    }

    /// Puts what the network sees of a pixel into the weights that read pixels. `channel` says which channel the weight of input `i`
    /// (over taps) and output `o` reads.
    fn see_pixels(
        &self,
        node: &Node<'a>,
        flow: &Flow,
        (weight, bias): (&mut [f32], &mut Option<Vec<f32>>),
        pad: [usize; 2],
        channel: impl Fn(usize, usize) -> usize,
    ) -> Result<(), ImportError> {
        if !self.reads_image(flow) || self.entering.is_plain() {
            return Ok(());
        }
        let is_shifted = self.entering.is_shifted();
        if is_shifted && pad != [0, 0] {
            return Err(node.refuse(
                "it pads the normalized image with zeros, which are no pixels: a mean cannot go into its bias without other numbers at \
                 the borders; train with a mean of 0 or of 0.5 in each channel (--mean 0.5 --std 0.5 is x/127.5-1), or without padding in \
                 the first layer",
            ));
        }
        let out = bias.as_ref().map_or_else(|| self.outputs(node), Vec::len);
        let mut shifts = vec![0.0; out];
        for (at, weight) in weight.iter_mut().enumerate() {
            let (i, o) = (at / out, at % out);
            let channel = channel(i, o);
            shifts[o] += f64::from(*weight) * self.entering.shift[channel];
            #[allow(clippy::cast_possible_truncation, reason = "a weight is rounded to binary32")]
            let scaled = (f64::from(*weight) * self.entering.scale[channel]) as f32;
            *weight = scaled;
        }
        if is_shifted {
            let bias = bias.get_or_insert_with(|| vec![0.0; out]);
            #[allow(clippy::cast_possible_truncation, reason = "a bias is rounded to binary32")]
            bias.iter_mut().zip(shifts).for_each(|(bias, shift)| *bias = (f64::from(*bias) + shift) as f32);
        }
        Ok(())
    }

    /// Outputs of a node with weights.
    fn outputs(&self, node: &Node<'a>) -> usize {
        let dims = |tensor: &Tensor<'a>| {
            let is_matrix = tensor.dims.len() == 2 && node.int("transB", 0) == 0;
            tensor.dims.get(usize::from(is_matrix)).copied()
        };
        self.optional(node, 1).ok().flatten().and_then(dims).unwrap_or(1)
    }

    /// Whether it is the image, flattened perhaps.
    pub(super) fn reads_image(&self, flow: &Flow) -> bool {
        let is_flatten = |i: usize| self.layers[i].kind == LayerKind::Flatten;
        flow.place == 0 || (flow.place == 1 && is_flatten(0))
    }

    /// A bias that is added to what a linear layer without one gives.
    pub(super) fn bias(
        &mut self,
        node: &Node<'a>,
        flow: Flow,
        name: &str,
        constant: &str,
    ) -> Result<Flow, ImportError> {
        let refuse = || {
            node.refuse(format!("it adds the constant '{constant}', which is read as the bias of the MatMul in front of it, and of nothing else"))
        };
        let last = self.layers.len();
        let is_alone = flow.place == last && self.uses.get(name) == Some(&1);
        let (Some(layer), Some(weights)) = (self.layers.last(), self.weights.last()) else {
            return Err(refuse());
        };
        let LayerKind::Linear { out, bias: false } = layer.kind else { return Err(refuse()) };
        if !is_alone || weights.layer != layer.name {
            return Err(refuse());
        }
        let bias = numbers(node, self.parameter(node, constant)?, out)?;
        if let (Some(layer), Some(weights)) = (self.layers.last_mut(), self.weights.last_mut()) {
            layer.kind = LayerKind::Linear { out, bias: true };
            weights.bias = Some(bias);
        }
        Ok(flow)
    }

    pub(super) fn batch_norm(&mut self, node: &Node<'a>) -> Result<Flow, ImportError> {
        let flow = self.flow(node, 0)?;
        if self.reads_image(&flow) && !self.entering.is_plain() {
            return Err(node.refuse(
                "it reads the image, and a mean or deviation of pixels is put into convolutions alone",
            ));
        }
        if node.int("training_mode", 0) != 0 {
            return Err(
                node.refuse("it normalizes as in training; export the network for evaluation: model.eval()")
            );
        }
        let n = flow.shape.c;
        let mut parts = Vec::new();
        for i in 1..=4 {
            let tensor = self
                .optional(node, i)?
                .ok_or_else(|| node.refuse("it has no gain, offset, mean or variance"))?;
            let values = numbers(node, tensor, n)?;
            // A vector's elements change their order; an image's channels do not.
            parts.push(match flow.order {
                Some(_) => flow.places().map(|place| values[place]).collect(),
                None => values,
            });
        }
        let Ok([mut gain, offset, mean, mut variance]) = <[Vec<f32>; 4]>::try_from(parts) else {
            return Err(node.refuse("it has no gain, offset, mean or variance"));
        };
        let epsilon = f64::from(node.float("epsilon").unwrap_or(EPSILON_DEFAULT));
        for (gain, variance) in gain.iter_mut().zip(&mut variance) {
            if *variance < 0.0 {
                return Err(node.refuse(format!("a variance of {variance} is none; the file is damaged")));
            }
            (*gain, *variance) = with_epsilon(*gain, *variance, epsilon);
        }
        let result = self.push(node, "norm", LayerKind::BatchNorm { affine: true }, &[flow])?;
        self.keep(Weights {
            weight: gain,
            bias: Some(offset),
            moments: Some([mean, variance]),
            ..Weights::default()
        });
        Ok(result)
    }
}

/// Gain and variance that with this project's epsilon are what they were with another one.
#[allow(clippy::cast_possible_truncation, reason = "parameters are rounded to binary32")]
fn with_epsilon(gain: f32, variance: f32, epsilon: f64) -> (f32, f32) {
    let sum = f64::from(variance) + epsilon;
    let rest = sum - EPSILON;
    // The epsilons of the files are binary32 numbers.
    if (epsilon - EPSILON).abs() < 1e-9 {
        return (gain, variance);
    }
    match rest < 0.0 {
        true => ((f64::from(gain) * (EPSILON / sum.max(f64::MIN_POSITIVE)).sqrt()) as f32, 0.0),
        false => (gain, rest as f32),
    }
}

/// The window of a convolution.
fn window(node: &Node<'_>, kernel: [usize; 2], input: Shape) -> Result<Window, ImportError> {
    let [stride, dilation] = ["strides", "dilations"].map(|name| pair(node, name));
    let window = Window { kernel, stride: stride?, pad: [0, 0], dilation: dilation? };
    if kernel.contains(&0) || kernel.iter().chain(&window.dilation).any(|size| *size > 64) {
        return Err(node.refuse(format!(
            "a kernel of {kernel:?} with dilation {:?} is not read; sides of 1 to 64 are",
            window.dilation
        )));
    }
    Ok(Window { pad: super::pools::pads(node, window.extent(), window.stride, input)?, ..window })
}

/// Two positive numbers among the attributes of a node, 1 and 1 where there are none.
pub(super) fn pair(node: &Node<'_>, name: &str) -> Result<[usize; 2], ImportError> {
    let values = node.ints(name).unwrap_or(&[1, 1]);
    let number = |value: i64| usize::try_from(value).ok().filter(|value| (1..=4096).contains(value));
    match values {
        [a, b] => number(*a).zip(number(*b)).map(|(a, b)| [a, b]),
        _ => None,
    }
    .ok_or_else(|| node.refuse(format!("{name} = {values:?}, and two numbers of 1 to 4096 are read")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_epsilon_leaves_the_line_of_a_norm() {
        for (gain, variance, epsilon) in
            [(2.0_f32, 0.5_f32, 1e-3), (2.0, 0.5, 1e-7), (-1.5, 1e-6, 1e-6), (1.0, 0.0, 1e-5)]
        {
            let (new_gain, new_variance) = with_epsilon(gain, variance, epsilon);
            let before = f64::from(gain) / (f64::from(variance) + epsilon).sqrt();
            let after = f64::from(new_gain) / (f64::from(new_variance) + EPSILON).sqrt();
            assert!((before / after - 1.0).abs() < 1e-6, "{before} {after}");
        }
    }
}
