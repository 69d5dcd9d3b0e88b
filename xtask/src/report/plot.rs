//! Pictures as SVG: points, lines and bars, with linear or logarithmic axes.
//!
//! A logarithmic axis is drawn as a linear one over log10, so there is one way to draw. The file has a white ground;
//! [`inline`] makes the same picture take the colours of the page around it.

mod scale;

use anyhow::{Result, anyhow, ensure};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use self::scale::Scale;
use crate::experiment::plot::{Axis, Chart, Mark, Plot, Series};

const SIZE: (u32, u32) = (760, 420);

/// Text, axes and grid.
const INK: RGBColor = RGBColor(0x1b, 0x24, 0x30);
const INK_TEXT: &str = "#1B2430";
const GROUND: &str = "<rect width=\"100%\" height=\"100%\" fill=\"#FFFFFF\"/>";

/// Colours that stay apart for every kind of colour vision (Okabe and Ito 2008), strongest contrast first.
const PALETTE: [RGBColor; 6] = [
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0xe6, 0x9f, 0x00),
    RGBColor(0x56, 0xb4, 0xe9),
];

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws `plot` as a file of its own.
///
/// # Errors
/// When there is nothing to draw, a value is not finite, or not above 0 on a logarithmic axis.
pub(crate) fn svg(plot: &Plot) -> Result<String> {
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        draw(&root, plot)?;
        root.present().map_err(|e| anyhow!("drawing {}: {e}", plot.name))?;
    }
    let head = text.find("<svg").and_then(|start| text[start..].find('>').map(|len| start + len + 1));
    let head = head.ok_or_else(|| anyhow!("drawing {}: no <svg> element", plot.name))?;
    text.insert_str(head, &format!("\n{GROUND}"));
    Ok(text)
}

/// The picture of a file made by [`svg`], without ground and in the text colour of the page around it.
pub(crate) fn inline(svg: &str) -> String {
    let body = svg.find("<svg").map_or(svg, |start| &svg[start..]);
    body.replacen(GROUND, "", 1).replace(INK_TEXT, "currentColor")
}

fn draw(root: &Area<'_>, plot: &Plot) -> Result<()> {
    let labels: Vec<&str> = match &plot.chart {
        Chart::Xy { series, .. } => series.iter().map(|series| series.label.as_str()).collect(),
        Chart::Bars { series, .. } => series.iter().map(|(label, _)| label.as_str()).collect(),
    };
    ensure!(!labels.is_empty(), "plot {}: no series", plot.name);
    ensure!(labels.len() <= PALETTE.len(), "plot {}: more than {} series", plot.name, PALETTE.len());
    let (head, body) = root.split_vertically(58);
    draw_head(&head, &plot.title, &labels)?;
    match &plot.chart {
        Chart::Xy { x, y, series } => draw_xy(&body, x, y, series),
        Chart::Bars { categories, y, series } => draw_bars(&body, categories, y, series),
    }
    .map_err(|error| error.context(format!("plot {}", plot.name)))
}

/// The title, and one swatch and name a series.
fn draw_head(area: &Area<'_>, title: &str, labels: &[&str]) -> Result<()> {
    let at = Pos::new(HPos::Left, VPos::Center);
    let title_style = ("sans-serif", 17, FontStyle::Bold, &INK).into_text_style(area).pos(at);
    area.draw_text(title, &title_style, (16, 18)).map_err(fault)?;
    let style = ("sans-serif", 13, &INK).into_text_style(area).pos(at);
    let mut left = 16;
    for (label, color) in labels.iter().zip(PALETTE) {
        area.draw(&Rectangle::new([(left, 38), (left + 12, 50)], color.filled())).map_err(fault)?;
        area.draw_text(label, &style, (left + 18, 44)).map_err(fault)?;
        // The viewer's font is not known: 7 pixels a character is a wide one at this size.
        left += 18 + 7 * i32::try_from(label.chars().count())? + 18;
    }
    Ok(())
}

fn draw_xy(area: &Area<'_>, x: &Axis, y: &Axis, series: &[Series]) -> Result<()> {
    let points = || series.iter().flat_map(|series| &series.points);
    let x_scale = Scale::around(x, points().map(|point| point.0))?;
    let y_scale = Scale::around(y, points().map(|point| point.1))?;
    let mut builder = frame(area);
    let mut chart = builder.build_cartesian_2d(x_scale.clone(), y_scale.clone()).map_err(fault)?;
    chart
        .configure_mesh()
        .x_labels(x_scale.n_ticks())
        .y_labels(y_scale.n_ticks())
        .x_desc(&x.label)
        .y_desc(&y.label)
        .label_style(("sans-serif", 13, &INK))
        .axis_desc_style(("sans-serif", 13, &INK))
        .axis_style(INK)
        .bold_line_style(INK.mix(0.12))
        .light_line_style(TRANSPARENT)
        .draw()
        .map_err(fault)?;
    for (series, color) in series.iter().zip(PALETTE) {
        let at: Vec<_> = series.points.iter().map(|&(x, y)| (x_scale.place(x), y_scale.place(y))).collect();
        if series.mark != Mark::Points {
            chart.draw_series(LineSeries::new(at.iter().copied(), color.stroke_width(2))).map_err(fault)?;
        }
        if series.mark != Mark::Line {
            let dots = at.iter().map(|&point| Circle::new(point, 4, color.filled()));
            chart.draw_series(dots).map_err(fault)?;
        }
    }
    Ok(())
}

fn draw_bars(area: &Area<'_>, categories: &[String], y: &Axis, series: &[(String, Vec<f64>)]) -> Result<()> {
    for (label, heights) in series {
        let (expected, found) = (categories.len(), heights.len());
        ensure!(found == expected, "series {label}: expected {expected} heights, found {found}");
    }
    let heights = || series.iter().flat_map(|(_, heights)| heights.iter().copied());
    let y_scale = Scale::above_floor(y, heights())?;
    let x_scale = Scale::categories(categories);
    let mut builder = frame(area);
    let mut chart = builder.build_cartesian_2d(x_scale.clone(), y_scale.clone()).map_err(fault)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(x_scale.n_ticks())
        .y_labels(y_scale.n_ticks())
        .y_desc(&y.label)
        .label_style(("sans-serif", 13, &INK))
        .axis_desc_style(("sans-serif", 13, &INK))
        .axis_style(INK)
        .bold_line_style(INK.mix(0.12))
        .light_line_style(TRANSPARENT)
        .draw()
        .map_err(fault)?;
    let width = 0.8 / series.len() as f64;
    for (idx, ((_, heights), color)) in series.iter().zip(PALETTE).enumerate() {
        let bars = heights.iter().enumerate().map(|(category, &height)| {
            let left = category as f64 + 0.1 + idx as f64 * width;
            let corners = [(left, y_scale.floor()), (left + width * 0.92, y_scale.place(height))];
            Rectangle::new(corners, color.filled())
        });
        chart.draw_series(bars).map_err(fault)?;
    }
    Ok(())
}

fn frame<'a, 'b, 'c>(area: &'a Area<'c>) -> ChartBuilder<'a, 'b, SVGBackend<'c>> {
    let mut builder = ChartBuilder::on(area);
    builder.margin(10).x_label_area_size(44).y_label_area_size(64);
    builder
}

/// A drawing error without its borrow of the backend.
fn fault<E: std::error::Error + Send + Sync>(error: DrawingAreaErrorKind<E>) -> anyhow::Error {
    anyhow!("{error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn xy(points: Vec<(f64, f64)>, log: bool) -> Plot {
        let axis = if log { Axis::log("error / %") } else { Axis::linear("error / %") };
        let series = Series { label: "a <b>".into(), mark: Mark::LinePoints, points };
        Plot {
            name: "p".into(),
            title: "Rate & error".into(),
            caption: String::new(),
            chart: Chart::Xy { x: axis.clone(), y: axis, series: vec![series] },
        }
    }

    #[test]
    fn pictures_name_their_series_and_escape_text() {
        let svg = svg(&xy(vec![(1.0, 2.0), (3.0, 4.0)], false)).unwrap();
        assert!(svg.contains("a &lt;b&gt;") && svg.contains("Rate &amp; error"), "{svg}");
        assert_eq!(svg.matches("<circle").count(), 2);
        assert_eq!(svg.matches(GROUND).count(), 1);
    }

    #[test]
    fn an_inlined_picture_has_no_ground_and_no_ink_of_its_own() {
        let svg = svg(&xy(vec![(1.0, 2.0), (3.0, 4.0)], true)).unwrap();
        assert!(svg.contains(INK_TEXT));
        let inlined = inline(&svg);
        assert!(inlined.starts_with("<svg") && inlined.contains("currentColor"));
        assert!(!inlined.contains(GROUND) && !inlined.contains(INK_TEXT));
    }

    #[test]
    fn one_point_and_equal_points_can_be_drawn() {
        for log in [false, true] {
            svg(&xy(vec![(5.0, 5.0)], log)).unwrap();
            svg(&xy(vec![(5.0, 5.0), (5.0, 5.0)], log)).unwrap();
        }
    }

    #[test]
    fn what_cannot_be_drawn_is_an_error() {
        assert!(svg(&xy(vec![], false)).is_err());
        assert!(svg(&xy(vec![(f64::NAN, 1.0)], false)).is_err());
        assert!(svg(&xy(vec![(0.0, 1.0)], true)).is_err(), "0 on a logarithmic axis");
        let bars = |heights: Vec<f64>| Plot {
            name: "b".into(),
            title: String::new(),
            caption: String::new(),
            chart: Chart::Bars {
                categories: vec!["one".into(), "two".into()],
                y: Axis::linear("y"),
                series: vec![("s".into(), heights)],
            },
        };
        assert!(svg(&bars(vec![1.0])).is_err());
        assert!(svg(&bars(vec![1.0, 2.0])).unwrap().contains("two"));
    }
}
