//! Worked examples of Huffman coding: the lecture slide A:100 B:10 C:1 D:1, and CLRS's six letters.
//!
//! Each message is built, coded by `nnc-huffman`, decoded and compared; the figures are those of the coded message.

use std::time::Duration;

use anyhow::Result;
use nnc_huffman::{Code, Histogram};
use serde::Serialize;
use serde_json::{Value, json};

use crate::experiment::{Better, Context, DataKind, Experiment, Outcome, Profile, Progress, Row, Rule};

/// The experiment.
#[derive(Debug)]
pub(crate) struct HuffmanSlide;

/// A message by its counts, and what is known of it.
#[derive(Debug, Serialize)]
struct Message {
    name: &'static str,
    counts: &'static [u64],
    /// Bits with Huffman's code, as published.
    coded_bits: f64,
    /// Bits with equal words.
    fixed_bits: f64,
    /// Shannon's bound, computed outside to two decimals.
    entropy_bits: f64,
}

const MESSAGES: [Message; 2] = [
    Message {
        name: "slide",
        counts: &[100, 10, 1, 1],
        coded_bits: 126.0,
        fixed_bits: 224.0,
        entropy_bits: 64.82,
    },
    Message {
        name: "clrs",
        counts: &[45, 13, 12, 16, 9, 5],
        coded_bits: 224.0,
        fixed_bits: 300.0,
        entropy_bits: 221.99,
    },
];

impl Experiment for HuffmanSlide {
    fn name(&self) -> &'static str {
        "huffman-slide"
    }

    fn title(&self) -> &'static str {
        "Huffman coding: two worked examples"
    }

    fn paper(&self) -> &'static str {
        "Huffman, Proc. IRE 1952; the lecture's slide; Cormen et al., Introduction to Algorithms, Huffman codes"
    }

    fn data(&self) -> DataKind {
        DataKind::PublishedTables
    }

    fn time(&self, _: Profile) -> Duration {
        Duration::from_secs(1)
    }

    fn flagship(&self) -> bool {
        true
    }

    fn config(&self, _: &Context) -> Value {
        json!({ "messages": MESSAGES })
    }

    fn run(&self, _: &Context, progress: &dyn Progress) -> Result<Outcome> {
        let mut rows = Vec::new();
        for message in &MESSAGES {
            progress.stage(message.name);
            rows.extend(message_rows(message)?);
        }
        progress.fraction(1.0);
        let notes = vec![
            "The slide's first symbol has nine tenths of the message and still costs a whole bit each time: Huffman's \
             code stays at 1.94 times the entropy. That gap is what arithmetic and ANS coders close."
                .into(),
        ];
        Ok(Outcome { rows, notes, ..Outcome::default() })
    }
}

fn message_rows(message: &Message) -> Result<Vec<Row>> {
    let symbols: Vec<u8> = (0_u8..)
        .zip(message.counts)
        .flat_map(|(symbol, &count)| {
            std::iter::repeat_n(symbol, usize::try_from(count).unwrap_or(usize::MAX))
        })
        .collect();
    let histogram = Histogram::of(&symbols);
    let code = Code::from_histogram(&histogram);
    let bytes = code.encode(&symbols)?;
    let mut decoded = vec![0; symbols.len()];
    code.decode_into(&bytes, &mut decoded)?;
    let n_wrong = symbols.iter().zip(&decoded).filter(|(sent, received)| sent != received).count();

    let metric = |what: &str| format!("{}/{what}", message.name);
    let exact = |value| Rule::Equals { value, tolerance: 0.0 };
    let coded_bits = code.cost_bits(&histogram)? as f64;
    // The fewest bits that tell the symbols apart when every word is as long as the others.
    let width = message.counts.len().next_power_of_two().trailing_zeros();
    let fixed_bits = symbols.len() as f64 * f64::from(width);
    let near = Rule::Equals { value: message.entropy_bits, tolerance: 0.005 };
    Ok(vec![
        Row::new(metric("message-bits"), coded_bits, "bits", Better::Lower, exact(message.coded_bits))
            .paper(message.coded_bits),
        Row::new(metric("fixed-width-bits"), fixed_bits, "bits", Better::Equal, exact(message.fixed_bits))
            .paper(message.fixed_bits),
        Row::new(metric("entropy-bits"), histogram.entropy_bits(), "bits", Better::Equal, near)
            .note("computed outside, no figure in print"),
        Row::new(metric("coded-bytes"), bytes.len() as f64, "bytes", Better::Lower, {
            exact((message.coded_bits / 8.0).ceil())
        })
        .note("the message as written, without its table"),
        Row::new(metric("symbols-wrong"), n_wrong as f64, "symbols", Better::Lower, exact(0.0))
            .note("after decoding the bytes"),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::row::{Verdict, check_rows};

    #[test]
    fn every_figure_of_both_examples_is_met() {
        let rows: Vec<_> = MESSAGES.iter().flat_map(|message| message_rows(message).unwrap()).collect();
        check_rows(&rows).unwrap();
        for row in &rows {
            assert_eq!(row.verdict(), Verdict::Holds, "{row:?}");
        }
        assert_eq!(rows[0].ours(), 126.0);
        assert_eq!(rows[1].ours(), 224.0);
    }

    #[test]
    fn a_wrong_expectation_fails_its_row() {
        let wrong =
            Message { name: "w", counts: &[3, 1], coded_bits: 5.0, fixed_bits: 4.0, entropy_bits: 3.25 };
        let verdicts: Vec<_> = message_rows(&wrong).unwrap().iter().map(Row::verdict).collect();
        assert_eq!(verdicts[0], Verdict::Fails, "4 bits, not 5");
        assert_eq!(verdicts[1], Verdict::Holds);
    }
}
