//! Products: how their weights lie in memory, and in which type they are summed.

use intrain_model::Shape;
use intrain_plan::Pool;

use super::super::functions::{self, Layout, instance, packed};
use super::super::source::Source;
use super::super::tables::{c_type, short, tensor_type};
use super::elements;
use crate::error::DeployError;
use crate::form::{Element, Product, Requantize};

/// The product of node `i`, with the pooling that is computed with it.
pub(super) fn write(
    source: &mut Source<'_>,
    i: usize,
    p: &Product,
    pool: Option<(usize, Pool)>,
) -> Result<(), DeployError> {
    let deployed = source.deployed;
    let (from, to) = (deployed.input_of(i), deployed.nodes[i].result.shape);
    let result = pool.map_or(i, |(pool, _)| pool);
    let is_depthwise = p.is_depthwise([from, to]);
    let [x, _] = elements(source, i);
    let y = deployed.nodes[result].result.element();
    let layout = if is_depthwise { plain(p) } else { layout(source.options.pack, p, from) };
    let bound = match layout {
        Layout::Packed(bits) => {
            let x_max = deployed.nodes[deployed.nodes[i].sources[0]].result.range.max_abs();
            p.bound + ((p.fan_in(from) as u64 * x_max) << bits)
        }
        Layout::Plain(_) => p.bound,
    };
    let sum = sum_of(bound, p.requantize.as_ref()).ok_or_else(|| DeployError::Target {
        layer: deployed.nodes[i].result.name.clone(),
        target: "C",
        reason: format!("its sums can reach {bound}, and with their rounding they do not fit 64 bits"),
    })?;
    let weights = weights(source, i, p, (from, to), layout);
    let (bias, bias_type) = biases(source, i, p);
    let q = match &p.requantize {
        Some(q) => source.requantize(sum, q),
        None => "{ 0, 0, 0, 0 }".to_owned(),
    };
    let types = Types { x, y, bias: bias_type, sum, layout };
    let name = function(source, types, is_depthwise, p.requantize.is_some());
    let numbers = numbers(p, [from, to, deployed.nodes[result].result.shape], pool.map(|(_, pool)| pool));
    source.describe(&format!("static const product_t p{i} = {{ {weights}, {bias}, {numbers}, {q} }};\n"));
    let entering = super::entering(source, i);
    source.call(result, &format!("{name}(&p{i}, {entering}, {})", source.at(result)));
    Ok(())
}

/// The types of a product's tensors.
#[derive(Clone, Copy)]
struct Types {
    x: Element,
    y: Element,
    bias: Element,
    sum: Element,
    layout: Layout,
}

/// Adds the function of a product of these types; its name.
fn function(source: &mut Source<'_>, types: Types, is_depthwise: bool, is_rounded: bool) -> String {
    let Types { x, y, bias, sum, layout } = types;
    let kind = if is_depthwise { "depthwise" } else { "product" };
    let end = if is_rounded { "" } else { "_exact" };
    let name =
        format!("{kind}_{}{end}", [short(x), &layout.name(), short(bias), short(sum), short(y)].join("_"));
    let rounded = format!("(Y_T)requantize_{}(sum, &p->q)", short(sum));
    let (dot, total) = (functions::dot(x, layout, sum), functions::total(x, sum));
    let pair = functions::dot_pair(x, layout, sum);
    let least = layout.least().to_string();
    let (least_sum, first) = match layout {
        Layout::Plain(_) => ("", "bias ? bias[o + k] : 0"),
        Layout::Packed(_) => (include_str!("../kernels/least_sum.c"), "(bias ? bias[o + k] : 0) + least"),
    };
    let mut words = vec![
        ("LEAST_SUM\n", least_sum),
        ("FIRST", first),
        ("TOTAL", &total.0),
        ("LEAST_WEIGHT", &least),
        ("NAME", &name),
        ("RESULT", if is_rounded { &rounded } else { "(Y_T)sum" }),
        ("BIAS_T", c_type(bias)),
        ("ACC_T", c_type(sum)),
        ("X_T", tensor_type(x)),
        ("Y_T", tensor_type(y)),
    ];
    let template = match layout {
        Layout::Plain(element) if is_depthwise => {
            words.push(("W_T", c_type(element)));
            include_str!("../kernels/depthwise.c")
        }
        _ => {
            words.extend([("DOT_PAIR", pair.0.as_str()), ("DOT", &dot.0)]);
            include_str!("../kernels/product.c")
        }
    };
    if !is_depthwise {
        source.function(&dot.0, dot.1.clone());
        source.function(&pair.0, pair.1.clone());
    }
    if matches!(layout, Layout::Packed(_)) {
        source.function(&total.0, total.1.clone());
    }
    source.function(&name, instance(template, &words));
    name
}

/// The sizes of a product, in the order of `product_t`: shapes of what enters, of the product, and of what leaves its pooling.
fn numbers(p: &Product, [from, to, out]: [Shape; 3], pool: Option<Pool>) -> String {
    let [side, step, edge] = pool.map_or([1, 1, 0], |pool| [pool.size, pool.stride, pool.pad]);
    let shapes = [from.h, from.w, from.c, to.h, to.w, out.h, out.w, out.c, p.groups];
    let window = [p.window.kernel, p.window.stride, p.window.pad, p.window.dilation].concat();
    let numbers = shapes.into_iter().chain(window).chain([side, step, edge]);
    numbers.map(|number| number.to_string()).collect::<Vec<_>>().join(", ")
}

/// The type of sums of at most this magnitude, with what their rounding adds; none where 64 bits do not hold them.
pub(super) fn sum_of(bound: u64, q: Option<&Requantize>) -> Option<Element> {
    let largest = q.map_or_else(|| bound.into(), |q| q.reach(bound));
    let fits = |bits: u32| largest < (1 << (bits - 1)) - 1;
    [(Element::I32, 32), (Element::I64, 64)]
        .into_iter()
        .find(|(_, bits)| fits(*bits))
        .map(|(element, _)| element)
}

fn plain(p: &Product) -> Layout {
    let values: Vec<i64> = p.weights.iter().map(|w| (*w).into()).collect();
    Layout::Plain(Element::narrowest(&values))
}

/// Weights share words where those of a tap fill whole ones.
fn layout(pack: bool, p: &Product, from: Shape) -> Layout {
    let bits = match p.weight_bits() {
        2 => 2,
        3 | 4 => 4,
        _ => 8,
    };
    let is_whole = |bits: u32| p.groups == 1 && from.c.is_multiple_of(Layout::group(bits));
    if pack && bits < 8 && is_whole(bits) { Layout::Packed(bits) } else { plain(p) }
}

/// Adds the table of the weights; its name.
fn weights(
    source: &mut Source<'_>,
    i: usize,
    p: &Product,
    (from, to): (Shape, Shape),
    layout: Layout,
) -> String {
    let name = source.name(&format!("w{i}"));
    let of_layer = &source.deployed.nodes[i].result.name;
    let [kh, kw] = p.window.kernel;
    let of_group = from.c / p.groups;
    let shape = format!("{}x{kh}x{kw}x{of_group}", to.c);
    let (element, values, comment) = match layout {
        Layout::Packed(bits) => {
            let words = p.weights.chunks(Layout::group(bits));
            let bytes = words.flat_map(|word| packed(word, bits)).map(i64::from).collect();
            (Element::U8, bytes, format!("{of_layer}: weights of {bits} bits, [out][y][x][in], {shape}"))
        }
        Layout::Plain(element) if p.is_depthwise([from, to]) => {
            let taps = kh * kw;
            let at = (0..taps).flat_map(|tap| (0..to.c).map(move |channel| channel * taps + tap));
            let values = at.map(|at| p.weights[at].into()).collect();
            (element, values, format!("{of_layer}: weights, [y][x][channel], {kh}x{kw}x{}", to.c))
        }
        Layout::Plain(element) => {
            let values = p.weights.iter().map(|w| (*w).into()).collect();
            (element, values, format!("{of_layer}: weights, [out][y][x][in], {shape}"))
        }
    };
    source.tables.add(&name, &comment, element, values);
    name
}

/// Adds the table of the biases, where there are some; its name and type.
fn biases(source: &mut Source<'_>, i: usize, p: &Product) -> (String, Element) {
    let Some(bias) = &p.bias else { return ("0".to_owned(), Element::I32) };
    let name = source.name(&format!("b{i}"));
    let element = Element::narrowest(bias).max(Element::I32);
    let comment = format!("{}: biases, in the last bit of the sums", source.deployed.nodes[i].result.name);
    source.tables.add(&name, &comment, element, bias.clone());
    (name, element)
}
