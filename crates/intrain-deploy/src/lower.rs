//! From a plan and stored weights to the deployed form.

mod norm;

use intrain_model::{LayerKind, Shape, Window};
use intrain_num::{Quantizer, Round};
use intrain_plan::{self as plan, BlockPlan, Operand, Plan, ProductKind, Storage};

use crate::error::DeployError;
use crate::form::{About, Activation, Deployed, Mean, Node, Op, Product, Requantize, Tensor, Term};
use crate::range::Range;

pub(crate) use self::norm::learned;

/// The stored integers of a layer with parameters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoredLayer {
    /// `[kernel height, kernel width, in / groups, out]` or `[in, out]`; gains of a norm.
    pub weight: Vec<i64>,
    /// `[out]`; offsets of a norm.
    pub bias: Option<Vec<i64>>,
    /// Running mean and spread of a norm over the batch.
    pub moments: Option<[Vec<i64>; 2]>,
}

impl Deployed {
    /// The deployed form of `plan` with the stored integers of its blocks, one by one.
    ///
    /// # Errors
    /// Networks that compute in floats, or whose answer depends on the other images of a batch; integers of another network.
    pub fn lower(plan: &Plan, layers: &[StoredLayer], about: About) -> Result<Self, DeployError> {
        if plan.nodes.iter().any(|node| node.storage == Storage::Floats) {
            return Err(DeployError::Floats { recipe: about.recipe });
        }
        check(plan, layers)?;
        let mut lowering = Lowering { plan, layers, nodes: vec![], made: vec![None; plan.nodes.len()] };
        for i in 0..plan.nodes.len() {
            lowering.node(i)?;
        }
        Ok(Self { about, nodes: lowering.nodes })
    }
}

/// Whether the integers have the lengths of the plan.
fn check(plan: &Plan, layers: &[StoredLayer]) -> Result<(), DeployError> {
    let empty = StoredLayer::default();
    for (i, block) in plan.blocks.iter().enumerate() {
        let (product, layer) = (&block.product, layers.get(i).unwrap_or(&empty));
        let n_moments = if product.kind == ProductKind::BatchNorm { product.output.c } else { 0 };
        let of_moments = |k: usize| layer.moments.as_ref().map_or(0, |moments| moments[k].len());
        for (what, found, expected) in [
            ("weights", layer.weight.len(), product.n_weights()),
            (
                "biases",
                layer.bias.as_ref().map_or(0, Vec::len),
                if product.bias { product.output.c } else { 0 },
            ),
            ("means", of_moments(0), n_moments),
            ("spreads", of_moments(1), n_moments),
        ] {
            if found != expected {
                return Err(DeployError::Parameters { layer: block.name.clone(), what, found, expected });
            }
        }
    }
    Ok(())
}

struct Lowering<'a> {
    plan: &'a Plan,
    layers: &'a [StoredLayer],
    nodes: Vec<Node>,
    /// The deployed node that has the result of each node of the plan; none where it is computed by its reader.
    made: Vec<Option<usize>>,
}

impl Lowering<'_> {
    fn node(&mut self, i: usize) -> Result<(), DeployError> {
        let node = &self.plan.nodes[i];
        if node.finds_unit {
            return Err(DeployError::Dynamic { layer: node.name.clone() });
        }
        if node.storage == Storage::Fused {
            return Ok(());
        }
        match &node.op {
            plan::Op::Image => self.image(i),
            plan::Op::Product(product) => self.product(i, product),
            plan::Op::Activation(activation) => self.activation(i, activation)?,
            plan::Op::MaxPool(pool) => self.push(i, Op::MaxPool(*pool), self.entering(i)),
            plan::Op::MeanPool(pool) => self.mean(i, [pool.size; 2], [pool.stride; 2]),
            plan::Op::GlobalMean => {
                let size = [node.input.h, node.input.w];
                self.mean(i, size, size);
            }
            plan::Op::Shortcut { stride } => {
                let entering = self.entering(i);
                let range = if node.output.c > node.input.c { entering.hull(Range::ZERO) } else { entering };
                self.push(i, Op::Shortcut { stride: *stride }, range);
            }
            plan::Op::Concat => {
                let ranges = node.sources.iter().map(|source| self.range_of(*source));
                let range = ranges.reduce(Range::hull).unwrap_or(Range::ZERO);
                self.push(i, Op::Concat, range);
            }
            plan::Op::Norm(_) | plan::Op::Add => {
                unreachable!("in integers the activation behind it computes it")
            }
        }
        Ok(())
    }

    /// Adds the node of the plan's node `i` under its name, in its shape and unit.
    fn push(&mut self, i: usize, op: Op, range: Range) {
        let node = &self.plan.nodes[i];
        let sources = node.sources.iter().map(|source| self.source(*source)).collect();
        self.add(&node.name, (node.output, node.operand.frac_bits, range), op, sources);
        self.made[i] = Some(self.nodes.len() - 1);
    }

    fn add(
        &mut self,
        name: &str,
        (shape, frac_bits, range): (Shape, i32, Range),
        op: Op,
        sources: Vec<usize>,
    ) {
        let mut name = name.to_owned();
        while self.nodes.iter().any(|node| node.result.name == name) {
            name.push('_');
        }
        self.nodes.push(Node { result: Tensor { name, shape, frac_bits, range }, op, sources });
    }

    fn source(&self, i: usize) -> usize {
        self.made[i].unwrap_or_else(|| unreachable!("what enters a node is stored in front of it"))
    }

    fn range_of(&self, i: usize) -> Range {
        self.nodes[self.source(i)].result.range
    }

    /// The range of what enters a node first.
    fn entering(&self, i: usize) -> Range {
        self.range_of(self.plan.nodes[i].sources[0])
    }

    fn image(&mut self, i: usize) {
        let codes: Vec<i64> = self.plan.input.codes().collect();
        let ranges = codes.iter().map(|code| Range { min: *code, max: *code });
        let range = ranges.reduce(Range::hull).unwrap_or(Range::ZERO);
        self.push(i, Op::Pixels(codes), range);
    }

    /// A product, and the pooling that the plan computes with it.
    fn product(&mut self, i: usize, planned: &plan::Product) {
        let node = &self.plan.nodes[i];
        let block = &self.plan.blocks[planned.block];
        let epilogue = &planned.epilogue;
        let source = self.source(node.sources[0]);
        let entering = self.nodes[source].result.clone();
        let requantize = (!epilogue.is_exact()).then(|| {
            let least = if epilogue.relu { 0 } else { i64::MIN };
            requantize(epilogue.row(), block.sum_frac_bits, least)
        });
        let (product, range) = product(block, &self.layers[planned.block], &entering, requantize);
        let shape =
            if block.product.kind == ProductKind::Linear { node.output } else { block.product.output };
        let (frac_bits, op) = (node.operand.frac_bits, Op::Product(product));
        self.add(&node.name, (shape, frac_bits, range), op, vec![source]);
        if let Some(pool) = epilogue.pool {
            let sums = self.nodes.len() - 1;
            let name = format!("{}.pool", node.name);
            self.add(&name, (node.output, frac_bits, range), Op::MaxPool(pool), vec![sums]);
        }
        self.made[i] = Some(self.nodes.len() - 1);
    }

    fn activation(&mut self, i: usize, planned: &plan::Activation) -> Result<(), DeployError> {
        let node = &self.plan.nodes[i];
        let Some(frac_bits) = planned.frac_bits else {
            return Err(DeployError::Dynamic { layer: node.name.clone() });
        };
        let mut requantize = requantize(planned.row, frac_bits, 0);
        if planned.kind == LayerKind::Relu6 {
            requantize.max =
                requantize.max.min(Round::Floor.shift_right(6, -planned.row.format.frac_bits(), 0));
        }
        let (mut terms, mut sum, mut bound) = (vec![], Range::ZERO, 0);
        for term in &planned.terms {
            let entering = self.range_of(term.source);
            let norm = term.norm.map(|block| norm::of(&self.plan.blocks[block], &self.layers[block]));
            let term = Term { shift: term.shift, norm };
            let moved = term.range(entering);
            (sum, bound) = (sum.plus(moved), bound + moved.max_abs());
            terms.push(term);
        }
        let sources = planned.terms.iter().map(|term| self.source(term.source)).collect();
        let range = sum.rounded(&requantize);
        let op = Op::Activation(Activation { terms, bound, requantize });
        self.add(&node.name, (node.output, node.operand.frac_bits, range), op, sources);
        self.made[i] = Some(self.nodes.len() - 1);
        Ok(())
    }

    fn mean(&mut self, i: usize, size: [usize; 2], stride: [usize; 2]) {
        let node = &self.plan.nodes[i];
        let Operand { frac_bits, min, max } = node.operand;
        let source = self.source(node.sources[0]);
        let finer = frac_bits - self.nodes[source].result.frac_bits;
        // Bound: sides of at most 4096.
        let pixels = i64::try_from(size[0] * size[1]).unwrap_or(i64::MAX);
        // As the contract has it: by more than 60 bits each mean is 0, or beyond every format.
        let (up, down) = (finer.clamp(0, 60).unsigned_abs(), (-finer).clamp(0, 60));
        let mean = Mean { size, stride, up, divisor: i128::from(pixels) << down, min, max };
        let entering = self.nodes[source].result.range;
        let range = Range { min: mean.apply(entering.min * pixels), max: mean.apply(entering.max * pixels) };
        self.push(i, Op::Mean(mean), range);
    }
}

/// The rounding of sums with so many fraction bits by a row, as evaluation does it; nothing below `least` leaves.
fn requantize(row: Quantizer, frac_bits: i32, least: i64) -> Requantize {
    let (min, max) = (row.format.min(), row.format.max());
    Requantize {
        shift: frac_bits - row.format.frac_bits(),
        round: row.round.in_evaluation(),
        min: min.max(least),
        max,
    }
}

/// A block's weights as evaluation reads them, output by output, and the range of its result.
fn product(
    block: &BlockPlan,
    stored: &StoredLayer,
    entering: &Tensor,
    requantize: Option<Requantize>,
) -> (Product, Range) {
    let planned = &block.product;
    // A linear layer sees the whole image, whatever its shape.
    let window = match planned.kind {
        ProductKind::Linear => Window { kernel: [entering.shape.h, entering.shape.w], ..Window::PIXEL },
        _ => planned.window,
    };
    let (fan_in, n_out) = (planned.fan_in(), planned.output.c);
    let read = read_row(block.weight.read, block.weight.master);
    let weights: Vec<i32> = (0..n_out)
        .flat_map(|out| (0..fan_in).map(move |i| i * n_out + out))
        .map(|at| narrow(read(stored.weight[at])))
        .collect();
    let finer = block.bias_shift();
    let bias = stored.bias.as_ref().map(|bias| bias.iter().map(|bias| bias << finer).collect::<Vec<i64>>());
    let mut product = Product { window, groups: planned.groups, weights, bias, bound: 0, requantize };
    let ranges = product.sums_of(entering.range, n_out);
    product.bound = product.magnitudes(entering.range, n_out);
    let result = product.requantize.as_ref().map_or(ranges, |requantize| ranges.rounded(requantize));
    (product, result)
}

impl Product {
    /// What enters with the zeros around it.
    fn entering(&self, range: Range) -> Range {
        if self.window.pad == [0, 0] { range } else { range.hull(Range::ZERO) }
    }

    /// The weights and the bias of each output.
    fn outputs(&self, n_out: usize) -> impl Iterator<Item = (&[i32], i64)> {
        let weights = self.weights.chunks_exact((self.weights.len() / n_out).max(1));
        weights.enumerate().map(|(out, weights)| (weights, self.bias.as_ref().map_or(0, |bias| bias[out])))
    }

    /// The range of the sums of integers of `range`.
    fn sums_of(&self, range: Range, n_out: usize) -> Range {
        let range = self.entering(range);
        let of_output = |(weights, bias): (&[i32], i64)| {
            let terms = weights.iter().map(|w| range.times((*w).into()));
            terms.fold(Range { min: bias, max: bias }, Range::plus)
        };
        self.outputs(n_out).map(of_output).reduce(Range::hull).unwrap_or(Range::ZERO)
    }

    /// The largest sum of magnitudes.
    fn magnitudes(&self, range: Range, n_out: usize) -> u64 {
        let largest = self.entering(range).max_abs();
        let of_output = |(weights, bias): (&[i32], i64)| {
            weights.iter().map(|w| u64::from(w.unsigned_abs())).sum::<u64>() * largest + bias.unsigned_abs()
        };
        self.outputs(n_out).map(of_output).max().unwrap_or(0)
    }
}

impl Term {
    /// What it adds to a sum, of integers of `range`.
    fn range(&self, range: Range) -> Range {
        self.norm.as_ref().map_or(range, |norm| norm::range(norm, range)).times(1 << self.shift)
    }
}

impl Deployed {
    /// The range of the sums that node `i` rounds, proven from the weights; none where it rounds none.
    #[must_use]
    pub fn sums(&self, i: usize) -> Option<Range> {
        let node = &self.nodes[i];
        let entering = |k: usize| self.nodes[node.sources[k]].result.range;
        match &node.op {
            Op::Product(p) => p.requantize.map(|_| p.sums_of(entering(0), node.result.shape.c)),
            Op::Activation(a) => {
                let terms = a.terms.iter().enumerate().map(|(k, term)| term.range(entering(k)));
                Some(terms.fold(Range::ZERO, Range::plus))
            }
            _ => None,
        }
    }
}

/// How a stored integer is read by a row; exactly where that row does nothing.
fn read_row(row: Quantizer, master: Quantizer) -> impl Fn(i64) -> i64 {
    let row = Quantizer { round: row.round.in_evaluation(), ..row };
    let shift =
        master.format.frac_bits() - if row.format.is_quantized() { row.format.frac_bits() } else { 0 };
    move |code| if row.format.is_quantized() { row.code_of_shifted(code, shift, 0) } else { code }
}

/// Bound: a plan's weights have at most 24 bits.
fn narrow(weight: i64) -> i32 {
    i32::try_from(weight).unwrap_or_else(|_| unreachable!("a weight has at most 24 bits"))
}
