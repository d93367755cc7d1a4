//! A network as arrays, `.npy` or `.hex`, with `network.json`, which says what is computed with them.

use crate::data::DataError;
use crate::data::npy::{self, Order};
use crate::deploy::{Activation, Array, Deployed, Element, Norm, Op, Product, Requantize, Vectors};
use serde_json::{Value, json};

/// Vectors whose results are written layer by layer.
const TRACED: usize = 4;

/// Constants, vectors, and the results of each layer for the first vectors.
pub(super) fn files(
    deployed: &Deployed,
    vectors: &Vectors,
    ending: &str,
) -> Result<Vec<(String, Vec<u8>)>, DataError> {
    let bytes = |array: &Array| if ending == "npy" { to_npy(array) } else { Ok(to_hex(array)) };
    let mut arrays = deployed.arrays();
    let traces: Vec<Vec<Vec<i64>>> = vectors
        .images
        .chunks_exact(deployed.image().len())
        .take(TRACED)
        .map(|image| deployed.trace(image))
        .collect();
    for (i, node) in deployed.nodes.iter().enumerate() {
        let shape = node.result.shape;
        let values = traces.iter().flat_map(|trace| trace[i].iter().copied()).collect();
        let shape = vec![traces.len(), shape.h, shape.w, shape.c];
        arrays.push(Array { name: format!("{i}.result"), shape, element: node.result.element(), values });
    }
    let image = deployed.image();
    let shape = vec![vectors.len(), image.h, image.w, image.c];
    let pixels = vectors.images.iter().map(|pixel| i64::from(*pixel)).collect();
    arrays.push(Array { name: "images".to_owned(), shape, element: Element::U8, values: pixels });
    let shape = vec![vectors.len(), deployed.logits().shape.len()];
    arrays.push(Array {
        name: "logits".to_owned(),
        shape,
        element: deployed.logits().element(),
        values: vectors.logits.clone(),
    });
    let network = json!({ "nodes": deployed.nodes.iter().map(node).collect::<Vec<_>>() });
    let mut files = vec![("network.json".to_owned(), format!("{network:#}\n").into_bytes())];
    for array in &arrays {
        files.push((format!("{}.{ending}", array.name), bytes(array)?));
    }
    Ok(files)
}

/// An array in its narrowest type.
fn to_npy(array: &Array) -> Result<Vec<u8>, DataError> {
    /// Bound: the array's type holds each of its integers.
    fn of<T: npy::Element + TryFrom<i64> + Default>(array: &Array) -> Result<Vec<u8>, DataError> {
        let values = array.values.iter().map(|x| T::try_from(*x).unwrap_or_default());
        npy::to_bytes(&array.shape, Order::C, values)
    }
    match array.element {
        Element::I8 => of::<i8>(array),
        Element::U8 => of::<u8>(array),
        Element::I16 => of::<i16>(array),
        Element::I32 => of::<i32>(array),
        Element::I64 => of::<i64>(array),
    }
}

/// A line for each integer, its two's complement in the digits of its type: what `$readmemh` reads.
fn to_hex(array: &Array) -> Vec<u8> {
    let digits = 2 * array.element.bytes();
    let mask = u64::MAX >> (64 - 4 * digits);
    let line = |x: &i64| format!("{:0digits$x}\n", x.cast_unsigned() & mask);
    array.values.iter().map(line).collect::<String>().into_bytes()
}

/// What a node computes, in the words of the deployed form.
fn node(node: &crate::deploy::Node) -> Value {
    let tensor = &node.result;
    let shape = tensor.shape;
    let mut object = json!({
        "name": tensor.name, "sources": node.sources, "shape": [shape.h, shape.w, shape.c],
        "frac_bits": tensor.frac_bits, "min": tensor.range.min, "max": tensor.range.max,
    });
    let what = match &node.op {
        Op::Pixels(_) => json!({"op": "pixels"}),
        Op::Product(p) => product(p),
        Op::MaxPool(pool) => {
            json!({"op": "max-pool", "size": pool.size, "stride": pool.stride, "pad": pool.pad})
        }
        Op::Activation(a) => activation(a),
        Op::Mean(m) => json!({
            "op": "mean", "size": m.size, "stride": m.stride, "up": m.up, "divisor": m.divisor.to_string(),
            "least": m.min, "largest": m.max,
        }),
        Op::Shortcut { stride } => json!({"op": "shortcut", "stride": stride}),
        Op::Concat => json!({"op": "concat"}),
    };
    if let (Some(object), Value::Object(what)) = (object.as_object_mut(), what) {
        object.extend(what);
    }
    object
}

fn product(p: &Product) -> Value {
    let window = p.window;
    json!({
        "op": "product", "kernel": window.kernel, "stride": window.stride, "pad": window.pad,
        "dilation": window.dilation, "groups": p.groups, "bound": p.bound, "has_bias": p.bias.is_some(),
        "requantize": p.requantize.as_ref().map(requantize),
    })
}

fn activation(a: &Activation) -> Value {
    let term = |term: &crate::deploy::Term| {
        let norm = term.norm.as_ref().map(|norm| match norm {
            Norm::Batch(norm) => json!({
                "kind": "batch", "round": norm.value.round.to_string(), "least": norm.value.min, "largest": norm.value.max,
            }),
            Norm::Layer(norm) => json!({
                "kind": "layer", "spread": norm.rows.spread.to_string(), "mean": norm.rows.mean.to_string(),
                "spread_row": norm.rows.spread_row.to_string(), "value": norm.rows.value.to_string(),
                "frac_bits": norm.rows.frac_bits,
            }),
        });
        json!({"up": term.shift, "norm": norm})
    };
    json!({
        "op": "activation", "terms": a.terms.iter().map(term).collect::<Vec<_>>(), "bound": a.bound,
        "requantize": requantize(&a.requantize),
    })
}

/// `min(max(round(x / 2^shift), least), largest)`.
fn requantize(q: &Requantize) -> Value {
    json!({"shift": q.shift, "round": q.round.to_string(), "least": q.min, "largest": q.max})
}
