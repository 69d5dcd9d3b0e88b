//! Text in columns.

/// Rows under a header, each column as wide as its widest cell; columns of numbers are right-aligned.
pub(super) fn columns<const N: usize>(header: [&str; N], right: [bool; N], rows: &[[String; N]]) -> String {
    let mut widths = header.map(|cell| cell.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in std::iter::once(&header.map(str::to_owned)).chain(rows) {
        let mut line = String::new();
        for ((cell, width), right) in row.iter().zip(widths).zip(right) {
            let padding = " ".repeat(width - cell.chars().count());
            line += &if right { format!("{padding}{cell}  ") } else { format!("{cell}{padding}  ") };
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::columns;

    #[test]
    fn cells_line_up() {
        let rows = [["größe".to_owned(), "7".to_owned()], ["x".to_owned(), "1234".to_owned()]];
        assert_eq!(columns(["name", "n"], [false, true], &rows), "name      n\ngröße     7\nx      1234\n");
        assert_eq!(columns(["name", "n"], [false, true], &[]), "name  n\n");
    }
}
