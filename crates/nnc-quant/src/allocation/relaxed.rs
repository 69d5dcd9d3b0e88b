//! The relaxed problem: a price for each byte in place of the budget, which bounds what the real one can reach.

use super::LayerChoices;

/// A price, a solution within the budget, and bounds by the price.
pub(super) struct Relaxed {
    budget_bytes: u64,
    /// Error a byte is worth.
    price: f64,
    /// The error of a solution within the budget; the optimum is no worse.
    known_error: f64,
    /// For each number of layers done: the least `error + price · bytes` of the others.
    rest: Vec<f64>,
    /// For each number of layers done: the fewest bytes of the others.
    rest_bytes: Vec<u64>,
}

/// A step along the lower hull of a layer's (bytes, error).
struct Step {
    layer: usize,
    /// Its place on the layer's hull; steps are taken in order.
    place: usize,
    bytes: u64,
    gain: f64,
}

impl Relaxed {
    /// Takes steps by their gain a byte, dearest first, from the fewest bytes on; the first that does not fit sets the price.
    ///
    /// The fewest bytes fit.
    pub(super) fn solve(layers: &[LayerChoices], budget_bytes: u64) -> Self {
        let hulls: Vec<Vec<(u64, f64)>> = layers.iter().map(hull).collect();
        let mut bytes: u64 = hulls.iter().map(|hull| hull[0].0).sum();
        let mut known_error: f64 = hulls.iter().map(|hull| hull[0].1).sum();
        let mut price = None;
        let mut is_blocked = vec![false; layers.len()];
        for step in steps(&hulls) {
            if is_blocked[step.layer] {
                continue;
            }
            if bytes + step.bytes <= budget_bytes {
                bytes += step.bytes;
                known_error -= step.gain;
            } else {
                is_blocked[step.layer] = true;
                price.get_or_insert(step.gain / step.bytes as f64);
            }
        }
        let price = price.unwrap_or(0.0);
        let (mut rest, mut rest_bytes) = (vec![0.0; layers.len() + 1], vec![0; layers.len() + 1]);
        for (i, hull) in hulls.iter().enumerate().rev() {
            let cheapest =
                hull.iter().map(|&(bytes, error)| error + price * bytes as f64).fold(f64::INFINITY, f64::min);
            rest[i] = rest[i + 1] + cheapest;
            rest_bytes[i] = rest_bytes[i + 1] + hull[0].0;
        }
        Self { budget_bytes, price, known_error, rest, rest_bytes }
    }

    /// Whether choices for the first `n_done` layers that come to `bytes` and `error` can be the start of an optimum.
    pub(super) fn may_lead_to_best(&self, n_done: usize, bytes: u64, error: f64) -> bool {
        // Any end of it has at least this error: the others at their price, less what the budget is worth. The slack is for the
        // rounding of the sums.
        let bound = error + self.rest[n_done] - self.price * self.budget_bytes.saturating_sub(bytes) as f64;
        let slack = 1e-9 * (self.known_error.abs() + self.rest[n_done] + error);
        bytes + self.rest_bytes[n_done] <= self.budget_bytes && bound <= self.known_error + slack
    }
}

/// The choices that are cheapest at some price, by bytes; errors are weighted. From the fewest bytes on (of those, the least error).
fn hull(layer: &LayerChoices) -> Vec<(u64, f64)> {
    let mut points: Vec<(u64, f64)> =
        layer.choices.iter().map(|choice| (choice.bytes, layer.sensitivity * choice.error)).collect();
    points.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let mut hull: Vec<(u64, f64)> = Vec::new();
    for point in points {
        if hull.last().is_some_and(|last| point.1 >= last.1) {
            continue;
        }
        // The middle one of three is on the hull when the gain a byte falls there.
        while let [.., a, b] = hull[..] {
            if gain_a_byte(a, b) > gain_a_byte(b, point) {
                break;
            }
            hull.pop();
        }
        hull.push(point);
    }
    hull
}

/// From a point to one of more bytes and less error.
fn gain_a_byte(from: (u64, f64), to: (u64, f64)) -> f64 {
    (from.1 - to.1) / (to.0 - from.0) as f64
}

fn steps(hulls: &[Vec<(u64, f64)>]) -> Vec<Step> {
    let mut steps = Vec::new();
    for (layer, hull) in hulls.iter().enumerate() {
        for (place, pair) in hull.windows(2).enumerate() {
            steps.push(Step { layer, place, bytes: pair[1].0 - pair[0].0, gain: pair[0].1 - pair[1].1 });
        }
    }
    let worth = |step: &Step| step.gain / step.bytes as f64;
    steps.sort_by(|a, b| {
        worth(b).total_cmp(&worth(a)).then(a.layer.cmp(&b.layer)).then(a.place.cmp(&b.place))
    });
    steps
}
