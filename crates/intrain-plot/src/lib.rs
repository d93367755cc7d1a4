//! Figures, and the pages that hold them: what a person looks at, drawn once for every command.
//!
//! A [`Chart`], [`Bars`], [`Rows`] or [`Map`] becomes a [`Figure`], which is complete in itself: title, legend beside the data,
//! axes with names. The same drawing stands in a page ([`Page`]) and in a file of its own; colours are classes, which one style
//! sheet (`figure.css`) gives a light and a dark theme. Invariants: nothing is taken from outside the page or the file, text from
//! outside is escaped, and equal data are drawn with equal bytes.
#![forbid(unsafe_code)]

mod axis;
mod bars;
mod canvas;
mod chart;
mod figure;
mod frame;
mod heat;
mod labels;
pub mod number;
mod page;
mod rows;
mod spread;

pub use axis::Scale;
pub use bars::{Bar, Bars};
pub use chart::{AxisName, Chart, Series};
pub use figure::{Figure, as_file};
pub use frame::Style;
pub use heat::{Full, Map};
pub use page::Page;
pub use rows::{Row, Rows, Value};
pub use spread::Spread;
