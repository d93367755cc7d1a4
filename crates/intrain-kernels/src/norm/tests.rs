//! Every kernel against the plainest loops, bit for bit.

use super::*;

fn values(n: usize, seed: u32) -> Vec<f32> {
    (0..n)
        .map(|i| {
            let word = u32::try_from(i).unwrap().wrapping_mul(0x9E37_79B9) ^ seed;
            (word.wrapping_mul(0x85EB_CA6B) >> 8) as f32 / 1e6 - 8.0
        })
        .collect()
}

#[test]
fn every_kernel_gives_the_bits_of_the_reference() {
    for c in [1, 3, 16, 33, 48] {
        let n = 7 * c;
        let (x, dy) = (values(n, 1), values(n, 2));
        let lines = [values(c, 3), values(c, 4), values(c, 5)];
        let [p, q, r] = [&lines[0][..], &lines[1][..], &lines[2][..]];
        let all = |isa| {
            let (mut sums, mut products) = (vec![0.5; 2 * c], vec![0.25; 2 * c]);
            let (mut y, mut dx) = (vec![0.0; n], dy.clone());
            add_moments(isa, &x, &mut sums);
            add_products(isa, [&x, &dy], [p, q], &mut products);
            apply(isa, &x, [p, q], &mut y);
            back(isa, &x, [p, q, r], &mut dx);
            (sums, products, y, dx)
        };
        let want = all(Isa::Reference);
        assert!((want.0[0] - 0.5 - (0..7).map(|i| f64::from(x[i * c])).sum::<f64>()).abs() < 1e-9);
        assert_eq!(want.2[0], p[0] * x[0] + q[0]);
        for isa in Isa::available() {
            assert_eq!(all(isa), want, "{isa:?}, {c} channels");
        }
    }
}
