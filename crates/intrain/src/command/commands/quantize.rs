//! `intrain quantize`: an array through a quantizer, and what that cost.

mod floats;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::array::{self, Array, ArrayError, Values};
use crate::formats::fixed::{Fixed, Measured, Unfit};
use crate::num::random::{Purpose, Stream};
use crate::num::{Quantizer, Scale};
use serde_json::json;

use crate::command::args::QuantizeArgs;
use crate::command::failure::Usage;
use crate::command::output::file::{self, Kind, Written, is_package};
use crate::command::output::{Output, facts, grouped, percent};

pub(crate) use floats::{Changed, with_flags};

/// Significant bits of a float32 and of a float64.
const F32_BITS: u32 = 24;
const F64_BITS: u32 = 53;

pub(crate) fn run(args: &QuantizeArgs, output: &Output) -> anyhow::Result<ExitCode> {
    check_outputs(args)?;
    if let Some(target) = floats::target(&args.format) {
        return floats::run(args, target?, output);
    }
    refuse_flags_of_blocks(args)?;
    let fixed = Fixed::new(&args.format, &args.round, &args.overflow)
        .map_err(|error| floats::with_other_formats(&error, &args.format))?;
    let quantizer = fixed.quantizer();
    let array = Array::read(&args.input)?;
    let (codes, measured) = quantized(args, &fixed, &array)?;
    let n_inexact = write_values(args, &array, quantizer, &codes)?;
    write_codes(args, &array, &codes)?;

    let s = measured.statistics;
    let count = |count: u64| {
        if s.n == 0 { "0".to_owned() } else { format!("{} ({})", grouped(count), percent(s.share(count))) }
    };
    let mut lines = vec![
        (
            "values",
            format!("{} of {}, shape {:?}", grouped(s.n), array.values.type_name(), array.layout.shape),
        ),
        ("quantizer", quantizer.to_string()),
        ("step", format!("2^{}", -quantizer.format.frac_bits())),
    ];
    if quantizer.scale == Scale::Shift {
        lines.push(("scale", format!("2^{}, thrown away: errors are of x / scale", measured.scale_log2)));
    }
    lines.extend([
        ("bias", format!("{:e} (mean of q - x)", s.bias)),
        ("mean square", format!("{:e}", s.mse)),
        ("largest error", format!("{:e}", s.error_max)),
        ("saturated", count(s.saturated)),
        ("zeros", count(s.zeros)),
        ("ties", count(s.ties)),
        ("payloads", format!("{} to {}", s.code_min, s.code_max)),
    ]);
    if s.infinite > 0 {
        lines.push(("infinite", format!("{}, in no error", count(s.infinite))));
    }
    if n_inexact > 0 {
        lines.push((
            "inexact",
            format!(
                "{} in --out: more bits than {} holds; use --payload",
                count(n_inexact),
                array.values.type_name()
            ),
        ));
    }
    // A path that is no UTF-8 can't be in JSON as it is.
    let text = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
    let object = json!({
        "file": args.input.display().to_string(), "n": s.n, "shape": array.layout.shape, "type": array.values.type_name(),
        "quantizer": quantizer.to_string(), "seed": args.seed,
        "step_log2": -quantizer.format.frac_bits(), "scale_log2": measured.scale_log2,
        "bias": s.bias, "mse": s.mse, "error_max": s.error_max,
        "saturated": s.saturated, "saturated_share": s.share(s.saturated),
        "zeros": s.zeros, "zeros_share": s.share(s.zeros), "ties": s.ties, "infinite": s.infinite,
        "payload_min": s.code_min, "payload_max": s.code_max,
        "out": text(&args.out), "payload": text(&args.payload), "inexact": n_inexact,
    });
    output.finish(&facts(&lines), &object)?;
    Ok(ExitCode::SUCCESS)
}

/// Refuses outputs that would replace the input, each other, or a file of another kind.
fn check_outputs(args: &QuantizeArgs) -> Result<(), Usage> {
    let of_values = args.format.starts_with("qtorch");
    let out_kind = |path: &Path| if is_package(path) && !of_values { Kind::Package } else { Kind::Npy };
    let files = [
        ("--out", &args.out, args.out.as_deref().map_or(Kind::Npy, out_kind)),
        ("--payload", &args.payload, Kind::Npy),
        ("--scales", &args.scales, Kind::Npy),
    ];
    let written = |(flag, path, kind): (&'static str, &'_ Option<PathBuf>, Kind)| {
        path.as_deref().map(|path| (flag, path.to_owned(), kind))
    };
    let files: Vec<_> = files.into_iter().filter_map(written).collect();
    let files: Vec<Written<'_>> =
        files.iter().map(|(flag, path, kind)| Written { flag, path, kind: *kind }).collect();
    file::check(&files, &[&args.input])
}

/// Refuses flags that mean nothing for a fixed-point format.
fn refuse_flags_of_blocks(args: &QuantizeArgs) -> Result<(), Usage> {
    let blocks = &args.blocks;
    for (flag, is_there) in [
        ("--scale-rule", blocks.scale_rule.is_some()),
        ("--axis", blocks.axis.is_some()),
        ("--tile", blocks.tile.is_some()),
        ("--profile", blocks.profile.is_some()),
        ("--scales", args.scales.is_some()),
        ("--nan", args.nan.is_some()),
        ("--pack", args.pack.is_some()),
    ] {
        if is_there {
            let problem = "belongs to floats and blocks; leave it out, or name a format of `intrain formats`";
            return Err(Usage(format!("{flag} {problem}, not {}", args.format)));
        }
    }
    if let Some(out) = args.out.as_ref().filter(|out| is_package(out)) {
        let problem =
            "codes with scales are written of floats and blocks; write values to a name that ends in .npy";
        return Err(Usage(format!("--out {}: {problem}", out.display())));
    }
    Ok(())
}

/// Codes as `--payload` has them: of 32 bits where those of the format fit.
enum Codes {
    I32(Vec<i32>),
    I64(Vec<i64>),
}

impl Codes {
    const fn len(&self) -> usize {
        match self {
            Self::I32(codes) => codes.len(),
            Self::I64(codes) => codes.len(),
        }
    }

    fn get(&self, i: usize) -> i64 {
        match self {
            Self::I32(codes) => codes[i].into(),
            Self::I64(codes) => codes[i],
        }
    }
}

fn quantized(args: &QuantizeArgs, fixed: &Fixed, array: &Array) -> Result<(Codes, Measured), ArrayError> {
    let refuse = |unfit: Unfit| ArrayError::Input { path: args.input.clone(), problem: unfit.to_string() };
    let (numbers, stream) = (array.values.numbers(), Some(Stream::new(args.seed, Purpose::Tool, 0, 0)));
    Ok(if fixed.quantizer().format.bits() <= 32 {
        let mut codes = vec![0; numbers.len()];
        let measured = fixed.measure(numbers, stream, &mut codes).map_err(refuse)?;
        (Codes::I32(codes), measured)
    } else {
        let mut codes = vec![0; numbers.len()];
        let measured = fixed.measure(numbers, stream, &mut codes).map_err(refuse)?;
        (Codes::I64(codes), measured)
    })
}

/// Writes `payload * step`; gives how many of them the type cannot hold exactly.
fn write_values(
    args: &QuantizeArgs,
    array: &Array,
    quantizer: &Quantizer,
    codes: &Codes,
) -> Result<u64, ArrayError> {
    let Some(path) = &args.out else { return Ok(0) };
    let codes = || (0..codes.len()).map(|i| codes.get(i));
    let values = codes().map(|p| quantizer.value(p).to_f64());
    let bits = if matches!(array.values, Values::F32(_)) {
        #[allow(
            clippy::cast_possible_truncation,
            reason = "the input's type is asked for; what is lost is counted"
        )]
        array::write(path, &array.layout, values.map(|v| v as f32))?;
        F32_BITS
    } else {
        array::write(path, &array.layout, values)?;
        F64_BITS
    };
    let significant = |p: i64| 64 - p.unsigned_abs().leading_zeros() - p.trailing_zeros().min(63);
    Ok(codes().filter(|p| *p != 0 && significant(*p) > bits).count() as u64)
}

fn write_codes(args: &QuantizeArgs, array: &Array, codes: &Codes) -> Result<(), ArrayError> {
    let Some(path) = &args.payload else { return Ok(()) };
    match codes {
        Codes::I32(codes) => array::write(path, &array.layout, codes.iter().copied())?,
        Codes::I64(codes) => array::write(path, &array.layout, codes.iter().copied())?,
    }
    Ok(())
}
