//! What is computed over windows without weights: maxima, means, shortcuts.

use super::{Mean, Pool, Tensor, taps};

pub(super) fn max_pool(pool: Pool, x: &Tensor, bytes: &[u8], y: &Tensor, result: &mut [u8]) {
    let ([h, w, c], [oh, ow, _]) = (x.shape, y.shape);
    for (oy, ox) in (0..oh).flat_map(|oy| (0..ow).map(move |ox| (oy, ox))) {
        let rows = taps(oy * pool.stride, [pool.size, 1, pool.pad, h]);
        let columns = taps(ox * pool.stride, [pool.size, 1, pool.pad, w]);
        for channel in 0..c {
            let mut largest = i64::MIN;
            for (qy, qx) in rows.clone().flat_map(|qy| columns.clone().map(move |qx| (qy, qx))) {
                let pixel = (oy * pool.stride + qy - pool.pad) * w + ox * pool.stride + qx - pool.pad;
                largest = largest.max(x.element.load(bytes, pixel * c + channel));
            }
            y.element.store(result, (oy * ow + ox) * c + channel, largest);
        }
    }
}

impl Mean {
    pub(super) fn run(&self, x: &Tensor, bytes: &[u8], y: &Tensor, result: &mut [u8]) {
        let ([_, w, c], [_, ow, _]) = (x.shape, y.shape);
        for i in 0..y.len() {
            let (oy, ox, channel) = (i / c / ow, i / c % ow, i % c);
            let mut sum = 0;
            for (ky, kx) in (0..self.size[0]).flat_map(|ky| (0..self.size[1]).map(move |kx| (ky, kx))) {
                let pixel = (oy * self.stride[0] + ky) * w + ox * self.stride[1] + kx;
                sum += x.element.load(bytes, pixel * c + channel);
            }
            let sum = sum << self.up;
            let (quotient, rest) = (sum.div_euclid(self.divisor), sum.rem_euclid(self.divisor));
            let mean = quotient + i64::from(rest > self.divisor - rest);
            y.element.store(result, i, mean.clamp(self.min, self.max));
        }
    }
}

pub(super) fn shortcut(stride: usize, x: &Tensor, bytes: &[u8], y: &Tensor, result: &mut [u8]) {
    let ([_, w, c], [_, ow, oc]) = (x.shape, y.shape);
    for i in 0..y.len() {
        let (oy, ox, channel) = (i / oc / ow, i / oc % ow, i % oc);
        let from = (oy * stride * w + ox * stride) * c + channel;
        y.element.store(result, i, if channel < c { x.element.load(bytes, from) } else { 0 });
    }
}
