//! Where each tensor lies in one piece of memory: tensors that are never needed at the same time share it.

use intrain_plan::Pool;

use crate::form::{Deployed, Op};

/// Bytes to which places are aligned: those of the widest element that is stored.
const ALIGNMENT: usize = 8;

/// The memory of one answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arena {
    /// Of each node's result; none where it is never stored.
    pub places: Vec<Option<Place>>,
    /// Bytes of all.
    pub bytes: usize,
    /// The most bytes that are needed at the same time.
    pub peak: usize,
}

/// Where a tensor lies, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Bytes from the start of the arena.
    pub offset: usize,
    /// Its length, rounded up to whole words.
    pub bytes: usize,
    /// The node that writes it.
    pub first: usize,
    /// The last node that reads it.
    pub last: usize,
}

impl Place {
    const fn meets(&self, other: &Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    const fn end(&self) -> usize {
        self.offset + self.bytes
    }
}

impl Deployed {
    /// The pooling that alone reads the product of node `i`, without overlap: whoever computes both together need not store the
    /// product.
    #[must_use]
    pub fn pooled(&self, i: usize) -> Option<(usize, Pool)> {
        let mut readers = (0..self.nodes.len()).filter(|reader| self.nodes[*reader].sources.contains(&i));
        let (reader, None) = (readers.next()?, readers.next()) else { return None };
        match (&self.nodes[i].op, &self.nodes[reader].op) {
            (Op::Product(product), Op::MaxPool(pool)) => {
                let is_depthwise = product.is_depthwise([self.input_of(i), self.nodes[i].result.shape]);
                (pool.stride >= pool.size && !is_depthwise).then_some((reader, *pool))
            }
            _ => None,
        }
    }

    /// Places all tensors, products that are computed with their pooling apart.
    #[must_use]
    pub fn arena(&self) -> Arena {
        let n = self.nodes.len();
        let places: Vec<Option<Place>> = (0..n)
            .map(|i| {
                if self.pooled(i).is_some() {
                    return None;
                }
                let readers = (i..n).filter(|reader| self.nodes[*reader].sources.contains(&i));
                let last = readers.map(|reader| self.pooled(reader).map_or(reader, |(pool, _)| pool)).max();
                let bytes = self.nodes[i].result.bytes().next_multiple_of(ALIGNMENT);
                Some(Place { offset: 0, bytes, first: self.written_from(i), last: last.unwrap_or(n) })
            })
            .collect();
        let needed = |node: usize| {
            let lives = |p: &&Place| p.first <= node && node <= p.last;
            places.iter().flatten().filter(lives).map(|p| p.bytes).sum()
        };
        let peak = (0..n).map(needed).max().unwrap_or(0);
        let (by_size, at_both_ends) = (by_size(&places), at_both_ends(&places, peak));
        let places = if bytes_of(&at_both_ends) < bytes_of(&by_size) { at_both_ends } else { by_size };
        Arena { bytes: bytes_of(&places), places, peak }
    }

    /// The node from which on the result of node `i` must not lie where others do: a pooling is written while its product is computed.
    fn written_from(&self, i: usize) -> usize {
        match self.nodes[i].op {
            Op::MaxPool(_) if self.pooled(self.nodes[i].sources[0]).is_some() => self.nodes[i].sources[0],
            _ => i,
        }
    }
}

fn bytes_of(places: &[Option<Place>]) -> usize {
    places.iter().flatten().map(Place::end).max().unwrap_or(0)
}

/// The lowest offset at which `place` fits among those that it meets.
fn lowest(place: &Place, placed: &[Place]) -> usize {
    let mut met: Vec<&Place> = placed.iter().filter(|other| place.meets(other)).collect();
    met.sort_by_key(|other| other.offset);
    let mut offset = 0;
    for other in met {
        if offset + place.bytes <= other.offset {
            break;
        }
        offset = offset.max(other.end());
    }
    offset
}

/// The largest first, each as low as it fits.
fn by_size(places: &[Option<Place>]) -> Vec<Option<Place>> {
    let mut order: Vec<usize> = (0..places.len()).filter(|i| places[*i].is_some()).collect();
    order.sort_by_key(|i| std::cmp::Reverse(places[*i].map_or(0, |place| place.bytes)));
    let (mut result, mut placed) = (places.to_vec(), Vec::new());
    for i in order {
        if let Some(place) = &mut result[i] {
            place.offset = lowest(place, &placed);
            placed.push(*place);
        }
    }
    result
}

/// In the order of the nodes, in turn as low and as high as they fit below `bytes`: a chain needs no more than its two largest neighbours.
fn at_both_ends(places: &[Option<Place>], bytes: usize) -> Vec<Option<Place>> {
    let (mut result, mut placed, mut is_high) = (places.to_vec(), Vec::<Place>::new(), false);
    for place in result.iter_mut().flatten() {
        // Seen from the other end, what is high is low.
        let turned = |p: &Place| Place { offset: bytes.saturating_sub(p.end()), ..*p };
        let from_above =
            lowest(place, &placed.iter().filter(|p| p.end() <= bytes).map(turned).collect::<Vec<_>>());
        place.offset = match bytes.checked_sub(from_above + place.bytes) {
            Some(offset) if is_high => offset,
            _ => lowest(place, &placed),
        };
        is_high = !is_high;
        let overlaps =
            placed.iter().any(|p| p.meets(place) && p.offset < place.end() && place.offset < p.end());
        if overlaps {
            place.offset = lowest(place, &placed);
        }
        placed.push(*place);
    }
    result
}
