//! Sums, concatenations, and what makes a vector of an image.

use intrain_model::{LayerKind, Shape};

use super::{Builder, Flow};
use crate::error::ImportError;
use crate::onnx::Node;

impl<'a> Builder<'a> {
    pub(super) fn add(&mut self, node: &Node<'a>) -> Result<Flow, ImportError> {
        let [a, b] = node.inputs[..] else { return Err(node.refuse("two tensors are added")) };
        match [a, b].map(|name| self.constants.contains_key(name)) {
            [false, true] => {
                let flow = self.flow(node, 0)?;
                return self.bias(node, flow, a, b);
            }
            [true, false] => {
                let flow = self.flow(node, 1)?;
                return self.bias(node, flow, b, a);
            }
            _ => {}
        }
        let sources = [self.flow(node, 0)?, self.flow(node, 1)?];
        self.check_plain(node, &sources)?;
        if sources[0].shape != sources[1].shape || sources[0].order != sources[1].order {
            return Err(node.refuse(format!(
                "it adds {} and {}; two tensors of one shape are read",
                sources[0].shape, sources[1].shape
            )));
        }
        self.push(node, "add", LayerKind::Add, &sources)
    }

    pub(super) fn concat(&mut self, node: &Node<'a>) -> Result<Flow, ImportError> {
        let sources: Vec<Flow> =
            (0..node.inputs.len()).map(|i| self.flow(node, i)).collect::<Result<_, _>>()?;
        self.check_plain(node, &sources)?;
        if !(2..=8).contains(&sources.len()) {
            return Err(node.refuse(format!("it joins {} tensors, and 2 to 8 are read", sources.len())));
        }
        let first = &sources[0];
        let rank = if first.order.is_some() { 2 } else { 4 };
        let axis = node.int("axis", 0);
        if axis != 1 && axis != 1 - rank {
            return Err(node.refuse(format!("it joins along axis {axis}, and channels are read (axis = 1)")));
        }
        let is_like = |flow: &Flow| {
            (flow.shape.h, flow.shape.w, flow.order.is_some())
                == (first.shape.h, first.shape.w, first.order.is_some())
        };
        if !sources.iter().all(is_like) {
            return Err(node.refuse("it joins tensors of different heights or widths"));
        }
        let order = first
            .order
            .is_some()
            .then(|| sources.iter().flat_map(|flow| flow.order.clone().unwrap_or_default()).collect());
        let result = self.push(node, "concat", LayerKind::Concat, &sources)?;
        Ok(Flow { order, ..result })
    }

    /// What no convolution reads must see the pixels as they are encoded.
    fn check_plain(&self, node: &Node<'a>, sources: &[Flow]) -> Result<(), ImportError> {
        if sources.iter().any(|flow| self.reads_image(flow)) && !self.entering.is_plain() {
            return Err(node.refuse(
                "it reads the image, and a mean or deviation of pixels is put into convolutions alone",
            ));
        }
        Ok(())
    }

    pub(super) fn flatten_node(&mut self, node: &Node<'a>) -> Result<Flow, ImportError> {
        let flow = self.flow(node, 0)?;
        let rank = if flow.order.is_some() { 2 } else { 4 };
        let axis = node.int("axis", 1);
        if axis != 1 && axis != 1 - rank {
            return Err(node.refuse(format!("it flattens from axis {axis} on, and axis = 1 is read")));
        }
        self.flatten(node, flow)
    }

    fn flatten(&mut self, node: &Node<'a>, flow: Flow) -> Result<Flow, ImportError> {
        if flow.order.is_some() {
            return Ok(flow);
        }
        let order = Some(vec![flow.shape]);
        if flow.shape.h * flow.shape.w == 1 {
            return Ok(Flow { order, ..flow });
        }
        let result = self.push(node, "flatten", LayerKind::Flatten, &[flow])?;
        Ok(Flow { order, ..result })
    }

    pub(super) fn reshape(&mut self, node: &Node<'a>) -> Result<Flow, ImportError> {
        let flow = self.flow(node, 0)?;
        let tensor = self.optional(node, 1)?.ok_or_else(|| node.refuse("it has no shape"))?;
        let target = tensor.ints().map_err(|reason| node.refuse(reason))?;
        let Shape { h, w, c } = flow.shape;
        let is_batch = |dim: i64| dim == 0 || dim == -1 || Some(dim) == self.batch;
        let is = |dim: i64, n: usize| dim == -1 || usize::try_from(dim) == Ok(n);
        match target[..] {
            [batch, n] if is_batch(batch) && is(n, h * w * c) && (batch, n) != (-1, -1) => self.flatten(node, flow),
            [batch, channels, height, width]
                if flow.order.is_none() && is_batch(batch) && is(channels, c) && is(height, h) && is(width, w) =>
            {
                Ok(flow)
            }
            _ => Err(node.refuse(format!(
                "it gives [images, {c}, {h}, {w}] the shape {target:?}, and [images, {}] is read, as of a Flatten",
                h * w * c
            ))),
        }
    }
}
