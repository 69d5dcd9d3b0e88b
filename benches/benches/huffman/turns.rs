//! Coders by turns: rounds in which each runs once, and what is printed of them.

use std::time::Instant;

/// Symbols that a turn codes at least, so that short streams are repeated until a clock tells them apart.
const MIN_SYMBOLS: usize = 1 << 22;

/// What the command line asks for.
pub(crate) struct Options {
    rounds: usize,
    only: Option<String>,
}

impl Options {
    pub(crate) fn from_args(args: impl Iterator<Item = String>) -> Self {
        // `cargo bench` itself adds `--bench`.
        let args: Vec<String> = args.filter(|arg| arg != "--bench").collect();
        let value = |name: &str| args.windows(2).find(|pair| pair[0] == name).map(|pair| pair[1].clone());
        let rounds = value("--rounds").map_or(15, |rounds| rounds.parse().expect("--rounds: a number"));
        Self { rounds, only: value("--only") }
    }

    /// Whether groups of one of these kinds may be wanted.
    pub(crate) fn wants_any(&self, kinds: &[&str]) -> bool {
        self.only.as_ref().is_none_or(|only| kinds.iter().any(|kind| only.contains(kind)))
    }
}

/// Does one turn on the symbols' buffer.
type Turn<'a> = Box<dyn FnMut(&mut [u8]) + 'a>;

/// One coder: what a turn of it does to the symbols' buffer, and the seconds of its turns.
struct Coder<'a> {
    name: String,
    run: Turn<'a>,
    seconds: Vec<f64>,
}

/// The coders of a group, the first one being what the others are compared with.
pub(crate) struct Turns<'a> {
    group: String,
    stream: String,
    n_symbols: usize,
    rounds: usize,
    is_wanted: bool,
    coders: Vec<Coder<'a>>,
}

impl<'a> Turns<'a> {
    pub(crate) fn new(options: &Options, group: &str, stream: &str, n_symbols: usize) -> Self {
        let is_wanted = options.only.as_ref().is_none_or(|only| group.contains(only.as_str()));
        let (group, stream) = (group.to_owned(), stream.to_owned());
        Self { group, stream, n_symbols, rounds: options.rounds, is_wanted, coders: Vec::new() }
    }

    /// Adds a coder, having checked that it gives `expected` (where that is not empty).
    pub(crate) fn add(&mut self, name: &str, expected: &[u8], mut run: impl FnMut(&mut [u8]) + 'a) {
        if !self.is_wanted {
            return;
        }
        let mut out = vec![0; self.n_symbols];
        run(&mut out);
        assert!(expected.is_empty() || out == expected, "{name} decodes what was encoded");
        self.coders.push(Coder { name: name.to_owned(), run: Box::new(run), seconds: Vec::new() });
    }

    /// Runs the rounds and prints a row for each coder and measure.
    #[allow(clippy::print_stdout, clippy::cast_precision_loss, reason = "the rows are the result")]
    pub(crate) fn run(mut self) {
        let mut out = vec![0; self.n_symbols];
        let n_passes = MIN_SYMBOLS.div_ceil(self.n_symbols);
        for _ in 0..self.rounds {
            for coder in &mut self.coders {
                let start = Instant::now();
                (0..n_passes).for_each(|_| (coder.run)(&mut out));
                coder.seconds.push(start.elapsed().as_secs_f64());
            }
        }
        let n_bytes = (n_passes * self.n_symbols) as f64;
        let speed = |seconds: f64| n_bytes / seconds / 1e9;
        self.coders.iter_mut().for_each(|coder| coder.seconds.sort_by(f64::total_cmp));
        for (measure, round) in [("minimum", 0), ("median", self.rounds / 2)] {
            let base = self.coders.first().map_or(1.0, |coder| speed(coder.seconds[round]));
            for Coder { name, seconds, .. } in &self.coders {
                let speed = speed(seconds[round]);
                let (group, stream) = (&self.group, &self.stream);
                println!("huffman,{group},{stream},{name},{measure},GB/s,{speed:.3},{:.3}", speed / base);
            }
        }
    }
}

#[allow(clippy::print_stdout, reason = "the rows are the result")]
pub(crate) fn header(options: &Options) {
    println!(
        "# {} rounds by turns; GB/s of symbols, from the fastest and from the median round",
        options.rounds
    );
    println!("# ratio: against the first coder of the same group, stream and measure");
    println!("bench,group,stream,coder,measure,unit,value,ratio");
}

#[allow(clippy::print_stdout, reason = "the rows are the result")]
pub(crate) fn size_row(coder: &str, stream: &str, bits: f64) {
    println!("huffman,size,{stream},{coder},exact,bits a symbol,{bits:.4},");
}

#[allow(clippy::print_stdout, reason = "the rows are the result")]
pub(crate) fn count_row(stream: &str, n_symbols: usize) {
    println!("huffman,size,{stream},symbols,exact,symbols,{n_symbols},");
}
