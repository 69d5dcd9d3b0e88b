//! The table in the terminal: metric · paper · ours · unit · verdict.

use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table, presets};

use super::number::figure;
use crate::experiment::Row;

/// One table over `rows`.
pub(crate) fn text_table(rows: &[Row]) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY.row_separator(LineStyle::none()));
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["metric", "paper", "ours", "unit", "verdict"]);
    for row in rows {
        table.add_row([
            row.metric().to_owned(),
            row.papers_figure().map_or_else(|| "–".to_owned(), figure),
            figure(row.ours()),
            row.unit().to_owned(),
            row.verdict().word().to_owned(),
        ]);
    }
    for idx in [1, 2] {
        if let Some(column) = table.column_mut(idx) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::{Better, Rule};

    #[test]
    fn figures_line_up_and_missing_ones_show_a_dash() {
        let text = text_table(&[
            Row::new("a/size", 1234.5, "B", Better::Lower, Rule::AtMost(1.0)).paper(27.0),
            Row::new("a/b", 2.0, "x", Better::Higher, Rule::Report),
        ]);
        let lines: Vec<_> = text.lines().filter(|line| line.contains("a/")).collect();
        let end = |line: &str, word: &str| line.find(word).map(|at| line[..at].chars().count() + word.len());
        assert_eq!(end(lines[0], "1234"), end(lines[1], " 2"), "{text}");
        assert!(lines[0].contains("27") && lines[0].contains("fails"), "{text}");
        assert!(lines[1].contains('–') && lines[1].contains("reported"), "{text}");
    }
}
