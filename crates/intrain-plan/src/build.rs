//! Builds a plan: one walk over the model's layers makes nodes in topological order, then errors, arithmetic and sums are
//! settled.

use intrain_model::{Layer, LayerKind, Model, Shape};
use intrain_num::{Quantizer, Scale, Sum};
use intrain_recipe::{Recipe, Slot};

use crate::block::{BlockPlan, Operand, Pool};
use crate::error::{PlanError, refuse};
use crate::formats::{NOTHING, activation_operand, block, constant, product_plan};
use crate::fuse::{Fused, Fusion};
use crate::names::{Layout, check_patterns, ends};
use crate::node::{Activation, Element, ErrorRule, Node, Op, Product, Storage, Term};
use crate::plan::{InputPlan, LossPlan, Plan};
use crate::{errors, floats, norm, prove, source};

const BATCH_SIZE_MAX: usize = 1 << 16;

impl Plan {
    /// Plans `model` under `recipe` (settled by [`Recipe::at_epoch`]) for steps of `batch_size` images.
    ///
    /// # Errors
    /// Everything that could go wrong in a step: see [`PlanError`].
    pub fn build(model: &Model, recipe: &Recipe, batch_size: usize) -> Result<Self, PlanError> {
        let warnings = recipe.check()?;
        let n_classes = model.n_classes()?;
        if !(1..=BATCH_SIZE_MAX).contains(&batch_size) {
            return Err(PlanError::BatchSize { batch_size, max: BATCH_SIZE_MAX });
        }
        let layout = Layout::of(model, recipe);
        let recipe = &recipe.with_ends(|role| ends(model, recipe, role, layout));
        check_patterns(recipe, model, layout)?;
        let products = || model.layers.iter().filter(|layer| layer.kind.is_product());
        let [first, last] = [products().next(), products().next_back()].map(|l| l.map_or("", |l| &l.name));
        let input = InputPlan::new(model, recipe, first)?;
        let (recipe, entering) = &apart(recipe);
        let mut builder = Builder::new(model, (recipe, entering), layout)?;
        builder.walk(&input)?;
        let Builder { mut blocks, mut nodes, .. } = builder;
        end_in_logits(&nodes)?;
        if recipe.is_float() {
            source::refuse_columns(recipe)?;
            floats::settle_codes(&nodes, &mut blocks);
            floats::fuse_activations(&mut nodes, &blocks);
            errors::settle_floats(&mut nodes);
        } else {
            errors::settle(&mut nodes, &mut blocks, recipe, layout)?;
            errors::check_readers(&nodes)?;
        }
        source::settle_columns(&nodes, &mut blocks, recipe)?;
        prove::settle(&mut nodes, &mut blocks, batch_size)?;
        let arithmetic = prove::widest(&blocks);
        let quantizer =
            if recipe.is_float() { Quantizer::FLOAT } else { recipe.error_at_loss.of_layer(last) };
        let logits_frac_bits = nodes.last().map_or(0, |node| node.operand.frac_bits);
        let keeps_exponent = |node: &Node| {
            let is_wide = |p: &Product| p.error.rule == ErrorRule::Wide;
            let is_dynamic = |p: &Product| p.error.at_output.scale == Scale::Dynamic;
            node.finds_unit || matches!(&node.op, Op::Product(p) if is_wide(p) || is_dynamic(p))
        };
        Ok(Self {
            batch_size,
            arithmetic,
            input,
            blocks,
            keeps_exponents: layout == Layout::IntegerGraph
                || (!recipe.is_float() && nodes.iter().any(keeps_exponent)),
            nodes,
            loss: LossPlan { loss: recipe.loss, n_classes, logits_frac_bits, quantizer },
            init: model.init,
            learning_rate: recipe.learning_rate,
            error_feedback: recipe.error_feedback,
            warnings,
        })
    }
}

/// The row `activation` that products read by, apart from the recipe: what leaves a ReLU is a float then.
fn apart(recipe: &Recipe) -> (Recipe, Slot) {
    let mut recipe = recipe.clone();
    let float = || Slot::from(Quantizer::FLOAT);
    let entering =
        if recipe.activation_enters() { std::mem::replace(&mut recipe.activation, float()) } else { float() };
    (recipe, entering)
}

/// The loss needs logits: the sums of a product, some of which are negative.
fn end_in_logits(nodes: &[Node]) -> Result<(), PlanError> {
    match nodes.last() {
        Some(Node { op: Op::Product(product), .. }) if !product.epilogue.relu => Ok(()),
        Some(Node { name, op: Op::Product(_), .. }) => Err(refuse(
            name,
            "the last product has a ReLU behind it: no logit could be negative; remove the ReLU",
        )),
        Some(Node {
            op: Op::MeanPool(_) | Op::GlobalMean | Op::MaxPool(_) | Op::Concat | Op::Add | Op::Shortcut { .. },
            storage: Storage::Floats,
            ..
        }) => Ok(()),
        last => Err(refuse(
            last.map_or("", |node| &node.name),
            "the network ends in it, and the loss needs logits; end with a linear layer",
        )),
    }
}

/// Makes nodes in topological order.
pub(crate) struct Builder<'a> {
    pub(crate) model: &'a Model,
    pub(crate) recipe: &'a Recipe,
    /// The row `activation`, where it is that of what enters products between floats.
    pub(crate) entering: &'a Slot,
    pub(crate) layout: Layout,
    fusion: Fusion,
    shapes: Vec<Shape>,
    pub(crate) blocks: Vec<BlockPlan>,
    pub(crate) nodes: Vec<Node>,
    /// The node that has the output of each place of the model, the image first: flattening moves nothing.
    node_of: Vec<usize>,
}

/// What a layer becomes: its operation, what its integers are worth, and how they are kept.
pub(crate) type Made = (Op, Operand, Storage);

impl<'a> Builder<'a> {
    fn new(
        model: &'a Model,
        (recipe, entering): (&'a Recipe, &'a Slot),
        layout: Layout,
    ) -> Result<Self, PlanError> {
        let (fusion, shapes) = (Fusion::of(model, recipe, layout)?, model.shapes()?);
        let (blocks, nodes, node_of) = (vec![], vec![], vec![]);
        Ok(Self { model, recipe, entering, layout, fusion, shapes, blocks, nodes, node_of })
    }

    fn walk(&mut self, input: &InputPlan) -> Result<(), PlanError> {
        let sources = self.model.sources()?;
        let shape = self.model.input.shape;
        let operand = if self.recipe.is_float() { NOTHING } else { input.operand() };
        self.nodes.push(Node {
            name: intrain_model::INPUT.to_owned(),
            op: Op::Image,
            sources: vec![],
            input: shape,
            output: shape,
            operand,
            finds_unit: false,
            storage: self.stored(operand),
            reported_as: None,
        });
        self.node_of.push(0);
        for (i, layer) in self.model.layers.iter().enumerate() {
            let entering = self.node_of[sources[i][0]];
            if layer.kind == LayerKind::Flatten || self.fusion.is_fused[i] {
                self.node_of.push(entering);
                continue;
            }
            let from = sources[i].iter().map(|&source| self.node_of[source]).collect();
            let node = self.layer(i, from, self.shapes[sources[i][0]])?;
            self.nodes.push(node);
            self.node_of.push(self.nodes.len() - 1);
        }
        Ok(())
    }

    /// Codes in the narrowest type, or floats.
    pub(crate) fn stored(&self, operand: Operand) -> Storage {
        if self.recipe.is_float() { Storage::Floats } else { Storage::Codes(Element::of_codes(operand)) }
    }

    /// The node of layer `i`.
    fn layer(&mut self, i: usize, from: Vec<usize>, input: Shape) -> Result<Node, PlanError> {
        let layer = &self.model.layers[i];
        let fused = self.fusion.behind[i];
        let shapes = [input, self.shapes[i + 1]];
        let mut node = Node {
            name: layer.name.clone(),
            op: Op::Add,
            sources: from,
            input,
            output: self.shapes[fused.last.unwrap_or(i) + 1],
            operand: NOTHING,
            finds_unit: false,
            storage: Storage::Fused,
            reported_as: None,
        };
        let is_last = self.fusion_ends_at(i, fused);
        let first = node.sources[0];
        (node.op, node.operand, node.storage) = match layer.kind {
            kind if kind.is_product() => {
                node.reported_as = self.reported_as(i, fused);
                self.product(layer, shapes, first, (fused, is_last))?
            }
            LayerKind::BatchNorm { .. } | LayerKind::LayerNorm { .. } => {
                self.norm_node(layer, shapes, first)?
            }
            kind if kind.is_activation() => {
                node.reported_as = Some(layer.name.clone());
                self.activation(layer, first)?
            }
            LayerKind::Add if self.recipe.is_float() => (Op::Add, NOTHING, Storage::Floats),
            LayerKind::Add => (Op::Add, NOTHING, Storage::Fused),
            LayerKind::MaxPool { size, stride, pad } => {
                self.expect(layer, first, true)?;
                let Node { operand, storage, .. } = self.nodes[first];
                (Op::MaxPool(Pool { size, stride, pad }), operand, storage)
            }
            _ => self.between_codes(layer, &node.sources)?,
        };
        node.finds_unit = self.finds_unit(&node, layer);
        Ok(node)
    }

    /// Whether a step finds the unit of what a node leaves: its row is `@dynamic`, or it passes such integers on.
    fn finds_unit(&self, node: &Node, layer: &Layer) -> bool {
        let passes_on = || node.sources.iter().any(|source| self.nodes[*source].finds_unit);
        match &node.op {
            Op::Product(product) if matches!(node.storage, Storage::Codes(_) | Storage::Wide) => {
                product.epilogue.at_product.scale == Scale::Dynamic
            }
            Op::Product(_) | Op::MaxPool(_) | Op::Concat | Op::Shortcut { .. } => passes_on(),
            Op::Activation(activation) => activation.row.scale == Scale::Dynamic,
            Op::MeanPool(_) | Op::GlobalMean => self.row_between(layer).scale == Scale::Dynamic,
            // A norm's affine map has a unit of its own; a sum is computed by the activation behind it.
            Op::Image | Op::Norm(_) | Op::Add => false,
        }
    }

    /// Whether nothing follows a layer and what is fused behind it.
    fn fusion_ends_at(&self, i: usize, fused: Fused) -> bool {
        let behind = &self.model.layers[fused.last.unwrap_or(i) + 1..];
        behind.iter().all(|layer| layer.kind == LayerKind::Flatten)
    }

    /// In a chain diagnostics name the product, elsewhere the ReLU.
    fn reported_as(&self, i: usize, fused: Fused) -> Option<String> {
        match (self.layout, fused.relu) {
            (Layout::Chain, _) => Some(self.model.layers[i].name.clone()),
            (_, relu) => relu.map(|relu| self.model.layers[relu].name.clone()),
        }
    }

    /// Refuses a layer unless what enters it is kept in a form that it can read.
    pub(crate) fn expect(&self, layer: &Layer, from: usize, may_be_wide: bool) -> Result<(), PlanError> {
        let Node { name, storage, .. } = &self.nodes[from];
        let reason = match storage {
            Storage::Codes(_) | Storage::Floats => return Ok(()),
            Storage::Wide if may_be_wide => return Ok(()),
            Storage::Fused => format!(
                "'{name}' enters it, and in integers the result of a norm or an addition is rounded in a ReLU; put one \
                 between them"
            ),
            Storage::Wide | Storage::Accumulators(_) => format!(
                "'{name}' enters it, whose result has 16 bits; put a ReLU between them, which rounds it for the next \
                 product"
            ),
        };
        Err(refuse(&layer.name, reason))
    }

    fn norm_node(&mut self, layer: &Layer, shapes: [Shape; 2], first: usize) -> Result<Made, PlanError> {
        let product = product_plan(layer.kind, shapes, self.recipe.bias)
            .unwrap_or_else(|| unreachable!("the caller has seen that it is a norm"));
        let index = self.blocks.len();
        if self.recipe.is_float() {
            self.blocks.push(block(self.recipe, &layer.name, index, product, floats::WEIGHT, NOTHING));
            return Ok((Op::Norm(index), NOTHING, Storage::Floats));
        }
        if self.nodes[first].storage != Storage::Wide {
            self.expect(layer, first, false)?;
            let name = &self.nodes[first].name;
            let reason = format!(
                "'{name}' enters it, whose result is rounded already; in integers a norm lies behind a product"
            );
            return Err(refuse(&layer.name, reason));
        }
        let entering = self.nodes[first].operand;
        let (block, operand) = norm::block_of(self.recipe, layer, (index, product), entering)?;
        self.blocks.push(block);
        Ok((Op::Norm(index), operand, Storage::Fused))
    }

    /// A ReLU that is a node of its own, with what it adds up.
    fn activation(&self, layer: &Layer, first: usize) -> Result<Made, PlanError> {
        let row = self.recipe.activation.of_layer(&layer.name);
        if self.recipe.is_float() {
            let terms = vec![Term { source: first, norm: None, shift: 0 }];
            let activation = Activation {
                kind: layer.kind,
                row,
                terms,
                frac_bits: Some(0),
                sum: Sum { bound: 0 },
                in_place: false,
            };
            return Ok((Op::Activation(activation), NOTHING, Storage::Floats));
        }
        let row = constant(&layer.name, "activation", self.row_between(layer))?;
        let (terms, frac_bits, sum) = self.terms(layer, row, first)?;
        let operand = activation_operand(row, true);
        let activation = Activation { kind: layer.kind, row, terms, frac_bits, sum, in_place: false };
        Ok((Op::Activation(activation), operand, self.stored(operand)))
    }

    /// The row that rounds between products: `activation`, or `activation.product` to the nearest where that is exact.
    fn row_between(&self, layer: &Layer) -> Quantizer {
        let row = self.recipe.activation.of_layer(&layer.name);
        let at_product = self.recipe.activation_at_product.of_layer(&layer.name);
        if row.format.is_quantized() {
            return row;
        }
        Quantizer { round: at_product.round.in_evaluation(), ..at_product }
    }

    /// What a ReLU behind the node `from`, with its row, adds up; the sum's fraction bits and its bound.
    fn terms(
        &self,
        layer: &Layer,
        row: Quantizer,
        from: usize,
    ) -> Result<(Vec<Term>, Option<i32>, Sum), PlanError> {
        let sources =
            if self.nodes[from].op == Op::Add { self.nodes[from].sources.clone() } else { vec![from] };
        let mut operands = Vec::new();
        let mut terms = Vec::new();
        let mut finds_unit = row.scale == Scale::Dynamic;
        for source in sources {
            let node = &self.nodes[source];
            finds_unit = finds_unit || node.finds_unit;
            let (source, norm) = match node.op {
                Op::Norm(block) => (node.sources[0], Some(block)),
                Op::Add => {
                    let reason = format!("'{}' adds up sums; put a ReLU between additions", node.name);
                    return Err(refuse(&layer.name, reason));
                }
                _ => (source, None),
            };
            operands.push(node.operand);
            terms.push(Term { source, norm, shift: 0 });
        }
        let frac_bits = operands.iter().map(|operand| operand.frac_bits).max().unwrap_or(0);
        let mut bound = 0;
        for (term, operand) in terms.iter_mut().zip(&operands) {
            // Terms whose unit a step finds are moved in that step, and each of them alone fits 32 bits.
            if !finds_unit {
                term.shift = (frac_bits - operand.frac_bits).unsigned_abs();
            }
            let term = u128::from(operand.max_abs()) << term.shift.min(64);
            bound = if finds_unit { bound.max(term) } else { bound + term };
        }
        let sum = Sum { bound };
        if !sum.fits(32) {
            let reason = format!(
                "the sum that it rounds can reach {bound} and needs {} bits, and there are 32; give norm.value, norm.gain or \
                 norm.offset fewer bits",
                sum.width_bits()
            );
            return Err(refuse(&layer.name, reason));
        }
        Ok((terms, (!finds_unit).then_some(frac_bits), sum))
    }

    /// A layer from codes to codes, or from floats to floats.
    fn between_codes(&self, layer: &Layer, from: &[usize]) -> Result<Made, PlanError> {
        from.iter().try_for_each(|from| self.expect(layer, *from, false))?;
        let Node { operand: entering, storage, .. } = self.nodes[from[0]];
        Ok(match layer.kind {
            LayerKind::AvgPool { size, stride } => {
                let operand = self.mean(layer, entering)?;
                (Op::MeanPool(Pool { size, stride, pad: 0 }), operand, self.stored(operand))
            }
            LayerKind::GlobalAvgPool => {
                let operand = self.mean(layer, entering)?;
                (Op::GlobalMean, operand, self.stored(operand))
            }
            LayerKind::Shortcut { stride, .. } => (Op::Shortcut { stride }, entering, storage),
            LayerKind::Concat => {
                let operand = self.joined(layer, from)?;
                (Op::Concat, operand, self.stored(operand))
            }
            _ => unreachable!("it is none that the caller knows"),
        })
    }

    /// What several tensors of codes hold together.
    fn joined(&self, layer: &Layer, from: &[usize]) -> Result<Operand, PlanError> {
        let first = &self.nodes[from[0]];
        let mut operand = first.operand;
        for node in from.iter().map(|&from| &self.nodes[from]) {
            let finds_unit = node.finds_unit || first.finds_unit;
            if node.operand.frac_bits != operand.frac_bits && !finds_unit {
                let reason = format!(
                    "'{}' and '{}' have other units; give both the same row 'activation'",
                    first.name, node.name
                );
                return Err(refuse(&layer.name, reason));
            }
            operand.min = operand.min.min(node.operand.min);
            operand.max = operand.max.max(node.operand.max);
        }
        Ok(operand)
    }

    /// What a mean over pixels leaves: it rounds as an activation does.
    fn mean(&self, layer: &Layer, entering: Operand) -> Result<Operand, PlanError> {
        if self.recipe.is_float() {
            return Ok(NOTHING);
        }
        let row = constant(&layer.name, "activation", self.row_between(layer))?;
        Ok(activation_operand(row, entering.min >= 0))
    }
}
