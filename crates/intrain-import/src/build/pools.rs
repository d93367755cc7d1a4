//! Poolings, and the padding of windows.

use intrain_model::{LayerKind, Shape};

use super::products::pair;
use super::{Builder, Flow};
use crate::error::ImportError;
use crate::onnx::Node;

impl<'a> Builder<'a> {
    pub(super) fn max_pool(&mut self, node: &Node<'a>) -> Result<Flow, ImportError> {
        let flow = self.pooled(node)?;
        let ([size, stride], pad) = square(node, flow.shape)?;
        if pair(node, "dilations")? != [1, 1] {
            return Err(node.refuse("dilations other than 1 are not read in poolings"));
        }
        self.push(node, "pool", LayerKind::MaxPool { size, stride, pad }, &[flow])
    }

    pub(super) fn average_pool(&mut self, node: &Node<'a>) -> Result<Flow, ImportError> {
        let flow = self.pooled(node)?;
        let kernel = pair(node, "kernel_shape")?;
        if kernel == [flow.shape.h, flow.shape.w]
            && pads(node, kernel, pair(node, "strides")?, flow.shape)? == [0, 0]
        {
            return self.push(node, "mean", LayerKind::GlobalAvgPool, &[flow]);
        }
        let ([size, stride], pad) = square(node, flow.shape)?;
        if pad != 0 {
            return Err(node.refuse("an average over padded windows is not read; leave the padding out"));
        }
        self.push(node, "mean", LayerKind::AvgPool { size, stride }, &[flow])
    }

    pub(super) fn global_pool(&mut self, node: &Node<'a>) -> Result<Flow, ImportError> {
        let flow = self.pooled(node)?;
        self.push(node, "mean", LayerKind::GlobalAvgPool, &[flow])
    }

    /// A mean over all pixels, as exporters write it that know no pooling.
    pub(super) fn reduce_mean(&mut self, node: &Node<'a>) -> Result<Flow, ImportError> {
        let flow = self.pooled(node)?;
        let of_input = self
            .optional(node, 1)?
            .map(|axes| axes.ints().map_err(|reason| node.refuse(reason)))
            .transpose()?;
        let mut axes = of_input.unwrap_or_else(|| node.ints("axes").unwrap_or(&[]).to_vec());
        axes.iter_mut().filter(|axis| **axis < 0).for_each(|axis| *axis += 4);
        axes.sort_unstable();
        if axes != [2, 3] {
            return Err(node.refuse(format!(
                "a mean over the axes {axes:?} is not read; one over height and width is: [2, 3]"
            )));
        }
        let result = self.push(node, "mean", LayerKind::GlobalAvgPool, &[flow])?;
        let order = (node.int("keepdims", 1) == 0).then(|| vec![result.shape]);
        Ok(Flow { order, ..result })
    }

    /// The image that enters a pooling.
    fn pooled(&self, node: &Node<'a>) -> Result<Flow, ImportError> {
        let flow = self.flow(node, 0)?;
        if flow.order.is_some() {
            return Err(node.refuse("a pooling takes an image, and a vector enters it"));
        }
        if flow.place == 0 && !self.entering.is_plain() {
            return Err(node.refuse(
                "it reads the image, and a mean or deviation of pixels is put into convolutions alone",
            ));
        }
        Ok(flow)
    }
}

/// Size, stride and padding of square windows.
fn square(node: &Node<'_>, input: Shape) -> Result<([usize; 2], usize), ImportError> {
    let (kernel, stride) = (pair(node, "kernel_shape")?, pair(node, "strides")?);
    let pad = pads(node, kernel, stride, input)?;
    if [kernel, stride, pad].iter().any(|[y, x]| y != x) {
        return Err(node.refuse(format!(
            "windows of {kernel:?} by steps of {stride:?} with {pad:?} zeros are not square; square ones are read"
        )));
    }
    let rest = |side: usize| (side + 2 * pad[0]).checked_sub(kernel[0]).map_or(0, |room| room % stride[0]);
    if node.int("ceil_mode", 0) != 0 && (rest(input.h) != 0 || rest(input.w) != 0) {
        return Err(node.refuse(format!(
            "ceil_mode = 1 makes windows of {kernel:?} reach out of {}x{}; train with ceil_mode=False, or another size",
            input.h, input.w
        )));
    }
    Ok(([kernel[0], stride[0]], pad[0]))
}

/// Zeros on each side of an image, for height and width.
pub(super) fn pads(
    node: &Node<'_>,
    extent: [usize; 2],
    stride: [usize; 2],
    input: Shape,
) -> Result<[usize; 2], ImportError> {
    let refuse = |pads: String| {
        node.refuse(format!("it pads by {pads}, and the same number of zeros on both sides is read"))
    };
    match node.text("auto_pad") {
        "" | "NOTSET" => {}
        "VALID" => return Ok([0, 0]),
        "SAME_UPPER" | "SAME_LOWER" => {
            let total = |side: usize, axis: usize| {
                ((side.div_ceil(stride[axis]) - 1) * stride[axis] + extent[axis]).saturating_sub(side)
            };
            let total = [total(input.h, 0), total(input.w, 1)];
            let is_even = total.iter().all(|total| total.is_multiple_of(2));
            return if is_even {
                Ok(total.map(|total| total / 2))
            } else {
                Err(refuse(format!("{total:?} in all")))
            };
        }
        other => return Err(node.refuse(format!("auto_pad = {other} is not read"))),
    }
    let pads = node.ints("pads").unwrap_or(&[0; 4]);
    match *pads {
        [top, left, bottom, right] if top == bottom && left == right => {
            let pad = |pad: i64| usize::try_from(pad).ok().filter(|pad| *pad <= 4096);
            pad(top).zip(pad(left)).map(|(y, x)| [y, x]).ok_or_else(|| refuse(format!("{pads:?}")))
        }
        _ => Err(refuse(format!("{pads:?} (top, left, bottom, right)"))),
    }
}
