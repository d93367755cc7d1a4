//! What is compared with what: a row for each of Intrain's works, with its peers.

use super::measure::{Kind, Source};

/// One of Intrain's works and its peers.
#[derive(Debug)]
pub(crate) struct Row {
    /// As on the command line; where it is a work of `intrain bench`, its name there.
    pub(crate) name: String,
    /// For a reader.
    pub(crate) title: String,
    pub(crate) ours: Source,
    pub(crate) peers: Vec<Source>,
}

const SIZES: [&str; 5] =
    ["1024x1024x1024", "2048x2048x2048", "8192x128x1152", "2048x256x2304", "512x512x4608"];

/// Every row, in the order of the table.
pub(crate) fn rows() -> Vec<Row> {
    let mut rows = steps();
    let products = ["u8", "i8", "i16", "f32"].into_iter();
    rows.extend(products.flat_map(|kind| SIZES.map(|size| product(kind, size))));
    rows.extend(["forward", "error", "gradient"].map(depthwise));
    rows.push(bench(
        "requantize-stochastic",
        "stochastic rounding of 16 Mi elements to 8 bits",
        "from 32-bit sums",
        &[("qpytorch", "QPyTorch, from floats"), ("stochastic", "PyTorch, from floats")],
    ));
    rows.push(bench(
        "requantize-nearest",
        "nearest rounding of 16 Mi elements to 8 bits",
        "from 32-bit sums",
        &[("copy", "PyTorch, a copy of as many floats")],
    ));
    rows.push(bench(
        "quantize-stochastic",
        "stochastic rounding of 16 Mi floats to 8 bits",
        "from floats, 32 random bits",
        &[("qpytorch", "QPyTorch, to floats"), ("copy", "PyTorch, a copy of as many floats")],
    ));
    rows.extend(processes());
    rows
}

fn steps() -> Vec<Row> {
    const FLOATS: [(&str, &str); 2] = [("f32", "PyTorch, f32"), ("bf16", "PyTorch, bf16")];
    const ALL: [(&str, &str); 3] = [FLOATS[0], FLOATS[1], ("wage", "PyTorch, WAGE in fake integers")];
    let step = |net: &str, recipe: &str, images, peers: &[(&str, &str)]| {
        let names: Vec<String> = peers.iter().map(|(mode, _)| format!("{net}-{mode}")).collect();
        let peers: Vec<_> = names.iter().zip(peers).map(|(name, (_, label))| (&name[..], *label)).collect();
        bench(&format!("{net}-{recipe}"), &format!("step of {net}, {images} images"), recipe, &peers)
    };
    vec![
        step("vgg7", "wage", 128, &ALL),
        step("lenet5", "wage", 128, &ALL),
        step("mlp", "wage", 100, &ALL),
        step("mlp", "gupta", 100, &FLOATS),
        step("gupta-cnn", "gupta", 100, &FLOATS),
        step("vgg7", "float32", 128, &FLOATS[..1]),
        step("lenet5", "float32", 128, &FLOATS[..1]),
        step("mlp", "float32", 100, &FLOATS[..1]),
        step("gupta-cnn", "float32", 100, &FLOATS[..1]),
        step("resnet20", "float32", 128, &FLOATS),
        step("resnet20", "hwgq", 128, &FLOATS[..1]),
        step("resnet20", "li-bc", 128, &FLOATS[..1]),
        step("resnet20", "intrain-int8", 128, &FLOATS),
        step("resnet8", "intrain-int8", 128, &FLOATS),
        step("resnet8", "float32", 128, &FLOATS[..1]),
        step("mobilenet-1", "intrain-int8", 128, &FLOATS),
        step("mobilenet-1", "float32", 128, &FLOATS[..1]),
    ]
}

fn depthwise(direction: &str) -> Row {
    let (name, label) =
        (format!("depthwise-{direction}"), if direction == "forward" { "bytes to bytes" } else { "bytes" });
    let title = format!("depthwise convolution, {direction}: 3 x 3, 32 images of 32 x 32 x 128");
    bench(&name, &title, label, &[(&name, "PyTorch, f32")])
}

fn product(kind: &str, size: &str) -> Row {
    let (operands, peer, label) = match kind {
        "u8" => ("bytes without sign by bytes", "u8", "oneDNN, u8 by s8 to u8"),
        "i8" => ("bytes", "i8", "PyTorch `_int_mm`, s8 to s32"),
        "i16" => ("16 bits, exact", "f32", "oneDNN, f32"),
        _ => ("float32", "f32", "oneDNN, f32"),
    };
    let peer = format!("{peer}-{size}");
    bench(
        &format!("{kind}-{size}"),
        &format!("product {}", size.replace('x', " x ")),
        operands,
        &[(&peer, label)],
    )
}

/// A work of `intrain bench` and its peers, each with its label.
fn bench(name: &str, title: &str, label: &str, peers: &[(&str, &str)]) -> Row {
    let source =
        |kind, label: &str, name: &str| Source { kind, label: label.to_owned(), name: name.to_owned() };
    Row {
        name: name.to_owned(),
        title: title.to_owned(),
        ours: source(Kind::Bench { one_thread: false }, label, name),
        peers: peers.iter().map(|(name, label)| source(Kind::Peer, label, name)).collect(),
    }
}

/// What needs processes of its own: memory, threads, starting.
fn processes() -> [Row; 3] {
    let row = |name: &str, title: &str, ours: (Kind, &str, &str), peer: (Kind, &str, &str)| {
        let source = |(kind, label, name): (Kind, &str, &str)| Source {
            kind,
            label: label.to_owned(),
            name: name.to_owned(),
        };
        Row { name: name.to_owned(), title: title.to_owned(), ours: source(ours), peers: vec![source(peer)] }
    };
    [
        row(
            "memory",
            "most memory, steps of vgg7",
            (Kind::BenchMemory, "wage", "vgg7-wage"),
            (Kind::PeerMemory, "PyTorch, f32", "vgg7-f32"),
        ),
        row(
            "threads",
            "step of vgg7 on all threads",
            (Kind::Bench { one_thread: false }, "wage", "vgg7-wage"),
            (Kind::Bench { one_thread: true }, "Intrain on one", "vgg7-wage"),
        ),
        row(
            "start",
            "a program with one step of lenet5",
            (Kind::Train, "wage: MNIST read, a step, evaluation, report", "lenet5"),
            (Kind::PeerStart, "PyTorch, f32: a step on random images", "lenet5-f32"),
        ),
    ]
}
