//! From the deployed form to the steps that are run: which nodes are one pass, and where tensors lie.

use intrain_deploy::{Deployed, Mean, Op, Product as Form};
use intrain_kernels::Isa;
use intrain_model::Shape;

use crate::depthwise::Depthwise;
use crate::epilogue::{Epilogue, Pooling, Sum};
use crate::error::Unsupported;
use crate::nodes;
use crate::product::{self, Layer, Product};
use crate::slots::{Kind, Slots};
use crate::tensor::{Code, Element, Tensor, with_element};
use crate::width::{Bytes, Scratch, Words};

/// Evaluates an expression for the integers of a tensor between two steps.
macro_rules! for_codes {
    ($tensor:expr, $codes:ident => $body:expr) => {
        match $tensor {
            Tensor::I8($codes) => $body,
            Tensor::I16($codes) => $body,
            Tensor::I32(_) | Tensor::I64(_) => unreachable!("sums that are not rounded are logits"),
        }
    };
}

/// A pass over a batch.
pub(crate) struct Step {
    work: Work,
    /// Tensors that it reads.
    sources: Vec<usize>,
    /// The tensor that it leaves.
    slot: usize,
    element: Element,
    /// Shapes of what enters first and of what leaves.
    shapes: [Shape; 2],
}

enum Work {
    Pixels(Vec<i64>),
    Product(Box<dyn product::Work>, Epilogue),
    MaxPool(Pooling),
    Add(Sum),
    Mean(Mean),
    Shortcut(usize),
    /// Channels of each source.
    Concat(Vec<usize>),
}

/// The steps of a network and its tensors; `size` is images of a batch and threads.
///
/// # Errors
/// The kernels have no product for a layer.
pub(crate) fn compile(
    deployed: &Deployed,
    isa: Isa,
    size: (usize, usize),
) -> Result<(Vec<Step>, Vec<Tensor>), Unsupported> {
    let readers = Readers::of(deployed);
    let fused: Vec<Option<usize>> = (0..deployed.nodes.len()).map(|i| readers.product_of(i)).collect();
    let mut compiler = Compiler {
        deployed,
        isa,
        size,
        slots: Slots::default(),
        places: vec![None; deployed.nodes.len()],
        readers,
    };
    let mut steps = vec![];
    for i in 0..deployed.nodes.len() {
        if !fused.contains(&Some(i)) {
            steps.push(compiler.step(i, fused[i])?);
        }
    }
    Ok((steps, compiler.slots.tensors()))
}

/// Who reads what.
struct Readers<'a> {
    deployed: &'a Deployed,
    /// Readings of each node's result that have not been compiled yet.
    left: Vec<usize>,
}

impl<'a> Readers<'a> {
    fn of(deployed: &'a Deployed) -> Self {
        let mut left = vec![0; deployed.nodes.len()];
        deployed.nodes.iter().flat_map(|node| &node.sources).for_each(|source| left[*source] += 1);
        Self { deployed, left }
    }

    /// The product that is computed together with node `i`: the last in front of it whose result nobody else reads.
    fn product_of(&self, i: usize) -> Option<usize> {
        let node = &self.deployed.nodes[i];
        let is_possible = match &node.op {
            Op::MaxPool(pool) => pool.size == pool.stride && pool.pad == 0,
            Op::Activation(_) => true,
            _ => false,
        };
        let is_product = |source: &usize| {
            let form = &self.deployed.nodes[*source];
            let is_rounded = matches!(&form.op, Op::Product(p) if p.requantize.is_some());
            is_rounded && self.left[*source] == 1
        };
        node.sources.iter().copied().filter(|source| is_possible && is_product(source)).max()
    }
}

struct Compiler<'a> {
    deployed: &'a Deployed,
    isa: Isa,
    size: (usize, usize),
    slots: Slots,
    /// Where each node's result lies while it is read.
    places: Vec<Option<usize>>,
    readers: Readers<'a>,
}

impl Compiler<'_> {
    /// The step of node `i`, with the product `fused` in front of it.
    fn step(&mut self, i: usize, fused: Option<usize>) -> Result<Step, Unsupported> {
        let node = &self.deployed.nodes[i];
        let first = fused.unwrap_or(i);
        // What this step reads, the product's own source first.
        let mut reads: Vec<usize> =
            fused.map_or(vec![], |product| self.deployed.nodes[product].sources.clone());
        reads.extend(node.sources.iter().copied().filter(|source| Some(*source) != fused));
        let sources: Vec<usize> = reads.iter().filter_map(|read| self.places[*read]).collect();
        let work = match (&self.deployed.nodes[first].op, fused) {
            (Op::Product(form), _) => self.product(form, first, i)?,
            (Op::Pixels(codes), _) => Work::Pixels(codes.clone()),
            (Op::MaxPool(pool), _) => Work::MaxPool(Pooling { from: self.deployed.input_of(i), pool: *pool }),
            (Op::Activation(a), _) => {
                let slots: Vec<Option<usize>> = node.sources.iter().map(|s| self.places[*s]).collect();
                Work::Add(Sum::of(&node.result.name, a, &slots)?)
            }
            (Op::Mean(mean), _) => Work::Mean(*mean),
            (Op::Shortcut { stride }, _) => Work::Shortcut(*stride),
            (Op::Concat, _) => {
                let channels = |source: &usize| self.deployed.nodes[*source].result.shape.c;
                Work::Concat(node.sources.iter().map(channels).collect())
            }
        };
        let is_sums = matches!(&work, Work::Product(_, Epilogue::Sums));
        let element = if is_sums { Element::I8 } else { Element::of(&node.result)? };
        let slot = self.slots.take(if is_sums { Kind::Sums } else { Kind::Codes(element) });
        self.places[i] = Some(slot);
        for read in reads {
            self.readers.left[read] -= 1;
            if let (0, Some(slot)) = (self.readers.left[read], self.places[read]) {
                self.slots.put(slot);
            }
        }
        Ok(Step { work, sources, slot, element, shapes: [self.deployed.input_of(i), node.result.shape] })
    }

    /// A product at node `at`, with what node `i` makes of it.
    fn product(&self, form: &Form, at: usize, i: usize) -> Result<Work, Unsupported> {
        let (product, node) = (&self.deployed.nodes[at], &self.deployed.nodes[i]);
        let name = &product.result.name;
        let (input, output) = (self.deployed.input_of(at), product.result.shape);
        let is_depthwise = form.is_depthwise([input, output]);
        let epilogue = match (&form.requantize, &node.op) {
            (None, _) if i + 1 == self.deployed.nodes.len() => Epilogue::Sums,
            (None, _) => {
                return Err(Unsupported::new(name, "sums that are not rounded are read by another layer"));
            }
            (Some(q), Op::MaxPool(pool)) => Epilogue::Pooled(*q, Pooling { from: output, pool: *pool }),
            (Some(q), Op::Activation(a)) => {
                Element::of(&product.result)?;
                let slots: Vec<Option<usize>> = node
                    .sources
                    .iter()
                    .map(|source| self.places[*source].filter(|_| *source != at))
                    .collect();
                Epilogue::Added(*q, Sum::of(&node.result.name, a, &slots)?)
            }
            (Some(q), _) => Epilogue::Rounded(*q),
        };
        let step = if let Epilogue::Pooled(_, pooling) = &epilogue { pooling.pool.size } else { 1 };
        let entering = &self.deployed.nodes[product.sources[0]].result;
        let layer = Layer { form, input, output, entering: entering.range };
        let fits = |w: &i32| i8::try_from(*w).is_ok();
        let is_bytes = Element::of(entering)? == Element::I8 && form.weights.iter().all(fits);
        let left = (step, node.result.shape);
        let (is_bytes, size) = (is_bytes && form.bound < 1 << 31, self.size);
        if form.bound >= 1 << 62 {
            return Err(Unsupported::new(name, format!("sums of {} are more than 62 bits", form.bound)));
        }
        if is_depthwise && matches!(epilogue, Epilogue::Sums) {
            return Err(Unsupported::new(name, "logits channel by channel"));
        }
        let work: Box<dyn product::Work> = match (is_depthwise, is_bytes) {
            (false, true) => Box::new(Product::<Bytes>::new(self.isa, &layer, left, size)),
            (false, false) => Box::new(Product::<Words>::new(self.isa, &layer, left, size)),
            (true, true) => Box::new(Depthwise::<Bytes>::new(&layer, left, size)),
            (true, false) => Box::new(Depthwise::<Words>::new(&layer, left, size)),
        };
        Ok(Work::Product(work, epilogue))
    }
}

impl Step {
    pub(crate) const fn slot(&self) -> usize {
        self.slot
    }

    /// Bytes of memory that its weights take.
    pub(crate) fn weight_bytes(&self) -> usize {
        if let Work::Product(product, _) = &self.work { product.weight_bytes() } else { 0 }
    }

    /// Computes `out`, the tensor of this step's slot, for `n` images.
    pub(crate) fn run(
        &self,
        isa: Isa,
        (n, images): (usize, &[u8]),
        slots: &[Tensor],
        out: &mut Tensor,
        scratches: &mut [Scratch],
    ) {
        match &self.work {
            Work::Product(product, epilogue) => {
                let (images, results) = ((n, &slots[self.sources[0]]), (epilogue, self.element));
                product.run(isa, images, results, slots, out, scratches);
            }
            _ => with_element!(self.element, P => {
                self.run_simple::<P>(isa, images, slots, P::of_mut(out, n * self.shapes[1].len()));
            }),
        }
    }

    /// Work without a product, to integers of type `P`.
    fn run_simple<P: Code>(&self, isa: Isa, images: &[u8], slots: &[Tensor], out: &mut [P]) {
        let source = |k: usize| &slots[self.sources[k]];
        match &self.work {
            Work::Pixels(codes) => nodes::pixels(codes, images, out),
            Work::MaxPool(pooling) => nodes::max_pool(isa, pooling, P::of(source(0)), out),
            Work::Add(sum) => nodes::add(isa, sum, self.shapes[1].len(), slots, out),
            Work::Mean(mean) => for_codes!(source(0), x => nodes::mean(mean, self.shapes, x, out)),
            Work::Shortcut(stride) => {
                for_codes!(source(0), x => nodes::shortcut(*stride, self.shapes, x, out))
            }
            Work::Concat(channels) => {
                let mut first = 0;
                for (k, of) in channels.iter().enumerate() {
                    for_codes!(source(k), x => nodes::put((first, *of, self.shapes[1].c), x, out));
                    first += of;
                }
            }
            Work::Product(..) => unreachable!("a product has its own way"),
        }
    }
}
