//! `intrain gemm`: the product of two quantized matrices, and how far a machine's sums are from the exact one.

use std::process::ExitCode;

use crate::formats::product::{Accumulate, compare, product};
use crate::tensors::{self, Arrays};
use serde_json::json;

use crate::command::args::GemmArgs;
use crate::command::failure::Usage;
use crate::command::output::file::{self, Kind, Written};
use crate::command::output::{Output, facts, grouped, percent};

pub(crate) fn run(args: &GemmArgs, output: &Output) -> anyhow::Result<ExitCode> {
    let how: Accumulate = args
        .accumulate
        .parse()
        .map_err(|error| Usage(format!("--accumulate '{}' is {error}", args.accumulate)))?;
    if let Some(out) = &args.out {
        file::check(&[Written { flag: "--out", path: out, kind: Kind::Npy }], &[&args.a, &args.b])?;
    }
    let (a, b) = (Arrays::read(&args.a)?.quantized(None)?, Arrays::read(&args.b)?.quantized(None)?);
    let refused = |error| Usage(format!("{} by {}: {error}", args.a.display(), args.b.display()));
    let y = product(&a, &b, how).map_err(refused)?;
    let m = a.shape.first().copied().unwrap_or(1);
    let shape = [m, y.len().checked_div(m).unwrap_or(0)];
    if let Some(path) = &args.out {
        tensors::write_values(path, &shape, &y)?;
    }
    let mut lines = vec![
        ("A", format!("{:?} {}", a.shape, a.way)),
        ("B", format!("{:?} {}", b.shape, b.way)),
        ("result", format!("{shape:?}, {how}")),
    ];
    let mut object = json!({
        "a": a.way.to_string(), "b": b.way.to_string(), "shape": shape, "accumulate": how.to_string(),
        "out": args.out.as_ref().map(|path| path.display().to_string()),
    });
    if how != Accumulate::Exact {
        // Formats too wide for exact sums have nothing to compare with.
        match product(&a, &b, Accumulate::Exact) {
            Ok(exact) => {
                let found = compare(&y, &exact);
                let n = grouped(found.different as u64);
                lines.push(("not exact", format!("{n} outputs ({})", percent(found.share()))));
                lines.push((
                    "largest",
                    format!(
                        "{} ulps of binary32, {:e} of the exact output",
                        grouped(found.ulps),
                        found.relative
                    ),
                ));
                object["different"] = json!(found.different);
                object["different_share"] = json!(found.share());
                object["ulps"] = json!(found.ulps);
                object["relative"] = json!(found.relative);
            }
            Err(error) => lines.push(("exact", format!("not compared: {error}"))),
        }
        if matches!(how, Accumulate::Truncated { .. }) {
            lines.push(("model", "of tensor cores, by published probes; no hardware was run".to_owned()));
        }
    }
    output.finish(&facts(&lines), &object)?;
    Ok(ExitCode::SUCCESS)
}
