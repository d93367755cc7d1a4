//! Where a layer's elements come from: windows, products, means; the numbers of layers with parameters.

use intrain_model::{LayerKind, Window};

use super::Step;

pub(super) fn grid(h: usize, w: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..h).flat_map(move |y| (0..w).map(move |x| (y, x)))
}

impl Step<'_> {
    /// The number of a layer among those with parameters.
    pub(super) fn block(&self, i: usize) -> usize {
        let has_parameters = |kind: LayerKind| kind.is_product() || kind.is_norm();
        self.model.layers[..i].iter().filter(|layer| has_parameters(layer.kind)).count()
    }

    /// The product from which a place comes, by first sources.
    pub(super) fn product_before(&self, mut place: usize) -> Option<usize> {
        while place > 0 && !self.model.layers[place - 1].kind.is_product() {
            place = self.sources[place - 1][0];
        }
        place.checked_sub(1)
    }

    /// Calls `f(input pixel, place in the window, output pixel)` over the pixels of all images.
    fn windows(&self, i: usize, window: Window, mut f: impl FnMut(usize, usize, usize)) {
        let (input, output) = (self.shapes[self.sources[i][0]], self.shapes[i + 1]);
        for image in 0..self.n {
            for (o, (y, x)) in grid(output.h, output.w).enumerate() {
                for (place, (ky, kx)) in grid(window.kernel[0], window.kernel[1]).enumerate() {
                    let at = |axis: usize, out: usize, tap: usize| {
                        (out * window.stride[axis] + tap * window.dilation[axis]) as i64
                            - window.pad[axis] as i64
                    };
                    let (v, u) = (at(0, y, ky), at(1, x, kx));
                    if v >= 0 && u >= 0 && v < input.h as i64 && u < input.w as i64 {
                        let pixel = (image * input.h + v as usize) * input.w + u as usize;
                        f(pixel, place, image * output.h * output.w + o);
                    }
                }
            }
        }
    }

    /// Calls `f(index of X, of W, of E)` for every product of the three sums of sections 6.1 and 6.2.
    pub(super) fn products(&self, i: usize, mut f: impl FnMut(usize, usize, usize)) {
        let (input, output) = (self.shapes[self.sources[i][0]], self.shapes[i + 1]);
        if let LayerKind::Conv { window, .. } = self.model.layers[i].kind {
            return self.windows(i, window, |pixel, place, out| {
                for (ci, o) in grid(input.c, output.c) {
                    f(pixel * input.c + ci, (place * input.c + ci) * output.c + o, out * output.c + o);
                }
            });
        }
        if let LayerKind::GroupedConv { window, groups, .. } = self.model.layers[i].kind {
            let [of_in, of_out] = [input.c, output.c].map(|c| c / groups);
            return self.windows(i, window, |pixel, place, out| {
                for (k, o) in grid(of_in, output.c) {
                    let ci = o / of_out * of_in + k;
                    f(pixel * input.c + ci, (place * of_in + k) * output.c + o, out * output.c + o);
                }
            });
        }
        for image in 0..self.n {
            for (ci, o) in grid(input.len(), output.c) {
                f(image * input.len() + ci, ci * output.c + o, image * output.c + o);
            }
        }
    }

    /// Calls `f(input, output)` for the elements of each window, channel by channel.
    pub(super) fn pooled(&self, i: usize, window: Window, mut f: impl FnMut(usize, usize)) {
        let c = self.shapes[i + 1].c;
        self.windows(i, window, |pixel, _, out| (0..c).for_each(|k| f(pixel * c + k, out * c + k)));
    }

    /// Calls `f(input, output)` for the elements of each mean; how many there are in one.
    pub(super) fn means(&self, i: usize, mut f: impl FnMut(usize, usize)) -> usize {
        let (input, c) = (self.shapes[self.sources[i][0]], self.shapes[i + 1].c);
        if let LayerKind::AvgPool { size, stride } = self.model.layers[i].kind {
            self.pooled(i, Window::square(size, stride, 0), f);
            return size * size;
        }
        let pixels = input.h * input.w;
        grid(self.n * pixels, c).for_each(|(pixel, k)| f(pixel * c + k, pixel / pixels * c + k));
        pixels
    }

    /// Calls `f(input, output)` for the elements that a shortcut keeps.
    pub(super) fn kept(&self, i: usize, mut f: impl FnMut(usize, usize)) {
        let LayerKind::Shortcut { stride, .. } = self.model.layers[i].kind else { panic!("a shortcut") };
        let (input, output) = (self.shapes[self.sources[i][0]], self.shapes[i + 1]);
        self.windows(i, Window::square(1, stride, 0), |pixel, _, out| {
            (0..input.c).for_each(|k| f(pixel * input.c + k, out * output.c + k));
        });
    }

    /// Calls `f(source, input, output)` for the elements that are put behind each other.
    pub(super) fn joined(&self, i: usize, mut f: impl FnMut(usize, usize, usize)) {
        let output = self.shapes[i + 1];
        let mut first = 0;
        for &source in &self.sources[i] {
            let c = self.shapes[source].c;
            for (pixel, k) in grid(self.n * output.h * output.w, c) {
                f(source, pixel * c + k, pixel * output.c + first + k);
            }
            first += c;
        }
    }
}
