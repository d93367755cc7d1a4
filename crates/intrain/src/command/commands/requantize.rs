//! `intrain requantize`: a quantized array through a quantizer again, and whether it stays what it is.

use std::process::ExitCode;

use crate::formats::pack::Order;
use crate::formats::{Quantized, Way};
use crate::num::block::Coding;
use crate::tensors::{self, Arrays, TensorsError};
use serde_json::json;

use super::quantize::{Changed, with_flags};
use crate::command::args::RequantizeArgs;
use crate::command::failure::Usage;
use crate::command::output::file::{self, Kind, Written};
use crate::command::output::{Output, facts};

pub(crate) fn run(args: &RequantizeArgs, output: &Output) -> anyhow::Result<ExitCode> {
    if let Some(out) = &args.out {
        file::check(&[Written { flag: "--out", path: out, kind: Kind::Package }], &[&args.input])?;
    }
    let coding = |flag: &str, text: &str| {
        text.parse::<Coding>().map_err(|error| Usage(format!("{flag} '{text}' has {error}")))
    };
    let arrays = Arrays::read(&args.input)?;
    let of = match &args.of {
        Some(text) => {
            let coding = with_flags(text, coding("--of", text)?, &args.blocks)?;
            Some(Way { axis: args.blocks.axis.unwrap_or(-1), ..Way::new(coding) })
        }
        None => None,
    };
    let before = arrays.quantized(of)?;
    let way = match &args.format {
        Some(text) => {
            let coding = with_flags(text, coding("--as", text)?, &args.blocks)?;
            Way { coding, axis: args.blocks.axis.unwrap_or(before.way.axis), ..before.way }
        }
        None => {
            let coding = with_flags("", before.way.coding, &args.blocks)?;
            Way { coding, axis: args.blocks.axis.unwrap_or(before.way.axis), ..before.way }
        }
    };
    let after = Quantized::new(&before.values(), &before.shape, &way).map_err(TensorsError::from)?;
    if let Some(path) = &args.out {
        tensors::write_quantized(path, &after, Some(Order::LowFirst))?;
    }
    let comparable = before.codes.len() == after.codes.len() && before.scales.len() == after.scales.len();
    let same_format = comparable && before.way.coding.bits() == way.coding.bits();
    let changed = Changed::between(&before, &after);
    let is_kept = same_format && changed.is_none();
    let lines = [
        ("values", format!("{} of {}", before.codes.len(), before.way)),
        ("quantizer", way.to_string()),
        (
            "again",
            if same_format {
                changed.to_string()
            } else {
                "another format or other blocks: nothing to compare, so --check fails".to_owned()
            },
        ),
    ];
    let object = json!({
        "file": args.input.display().to_string(), "of": before.way.to_string(), "quantizer": way.to_string(), "kept": is_kept,
        "changed_scales": changed.scales, "changed_codes": changed.codes, "scales": before.scales.len(), "n": before.codes.len(),
    });
    output.finish(&facts(&lines), &object)?;
    Ok(if args.check && !is_kept { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
