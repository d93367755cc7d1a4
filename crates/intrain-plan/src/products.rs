//! Products as nodes: what is fused behind their sums, which row rounds them, and in which form the result is kept.

use intrain_model::{Layer, LayerKind, Logits, Shape};
use intrain_num::{Quantizer, Scale, Surrogate};

use crate::block::{BlockPlan, Operand};
use crate::build::{Builder, Made};
use crate::error::{PlanError, refuse, refuse_row};
use crate::floats;
use crate::formats::{NOTHING, activation_operand, block, operand_of, product_plan, weight_plan};
use crate::fuse::Fused;
use crate::names::Layout;
use crate::node::{Element, Epilogue, ErrorPath, ErrorRule, Op, Product, Storage};

impl Builder<'_> {
    /// The node of a product, and its block.
    pub(crate) fn product(
        &mut self,
        layer: &Layer,
        shapes: [Shape; 2],
        first: usize,
        (fused, is_last): (Fused, bool),
    ) -> Result<Made, PlanError> {
        let (recipe, name) = (self.recipe, layer.name.as_str());
        let product = product_plan(layer.kind, shapes, recipe.bias)
            .unwrap_or_else(|| unreachable!("the caller has seen that it is a product"));
        self.expect(layer, first, false)?;
        let (entering, finds_unit) = (self.nodes[first].operand, self.nodes[first].finds_unit);
        let index = self.blocks.len();
        let error = ErrorPath {
            at_output: recipe.error_at_activation.of_layer(name),
            at_input: recipe.error_at_product.of_layer(name),
            rule: ErrorRule::None,
        };
        let (pool, relu) = (fused.pool, fused.relu.is_some());
        if recipe.is_float() {
            let weight = floats::weight(recipe, name)?;
            let operands = floats::operands(recipe, self.entering, name, &product);
            let block = block(recipe, name, index, product, weight, NOTHING);
            self.blocks.push(BlockPlan { operands, ..block });
            let (at_product, activation) = (Quantizer::FLOAT, Quantizer::FLOAT);
            let epilogue = Epilogue { at_product, pool, relu, activation };
            return Ok((Op::Product(Product { block: index, epilogue, error }), NOTHING, Storage::Floats));
        }
        let weight = weight_plan(recipe, name, product.fan_in());
        let mut block = block(recipe, name, index, product, weight, entering);
        block.sum_frac_bits = entering.frac_bits + weight.operand.frac_bits + weight.alpha_log2;
        let (epilogue, operand, storage) = self.epilogue(layer, &block, (fused, is_last), finds_unit)?;
        self.blocks.push(block);
        Ok((Op::Product(Product { block: index, epilogue, error }), operand, storage))
    }

    /// How the sums of a product of integers are rounded, and what leaves it; a step may find the unit of what enters.
    fn epilogue(
        &self,
        layer: &Layer,
        block: &BlockPlan,
        (fused, is_last): (Fused, bool),
        finds_unit: bool,
    ) -> Result<(Epilogue, Operand, Storage), PlanError> {
        let (recipe, name) = (self.recipe, layer.name.as_str());
        let relu = fused.relu.is_some();
        let is_chain = self.layout == Layout::Chain;
        let activation_name = match fused.relu {
            Some(relu) if !is_chain => &self.model.layers[relu].name,
            _ => name,
        };
        let at_product = recipe.activation_at_product.of_layer(name);
        let exact = Operand { frac_bits: block.sum_frac_bits, min: 0, max: 0 };
        let has_bound = recipe.error_at_product.of_layer(name).scale == Scale::Bound;
        let ends_exactly = is_last && (has_bound || self.model.logits == Logits::Exact);
        let activation =
            if ends_exactly { Quantizer::EXACT } else { recipe.activation.of_layer(activation_name) };
        let at_product = if is_last && has_bound { Quantizer::EXACT } else { at_product };
        check_at_product(at_product)?;
        if block.product.bias && (at_product.scale == Scale::Dynamic || finds_unit) {
            return Err(refuse(name, BIAS_WORDS));
        }
        let mut epilogue = Epilogue { at_product, pool: fused.pool, relu, activation };
        if !is_last && !is_chain && fused.last.is_none() && self.is_wide(layer) {
            if !at_product.format.is_quantized() {
                return Err(refuse(name, exact_words(&recipe.name)));
            }
            epilogue.activation = Quantizer::EXACT;
            return Ok((epilogue, operand_of(at_product), Storage::Wide));
        }
        let operand = match [at_product, activation].map(|q| q.format.is_quantized()) {
            [true, true] => return Err(refuse(name, self.two_roundings())),
            [true, false] => activation_operand(at_product, relu),
            [false, true] => activation_operand(activation, relu),
            [false, false] if is_last => return Ok((epilogue, exact, Storage::Accumulators(Element::I64))),
            [false, false] => return Err(refuse(name, self.no_rounding())),
        };
        Ok((epilogue, operand, self.stored(operand)))
    }

    fn two_roundings(&self) -> String {
        match self.layout {
            Layout::Chain => {
                "both 'activation.product' and 'activation' round its output; make one of them exact".to_owned()
            }
            _ => "its result has 16 bits, and what reads it is no norm, sum or ReLU; put a ReLU between them, which rounds \
                  it for the next product, or make one of the rows 'activation.product' and 'activation' exact"
                .to_owned(),
        }
    }

    fn no_rounding(&self) -> String {
        match self.layout {
            Layout::Chain => {
                "neither 'activation.product' nor 'activation' rounds its output for the next product; give one a format"
                    .to_owned()
            }
            _ => exact_words(&self.recipe.name),
        }
    }

    /// Whether what a product leaves is rounded once more: a norm, a sum or a ReLU reads it.
    fn is_wide(&self, layer: &Layer) -> bool {
        let layers = &self.model.layers;
        let at = layers.iter().position(|other| other.name == layer.name).unwrap_or(0);
        let reads = |reader: &usize, place: usize| {
            self.model.sources().is_ok_and(|sources| sources[*reader].contains(&(place + 1)))
        };
        let mut place = at;
        loop {
            let mut readers = (0..layers.len()).filter(|reader| reads(reader, place));
            let Some(reader) = readers.next() else { return false };
            match layers[reader].kind {
                LayerKind::BatchNorm { .. } | LayerKind::LayerNorm { .. } | LayerKind::Add => return true,
                kind if kind.is_activation() => return true,
                LayerKind::MaxPool { .. } | LayerKind::Flatten => place = reader,
                _ => return false,
            }
        }
    }
}

fn exact_words(recipe: &str) -> String {
    format!(
        "the recipe '{recipe}' leaves the row 'activation.product' exact, and in a network with norms or sums what leaves a \
         product is rounded to 16 bits; use intrain-int8, wage-l1bn or wage-rangebn, a float recipe, or give the row a \
         format such as 'fixed<8,8> nearest-down'"
    )
}

const BIAS_WORDS: &str = "a step finds the power of two of its sums, as a row 'activation.product' is @dynamic, and a bias has \
                          one for good; set the recipe's bias to none";

/// What the row `activation.product` cannot be, whatever the others are.
fn check_at_product(row: Quantizer) -> Result<(), PlanError> {
    if row.surrogate == Surrogate::Clipped {
        return Err(refuse_row("activation.product", "'clipped' belongs to the row 'activation'"));
    }
    Ok(())
}
