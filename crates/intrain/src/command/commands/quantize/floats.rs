//! `intrain quantize` to floats and blocks: codes with scales, values, and what was lost.

use std::process::ExitCode;

use crate::formats::fixed::{FixedError, Part};
use crate::formats::pack::{self, Order};
use crate::formats::spec::{did_you_mean, nearest_name, nearest_rule, rule_of, with_overflow};
use crate::formats::{PROFILES, Profile, Qtorch, Quantized, Way};
use crate::kernels::blocks::Statistics;
use crate::num::block::{Coding, CodingError, Extent};
use crate::num::minifloat::{FloatOverflow, FloatRound};
use crate::num::random::{Purpose, Stream};
use crate::tensors::{self, Arrays};
use serde_json::{Value, json};

use crate::command::args::{BlockArgs, QuantizeArgs};
use crate::command::failure::Usage;
use crate::command::output::file::is_package;
use crate::command::output::{Output, facts, grouped, percent};

/// What `--as` names here.
pub(super) enum Target {
    Coding(Coding),
    Qtorch(Qtorch),
}

/// The float or block that a text names; `None` for one that may be a fixed-point format.
pub(super) fn target(text: &str) -> Option<Result<Target, Usage>> {
    if text.starts_with("qtorch") {
        return Some(
            text.parse().map(Target::Qtorch).map_err(|error| Usage(format!("--as '{text}' is {error}"))),
        );
    }
    match text.parse::<Coding>() {
        // float32 belongs to recipes and quantizes nothing.
        Ok(_) if text == "float32" => None,
        Ok(coding) => Some(Ok(Target::Coding(coding))),
        Err(CodingError::Name) => None,
        // A name that is known, with something behind it that is not.
        Err(error) => Some(Err(wrong_coding("--as", text, error))),
    }
}

/// The error of a text that is no fixed-point format either, with the nearest name of a float or a block.
pub(super) fn with_other_formats(error: &FixedError, text: &str) -> Usage {
    let flag = flag_of(error.part());
    match error {
        FixedError::Spelling { part: Part::Format, .. } => {
            Usage(format!("{flag} {error}{}", did_you_mean(nearest_name(text))))
        }
        _ => Usage(format!("{flag} {error}")),
    }
}

/// The flag that says a part of a quantizer.
const fn flag_of(part: Part) -> &'static str {
    match part {
        Part::Format => "--as",
        Part::Round => "--round",
        Part::Overflow => "--overflow",
    }
}

/// What is wrong about a format, with the nearest rule where it is one.
fn wrong_coding(flag: &str, text: &str, error: CodingError) -> Usage {
    let nearest = did_you_mean(nearest_rule(text, error));
    // A flag of its own says the rule alone.
    if flag == "--scale-rule" {
        return Usage(format!("{flag} '{}' is {error}{nearest}", rule_of(text).unwrap_or(text)));
    }
    Usage(format!("{flag} '{text}' has {error}{nearest}"))
}

/// A coding with the choices of flags.
pub(crate) fn with_flags(text: &str, coding: Coding, args: &BlockArgs) -> Result<Coding, Usage> {
    let mut coding = coding;
    if let Some(name) = &args.profile {
        let profile = Profile::named(name).ok_or_else(|| {
            let known: Vec<&str> = PROFILES.iter().map(|profile| profile.name).collect();
            let nearest = known.iter().min_by_key(|known| strsim::damerau_levenshtein(known, name));
            Usage(format!(
                "--profile '{name}' is none; did you mean '{}'? There are {}",
                nearest.copied().unwrap_or_default(),
                known.join(", ")
            ))
        })?;
        if profile.overflow == FloatOverflow::SatNone && coding.extent().is_some() {
            return Err(Usage(format!(
                "--profile {name}: it says what floats do, and {coding} is a block; leave it out"
            )));
        }
        coding = profile.apply(coding, text.contains('@'));
    }
    if let Some(rule) = &args.scale_rule {
        if text.contains('@') {
            return Err(Usage(format!("--scale-rule {rule}: {text} says its rule; leave one of them out")));
        }
        if matches!(coding, Coding::Plain { .. }) {
            let other = if coding.bits() <= 8 {
                format!(", or {coding}@{rule} for one scale of the whole tensor")
            } else {
                String::new()
            };
            return Err(Usage(format!(
                "--scale-rule {rule}: {coding} has no scale; write a block such as mxfp8{other}"
            )));
        }
        coding = coding.with_rule(rule).map_err(|error| {
            let name = if matches!(coding, Coding::Nvfp4 { .. }) { "nvfp4" } else { "mx" };
            wrong_coding("--scale-rule", &format!("{name}@{rule}"), error)
        })?;
    }
    if let Some(tile) = &args.tile {
        if text.contains('/') {
            return Err(Usage(format!(
                "--tile {tile}: {text} says what shares a scale; leave one of them out"
            )));
        }
        let extent: Extent = tile.parse().map_err(|error| Usage(format!("--tile '{tile}' is {error}")))?;
        coding = coding.with_extent(extent).map_err(|_| {
            Usage(format!("--tile {tile}: {coding} has no such blocks; nvfp4 has runs of 16 or tiles of 16x16, floats have none"))
        })?;
    }
    Ok(coding)
}

/// Quantizes and reports.
pub(super) fn run(args: &QuantizeArgs, target: Target, output: &Output) -> anyhow::Result<ExitCode> {
    let arrays = Arrays::read(&args.input)?;
    let (values, shape) = arrays.floats()?;
    match target {
        Target::Qtorch(qtorch) => run_qtorch(args, qtorch, (&values, &shape), output)?,
        Target::Coding(coding) => run_coding(args, coding, (values, &shape), output)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn run_qtorch(
    args: &QuantizeArgs,
    qtorch: Qtorch,
    (values, shape): (&[f32], &[usize]),
    output: &Output,
) -> anyhow::Result<()> {
    let stream = match &args.round[..] {
        "nearest-even" | "nearest" => None,
        "stochastic" => Some(Stream::new(args.seed, Purpose::Tool, 0, 0)),
        other => {
            return Err(Usage(format!(
                "--round {other}: QPyTorch has nearest and stochastic; write one of them"
            ))
            .into());
        }
    };
    if args.payload.is_some()
        || args.scales.is_some()
        || args.blocks.scale_rule.is_some()
        || args.blocks.tile.is_some()
    {
        let problem = "QPyTorch's functions give values, no codes and scales; write them with --out FILE.npy";
        return Err(Usage(format!("--as {qtorch}: {problem}")).into());
    }
    let quantized = qtorch
        .quantize(values, shape, args.blocks.axis.unwrap_or(-1), stream)
        .map_err(tensors::TensorsError::from)?;
    if let Some(path) = &args.out {
        tensors::write_values(path, shape, &quantized)?;
    }
    let error = Errors::of(values, &quantized);
    let mut lines = vec![("values", described(values.len(), shape)), ("quantizer", qtorch.to_string())];
    lines.extend(error.lines());
    let mut object = json!({"file": args.input.display().to_string(), "n": values.len(), "shape": shape, "quantizer": qtorch.to_string()});
    error.add_to(&mut object);
    output.finish(&facts(&lines), &object)?;
    Ok(())
}

fn run_coding(
    args: &QuantizeArgs,
    coding: Coding,
    (mut values, shape): (Vec<f32>, &[usize]),
    output: &Output,
) -> anyhow::Result<()> {
    let coding = with_overflow(with_flags(&args.format, coding, &args.blocks)?, &args.overflow)
        .map_err(|error| Usage(format!("{} {error}", flag_of(error.part()))))?;
    let round: FloatRound =
        args.round.parse().map_err(|error| Usage(format!("--round '{}' is {error}", args.round)))?;
    let axis = args.blocks.axis.unwrap_or(-1);
    let way = Way { round, axis, seed: args.seed, ..Way::new(coding) };
    check_packing(args, &coding)?;
    settle_nan(args, &coding, &mut values)?;
    let quantized = Quantized::new(&values, shape, &way).map_err(tensors::TensorsError::from)?;
    let decoded = quantized.values();
    write(args, &quantized, &decoded)?;

    let statistics = quantized.statistics(&values, &decoded);
    let error = Errors::of(&values, &decoded);
    let again = quantized.again().map_err(tensors::TensorsError::from)?;
    let changed = Changed::between(&quantized, &again);
    let mut lines = vec![("values", described(values.len(), shape)), ("quantizer", way.to_string())];
    if let Coding::Plain { overflow, .. } = coding {
        lines.push(("overflow", overflow.to_string()));
    }
    lines.extend(of_blocks(&quantized, &statistics));
    lines.extend(error.lines());
    let share = |count: u64, of: u64| {
        if of == 0 { "0".to_owned() } else { format!("{} ({})", grouped(count), percent(ratio(count, of))) }
    };
    let n = values.len() as u64;
    lines.push(("clipped", share(statistics.clipped, n)));
    lines.push((
        "zeros",
        format!("{}, {} of them from other numbers", share(statistics.zeros, n), grouped(statistics.flushed)),
    ));
    let lost = values.iter().zip(&decoded).filter(|(x, q)| x.is_nan() && !q.is_nan()).count() as u64;
    if lost > 0 {
        lines.push(("NaN", format!("{}, of which {coding} has none: its largest value", grouped(lost))));
    }
    lines.push(("again", changed.to_string()));
    let mut object = json!({
        "file": args.input.display().to_string(), "n": n, "shape": shape, "quantizer": way.to_string(), "format": coding.to_string(),
        "round": round.to_string(), "axis": way.axis, "seed": args.seed, "blocks": statistics.blocks,
        "clipped_blocks": statistics.clipped_blocks, "clipped": statistics.clipped, "zeros": statistics.zeros,
        "flushed": statistics.flushed, "nan_blocks": statistics.nan_blocks, "tensor_scale": quantized.factor,
        "scales": quantized.scales.len(), "scale_shape": quantized.scale_shape(),
        "again_changed_scales": changed.scales, "again_changed_codes": changed.codes,
    });
    error.add_to(&mut object);
    output.finish(&facts(&lines), &object)?;
    Ok(())
}

/// Refuses an order of codes that changes nothing.
fn check_packing(args: &QuantizeArgs, coding: &Coding) -> Result<(), Usage> {
    if args.pack.as_deref() != Some("high-first") {
        return Ok(());
    }
    let problem = match coding.bits() {
        4 if args.out.as_deref().is_some_and(is_package) => return Ok(()),
        4 => {
            "only a file with codes and scales is packed; write --out FILE.npz or FILE.safetensors".to_owned()
        }
        6 => format!(
            "codes of {coding} have 6 bits, which are packed from the lowest on; write low-first or none"
        ),
        bits => format!("codes of {coding} have {bits} bits and are not packed; leave it out"),
    };
    Err(Usage(format!("--pack high-first: {problem}")))
}

/// Refuses NaN, or makes it what `--nan` says.
fn settle_nan(args: &QuantizeArgs, coding: &Coding, values: &mut [f32]) -> Result<(), Usage> {
    match args.nan.as_deref() {
        Some("propagate") => Ok(()),
        Some("max") => {
            // A scale is chosen by the largest number, which must not be one that is none.
            let finite = values.iter().filter(|x| x.is_finite());
            let largest =
                if coding.extent().is_none() { f32::MAX } else { finite.fold(0.0f32, |a, x| a.max(x.abs())) };
            values.iter_mut().filter(|x| x.is_nan()).for_each(|x| *x = largest);
            Ok(())
        }
        _ => match tensors::first_nan(values) {
            None => Ok(()),
            Some(i) => Err(Usage(format!(
                "{}: element {i} is NaN; replace it, as with numpy.nan_to_num, or write --nan propagate (NaN where the format \
                 has it) or --nan max",
                args.input.display()
            ))),
        },
    }
}

fn write(args: &QuantizeArgs, quantized: &Quantized, decoded: &[f32]) -> anyhow::Result<()> {
    let order = match args.pack.as_deref() {
        Some("none") => None,
        Some("high-first") => Some(Order::HighFirst),
        _ => Some(Order::LowFirst),
    };
    if let Some(path) = &args.out {
        if is_package(path) {
            tensors::write_quantized(path, quantized, order)
                .map_err(|error| packing_remedy(error, quantized))?;
        } else {
            tensors::write_values(path, &quantized.shape, decoded)?;
        }
    }
    if let Some(path) = &args.payload {
        tensors::write_codes(path, &quantized.shape, &quantized.codes)?;
    }
    if let Some(path) = &args.scales {
        if quantized.way.coding.extent().is_none() {
            return Err(
                Usage(format!("--scales: {} has no scale; leave it out", quantized.way.coding)).into()
            );
        }
        tensors::write_bytes(path, &quantized.scale_shape(), &quantized.scales)?;
    }
    Ok(())
}

/// Rows that end within a byte can be written unpacked.
fn packing_remedy(error: tensors::TensorsError, quantized: &Quantized) -> anyhow::Error {
    if matches!(error, tensors::TensorsError::Pack(_)) && pack::is_packed(quantized.way.coding.bits()) {
        return Usage(format!("--out: {error}, or write --pack none")).into();
    }
    error.into()
}

fn described(n: usize, shape: &[usize]) -> String {
    format!("{}, shape {shape:?}", grouped(n as u64))
}

fn ratio(count: u64, of: u64) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "counts below 2^53")]
    let ratio = count as f64 / of as f64;
    ratio
}

/// Lines about blocks: their number, those that were clipped, and whether the axis is a multiple of them.
fn of_blocks(quantized: &Quantized, statistics: &Statistics) -> Vec<(&'static str, String)> {
    let Some(extent) = quantized.way.coding.extent() else { return vec![] };
    let mut lines = vec![("blocks", {
        let clipped =
            if statistics.blocks == 0 { 0.0 } else { ratio(statistics.clipped_blocks, statistics.blocks) };
        format!(
            "{}, {} of them clipped ({})",
            grouped(statistics.blocks),
            grouped(statistics.clipped_blocks),
            percent(clipped)
        )
    })];
    if let Extent::Run(n) | Extent::Tile(n) = extent {
        let (len, n) = (quantized.axis().len, n as usize);
        if len % n != 0 {
            lines.push((
                "padding",
                format!("the axis of {len} is no multiple of {n}: its last block has {} elements, as if zeros followed", len % n),
            ));
        }
    }
    if matches!(quantized.way.coding, Coding::Nvfp4 { .. }) {
        lines.push(("tensor scale", format!("{:e}", quantized.factor)));
    }
    if statistics.nan_blocks > 0 {
        lines.push(("NaN blocks", grouped(statistics.nan_blocks)));
    }
    lines
}

/// The error `q - x` over the elements whose numbers are finite.
struct Errors {
    bias: f64,
    mse: f64,
    max: f64,
}

impl Errors {
    fn of(values: &[f32], decoded: &[f32]) -> Self {
        let (mut sum, mut squares, mut max, mut n) = (0.0, 0.0, 0.0f64, 0u64);
        for (x, q) in values.iter().zip(decoded) {
            let error = f64::from(*q) - f64::from(*x);
            if error.is_finite() {
                (sum, squares, max, n) = (sum + error, squares + error * error, max.max(error.abs()), n + 1);
            }
        }
        #[allow(clippy::cast_precision_loss, reason = "counts below 2^53")]
        let n = n as f64;
        Self { bias: sum / n, mse: squares / n, max }
    }

    fn lines(&self) -> [(&'static str, String); 3] {
        [
            ("bias", format!("{:e} (mean of q - x)", self.bias)),
            ("mean square", format!("{:e}", self.mse)),
            ("largest error", format!("{:e}", self.max)),
        ]
    }

    fn add_to(&self, object: &mut Value) {
        object["bias"] = json!(self.bias);
        object["mse"] = json!(self.mse);
        object["error_max"] = json!(self.max);
    }
}

/// What another pass changes.
pub(crate) struct Changed {
    pub(crate) scales: u64,
    pub(crate) codes: u64,
    of: [u64; 2],
}

impl Changed {
    pub(crate) fn between(a: &Quantized, b: &Quantized) -> Self {
        let scales = a.scales.iter().zip(&b.scales).filter(|(a, b)| a != b).count();
        let codes = (0..a.codes.len()).filter(|i| a.codes.get(*i) != b.codes.get(*i)).count();
        Self { scales: scales as u64, codes: codes as u64, of: [a.scales.len() as u64, a.codes.len() as u64] }
    }

    pub(crate) const fn is_none(&self) -> bool {
        self.scales == 0 && self.codes == 0
    }
}

impl std::fmt::Display for Changed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.is_none() {
            return f.write_str("quantized again, nothing changes");
        }
        let part = |count: u64, of: u64, what: &str| {
            let share = if of == 0 { 0.0 } else { ratio(count, of) };
            format!("{} of {} {what} ({})", grouped(count), grouped(of), percent(share))
        };
        write!(
            f,
            "quantized again, {} and {} change: keep the scales with the tensor",
            part(self.scales, self.of[0], "scales"),
            part(self.codes, self.of[1], "codes")
        )
    }
}
