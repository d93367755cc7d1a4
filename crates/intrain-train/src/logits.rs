//! What a network answers, image by image, over more images than it runs at a time.

use intrain_data::npy::{self, Order};
use intrain_nn::Logits;

use crate::TrainError;

/// Puts the logits of the next images behind those of the images before, exactly.
///
/// Where a recipe scales its logits by their largest magnitude, batches differ in their fraction bits: all of them then
/// have those of the batch with most.
///
/// # Errors
/// An integer that does not fit 64 bits with so many fraction bits; logits of two kinds, which no network gives.
pub fn append(all: &mut Option<Logits>, next: Logits) -> Result<(), TrainError> {
    let joined = match (all.take(), next) {
        (None, next) => next,
        (Some(Logits::Floats(mut all)), Logits::Floats(next)) => {
            all.extend(next);
            Logits::Floats(all)
        }
        (
            Some(Logits::Integers { values: mut all, frac_bits: before }),
            Logits::Integers { values: mut next, frac_bits },
        ) => {
            let most = frac_bits.max(before);
            shift(&mut all, most - before)?;
            shift(&mut next, most - frac_bits)?;
            all.append(&mut next);
            Logits::Integers { values: all, frac_bits: most }
        }
        _ => {
            let reason =
                "logits of integers and of floats cannot stand in one array; they are of two networks";
            return Err(TrainError::Setting(reason.to_owned()));
        }
    };
    *all = Some(joined);
    Ok(())
}

/// Multiplies by a power of two.
fn shift(values: &mut [i64], by: i32) -> Result<(), TrainError> {
    let factor = u32::try_from(by).ok().and_then(|by| 1_i64.checked_shl(by)).filter(|factor| *factor > 0);
    let overflow = |value: i64| {
        TrainError::Setting(format!(
            "a logit of {value} with {by} fraction bits more does not fit 64 bits; evaluate fewer images"
        ))
    };
    for value in values {
        *value = match factor.and_then(|factor| value.checked_mul(factor)) {
            Some(shifted) => shifted,
            None if *value == 0 || by <= 0 => *value,
            None => return Err(overflow(*value)),
        };
    }
    Ok(())
}

/// The bytes of an NPY file of all logits, `[n, n_classes]`: int64, or float32 of a network whose logits are floats.
///
/// # Errors
/// None for so few dimensions.
pub fn to_npy(logits: &Logits, n_classes: usize) -> Result<Vec<u8>, TrainError> {
    let shape = |len: usize| [len / n_classes.max(1), n_classes];
    Ok(match logits {
        Logits::Integers { values, .. } => {
            npy::to_bytes(&shape(values.len()), Order::C, values.iter().copied())?
        }
        Logits::Floats(values) => npy::to_bytes(&shape(values.len()), Order::C, values.iter().copied())?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn integers(values: &[i64], frac_bits: i32) -> Logits {
        Logits::Integers { values: values.to_vec(), frac_bits }
    }

    #[test]
    fn batches_of_other_fraction_bits_are_put_together_exactly() {
        let mut all = None;
        for (next, together) in [
            (integers(&[1, -2], -3), integers(&[1, -2], -3)),
            (integers(&[5], -5), integers(&[1, -2, 20], -3)),
            (integers(&[7], -2), integers(&[2, -4, 40, 7], -2)),
        ] {
            append(&mut all, next).unwrap();
            assert_eq!(all, Some(together));
        }
        let mut all = Some(integers(&[0, 1 << 40], 0));
        let message = append(&mut all, integers(&[1], 30)).unwrap_err().to_string();
        assert!(message.contains("1099511627776 with 30 fraction bits more"), "{message}");
        let mut all = Some(integers(&[0], 0));
        append(&mut all, integers(&[1], 90)).unwrap();
        assert_eq!(all, Some(integers(&[0, 1], 90)));
        assert!(append(&mut all, Logits::Floats(vec![0.5])).is_err());
        let mut all = Some(Logits::Floats(vec![0.5]));
        append(&mut all, Logits::Floats(vec![1.5])).unwrap();
        assert_eq!(all, Some(Logits::Floats(vec![0.5, 1.5])));
    }

    #[test]
    fn files_have_a_row_for_each_image() {
        let bytes = to_npy(&integers(&[1, -2, 3, 4, 5, 6], 7), 3).unwrap();
        let array = npy::parse(&bytes, "f".as_ref()).unwrap();
        assert_eq!((array.shape.as_slice(), array.type_name().as_str()), (&[2, 3][..], "int64"));
        assert!(array.integers().unwrap().eq([1, -2, 3, 4, 5, 6]));
        let bytes = to_npy(&Logits::Floats(vec![0.5, -1.0]), 2).unwrap();
        let array = npy::parse(&bytes, "f".as_ref()).unwrap();
        assert_eq!((array.shape.as_slice(), array.type_name().as_str()), (&[1, 2][..], "float32"));
        assert!(array.floats().unwrap().eq([0.5, -1.0]));
    }
}
