//! Builds a plan: groups layers into blocks, settles each block's formats, proves its sums.

use intrain_model::{Layer, LayerKind, Logits, Model, Shape};
use intrain_num::scale::fan_log2;
use intrain_num::{Format, Quantizer, Scale, Sum, Surrogate};
use intrain_recipe::{Bias, Loss, Pattern, Recipe, Role};

use crate::{
    Arithmetic, BlockPlan, InputPlan, LossPlan, Operand, Plan, PlanError, Pool, ProductKind, ProductPlan,
    Sums, WeightPlan,
};
use crate::{graph, source};

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
        let is_graph = graph::is_needed(model, recipe);
        let layout = match (is_graph, recipe.is_float()) {
            (false, _) => Layout::Chain,
            (true, true) => Layout::FloatGraph,
            (true, false) => Layout::IntegerGraph,
        };
        let recipe = &recipe.with_ends(|role| ends(model, role, layout));
        check_patterns(recipe, model, layout)?;
        if is_graph {
            source::refuse_columns(recipe, "a graph")?;
            return graph::build(model, recipe, batch_size, n_classes, warnings);
        }
        let groups = group(model)?;
        let names = [groups.first(), groups.last()].map(|group| group.map_or("", |g| g.layer.name.as_str()));
        let input = InputPlan::new(model, recipe, names[0])?;
        let mut blocks: Vec<BlockPlan> = Vec::new();
        let mut operand = input.operand();
        for (i, group) in groups.iter().enumerate() {
            let place = Place { index: i, is_last: i + 1 == groups.len(), logits: model.logits };
            let block = plan_block(group, recipe, place, operand)?;
            operand = block.output_operand;
            blocks.push(block);
        }
        let logits_frac_bits = operand.frac_bits;
        settle_errors(&mut blocks, recipe)?;
        let arithmetic = arithmetic(&blocks, input.quantizer);
        if arithmetic == Arithmetic::Float32 {
            source::refuse_columns(recipe, "a float network")?;
        }
        source::settle_columns(&mut blocks, recipe)?;
        for block in &mut blocks {
            prove(block, batch_size)?;
        }
        let quantizer = recipe.error_at_loss.of_layer(names[1]);
        let loss = LossPlan { loss: recipe.loss, n_classes, logits_frac_bits, quantizer };
        Ok(Self {
            batch_size,
            arithmetic,
            input,
            blocks,
            graph: None,
            loss,
            init: model.init,
            learning_rate: recipe.learning_rate,
            error_feedback: recipe.error_feedback,
            warnings,
        })
    }
}

/// How a network is laid out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Layout {
    Chain,
    FloatGraph,
    IntegerGraph,
}

/// Whether a row's exceptions can name a layer. In a chain all rows belong to products; in a graph activations have the
/// names of ReLUs, and means over pixels round as they do.
fn has_role(layer: &Layer, role: Role, layout: Layout) -> bool {
    let kind = layer.kind;
    let is_norm = kind.is_norm();
    match (layout, role) {
        (Layout::IntegerGraph, Role::Activation) => {
            matches!(kind, LayerKind::Relu | LayerKind::AvgPool { .. } | LayerKind::GlobalAvgPool)
        }
        (Layout::FloatGraph, Role::Activation) | (Layout::IntegerGraph, Role::ErrorAtActivation) => {
            kind == LayerKind::Relu
        }
        (Layout::IntegerGraph, Role::Gradient | Role::Momentum | Role::Update | Role::Master) => {
            kind.is_product() || is_norm
        }
        _ if Role::OF_NORMS.contains(&role) => is_norm,
        _ => kind.is_product(),
    }
}

/// The first and the last layer that have a role.
fn ends(model: &Model, role: Role, layout: Layout) -> [String; 2] {
    let mut names =
        model.layers.iter().filter(|layer| has_role(layer, role, layout)).map(|layer| &layer.name);
    let first = names.next();
    let last = names.next_back().or(first);
    [first, last].map(|name| name.cloned().unwrap_or_default())
}

/// A product layer and what follows it up to the next.
struct Group<'a> {
    layer: &'a Layer,
    input: Shape,
    product: Shape,
    output: Shape,
    pool: Option<Pool>,
    relu: bool,
}

fn group(model: &Model) -> Result<Vec<Group<'_>>, PlanError> {
    let shapes = model.shapes()?;
    let mut groups: Vec<Group<'_>> = Vec::new();
    for (i, layer) in model.layers.iter().enumerate() {
        let fail = |reason: String| Err(PlanError::Layer { layer: layer.name.clone(), reason });
        let last = groups.last_mut();
        match (layer.kind, last) {
            (LayerKind::Conv { .. } | LayerKind::Linear { .. }, _) => groups.push(Group {
                layer,
                input: shapes[i],
                product: shapes[i + 1],
                output: shapes[i + 1],
                pool: None,
                relu: false,
            }),
            (LayerKind::Flatten, last) => {
                // Exact: channels-last order is kept, so flattening moves nothing.
                if let Some(group) = last {
                    group.output = shapes[i + 1];
                }
            }
            (_, None) => {
                return fail(
                    "a network starts with a conv or linear layer; move this one behind it".to_owned(),
                );
            }
            (LayerKind::MaxPool { size, stride, pad }, Some(group)) => {
                if group.pool.is_some() || group.output != group.product {
                    return fail("there is already a pooling or flatten since the last product; one pooling per product".to_owned());
                }
                group.pool = Some(Pool { size, stride, pad });
                group.output = shapes[i + 1];
            }
            (LayerKind::Relu, Some(group)) => group.relu = true,
            (kind, Some(_)) => unreachable!("a chain has no {kind:?}"),
        }
    }
    if let Some(Group { layer, relu: true, .. }) = groups.last() {
        let reason =
            "the last product has a ReLU behind it: no logit could be negative; remove the ReLU".to_owned();
        return Err(PlanError::Layer { layer: layer.name.clone(), reason });
    }
    Ok(groups)
}

fn check_patterns(recipe: &Recipe, model: &Model, layout: Layout) -> Result<(), PlanError> {
    for role in Role::ALL {
        let layers = model.layers.iter().filter(|layer| has_role(layer, role, layout));
        let names: Vec<&str> = layers.map(|layer| layer.name.as_str()).collect();
        for exception in &recipe.slot(role).except {
            // A network may have no norms.
            if exception.layers.0 != Pattern::NORMS
                && !names.iter().any(|name| exception.layers.matches(name))
            {
                return Err(PlanError::Pattern {
                    role: role.name(),
                    pattern: exception.layers.0.clone(),
                    layers: names.join(", "),
                });
            }
        }
    }
    Ok(())
}

pub(super) fn refuse_row(role: &'static str, reason: &str) -> PlanError {
    PlanError::Recipe(intrain_recipe::RecipeError::Check { role, reason: reason.to_owned() })
}

pub(super) const fn operand_of(quantizer: Quantizer) -> Operand {
    Operand {
        frac_bits: quantizer.format.frac_bits(),
        min: quantizer.format.min(),
        max: quantizer.format.max(),
    }
}

/// What leaves a block: behind a ReLU nothing is negative.
pub(super) const fn activation_operand(quantizer: Quantizer, relu: bool) -> Operand {
    let operand = operand_of(quantizer);
    if relu { Operand { min: 0, ..operand } } else { operand }
}

struct Place {
    index: usize,
    is_last: bool,
    logits: Logits,
}

fn plan_block(
    group: &Group<'_>,
    recipe: &Recipe,
    place: Place,
    input_operand: Operand,
) -> Result<BlockPlan, PlanError> {
    let name = group.layer.name.as_str();
    let fail = |reason: String| PlanError::Layer { layer: name.to_owned(), reason };
    let product = product_plan(group, recipe.bias);
    let weight = weight_plan(recipe, name, product.fan_in());
    let sum_frac_bits = input_operand.frac_bits + weight.operand.frac_bits + weight.alpha_log2;
    let activation_at_product = recipe.activation_at_product.of_layer(name);
    let activation = match (place.is_last, place.logits) {
        (true, Logits::Exact) if !recipe.is_float() => Quantizer::EXACT,
        _ => recipe.activation.of_layer(name),
    };
    let quantized = [activation_at_product, activation].map(|q| q.format.is_quantized());
    let output_operand = match quantized {
        [true, true] => {
            return Err(fail(
                "both 'activation.product' and 'activation' round its output; make one of them exact"
                    .to_owned(),
            ));
        }
        [true, false] => activation_operand(activation_at_product, group.relu),
        [false, true] => activation_operand(activation, group.relu),
        [false, false] if place.is_last || recipe.is_float() => {
            Operand { frac_bits: sum_frac_bits, min: 0, max: 0 }
        }
        [false, false] => {
            return Err(fail(
                "neither 'activation.product' nor 'activation' rounds its output for the next product; give one a format"
                    .to_owned(),
            ));
        }
    };
    check_at_product(name, activation_at_product, product.bias)?;
    Ok(BlockPlan {
        columns: None,
        norm: None,
        codes: None,
        name: name.to_owned(),
        index: u32::try_from(place.index).unwrap_or(u32::MAX),
        product,
        pool: group.pool,
        relu: group.relu,
        output: group.output,
        input_operand,
        weight,
        sum_frac_bits,
        activation_at_product,
        activation,
        output_operand,
        error_at_activation: if place.is_last {
            recipe.error_at_loss.of_layer(name)
        } else {
            recipe.error_at_activation.of_layer(name)
        },
        error_at_product: recipe.error_at_product.of_layer(name),
        error_operand: Operand { frac_bits: 0, min: 0, max: 0 },
        gradient: recipe.gradient.of_layer(name),
        momentum: recipe.momentum.of_layer(name),
        update: recipe.update.of_layer(name),
        sums: Sums { forward: Sum { bound: 0 }, error: None, gradient: Sum { bound: 0 } },
        accumulator_bits: recipe.accumulator.of_layer(name).format.bits(),
    })
}

/// What the row `activation.product` cannot be, whatever the others are.
fn check_at_product(name: &str, row: Quantizer, bias: bool) -> Result<(), PlanError> {
    if row.scale == Scale::Dynamic && bias {
        let reason = "its row 'activation.product' finds its power of two in each step, and a bias has one for good; set the \
                      recipe's bias to none";
        return Err(PlanError::Layer { layer: name.to_owned(), reason: reason.to_owned() });
    }
    if row.surrogate == Surrogate::Clipped {
        return Err(refuse_row("activation.product", "'clipped' belongs to the row 'activation'"));
    }
    Ok(())
}

fn product_plan(group: &Group<'_>, biases: Bias) -> ProductPlan {
    let (kind, kernel, stride, pad, bias) = match group.layer.kind {
        LayerKind::Conv { kernel, stride, pad, bias, .. } => (ProductKind::Conv, kernel, stride, pad, bias),
        LayerKind::Linear { bias, .. } => (ProductKind::Linear, 1, 1, 0, bias),
        _ => unreachable!("a group starts with a product"),
    };
    ProductPlan {
        kind,
        input: group.input,
        output: group.product,
        kernel,
        stride,
        pad,
        bias: bias && biases == Bias::Model,
    }
}

pub(super) fn weight_plan(recipe: &Recipe, name: &str, fan_in: usize) -> WeightPlan {
    let master = recipe.master.of_layer(name);
    let read = recipe.weight.of_layer(name);
    let operand = operand_of(if read.format.is_quantized() { read } else { master });
    let alpha_log2 = if read.scale == Scale::Alpha { alpha_log2(fan_in, read.format.bits()) } else { 0 };
    let places = if read.scale == Scale::Fan || master.scale == Scale::Fan { -fan_log2(fan_in) } else { 0 };
    let operand = Operand { frac_bits: operand.frac_bits + places, ..operand };
    WeightPlan { master, read, operand, alpha_log2, places }
}

/// `log2 alpha = max(round(log2(Lmin / L0)), 0)` with `Lmin = 1.5 * 2^(1 - k_W)` and `L0 = sqrt(3 / fan_in)`.
///
/// Differs from the paper (`L0 = sqrt(6 / fan_in)`): the code's logs show `sqrt(3 / fan_in)`.
/// Exact: `(Lmin / L0)^2 = 3 * fan_in * 2^(-2 k_W)`, and `round(x / 2) = floor((x + 1) / 2)` needs only `floor(x)`.
pub(super) fn alpha_log2(fan_in: usize, weight_bits: u32) -> i32 {
    let floor = (3 * fan_in as u64).ilog2().cast_signed();
    ((floor - 2 * weight_bits.cast_signed() + 1).div_euclid(2)).max(0)
}

/// The error at a block's output is cut at the activation, or behind the next block's product, never both.
fn settle_errors(blocks: &mut [BlockPlan], recipe: &Recipe) -> Result<(), PlanError> {
    for i in 0..blocks.len() {
        let own = blocks[i].error_at_activation;
        let cut = match blocks.get(i + 1) {
            None => own,
            Some(next) => match [own, next.error_at_product].map(|q| q.format.is_quantized()) {
                [true, false] => own,
                [false, true] => next.error_at_product,
                _ if recipe.is_float() => own,
                both => {
                    let reason = if both[0] {
                        "both 'error.activation' and 'error.product' cut its error; make one of them exact"
                    } else {
                        "neither 'error.activation' nor 'error.product' cuts its error; give one a format"
                    };
                    return Err(PlanError::Layer {
                        layer: blocks[i].name.clone(),
                        reason: reason.to_owned(),
                    });
                }
            },
        };
        if !recipe.is_float() && !cut.format.is_quantized() {
            return Err(refuse_row(
                "error.loss",
                "the first error needs a format, for example 'unit<8>@shift nearest-even'",
            ));
        }
        blocks[i].error_operand = operand_of(cut);
    }
    Ok(())
}

/// The narrowest arithmetic that holds every operand.
fn arithmetic(blocks: &[BlockPlan], input: Quantizer) -> Arithmetic {
    if input.format == Format::Float32 {
        return Arithmetic::Float32;
    }
    let mut bits = vec![input.format.bits()];
    for b in blocks {
        for q in
            [b.activation_at_product, b.activation, b.error_at_activation, b.error_at_product, b.weight.read]
        {
            if q.format.is_quantized() {
                bits.push(q.format.bits());
            }
        }
        if !b.weight.read.format.is_quantized() {
            bits.push(b.weight.master.format.bits());
        }
    }
    let narrow = bits.iter().all(|bits| *bits <= 8)
        && blocks.iter().all(|b| {
            // One image's gradient is the shortest sum that the kernels' registers must hold on their own.
            [forward_sum(b), error_sum(b), gradient_sum(b, 1)].iter().all(|sum| sum.fits(32))
        });
    if narrow { Arithmetic::Int8 } else { Arithmetic::Int16 }
}

pub(super) fn forward_sum(block: &BlockPlan) -> Sum {
    let bias = if block.product.bias {
        u128::from(block.weight.master.format.magnitude()) << block.bias_shift().clamp(0, 64)
    } else {
        0
    };
    Sum::of_products(
        block.product.fan_in() as u64,
        block.input_operand.magnitude(),
        block.weight.operand.magnitude(),
        bias,
    )
}

pub(super) fn error_sum(block: &BlockPlan) -> Sum {
    let p = &block.product;
    Sum::of_products(
        (p.kernel * p.kernel * p.output.c) as u64,
        block.error_operand.magnitude(),
        block.weight.operand.magnitude(),
        0,
    )
}

pub(super) fn gradient_sum(block: &BlockPlan, batch_size: usize) -> Sum {
    let pixels = block.product.output.h * block.product.output.w * batch_size;
    Sum::of_products(pixels as u64, block.input_operand.magnitude(), block.error_operand.magnitude(), 0)
}

/// Bound: what is laid out for a product is addressed in 32 bits.
pub(super) fn check_addresses(block: &BlockPlan, batch_size: usize) -> Result<(), PlanError> {
    let p = &block.product;
    let padded = |side: usize| side as u128 + 2 * (p.pad + p.kernel) as u128;
    // An error lies `stride` pixels apart, with a kernel's zeros around it.
    let image = (padded(p.input.h) + p.stride as u128)
        * (padded(p.input.w) + p.stride as u128)
        * p.input.c.max(p.output.c) as u128;
    // A linear layer's image is the batch.
    let batch = (batch_size * p.input.c.max(p.output.c)) as u128;
    let sizes = [
        ("weights", p.fan_in() as u128 * p.output.c as u128, "make it smaller"),
        ("bytes in a padded image", 4 * image, "use smaller images"),
        ("elements in a batch", if p.kind == ProductKind::Linear { batch } else { 0 }, "use a smaller batch"),
    ];
    let limit = u128::from(u32::MAX);
    match sizes.into_iter().find(|(_, n, _)| *n > limit) {
        None => Ok(()),
        Some((what, n, remedy)) => {
            let reason = format!("it has {n} {what} and {limit} can be addressed; {remedy}");
            Err(PlanError::Layer { layer: block.name.clone(), reason })
        }
    }
}

pub(super) fn prove(block: &mut BlockPlan, batch_size: usize) -> Result<(), PlanError> {
    check_addresses(block, batch_size)?;
    if block.weight.master.format == Format::Float32 {
        return Ok(());
    }
    let error = (block.index > 0).then(|| error_sum(block));
    block.sums = Sums { forward: forward_sum(block), error, gradient: gradient_sum(block, batch_size) };
    if block.product.bias && block.bias_shift() < 0 {
        let reason = format!(
            "its bias has {} more fractional bits than the sum that it is added to; give input, activation or weight as \
             many more, or leave the bias out",
            -block.bias_shift()
        );
        return Err(PlanError::Layer { layer: block.name.clone(), reason });
    }
    let stated = block.accumulator_bits.min(63);
    let sums = [
        ("forward", "fan-in", Some(block.sums.forward)),
        ("error", "fan-out", block.sums.error),
        ("gradient", "batch", Some(block.sums.gradient)),
    ];
    for (product, remedy, sum) in sums {
        if let Some(sum) = sum.filter(|sum| !sum.fits(stated)) {
            return Err(PlanError::Accumulator {
                layer: block.name.clone(),
                product,
                bound: sum.bound,
                needed: sum.width_bits(),
                stated,
                remedy,
            });
        }
    }
    Ok(())
}

impl BlockPlan {
    /// Places by which a stored bias is moved to the sum's last bit; below 0 it would not fit there.
    #[must_use]
    pub const fn bias_shift(&self) -> i32 {
        self.input_operand.frac_bits + self.weight.operand.frac_bits - self.weight.master_frac_bits()
    }

    /// Whether the loss sees this block's exact sums.
    #[must_use]
    pub const fn has_exact_output(&self) -> bool {
        matches!((self.activation_at_product.format, self.activation.format), (Format::Exact, Format::Exact))
    }
}

/// The loss is the only float operation that an integer recipe may name.
pub(super) const fn loss_is_float(loss: Loss) -> bool {
    matches!(loss, Loss::SoftmaxCrossEntropy)
}

#[cfg(test)]
mod tests {
    use super::alpha_log2;

    #[test]
    fn alpha_of_the_authors_log() {
        for (fan_in, alpha) in [
            (27, 2),
            (1152, 16),
            (2304, 16),
            (4608, 32),
            (8192, 32),
            (1024, 16),
            (25, 2),
            (800, 16),
            (512, 8),
        ] {
            assert_eq!(1 << alpha_log2(fan_in, 2), alpha, "fan-in {fan_in}");
        }
    }
}
