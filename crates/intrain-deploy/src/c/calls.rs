//! Each node as a function for its types, a description of constants, and a call.

mod activation;
mod product;

use intrain_plan::Pool;

use super::functions::instance;
use super::source::Source;
use super::tables::{c_type, short, tensor_type};
use crate::error::DeployError;
use crate::form::{Element, Mean, Op};

/// All nodes in their order.
pub(super) fn write(source: &mut Source<'_>) -> Result<(), DeployError> {
    let deployed = source.deployed;
    for (i, node) in deployed.nodes.iter().enumerate() {
        match &node.op {
            Op::Pixels(codes) => pixels(source, i, codes),
            // With its pooling, at the pooling's place.
            Op::Product(_) if deployed.pooled(i).is_some() => {}
            Op::Product(p) => product::write(source, i, p, None)?,
            Op::MaxPool(pool) => match &deployed.nodes[node.sources[0]].op {
                Op::Product(p) if deployed.pooled(node.sources[0]).is_some() => {
                    product::write(source, node.sources[0], p, Some((i, *pool)))?;
                }
                _ => max_pool(source, i, *pool),
            },
            Op::Activation(a) => activation::write(source, i, a)?,
            Op::Mean(m) => mean(source, i, m)?,
            Op::Shortcut { stride } => shortcut(source, i, *stride),
            Op::Concat => concat(source, i),
        }
    }
    Ok(())
}

/// The type of what enters node `i` first, and of what leaves it.
fn elements(source: &Source<'_>, i: usize) -> [Element; 2] {
    let nodes = &source.deployed.nodes;
    [nodes[nodes[i].sources[0]].result.element(), nodes[i].result.element()]
}

/// What enters node `i` first, as an argument.
fn entering(source: &Source<'_>, i: usize) -> String {
    source.at(source.deployed.nodes[i].sources[0])
}

fn pixels(source: &mut Source<'_>, i: usize, codes: &[i64]) {
    let tensor = &source.deployed.nodes[i].result;
    let (element, n) = (tensor.element(), tensor.shape.len());
    let (table, name) = (source.name("codes"), format!("pixels_{}", short(element)));
    source.tables.add(&table, "the integer of each value of a pixel", element, codes.to_vec());
    let words = [("NAME", name.as_str()), ("Y_T", tensor_type(element))];
    source.function(&name, instance(include_str!("kernels/pixels.c"), &words));
    source.call(i, &format!("{name}({table}, image, {}, {n})", source.at(i)));
}

/// Windows of an operation that has no weights.
struct Windows {
    size: [usize; 2],
    stride: [usize; 2],
    pad: usize,
    /// What a mean is rounded by: `up`, `min`, `max`, `divisor`.
    mean: [i64; 4],
}

impl Windows {
    const fn of(size: [usize; 2], stride: [usize; 2], pad: usize) -> Self {
        Self { size, stride, pad, mean: [0, 0, 0, 1] }
    }

    /// Describes them, and gives the description's name.
    fn describe(&self, source: &mut Source<'_>, i: usize) -> String {
        let (from, to) = (source.deployed.input_of(i), source.deployed.nodes[i].result.shape);
        let Self { size: [kh, kw], stride: [sy, sx], pad, mean: [up, min, max, divisor] } = self;
        let name = format!("p{i}");
        source.describe(&format!(
            "static const windows_t {name} = {{ {}, {}, {}, {}, {}, {kh}, {kw}, {sy}, {sx}, {pad}, {up}, {min}, {max}, \
             INT64_C({divisor}) }};\n",
            from.h, from.w, from.c, to.h, to.w
        ));
        name
    }
}

fn max_pool(source: &mut Source<'_>, i: usize, pool: Pool) {
    let p = Windows::of([pool.size; 2], [pool.stride; 2], pool.pad).describe(source, i);
    let [x, y] = elements(source, i);
    let name = format!("max_pool_{}", short(x));
    let words = [("NAME", name.as_str()), ("X_T", tensor_type(x)), ("Y_T", tensor_type(y))];
    source.function(&name, instance(include_str!("kernels/max_pool.c"), &words));
    source.call(i, &format!("{name}(&{p}, {}, {})", entering(source, i), source.at(i)));
}

fn mean(source: &mut Source<'_>, i: usize, m: &Mean) -> Result<(), DeployError> {
    let nodes = &source.deployed.nodes;
    let entering_range = nodes[nodes[i].sources[0]].result.range;
    let largest = u128::from(entering_range.max_abs()) * (m.size[0] * m.size[1]) as u128;
    let bound = (largest << m.up.min(64)).max(m.divisor.unsigned_abs());
    let (Ok(divisor), true) = (i64::try_from(m.divisor), bound < 1 << 62) else {
        let reason =
            format!("the sum that its mean divides can reach {bound}, and C has integers of 64 bits");
        return Err(DeployError::Target { layer: nodes[i].result.name.clone(), target: "C", reason });
    };
    let sum = if bound < 1 << 30 { Element::I32 } else { Element::I64 };
    let mut windows = Windows::of(m.size, m.stride, 0);
    windows.mean = [m.up.into(), m.min, m.max, divisor];
    let p = windows.describe(source, i);
    let [x, y] = elements(source, i);
    let name = format!("mean_{}_{}_{}", short(x), short(sum), short(y));
    let words =
        [("NAME", name.as_str()), ("ACC_T", c_type(sum)), ("X_T", tensor_type(x)), ("Y_T", tensor_type(y))];
    source.function(&name, instance(include_str!("kernels/mean.c"), &words));
    source.call(i, &format!("{name}(&{p}, {}, {})", entering(source, i), source.at(i)));
    Ok(())
}

fn shortcut(source: &mut Source<'_>, i: usize, stride: usize) {
    let p = Windows::of([1; 2], [stride; 2], 0).describe(source, i);
    let [x, y] = elements(source, i);
    let name = format!("shortcut_{}_{}", short(x), short(y));
    let words = [("NAME", name.as_str()), ("X_T", tensor_type(x)), ("Y_T", tensor_type(y))];
    source.function(&name, instance(include_str!("kernels/shortcut.c"), &words));
    let c = source.deployed.nodes[i].result.shape.c;
    source.call(i, &format!("{name}(&{p}, {}, {c}, {})", entering(source, i), source.at(i)));
}

fn concat(source: &mut Source<'_>, i: usize) {
    let node = &source.deployed.nodes[i];
    let (shape, y) = (node.result.shape, node.result.element());
    let (mut first, mut text) = (0, vec![]);
    for part in &node.sources {
        let tensor = &source.deployed.nodes[*part].result;
        let x = tensor.element();
        let name = format!("concat_{}_{}", short(x), short(y));
        let words = [("NAME", name.as_str()), ("X_T", tensor_type(x)), ("Y_T", tensor_type(y))];
        source.function(&name, instance(include_str!("kernels/concat.c"), &words));
        let (pixels, c) = (shape.h * shape.w, tensor.shape.c);
        text.push(format!(
            "{name}({pixels}, {c}, {}, {}, {} + {first})",
            shape.c,
            source.at(*part),
            source.at(i)
        ));
        first += c;
    }
    source.call(i, &text.join(";\n    "));
}
