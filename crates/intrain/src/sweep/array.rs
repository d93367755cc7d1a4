//! Arrays beside each other: sizes, word lengths and numbers of random bits, each with its area and with the test error of the
//! network that is trained on it.
//!
//! A file of its own kind, made into machines and into the recipes of an ordinary [`Sweep`]. An array of another size hands
//! its random bits to other elements, so a network is trained for each machine; those that round to the nearest share one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use intrain_accel::area::{Area, Synthesis};
use intrain_accel::picture::Built;
use intrain_accel::{Machine, Rounding};
use intrain_num::{Quantizer, RandomSource, Round};
use intrain_recipe::{Recipe, UnknownKey, check_keys, preset};
use serde::{Deserialize, Serialize};

use super::file::{check_settings, check_size, keys_of};
use super::{Entry, Group, Sweep, SweepError, percent};

/// The file: what is varied, and what is not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArraySweep {
    /// Rows and columns of the arrays.
    pub n: Vec<usize>,
    /// Bits of the words.
    pub word: Vec<u32>,
    /// Random bits that a rounding unit compares, at most; 0: it rounds to the nearest.
    pub random_bits: Vec<u32>,
    /// Seeds of the runs.
    pub seeds: Vec<u64>,
    /// Integer bits of the formats, the sign among them; a word's other bits are fractional.
    #[serde(default)]
    pub integer_bits: IntegerBits,
    /// The network.
    pub model: String,
    /// The data set.
    pub data: String,
    /// All else of the machines.
    #[serde(default)]
    pub machine: Machine,
    /// All else of the runs, as `intrain train` names it.
    #[serde(default)]
    pub settings: toml::Table,
}

/// Integer bits of the formats of a recipe, by what has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IntegerBits {
    /// Weights and their updates.
    pub parameters: u32,
    /// Outputs of layers.
    pub outputs: u32,
    /// Errors.
    pub errors: u32,
}

/// As in Gupta 2015, section 4.1: the paper's 6 for outputs where 8 leave a word of 8 bits no fraction.
impl Default for IntegerBits {
    fn default() -> Self {
        Self { parameters: 2, outputs: 6, errors: 2 }
    }
}

/// One array of a sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Point {
    /// Rows and columns.
    pub n: usize,
    /// Bits of a word.
    pub word: u32,
    /// Random bits; 0: to the nearest.
    pub random_bits: u32,
}

const KEYS: [&str; 9] =
    ["n", "word", "random_bits", "seeds", "integer_bits", "model", "data", "machine", "settings"];

/// Refuses keys that a machine does not have, those of its register included.
///
/// # Errors
/// The key, the one that is spelled most like it, and all there are.
pub fn check_machine(place: &str, table: &toml::Table) -> Result<(), UnknownKey> {
    check_keys(place, table, &MACHINE_KEYS)?;
    match table.get("lfsr").and_then(toml::Value::as_table) {
        None => Ok(()),
        Some(register) => check_keys(&format!("'lfsr' of {place}"), register, &["bits", "taps"]),
    }
}

/// As the fields of [`Machine`].
const MACHINE_KEYS: [&str; 15] = [
    "n",
    "word",
    "accumulator",
    "overflow",
    "panel",
    "depth",
    "rounding",
    "lfsr",
    "random_bits",
    "drop",
    "exact",
    "round_unit",
    "megahertz",
    "gigabytes_per_second",
    "device",
];

impl ArraySweep {
    /// Reads the file.
    ///
    /// # Errors
    /// A text that is no such sweep, an empty list, a value twice in one, more runs than a sweep can have, or a word that has
    /// no bit beside its integer bits.
    pub fn parse(text: &str) -> Result<Self, SweepError> {
        let table = keys_of(text, "the sweep", &KEYS)?;
        if let Some(bits) = table.get("integer_bits").and_then(toml::Value::as_table) {
            let known = ["parameters", "outputs", "errors"];
            check_keys("'integer_bits' of the sweep", bits, &known).map_err(|e| SweepError(e.to_string()))?;
        }
        if let Some(machine) = table.get("machine").and_then(toml::Value::as_table) {
            check_machine("[machine]", machine).map_err(|e| SweepError(e.to_string()))?;
        }
        check_settings(&table)?;
        let sweep: Self = toml::from_str(text).map_err(|error| SweepError(error.to_string()))?;
        let texts = |values: &[u32]| values.iter().map(ToString::to_string).collect::<Vec<_>>();
        let n: Vec<String> = sweep.n.iter().map(ToString::to_string).collect();
        let seeds: Vec<String> = sweep.seeds.iter().map(ToString::to_string).collect();
        for (list, values) in [
            ("n", n),
            ("word", texts(&sweep.word)),
            ("random_bits", texts(&sweep.random_bits)),
            ("seeds", seeds),
        ] {
            let mut seen = BTreeSet::new();
            if values.is_empty() {
                return Err(SweepError(format!("'{list}' is empty; a sweep of nothing has no table")));
            }
            if let Some(twice) = values.iter().find(|value| !seen.insert(*value)) {
                return Err(SweepError(format!(
                    "'{twice}' stands twice in '{list}'; each machine is built once"
                )));
            }
        }
        check_size(&[
            ("n", sweep.n.len()),
            ("word", sweep.word.len()),
            ("random_bits", sweep.random_bits.len()),
            ("seeds", sweep.seeds.len()),
        ])?;
        for key in ["recipe", "model", "data", "seed"] {
            if sweep.settings.contains_key(key) {
                return Err(SweepError(format!(
                    "settings.{key} clashes with what the file says above; leave it out"
                )));
            }
        }
        if let Some(seed) = sweep.seeds.iter().find(|seed| **seed >= 1 << 63) {
            return Err(SweepError(format!("seed {seed} is not below 2^63")));
        }
        let IntegerBits { parameters, outputs, errors } = sweep.integer_bits;
        for &word in &sweep.word {
            for (what, bits) in [("parameters", parameters), ("outputs", outputs), ("errors", errors)] {
                if bits == 0 || bits > word {
                    return Err(SweepError(format!(
                        "integer_bits.{what} = {bits}: a word of {word} bits has 1 to {word}, the sign among them"
                    )));
                }
            }
        }
        Ok(sweep)
    }

    /// What finished runs and areas rest on: all but the lists, which may grow.
    #[must_use]
    pub fn kept(&self) -> String {
        let lists_aside =
            Self { n: vec![], word: vec![], random_bits: vec![], seeds: vec![], ..self.clone() };
        // A file that was read has a text.
        toml::to_string(&lists_aside).unwrap_or_default()
    }

    /// Its machines, sizes first.
    #[must_use]
    pub fn points(&self) -> Vec<Point> {
        let mut points = Vec::new();
        for &n in &self.n {
            for &word in &self.word {
                points.extend(self.random_bits.iter().map(|&random_bits| Point { n, word, random_bits }));
            }
        }
        points
    }

    /// The machine of a point, for results that drop these numbers of bits.
    #[must_use]
    pub fn machine(&self, point: Point, drop: Vec<u32>) -> Machine {
        let (rounding, random_bits) = match point.random_bits {
            0 => (Rounding::Nearest, None),
            bits => (Rounding::Stochastic, Some(bits)),
        };
        Machine { n: point.n, word: point.word, rounding, random_bits, drop, ..self.machine.clone() }
    }

    /// The recipe of a point: Gupta's formats in words of its length, rounded by its units.
    #[must_use]
    pub fn recipe(&self, point: Point) -> Recipe {
        let Point { word, random_bits, .. } = point;
        let q = |integers: u32| format!("Q{integers}.{}", word - integers);
        let IntegerBits { parameters, outputs, errors } = self.integer_bits;
        let spec = format!("gupta:{}:{}:{}:stochastic", q(parameters), q(outputs), q(errors));
        let Ok(mut recipe) = preset(&spec) else { unreachable!("{spec}: parse has checked the formats") };
        recipe.name = point.recipe_name();
        let round = match random_bits {
            0 => Round::NearestDown,
            bits => Round::Stochastic { bits },
        };
        // What the host rounds is the same beside each machine: only the array's units are compared.
        for row in [&mut recipe.activation_at_product, &mut recipe.error_at_product] {
            *row = Quantizer { round, ..row.base }.into();
        }
        if random_bits > 0 {
            recipe.random = RandomSource::Columns(self.machine(point, vec![0]).columns());
        }
        recipe
    }

    /// The runs, whose recipes are files of a folder.
    #[must_use]
    pub fn runs(&self, name: &str, recipes: &Path) -> Sweep {
        let (mut runs, mut seen) = (Vec::new(), BTreeSet::new());
        for &seed in &self.seeds {
            for point in self.points() {
                let recipe = recipes.join(point.recipe_file()).display().to_string();
                let entry = Entry { recipe, model: self.model.clone(), data: self.data.clone(), seed };
                if seen.insert(entry.clone()) {
                    runs.push(entry);
                }
            }
        }
        Sweep::of(name.to_owned(), runs, self.settings.clone())
    }
}

impl Point {
    /// What its recipe is called: arrays that round to the nearest share one, whatever their size.
    #[must_use]
    pub fn recipe_name(self) -> String {
        let Self { n, word, random_bits } = self;
        if random_bits == 0 {
            format!("word{word}-nearest")
        } else {
            format!("word{word}-random{random_bits}-n{n}")
        }
    }

    /// The file that holds it.
    #[must_use]
    pub fn recipe_file(self) -> String {
        format!("{}.toml", self.recipe_name())
    }

    /// The folder of its hardware.
    #[must_use]
    pub fn folder(self) -> String {
        let Self { n, word, random_bits } = self;
        format!("n{n}-word{word}-random{random_bits}")
    }
}

/// First line of the file of areas.
pub const AREAS_HEADER: &str = "n,word,random_bits,lut,ff,dsp,bram18,carry,array_lut,array_ff,array_dsp,array_bram18,array_carry,\
                                rounding_lut,rounding_ff,rounding_dsp,rounding_bram18,rounding_carry";

/// The file of areas, a line for each machine.
#[must_use]
pub fn areas_text(areas: &BTreeMap<Point, Synthesis>) -> String {
    let mut text = format!("{AREAS_HEADER}\n");
    for (Point { n, word, random_bits }, synthesis) in areas {
        let cells = [synthesis.whole, synthesis.array, synthesis.rounding]
            .map(|Area { lut, ff, dsp, bram18, carry }| format!("{lut},{ff},{dsp},{bram18},{carry}"));
        let _ = writeln!(text, "{n},{word},{random_bits},{}", cells.join(","));
    }
    text
}

/// Reads the file of areas back.
///
/// # Errors
/// The first line that is none.
pub fn read_areas(text: &str) -> Result<BTreeMap<Point, Synthesis>, SweepError> {
    let wrong =
        |i: usize| SweepError(format!("line {} has no areas; move the file away to begin anew", i + 1));
    let mut lines = text.lines().enumerate();
    if lines.next().is_none_or(|(_, header)| header != AREAS_HEADER) {
        return Err(wrong(0));
    }
    let area = |[lut, ff, dsp, bram18, carry]: [u64; 5]| Area { lut, ff, dsp, bram18, carry };
    lines
        .map(|(i, line)| {
            let numbers: Result<Vec<u64>, _> = line.split(',').map(str::parse).collect();
            let Ok([n, word, random_bits, cells @ ..]) = numbers.as_deref() else { return Err(wrong(i)) };
            let (parts, []) = cells.as_chunks::<5>() else { return Err(wrong(i)) };
            let &[whole, array, rounding] = parts else { return Err(wrong(i)) };
            let small = |x: u64| u32::try_from(x).map_err(|_| wrong(i));
            let point = Point {
                n: usize::try_from(*n).map_err(|_| wrong(i))?,
                word: small(*word)?,
                random_bits: small(*random_bits)?,
            };
            Ok((point, Synthesis { whole: area(whole), array: area(array), rounding: area(rounding) }))
        })
        .collect()
}

/// Each machine with the test errors of its runs; those without an area or a finished run are left out.
#[must_use]
pub fn built(
    sweep: &ArraySweep,
    areas: &BTreeMap<Point, Synthesis>,
    groups: &[Group],
) -> Vec<(Built, Synthesis)> {
    let of = |point: Point| {
        let file = point.recipe_file();
        let group = groups.iter().find(|g| g.n > 0 && Path::new(&g.entry.recipe).ends_with(&file))?;
        let synthesis = *areas.get(&point)?;
        let Point { n, word, random_bits } = point;
        let Area { lut, ff, .. } = synthesis.whole;
        let (error, deviation, runs) = (group.mean, group.deviation, group.n);
        Some((Built { n, word, random_bits, lut, ff, error, deviation, runs }, synthesis))
    };
    sweep.points().into_iter().filter_map(of).collect()
}

/// The table as Markdown.
#[must_use]
pub fn table(built: &[(Built, Synthesis)]) -> String {
    let mut text = "| n | word | random bits | DSP48E1 | LUT | FF | BRAM36 | rounding LUT (of the array) | runs | test error | deviation |\n\
                    |--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n"
        .to_owned();
    for (
        Built { n, word, random_bits, lut, ff, error, deviation, runs },
        Synthesis { whole, array, rounding },
    ) in built
    {
        let random = if *random_bits == 0 { "nearest".to_owned() } else { random_bits.to_string() };
        #[allow(clippy::cast_precision_loss, reason = "counts below 2^53")]
        let share = 100.0 * rounding.lut as f64 / array.lut as f64;
        let _ = writeln!(
            text,
            "| {n} | {word} | {random} | {} | {lut} | {} | {} | {} ({share:.1} %) | {runs} | {} | {} |",
            whole.dsp,
            ff,
            whole.bram18.div_ceil(2),
            rounding.lut,
            percent(*error),
            percent(*deviation)
        );
    }
    text
}

/// First line of the table as CSV.
pub const TABLE_HEADER: &str =
    "n,word,random_bits,dsp,lut,ff,bram18,array_lut,rounding_lut,runs,mean,deviation";

/// The table as CSV, shares as numbers.
#[must_use]
pub fn csv(built: &[(Built, Synthesis)]) -> String {
    let mut text = format!("{TABLE_HEADER}\n");
    for (
        Built { n, word, random_bits, lut, ff, error, deviation, runs },
        Synthesis { whole, array, rounding },
    ) in built
    {
        let Area { dsp, bram18, .. } = whole;
        let (all, units) = (array.lut, rounding.lut);
        let _ = writeln!(
            text,
            "{n},{word},{random_bits},{dsp},{lut},{ff},{bram18},{all},{units},{runs},{error},{deviation}"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "n = [4, 8]\nword = [8, 16]\nrandom_bits = [0, 4]\nseeds = [1, 2]\nmodel = 'mlp'\ndata = 'mnist'\n";

    #[test]
    fn arrays_that_draw_nothing_share_their_runs() {
        let sweep = ArraySweep::parse(TEXT).unwrap();
        assert_eq!(sweep.points().len(), 8);
        let runs = sweep.runs("x", Path::new("r")).runs;
        assert_eq!(runs.len(), 2 * (2 + 4));
        assert_eq!(runs[0].recipe, "r/word8-nearest.toml");
        assert!(runs[..6].iter().all(|run| run.seed == 1) && runs[6..].iter().all(|run| run.seed == 2));
        let nearest = sweep.recipe(Point { n: 8, word: 16, random_bits: 0 });
        assert_eq!(nearest.error_at_product.base.to_string(), "fixed<2,14> nearest-down saturate");
        assert_eq!(nearest.update.base.to_string(), "fixed<2,14> stochastic<32> saturate");
        let point = Point { n: 8, word: 16, random_bits: 4 };
        let recipe = sweep.recipe(point);
        assert_eq!(recipe.activation_at_product.base.to_string(), "fixed<6,10> stochastic<4> saturate");
        assert_eq!(recipe.update.base.to_string(), "fixed<2,14> stochastic<32> saturate");
        assert_eq!(recipe.random.to_string(), "array<8,4> lfsr<16,0x2d>");
        let machine = sweep.machine(point, vec![14, 12]);
        assert_eq!((machine.n, machine.draw_bits(14), machine.rounding), (8, 4, Rounding::Stochastic));
        assert_eq!(Recipe::from_toml(&recipe.to_toml()).unwrap(), recipe);
    }

    #[test]
    fn mistakes_are_named() {
        for (from, to, part) in [
            ("n = [4, 8]", "n = []", "'n' is empty"),
            ("word = [8, 16]", "word = [8, 8]", "'8' stands twice in 'word'"),
            ("word = [8, 16]", "word = [3]", "integer_bits.outputs = 6: a word of 3 bits has 1 to 3"),
            ("seeds = [1, 2]", "seed = 1", "the sweep: 'seed' is not a key here; did you mean 'seeds'?"),
            (
                "data = 'mnist'",
                "data = 'mnist'\n[machine]\ndept = 3",
                "[machine]: 'dept' is not a key here; did you mean 'depth'?",
            ),
            (
                "data = 'mnist'",
                "data = 'mnist'\n[machine.lfsr]\nbit = 3",
                "'lfsr' of [machine]: 'bit' is not a key here",
            ),
            (
                "data = 'mnist'",
                "data = 'mnist'\ninteger_bits = { error = 3 }",
                "did you mean 'errors'? The keys are parameters,",
            ),
            (
                "data = 'mnist'",
                "data = 'mnist'\n[settings]\nlr = 3",
                "[settings]: 'lr' is not a setting; did you mean 'learning_rate'",
            ),
            ("data = 'mnist'", "data = 'mnist'\n[settings]\nseed = 3", "settings.seed clashes"),
        ] {
            let message = ArraySweep::parse(&TEXT.replace(from, to)).unwrap_err().to_string();
            assert!(message.contains(part), "{to}: {message}");
        }
    }

    #[test]
    fn too_many_machines_are_refused_before_they_are_made() {
        let numbers = |count: u32| (1..=count).map(|i| i.to_string()).collect::<Vec<_>>().join(", ");
        let text = TEXT.replace("n = [4, 8]", &format!("n = [{}]", numbers(64)));
        let text = text.replace("seeds = [1, 2]", &format!("seeds = [{}]", numbers(100)));
        let message = ArraySweep::parse(&text).unwrap_err().to_string();
        assert_eq!(
            message,
            "64 of 'n' x 2 of 'word' x 2 of 'random_bits' x 100 of 'seeds' make 25600 runs, and the limit is 10000; shorten \
             the lists, or divide them among several sweeps"
        );
    }

    #[test]
    fn the_keys_of_a_machine_are_its_fields() {
        let machine = Machine { random_bits: Some(3), ..Machine::default() };
        let table = toml::Table::try_from(machine).unwrap();
        let keys: BTreeSet<&str> = table.keys().map(String::as_str).collect();
        assert_eq!(keys, BTreeSet::from(MACHINE_KEYS));
        assert_eq!(check_machine("x", &table), Ok(()));
    }

    #[test]
    fn areas_are_read_back() {
        let point = Point { n: 4, word: 8, random_bits: 0 };
        let whole = Area { dsp: 16, lut: 1, ff: 2, carry: 3, bram18: 5 };
        let areas = BTreeMap::from([(
            point,
            Synthesis { whole, array: Area { lut: 9, ..whole }, rounding: Area::default() },
        )]);
        let text = areas_text(&areas);
        assert_eq!(read_areas(&text).unwrap(), areas);
        assert!(read_areas("n\n").is_err() && read_areas(&format!("{text}1,2\n")).is_err());
    }
}
