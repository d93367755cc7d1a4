//! Values of any type to pixels of 8 bits.
//!
//! uint8 is taken as it is. Any other value from LOW to HIGH becomes a byte as `encoder.rs` says; one outside is refused, never
//! clipped. LOW and HIGH are 0 and 1 for floats, if nothing else is said, and have to be said for integers. Where a trained
//! network brings its own limits, these hold for all values but pixels of uint8, and what lies outside is held at them.

use std::path::Path;

use crate::encoder::{Clamped, Encoder, Range};
use crate::layout::Layout;
use crate::npy::{self, Kind};
use crate::{DataError, bounded};

/// All values as pixels; or the first that is outside, and where.
fn encode(range: Range, values: impl Iterator<Item = f64>) -> Result<Vec<u8>, (usize, f64)> {
    let pixel = |(index, x)| if range.contains(x) { Ok(range.byte(x)) } else { Err((index, x)) };
    values.enumerate().map(pixel).collect()
}

/// A byte for each value of an NPY file, in the order of the file.
///
/// # Errors
/// It is no NPY file, holds integers other than uint8 and no range is given, or a value is outside.
pub(crate) fn from_npy(mut bytes: Vec<u8>, range: Option<Range>, path: &Path) -> Result<Vec<u8>, DataError> {
    let array = npy::parse(&bytes, path)?;
    // Exact up to 2^53, and in order beyond.
    #[allow(clippy::cast_precision_loss, reason = "values that large differ in other bits than a pixel has")]
    let integers = || array.integers().into_iter().flatten().map(|x| x as f64);
    let floats = || array.floats().into_iter().flatten();
    let (found, range) = match (array.kind, range) {
        (Kind::Float, range) => {
            let range = range.unwrap_or(Range::UNIT);
            (encode(range, floats()).map_err(|first| (first, extent(floats()))), range)
        }
        (_, Some(range)) => (encode(range, integers()).map_err(|first| (first, extent(integers()))), range),
        _ => {
            check_type(array.kind, array.item_bytes, None, path)?;
            // In place: there may be no memory for a second copy.
            let values_at = bytes.len() - array.bytes.len();
            bytes.drain(..values_at);
            return Ok(bytes);
        }
    };
    found.map_err(|((index, x), extent)| outside(index, x, extent, range, path))
}

/// Whether the encoder of a trained network is meant for values of a type: bytes are pixels, unless each feature has limits of
/// its own.
pub(crate) fn is_encoded(kind: Kind, item_bytes: usize, encoder: &Encoder) -> bool {
    (kind, item_bytes) != (Kind::Unsigned, 1) || encoder.ranges().len() > 1
}

/// The bytes of an array in the order of this crate, as a trained network's encoder has them, and how many values were held at
/// a limit.
///
/// # Errors
/// It is no NPY file, its images have another number of values than the encoder, or a value is not finite.
pub(crate) fn with_encoder(
    bytes: &[u8],
    encoder: &Encoder,
    layout: &Layout,
    path: &Path,
) -> Result<(Vec<u8>, Clamped), DataError> {
    let array = npy::parse(bytes, path)?;
    #[allow(clippy::cast_precision_loss, reason = "values that large differ in other bits than a pixel has")]
    let integers = array.integers().into_iter().flatten().map(|x| x as f64);
    let values = integers.chain(array.floats().into_iter().flatten());
    let (mut out, mut clamped) = (Vec::new(), Clamped::default());
    bounded::reserve(&mut out, layout.sizes.iter().product(), path)?;
    for (at, x) in values.enumerate() {
        if !x.is_finite() {
            let problem = format!("value {at} is {x}, expected a finite number");
            return Err(DataError::file(path, problem, "replace it, such as by numpy.nan_to_num"));
        }
        out.push(clamped.byte(encoder, layout.value_at(at), x));
    }
    Ok((layout.in_order(out), clamped))
}

/// Whether values of a type become pixels.
///
/// # Errors
/// They are integers other than uint8, and no range is given.
pub(crate) fn check_type(
    kind: Kind,
    item_bytes: usize,
    range: Option<Range>,
    path: &Path,
) -> Result<(), DataError> {
    if kind == Kind::Float || (kind, item_bytes) == (Kind::Unsigned, 1) || range.is_some() {
        return Ok(());
    }
    let problem = format!("is of type {}, expected uint8 or floats", npy::type_name(kind, item_bytes));
    let remedy = "write `,range=LOW..HIGH` behind the path of the file, the values that become 0 and 255, or convert \
                  the images with astype(\"uint8\") if they are from 0 to 255";
    Err(DataError::file(path, problem, remedy))
}

/// The least and the greatest value that is finite.
fn extent(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let finite = values.filter(|x| x.is_finite());
    finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), x| (least.min(x), most.max(x)))
}

fn outside(index: usize, x: f64, (least, most): (f64, f64), range: Range, path: &Path) -> DataError {
    let (low, high) = (range.low(), range.high());
    let problem = format!(
        "value {index} is {x}, the limits are {low} and {high} (finite values are from {least} to {most})"
    );
    let remedy = if !x.is_finite() {
        "replace what is not finite, such as by numpy.nan_to_num".to_owned()
    } else if least >= 0.0 && most <= 255.0 {
        "write `,range=0..255` behind the path of the file, or save the images as uint8".to_owned()
    } else {
        let (least, most) = (least.min(low), most.max(high));
        format!(
            "write `,range={least}..{most}` behind the path of the file, or wider if its other images need it; these \
             become 0 and 255"
        )
    };
    DataError::file(path, problem, remedy)
}

/// A note where no pixel is above 1: of 256 levels a network would see two, which are all but equal.
pub(crate) fn note_of_dark(pixels: &[u8], is_as_saved: bool, path: &Path) -> Option<String> {
    let largest = pixels.iter().max().filter(|&&largest| largest <= 1)?;
    let remedy = if is_as_saved {
        "were these images scaled to 0..1? Multiply them by 255 before they become uint8, or write `,range=0..1` behind \
         the path of the file"
    } else {
        "write a narrower `,range=LOW..HIGH` behind the path of the file"
    };
    Some(format!("{}: the largest pixel is {largest}, and white is 255: {remedy}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_read_with_a_range() {
        let path = Path::new("f");
        let range = Range::parse("0..1000");
        let bytes = npy::to_bytes(&[3], npy::Order::C, [0, 500, 1000_i32].into_iter()).unwrap();
        assert_eq!(from_npy(bytes.clone(), range, path).unwrap(), [0, 128, 255]);
        let message = from_npy(bytes.clone(), None, path).unwrap_err().to_string();
        assert!(message.contains("is of type int32") && message.contains("`,range=LOW..HIGH`"), "{message}");
        let message = from_npy(bytes, Range::parse("0..999"), path).unwrap_err().to_string();
        assert!(message.contains("value 2 is 1000, the limits are 0 and 999"), "{message}");
        assert!(message.contains("`,range=0..1000` behind"), "{message}");
        let floats = |values: [f64; 3]| npy::to_bytes(&[3], npy::Order::C, values.into_iter()).unwrap();
        let message = |values| from_npy(floats(values), None, path).unwrap_err().to_string();
        assert!(message([0.0, 254.5, 3.0]).contains("`,range=0..255` behind"));
        assert!(message([0.0, 0.5, -1.5]).contains("`,range=-1.5..1` behind"));
        assert!(message([0.0, f64::NAN, -1.5]).contains("numpy.nan_to_num"));
        assert_eq!(from_npy(floats([-1.5, 1.0, 0.0]), Range::parse("-1.5..1"), path).unwrap(), [0, 255, 153]);
    }
}
