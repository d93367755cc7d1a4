//! Packing against its definition: every kernel of this CPU, extremes and sizes around each vector width, by equality.

use super::{Left, Line, PANEL, Source, ZERO_LANE, pack_i8, pack_i8_into, pack_i16, pack_i16_into};
use crate::isa::Isa;
use crate::product::Lined;
use crate::product::tests::{noise, segments};

/// Tables of contiguous, mirrored and missing lanes, for columns contiguous and apart.
fn tables(lanes: usize, n_steps: usize, column: usize, n_stride: usize) -> Vec<Vec<u32>> {
    let pitch = if n_stride == 1 { column } else { 1 };
    let count = lanes * n_steps;
    let forward: Vec<u32> = (0..count).map(|lane| u32::try_from(lane * pitch).unwrap()).collect();
    let backward: Vec<u32> = forward.iter().rev().copied().collect();
    let gaps = forward
        .iter()
        .map(|&lane| if noise(lane as usize).is_multiple_of(3) { ZERO_LANE } else { lane })
        .collect();
    vec![forward, backward, gaps, vec![ZERO_LANE; count]]
}

#[test]
fn packed_values_and_column_sums_are_the_source() {
    let (mut bytes, mut words) =
        (pack_i8(Isa::Reference, one(), Left::Signed), pack_i16(Isa::Reference, one(), 1, (0, 1)));
    for n in [1, 3, 15, 16, 17, 31, 32, 33, 48, 64, 65, 100] {
        for n_steps in [1, 2, 5, 9, 16, 37] {
            for n_stride in [1, 4 * n_steps, 4 * n_steps + 3] {
                let values: Vec<i8> =
                    (0..n * (4 * n_steps + 3)).map(|i| noise(i).to_le_bytes()[0].cast_signed()).collect();
                let value = |column: usize, lane: u32| match lane {
                    ZERO_LANE => 0,
                    lane => values[column * n_stride + lane as usize],
                };
                for table in tables(4, n_steps, n, n_stride) {
                    let segments = segments(n_steps);
                    let source = Source { values: &values, n, n_stride, table: &table, segments };
                    for isa in Isa::available() {
                        pack_i8_into(isa, source, Left::Signed, &mut bytes);
                        assert_eq!(
                            bytes,
                            pack_i8(Isa::Reference, source, Left::Signed),
                            "{isa:?} {n} {n_steps} {n_stride}"
                        );
                    }
                    for column in 0..n {
                        let lanes: Vec<i8> = table.iter().map(|&lane| value(column, lane)).collect();
                        let got: Vec<i8> =
                            (0..lanes.len()).map(|i| bytes.value(i / 4, column, i % 4)).collect();
                        assert_eq!(got, lanes, "{n} {n_steps} {n_stride}");
                        let sum: i32 = lanes.iter().map(|&b| i32::from(b)).sum();
                        let start = |range| bytes.start(None, column, range)[0];
                        assert_eq!(start(0..segments), -128 * sum, "takes the bias back");
                        let of_one: i32 = (0..segments).map(|s| start(s..s + 1)).sum();
                        assert_eq!(of_one, -128 * sum, "also of each segment");
                    }
                    assert_eq!(bytes.start(None, n, 0..segments), [0; PANEL], "absent columns are zero");
                    let unsigned = pack_i8(Isa::best(), source, Left::Unsigned);
                    assert_eq!(
                        unsigned.start(None, 0, 0..segments),
                        [0; PANEL],
                        "there is no bias to take back"
                    );
                    let packed = table.iter().flat_map(|&lane| (0..n).map(move |column| (column, lane)));
                    let max =
                        packed.map(|(column, lane)| u32::from(value(column, lane).unsigned_abs())).max();
                    assert!(bytes.pair_max() >= 2 * 255 * max.unwrap(), "{n} {n_steps} {n_stride}");
                    assert_eq!(bytes.pair_max() / 255, unsigned.pair_max() / 127);
                    let rest = pack_i8(Isa::best(), source.columns(n / 2..n), Left::Signed);
                    for column in n / 2..n {
                        assert_eq!(
                            rest.value(0, column - n / 2, 3),
                            bytes.value(0, column, 3),
                            "a part of B"
                        );
                    }
                }
                for table in tables(2, n_steps, n, n_stride) {
                    let wide: Vec<i32> = values.iter().map(|&v| i32::from(v) << 17 ^ 0x155).collect();
                    let segments = segments(n_steps);
                    let source = Source { values: &wide, n, n_stride, table: &table, segments };
                    let range = (i32::MIN, i32::MAX);
                    pack_i16_into(Isa::best(), source, 1 << 15, range, &mut words);
                    assert_eq!(words, pack_i16(Isa::Reference, source, 1 << 15, range));
                    for (i, &lane) in table.iter().enumerate() {
                        for column in 0..n {
                            let want = if lane == ZERO_LANE {
                                0
                            } else {
                                i64::from(wide[column * n_stride + lane as usize])
                            };
                            assert_eq!(words.value(i / 2, column, i % 2), want, "{n} {n_steps} {n_stride}");
                        }
                    }
                }
            }
        }
    }
}

/// A source to make buffers from.
fn one() -> Source<'static, i8> {
    Source { values: &[1], n: 1, n_stride: 1, table: &[0, ZERO_LANE, ZERO_LANE, ZERO_LANE], segments: 1 }
}

#[test]
fn absent_columns_are_zero_also_in_used_buffers() {
    let mut packed = pack_i8(
        Isa::best(),
        Source { values: &[-1; 64], n: 16, n_stride: 1, table: &[0, 16, 32, 48], segments: 1 },
        Left::Signed,
    );
    pack_i8_into(Isa::best(), one(), Left::Signed, &mut packed);
    assert_eq!(packed, pack_i8(Isa::Reference, one(), Left::Signed));
    assert_eq!(packed.limbs()[0].lines, [Line([1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])]);
}

#[test]
#[should_panic(expected = "the pack table reaches 7 of 6 values")]
fn lanes_outside_the_values_are_refused() {
    let _ = pack_i8(
        Isa::best(),
        Source { values: &[0; 6], n: 3, n_stride: 1, table: &[0, 1, 4, ZERO_LANE], segments: 1 },
        Left::Signed,
    );
}
