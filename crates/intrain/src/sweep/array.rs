//! Arrays beside each other: sizes, word lengths and numbers of random bits, each with its area and with the test error of the
//! network that is trained on it.
//!
//! A file of its own kind, made into machines and into the recipes of an ordinary [`Sweep`]. An array of another size hands
//! its random bits to other elements, so a network is trained for each machine; those that round to the nearest share one.

mod table;

use std::collections::BTreeSet;
use std::path::Path;

use intrain_accel::machine::WORD_MAX;
use intrain_accel::{Machine, Rounding};
use intrain_num::{Quantizer, RandomSource, Round};
use intrain_recipe::{Recipe, UnknownKey, check_keys, preset};
use serde::{Deserialize, Serialize};

use super::file::{check_settings, check_size, keys_of};
use super::{Entry, Sweep, SweepError};

pub use table::{AREAS_HEADER, Line, TABLE_HEADER, areas_text, csv, lines, read_areas, table};

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
    /// A text that is no such sweep, an empty list, a value twice in one, more runs than a sweep can have, or a word that no
    /// array has or that lacks the integer bits.
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
            if !(2..=WORD_MAX).contains(&word) {
                return Err(SweepError(format!(
                    "word = {word} is no word of an array; use 2 to {WORD_MAX} bits"
                )));
            }
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
            ("word = [8, 16]", "word = [88]", "word = 88 is no word of an array; use 2 to 18 bits"),
            ("word = [8, 16]", "word = [1]", "word = 1 is no word of an array"),
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
}
