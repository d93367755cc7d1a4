//! The constants of a network as arrays, for those who build hardware or another runtime.

use crate::form::{Deployed, Element, Norm, Op};

/// An array of constants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Array {
    /// The number of its node, and what it is of that node: `weights`, `bias`, `codes`, or a norm's `multiplier`, `offset`, `shift`,
    /// `gain` and `add`, with the number of the term behind them.
    pub name: String,
    /// Its dimensions; weights are `[out, kernel height, kernel width, in / groups]`.
    pub shape: Vec<usize>,
    /// The narrowest type of two's complement that holds its integers.
    pub element: Element,
    /// Its integers, row by row.
    pub values: Vec<i64>,
}

impl Array {
    fn new(name: String, shape: Vec<usize>, values: Vec<i64>) -> Self {
        let element = Element::narrowest(&values);
        Self { name, shape, element, values }
    }
}

impl Deployed {
    /// The constants of all nodes, in the order of the nodes.
    #[must_use]
    pub fn arrays(&self) -> Vec<Array> {
        let mut all = vec![];
        for (i, node) in self.nodes.iter().enumerate() {
            match &node.op {
                Op::Pixels(codes) => {
                    all.push(Array::new(format!("{i}.codes"), vec![codes.len()], codes.clone()))
                }
                Op::Product(p) => {
                    let [kh, kw] = p.window.kernel;
                    let shape = vec![node.result.shape.c, kh, kw, self.input_of(i).c / p.groups];
                    let weights = p.weights.iter().map(|w| (*w).into()).collect();
                    all.push(Array::new(format!("{i}.weights"), shape, weights));
                    if let Some(bias) = &p.bias {
                        all.push(Array::new(format!("{i}.bias"), vec![bias.len()], bias.clone()));
                    }
                }
                Op::Activation(a) => {
                    for (k, norm) in
                        a.terms.iter().enumerate().filter_map(|(k, term)| Some((k, term.norm.as_ref()?)))
                    {
                        let mut add = |what: &str, values: Vec<i64>| {
                            all.push(Array::new(format!("{i}.{what}{k}"), vec![values.len()], values));
                        };
                        let (gain, offset) = match norm {
                            Norm::Batch(norm) => {
                                add("multiplier", norm.lines.iter().map(|line| line.multiplier).collect());
                                add("offset", norm.lines.iter().map(|line| line.offset).collect());
                                add("shift", norm.lines.iter().map(|line| line.shift.into()).collect());
                                (&norm.gain, &norm.offset)
                            }
                            Norm::Layer(norm) => (&norm.gain, &norm.offset),
                        };
                        add("gain", gain.clone());
                        add("add", offset.clone());
                    }
                }
                Op::MaxPool(_) | Op::Mean(_) | Op::Shortcut { .. } | Op::Concat => {}
            }
        }
        all
    }
}
