//! The deployed form as ONNX of standard operators, exact in ONNX Runtime's CPU provider: products of bytes with integer sums, and
//! roundings in floats that hold every integer they meet.
//!
//! `ConvInteger` with unsigned bytes and zero points is exact on every CPU; the quantized operators round in binary32, and some
//! of their kernels saturate.

mod graph;
mod integer;
mod operators;
mod proto;
mod qdq;
mod qonnx;

use crate::error::DeployError;
use crate::form::Deployed;

use self::graph::Graph;
use self::proto::{Dim, Message, Type};

/// The version of the operators.
const OPSET: i64 = 19;
/// The versions that QONNX prefers: of ONNX's operators, and of its own.
const QONNX_OPSETS: [i64; 2] = [11, 1];
/// The version of the format that has them.
const IR_VERSION: i64 = 9;

/// With which operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Products of integers: exact wherever it is not refused.
    Integers,
    /// The quantized operators: chains of 8 bits, exact where sums stay below 2^24 and round to the nearest, ties to even.
    Quantized,
    /// QONNX, which FINN and hls4ml read: exact where sums stay below 2^24.
    Qonnx,
}

/// The network as bytes of an ONNX model: `image`, uint8 `[N, channels, height, width]`, to `logits`, int64 `[N, classes]`. With
/// `debug` the result of each layer is an output too, as floats; that is of [`Form::Integers`] alone. QONNX has floats at both ends,
/// pixels from 0 to 255 and logits times `2^-frac_bits`, of one image.
///
/// # Errors
/// What the integers of these operators, or floats of 53 bits, cannot hold.
pub fn write(deployed: &Deployed, form: Form, debug: bool) -> Result<Vec<u8>, DeployError> {
    let (graph, results) = graph_of(deployed, form, debug)?;
    let (image, logits) = (deployed.image(), deployed.logits());
    let (images, types) = match form {
        Form::Integers | Form::Quantized => (Dim::Images, [Type::U8, Type::I64]),
        Form::Qonnx => (Dim::Size(1), [Type::F32; 2]),
    };
    let dims = [images, Dim::Size(image.c), Dim::Size(image.h), Dim::Size(image.w)];
    let inputs = [proto::value("image", types[0], &dims)];
    let mut outputs = vec![proto::value("logits", types[1], &[images, Dim::Size(logits.shape.len())])];
    outputs.extend(results);
    let about = &deployed.about;
    let metadata = [
        ("intrain", env!("CARGO_PKG_VERSION").to_owned()),
        ("recipe", about.recipe.clone()),
        ("weights_sha256", about.weights_sha256.clone()),
        ("frac_bits", logits.frac_bits.to_string()),
        ("classes", about.classes.join("\n")),
    ];
    let entry = |(key, value): &(&str, String)| Message::default().text(1, key).text(2, value);
    let model = Message::default()
        .int(1, IR_VERSION)
        .text(2, "intrain")
        .text(3, env!("CARGO_PKG_VERSION"))
        .message(7, &graph.message(&about.model, &inputs, &outputs))
        .messages(8, &operators_of(form))
        .messages(14, &metadata.iter().map(entry).collect::<Vec<_>>());
    Ok(model.into_bytes())
}

/// The sets of operators, `OperatorSetIdProto`.
fn operators_of(form: Form) -> Vec<Message> {
    let set = |domain: &str, version: i64| Message::default().text(1, domain).int(2, version);
    match form {
        Form::Integers | Form::Quantized => vec![set("", OPSET)],
        Form::Qonnx => vec![set("", QONNX_OPSETS[0]), set(qonnx::DOMAIN, QONNX_OPSETS[1])],
    }
}

/// The graph, and the results of its layers where they are asked for.
fn graph_of(deployed: &Deployed, form: Form, debug: bool) -> Result<(Graph, Vec<Message>), DeployError> {
    Ok(match form {
        Form::Integers => {
            let mut writer = integer::Writer::of(deployed)?;
            let results = if debug { writer.name_results() } else { vec![] };
            (writer.graph, results)
        }
        Form::Quantized => (qdq::Writer::of(deployed)?.graph, vec![]),
        Form::Qonnx => (qonnx::Writer::of(deployed)?.graph, vec![]),
    })
}
