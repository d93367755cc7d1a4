//! Intrain as a library: the parts under one name, and the little that the command line adds to them.
//!
//! A [`train::Session`] is a run in memory. Images and labels are arrays; network and recipe are names of presets or TOML texts:
//!
//! ```
//! use intrain::data::{Dataset, Images, digits};
//! use intrain::nn::Logits;
//! use intrain::train::{Config, Session, this_machine};
//!
//! // Pixels [n, height, width, channels] as bytes, and the class of each image.
//! let source = digits::load()?;
//! let (pixels, labels) = (source.train.images, source.train.labels);
//! let train = Images::new([labels.len(), 8, 8, 1], pixels, labels)?;
//! let dataset = Dataset::from_images("mine", 10, train, None)?;
//!
//! let network = r#"
//!     name = "small"
//!     input = { h = 8, w = 8, c = 1, pixels = "x/256" }
//!     layer = [{ name = "flatten", kind = "flatten" }, { name = "fc", kind = "linear", out = 10 }]
//! "#;
//! let config = Config::for_data(network, "gupta", &dataset, &["epochs=5", "learning_rate=0.1"])?;
//! let mut session = Session::new(config, dataset.into(), this_machine(2)?)?;
//! session.fit(&mut ())?; // or a listener, which hears of every step and epoch
//!
//! // Integers, each worth 2^-frac_bits: the same on every machine.
//! let Logits::Integers { values, frac_bits } = session.logits(&source.test.images)? else { unreachable!() };
//! assert_eq!((values.len(), frac_bits), (source.test.len() * 10, 8));
//!
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("model.safetensors");
//! # let path = path.as_path();
//! session.save(path)?; // as a run writes it: `intrain eval` reads it
//! # assert_eq!(intrain::train::saved::read_model(path)?.parameters, session.trainer().parameters());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A run with its folder is [`train::Run`]. [`formats`] says what a quantizer does to an [`array`](mod@array), [`verify`] proves
//! the arithmetic on this machine, [`bench`](mod@bench) measures its speed, [`memory`](mod@memory) says how much it holds,
//! [`sweep`](mod@sweep) compares recipes, [`deployed`](mod@deployed) brings a trained network into the form that leaves the
//! house, [`answers`](mod@answers) runs it, [`imported`](mod@imported) brings one of another program into this one. The command line is
//! the feature `command`, which is on by default. Everything else is a crate of its own, re-exported here in the order in which a training step goes through them.
#![forbid(unsafe_code)]

pub mod answers;
pub mod array;
pub mod bench;
#[cfg(feature = "command")]
pub mod command;
pub mod deployed;
pub mod imported;
pub mod memory;
pub mod sweep;
pub mod tensors;
pub mod verify;

pub use intrain_accel as accel;
pub use intrain_data as data;
pub use intrain_deploy as deploy;
pub use intrain_formats as formats;
pub use intrain_golden as golden;
pub use intrain_import as import;
pub use intrain_infer as infer;
pub use intrain_kernels as kernels;
pub use intrain_lab as lab;
pub use intrain_model as model;
pub use intrain_nn as nn;
pub use intrain_num as num;
pub use intrain_plot as plot;
pub use intrain_recipe as recipe;
pub use intrain_train as train;
