//! `intrain predict`: what a trained network answers to images, with every rounding as deployed.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::answers::Answers;
use crate::data::{self, DataError, Encoder, ImageShape, SingleImages, TableRows};
use crate::nn::{Context, Logits, Plan};
use crate::train::atomic_write;
use crate::train::logits;
use crate::train::saved::SavedModel;
use crate::train::session::EVALUATION_BATCH;
use serde_json::json;

use crate::command::args::PredictArgs;
use crate::command::failure::Usage;
use crate::command::output::{Output, check_written, say, table};
use crate::command::settings::{context, files_of, load_part, open_model, tell_of_trailing_statistics};

/// Exit code where a file could not be read, and the others are answered.
const UNREAD: u8 = 1;
/// Rows that are printed; a file has all of them.
const ROWS: usize = 50;

pub(crate) fn run(args: &PredictArgs, output: &Output) -> anyhow::Result<ExitCode> {
    let context = context(args.compute.threads, args.compute.kernel.as_deref())?;
    let saved = open_model(&args.network)?;
    tell_of_trailing_statistics(&saved, &args.network);
    let files = files(&args.images)?;
    check_files(args, &files)?;
    let (images, unread) = match &args.data {
        Some(data) => (of_data(data, &args.split, &saved)?, vec![]),
        None => of_files(&files, &saved)?,
    };
    let n_classes = saved.model.n_classes()?;
    let logits = answers(Plan::build(&saved.model, &saved.recipe, 1)?, &saved, &context, &images)?;
    let names: Vec<String> =
        (0..n_classes).map(|i| saved.classes.get(i).cloned().unwrap_or_else(|| i.to_string())).collect();
    let values = logits.to_f64();
    let answers: Vec<Answer> = images
        .names
        .iter()
        .zip(values.chunks_exact(n_classes))
        .enumerate()
        .map(|(i, (name, row))| Answer::of(name, images.labels.get(i).copied(), row, &names))
        .collect();
    if let Some(path) = &args.out {
        atomic_write(path, csv(&answers, !images.labels.is_empty()).as_bytes())?;
    }
    if let Some(path) = &args.logits {
        atomic_write(path, &logits::to_npy(&logits, n_classes)?)?;
    }
    let objects: Vec<_> = answers.iter().map(Answer::object).collect();
    let errors: Vec<String> = unread.iter().map(ToString::to_string).collect();
    let frac_bits = match (&args.logits, &logits) {
        (Some(_), Logits::Integers { frac_bits, .. }) => Some(*frac_bits),
        _ => None,
    };
    let object = json!({"classes": names, "images": objects, "errors": errors, "frac_bits": frac_bits});
    output.finish(&text(args, &answers, frac_bits), &object)?;
    if errors.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    errors.iter().for_each(|error| say(&format!("error: {error}")));
    // The others are answered; a script sees that not all are.
    Ok(ExitCode::from(UNREAD))
}

/// Images with their names, in one shape.
struct Images {
    pixels: Vec<u8>,
    size: usize,
    names: Vec<String>,
    /// Their classes, where they are known.
    labels: Vec<u16>,
}

/// The files that are named; a folder stands for the images in it and below it.
fn files(named: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in named {
        if path.is_dir() {
            let (images, notes) = SingleImages::in_folder(path)?;
            notes.iter().for_each(|note| say(&format!("note: {note}")));
            files.extend(images);
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}

/// What would be written in place of an input, or twice in one place.
fn check_files(args: &PredictArgs, files: &[PathBuf]) -> anyhow::Result<()> {
    let mut inputs = files_of(&args.network, args.data.as_deref());
    inputs.extend(files.iter().map(|path| table_file(path)));
    check_written(&[("--out", &args.out), ("--logits", &args.logits)], &inputs)?;
    Ok(())
}

/// The file of a table, behind whose path options may stand; another file is its own.
fn table_file(path: &Path) -> PathBuf {
    data::sources(&format!("csv:{}", path.display())).swap_remove(0)
}

/// The images and rows of files, and why files are not among them.
///
/// # Errors
/// No file can be read.
fn of_files(files: &[PathBuf], saved: &SavedModel) -> anyhow::Result<(Images, Vec<DataError>)> {
    /// Notes in full.
    const NOTES: usize = 5;
    let shape = saved.model.input.shape;
    let shape = ImageShape { height: shape.h, width: shape.w, channels: shape.c };
    let reader = SingleImages::of(&saved.data, shape);
    let (mut pixels, mut names, mut unread, mut n_notes) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for path in files {
        let name = path.display();
        let notes = if is_table(path) || saved.data.starts_with("csv:") && !is_image(path) {
            let encoder = encoder_of(saved, path)?;
            let rows = TableRows::read(&path.to_string_lossy(), &saved.data, encoder, shape.n_values());
            rows.map(|rows| {
                pixels.extend_from_slice(&rows.features);
                names.extend(rows.lines.iter().map(|line| format!("{name} line {line}")));
                rows.notes
            })
        } else {
            reader.append(path, &mut pixels).map(|notes| {
                names.push(name.to_string());
                notes.iter().map(|note| format!("{name}: {note}")).collect()
            })
        };
        let notes: Vec<String> = notes.unwrap_or_else(|error| {
            unread.push(error);
            vec![]
        });
        for note in notes {
            n_notes += 1;
            if n_notes <= NOTES {
                say(&format!("note: {note}"));
            }
        }
    }
    if n_notes > NOTES {
        say(&format!("note: and {} notes more like these", n_notes - NOTES));
    }
    if names.is_empty() && !unread.is_empty() {
        return Err(unread.swap_remove(0).into());
    }
    Ok((Images { pixels, size: shape.n_values(), names, labels: vec![] }, unread))
}

/// Whether a file is a table of features, by the ending of its name.
fn is_table(path: &Path) -> bool {
    ends_with(&table_file(path), &["csv", "tsv"])
}

/// Whether a file is an image, by the ending of its name.
fn is_image(path: &Path) -> bool {
    ends_with(path, &["png", "jpg", "jpeg", "bmp", "webp"])
}

fn ends_with(path: &Path, endings: &[&str]) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    endings.iter().any(|known| ending.eq_ignore_ascii_case(known))
}

/// The encoder of a network for the rows of a table.
fn encoder_of<'a>(saved: &'a SavedModel, path: &Path) -> anyhow::Result<&'a Encoder> {
    let name = path.display();
    let n_values = saved.model.input.shape.len();
    let encoder = saved.encoder.as_ref().filter(|encoder| encoder.takes(n_values));
    encoder.ok_or_else(|| {
        Usage(format!(
            "{name}: this is a table, and the network was trained on '{}', without features that have ranges; name a network \
             that was trained on csv:PATH or npz:PATH with floats",
            saved.data
        ))
        .into()
    })
}

fn of_data(data: &str, split: &str, saved: &SavedModel) -> anyhow::Result<Images> {
    let (dataset, part) = load_part(data, split, saved)?;
    let size = dataset.shape.n_values();
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    let of = dataset.part(part);
    let name = |i: usize| of.names.get(i).cloned().unwrap_or_else(|| format!("{split} {i}"));
    for batch in data::evaluation(&dataset, part, EVALUATION_BATCH)? {
        pixels.extend_from_slice(&batch.images);
        labels.extend_from_slice(&batch.labels);
    }
    let names = (0..labels.len()).map(name).collect();
    Ok(Images { pixels, size, names, labels })
}

/// The logits of all images. Where a step finds powers of two in its batch, an image is a batch of its own: what it gets does
/// not depend on the others.
fn answers(plan: Plan, saved: &SavedModel, context: &Context, images: &Images) -> anyhow::Result<Logits> {
    let at_a_time = if plan.nodes.iter().any(|node| node.finds_unit) { 1 } else { EVALUATION_BATCH };
    let (mut all, batch_size) = (None, images.names.len().min(at_a_time));
    let mut answers = Answers::of(plan, saved, context, batch_size.max(1));
    for batch in images.pixels.chunks(at_a_time * images.size) {
        logits::append(&mut all, answers.logits(batch))?;
    }
    all.ok_or_else(|| Usage("there is no image; name one, or a data set with --data".to_owned()).into())
}

/// What the network says of one image.
struct Answer {
    image: String,
    /// Name of its class, where it is known.
    label: Option<String>,
    /// The five likeliest classes with their logits, the answer first; of equal ones the first counts.
    likeliest: Vec<(String, f64)>,
}

impl Answer {
    fn of(image: &str, label: Option<u16>, row: &[f64], names: &[String]) -> Self {
        let mut order: Vec<usize> = (0..row.len()).collect();
        order.sort_by(|a, b| row[*b].partial_cmp(&row[*a]).unwrap_or(Ordering::Equal));
        let likeliest = order.into_iter().take(5).map(|i| (names[i].clone(), row[i])).collect();
        let label = label.map(|label| names[usize::from(label)].clone());
        Self { image: image.to_owned(), label, likeliest }
    }

    fn object(&self) -> serde_json::Value {
        let likeliest: Vec<_> =
            self.likeliest.iter().map(|(class, logit)| json!({"class": class, "logit": logit})).collect();
        json!({"image": self.image, "label": self.label, "answer": self.likeliest[0].0, "likeliest": likeliest})
    }
}

fn text(args: &PredictArgs, answers: &[Answer], frac_bits: Option<i32>) -> String {
    let row = |answer: &Answer| {
        let next = answer.likeliest.get(1);
        [
            answer.image.clone(),
            answer.label.clone().unwrap_or_default(),
            answer.likeliest[0].0.clone(),
            format!("{:.4}", answer.likeliest[0].1),
            next.map(|(class, logit)| format!("{class} ({logit:.4})")).unwrap_or_default(),
        ]
    };
    let rows: Vec<_> = answers.iter().take(ROWS).map(row).collect();
    let mut text = table(["image", "label", "answer", "logit", "next"], &rows);
    if answers.len() > ROWS {
        let more = answers.len() - ROWS;
        text.push_str(&format!("and {more} images more; --out FILE.csv has all of them\n"));
    }
    let files: [Option<&Path>; 2] = [args.out.as_deref(), args.logits.as_deref()];
    for path in files.into_iter().flatten() {
        text.push_str(&format!("written to {}\n", path.display()));
    }
    if let Some(bits) = frac_bits {
        text.push_str(&format!("logits are int64, each worth 2^{}\n", -bits));
    }
    text
}

/// A row for each image; texts are quoted as RFC 4180 has it.
fn csv(answers: &[Answer], has_labels: bool) -> String {
    let quoted = |text: &str| {
        let plain = !text.contains([',', '"', '\n', '\r']);
        if plain { text.to_owned() } else { format!("\"{}\"", text.replace('"', "\"\"")) }
    };
    let mut csv = String::from("image,");
    csv.push_str(if has_labels { "label,answer,logit\n" } else { "answer,logit\n" });
    for Answer { image, label, likeliest } in answers {
        let label = label.as_ref().map(|label| quoted(label) + ",").unwrap_or_default();
        let (class, logit) = &likeliest[0];
        csv.push_str(&format!("{},{label}{},{logit}\n", quoted(image), quoted(class)));
    }
    csv
}
